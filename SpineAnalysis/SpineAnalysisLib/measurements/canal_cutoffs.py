"""Published cut-offs for central stenosis."""

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


def _verbiest(name: str, absolute: Severity, relative: Severity, meanings: frozenset[CanalMeaning], label: str = "",
              note: str = "") -> Cutoff:
    bands = Band(10.0, f"absolute stenosis{label}", absolute), Band(12.0, f"relative stenosis{label}", relative)
    return Cutoff(name, "canal_ap_diameter", _LUMBAR, bands, f"Verbiest, Spine 1976;1:217-225{note}", meanings)


CUTOFFS: tuple[Cutoff, ...] = (
    Cutoff("bolender_1985", "canal_area", _LUMBAR,
           (Band(100.0, "stenosis", Severity.MODERATE), Band(130.0, "early stenosis", Severity.MILD)),
           "Bolender et al., J Bone Joint Surg Am 1985;67:240-246", _SAC, (Segment,), unit="mm2"),
    Cutoff("schoenstroem_1985", "canal_area", _LUMBAR, (Band(75.0, "absolute stenosis", Severity.SEVERE),),
           "Schönström et al., Spine 1985;10:806-811", _SAC, (Segment,), unit="mm2"),
    _verbiest("verbiest_1976", Severity.SEVERE, Severity.MODERATE, _BONY),
    # Sacs are narrower than bone: the limits call healthy ones absolute.  How bad it is, their area tells.
    _verbiest("verbiest_1976_by_sac", Severity.MILD, Severity.MILD, frozenset({"dural sac"}), " if bony",
              " (of the bony canal)"),
    Cutoff("edwards_1983", "canal_ap_diameter", _CERVICAL,
           (Band(10.0, "absolute stenosis", Severity.SEVERE), Band(13.0, "relative stenosis", Severity.MODERATE)),
           "Edwards and LaRocca, Spine 1983;8:20-27"),
    _developmental("developmental_L1_L2", {Level.L1, Level.L2}, 19.0),
    _developmental("developmental_L3_L5", {Level.L3, Level.L4, Level.L5}, 18.0),
    _developmental("developmental_S1", {Level.S1}, 16.0),
    Cutoff("pavlov_1987", "torg_pavlov_ratio", _CERVICAL, (Band(0.8, "stenosis", Severity.MILD),),
           "Pavlov et al., Radiology 1987;164:771-775", meanings=_BONY, at=(Level,), unit=""),
)

DEFAULTS: dict[str, str] = {"canal_area_cutoff": "bolender_1985", "canal_ap_diameter_cutoff": "verbiest_1976"}
"""Which rule grades a value first, by measurement; the others are listed beside it."""
