"""An analysis of a phantom beside the phantom's exact answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SpineAnalysisLib.analysis import Analysis
from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.truth import chord, disc_slab, smoothed

CANAL = ("canal_area", "canal_ap_diameter", "canal_transverse_diameter")
CORD = ("cord_area", "cord_ap_diameter", "cord_transverse_diameter")

NOT_MEASURED = {("torg_pavlov_ratio", Level.C2)}
"""Exact answers without a record: the ratio is one of the vertebrae below the axis."""


@dataclass(frozen=True)
class Comparison:
    """One record and its exact answer.

    :param slope: by how much the exact answer changes per mm along the canal where it is read.
    """

    key: str
    place: str
    found: float
    exact: float
    uncertainty: float
    slope: float

    @property
    def error(self) -> float:
        return self.found - self.exact

    @property
    def covered(self) -> bool:
        """Whether the stated standard deviation covers the error."""
        return abs(self.error) <= self.uncertainty

    def beyond(self, relative: float, absolute: float, place_mm: float = 0.0) -> bool:
        """Whether the error is larger than allowed: areas in shares, diameters in mm.

        :param place_mm: what the place along the canal may be wrong by in addition.
        """
        allowed = relative * self.exact if self.key.endswith("_area") else absolute
        return abs(self.error) > allowed + place_mm * self.slope

    def __str__(self) -> str:
        return (f"{self.key} {self.place}: {self.found:.2f} instead of {self.exact:.2f} "
                f"({self.error:+.2f}, stated {self.uncertainty:.2f}, {self.slope:.2f} per mm)")


def compare(analysis: Analysis, phantom: Phantom, keys: Iterable[str] = CANAL) -> list[Comparison]:
    """Every exact answer of some measurements beside what was measured; one that was not measured fails the test."""
    wanted = frozenset(keys)
    out = []
    for truth in phantom.truth():
        if truth.key not in wanted or (truth.key, truth.level) in NOT_MEASURED:
            continue
        record = analysis.measurement(truth.key, str(truth.level), truth.side)
        assert record is not None, f"{truth.key} at {truth.level} was not measured"
        assert record.value is not None, f"{truth.key} at {truth.level} has no value: {record.flags}"
        assert record.uncertainty is not None, f"{truth.key} at {truth.level} has no uncertainty"
        assert record.unit == truth.unit
        assert truth.level is not None
        out.append(Comparison(truth.key, str(truth.level), record.value, truth.value, record.uncertainty,
                              slope(phantom, truth.key, truth.level)))
    assert out, f"the phantom has no exact answer for {', '.join(sorted(wanted))}"
    return out


def slope(phantom: Phantom, key: str, level: Level | Segment) -> float:
    """How steep the exact profile is where it is read, per mm along the canal; 0 for what is no profile."""
    if key not in CANAL + CORD:
        return 0.0
    canal = phantom.canal
    profile = _profile(phantom, key, level)
    steepness = np.abs(np.gradient(profile, canal.s))
    if isinstance(level, Level):
        body = next(b for b in phantom.chain.bodies if b.spec.level == level)
        return float(canal.at(steepness, canal.position(body.pedicle_plane)))
    joint = next(j for j in phantom.chain.joints if j.segment == level)
    start, end = disc_slab(joint, canal)
    inside = np.flatnonzero((canal.s >= start) & (canal.s <= end))
    return float(steepness[inside[int(smoothed(profile)[inside].argmin())]])


def _profile(phantom: Phantom, key: str, level: Level | Segment) -> NDArray[np.floating]:
    name, quantity = key.split("_", 1)
    canal, chain = phantom.canal, phantom.chain
    width, depth = (canal.width, canal.depth) if name == "canal" else (canal.cord_width, canal.cord_depth)
    if quantity == "area":
        return np.pi / 4 * width * depth
    frame = next(b.frame for b in chain.bodies if b.spec.level == level) if isinstance(level, Level) else \
        next(j.frame for j in chain.joints if j.segment == level)
    return chord(canal, width, depth, frame.anterior if quantity == "ap_diameter" else frame.right)


def listed(comparisons: Sequence[Comparison]) -> str:
    """For the message of a failed test."""
    return "\n".join(map(str, comparisons))
