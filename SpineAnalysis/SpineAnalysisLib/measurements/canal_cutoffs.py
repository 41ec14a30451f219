"""Published cut-offs for central stenosis."""

from dataclasses import replace

from ..anatomy import CanalMeaning, Level, Region, Segment
from .cutoffs import Band, Cutoff
from .record import Severity

_LUMBAR = frozenset({Region.LUMBAR})
_LUMBOSACRAL = frozenset({Region.LUMBAR, Region.SACRAL})
_CERVICAL = frozenset({Region.CERVICAL})
_SAC: frozenset[CanalMeaning] = frozenset({"dural sac", ""})
_BONY: frozenset[CanalMeaning] = frozenset({"bony canal", ""})
"""Of what was read off plain films; by a dural sac, the Torg-Pavlov ratios of ``cervical_mr_sct`` are 0.60 to 0.63."""
_DEVELOPMENTAL = "Multilevel lumbar developmental spinal stenosis in 2385 subjects, 2022 (PMC9210236)"


def _developmental(name: str, levels: set[Level], limit: float) -> Cutoff:
    bands = (Band(limit, "developmentally narrow", Severity.MILD),)
    return Cutoff(name, "canal_ap_diameter", _LUMBOSACRAL, bands, _DEVELOPMENTAL,
                  meanings=frozenset({"bony canal"}), derived=False, at=(Level,), levels=frozenset(levels))


def _diameters(name: str, region: frozenset[Region], relative_mm: float, severities: tuple[Severity, Severity],
               source: str) -> Cutoff:
    """Of the bony canal: absolute stenosis under 10 mm, relative under another limit."""
    bands = (Band(10.0, "absolute stenosis", severities[0]), Band(relative_mm, "relative stenosis", severities[1]))
    return Cutoff(name, "canal_ap_diameter", region, bands, source, _BONY)


def _by_sac(rule: Cutoff, severities: tuple[Severity, Severity]) -> Cutoff:
    """The same for dural sacs, which are narrower than bone, so that healthy ones lie under the limits."""
    bands = tuple(Band(band.limit, f"{band.label} by the bony limit", severity)
                  for band, severity in zip(rule.bands, severities, strict=True))
    return replace(rule, name=f"{rule.name}_by_sac", bands=bands, source=f"{rule.source} (of the bony canal)",
                   meanings=frozenset({"dural sac"}))


_VERBIEST = _diameters("verbiest_1976", _LUMBAR, 12.0, (Severity.SEVERE, Severity.MODERATE),
                       "Verbiest, Spine 1976;1:217-225")
_EDWARDS = _diameters("edwards_1983", _CERVICAL, 13.0, (Severity.SEVERE, Severity.MODERATE),
                      "Edwards and LaRocca, Spine 1983;8:20-27")

CUTOFFS: tuple[Cutoff, ...] = (
    Cutoff("bolender_1985", "canal_area", _LUMBAR,
           (Band(100.0, "stenosis", Severity.MODERATE), Band(130.0, "early stenosis", Severity.MILD)),
           "Bolender et al., J Bone Joint Surg Am 1985;67:240-246", _SAC, (Segment,), unit="mm2"),
    Cutoff("schoenstroem_1985", "canal_area", _LUMBAR, (Band(75.0, "absolute stenosis", Severity.SEVERE),),
           "Schönström et al., Spine 1985;10:806-811", _SAC, (Segment,), unit="mm2"),
    _VERBIEST, _EDWARDS,
    # How bad it is, a lumbar sac's area tells; for the neck's there is no limit of area.
    _by_sac(_VERBIEST, (Severity.MILD, Severity.MILD)), _by_sac(_EDWARDS, (Severity.MODERATE, Severity.MILD)),
    _developmental("developmental_L1_L2", {Level.L1, Level.L2}, 19.0),
    _developmental("developmental_L3_L5", {Level.L3, Level.L4, Level.L5}, 18.0),
    _developmental("developmental_S1", {Level.S1}, 16.0),
    Cutoff("pavlov_1987", "torg_pavlov_ratio", _CERVICAL, (Band(0.8, "stenosis", Severity.MILD),),
           "Pavlov et al., Radiology 1987;164:771-775", meanings=_BONY, at=(Level,), unit=""),
)

DEFAULTS: dict[str, str] = {"canal_area_cutoff": "bolender_1985", "canal_ap_diameter_cutoff": "verbiest_1976"}
"""Which rule grades a value first, by measurement; the others are listed beside it."""
