"""How far measurements are from phantoms' exact answers, as the Markdown tables of ``docs/ACCURACY.md``.

Run by hand: ``python Utilities/accuracy.py [PRESET ...]``.  Patients do not lie along the voxels, so the phantoms are
turned; one table has them along the grid, where the voxels have the fewest stairs to tell a surface's place by.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.measurements.coronal import coronal_curves
from SpineAnalysisLib.measurements.registry import definitions, families
from SpineAnalysisLib.phantoms import Phantom, preset, presets
from SpineAnalysisLib.spine import Vertebra

GRIDS: dict[str, tuple[float | tuple[float, float, float], bool]] = {
    "1 mm": (1.0, True), "3.3 mm sagittal slices": ((3.3, 0.7, 0.7), True), "1 mm, along the grid": (1.0, False)}
"""Spacing, and whether the grid is turned against the phantom."""
TURNED = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
RELATIVE = ("mm2", "mm3")
"""Units whose errors are given in percent of the value."""
LONGEST = "whole"
"""It has nothing that the others have not."""


@dataclass(frozen=True)
class Error:
    """Of one record.

    :param size: in ``unit``.
    :param covered: whether the stated uncertainty covers it.
    """

    phantom: str
    key: str
    unit: str
    size: float
    covered: bool


def errors(name: str, spacing: float | tuple[float, float, float], turned: bool) -> Iterator[Error]:
    """Of every record that has an exact answer; signals only along the grid, as they do not depend on how it lies."""
    phantom = preset(name)
    grid = phantom.grid(spacing, rotation=TURNED if turned else None)
    image = None if turned else phantom.image(grid, "T2")
    analysis = analyze(image, phantom.labels(grid), contrast=None if turned else "T2")
    for truth in phantom.truth():
        if truth.key not in definitions() or definitions()[truth.key].words:
            continue
        record = analysis.measurement(truth.key, str(truth.level), truth.side)
        if record is not None and record.value is not None:
            yield _error(name, truth.key, record.value, truth.value, record.uncertainty)
    yield from _curve_errors(name, phantom, analysis)


def _error(phantom: str, key: str, value: float, truth: float, uncertainty: float | None) -> Error:
    unit, size = definitions()[key].unit, value - truth
    covered = uncertainty is not None and abs(size) <= uncertainty
    return Error(phantom, key, "%", 100.0 * size / truth, covered) if unit in RELATIVE else \
        Error(phantom, key, unit, size, covered)


def _curve_errors(name: str, phantom: Phantom, analysis: Analysis) -> Iterator[Error]:
    """Of Cobb angles; end vertebrae that are not the phantom's are a mistake of the whole angle."""
    ideal = [Vertebra(b.spec.level, b.frame, b.endplate(1).plane,
                      None if b.spec.level is Level.S1 else b.endplate(-1).plane, b.frame.origin, None)
             for b in phantom.chain.bodies]
    for curve in coronal_curves(ideal):
        ends = Segment(curve.vertebrae[0].level, curve.vertebrae[-1].level)
        found = next((m for m in analysis.measurements if m.key == "cobb_angle" and m.level == ends), None)
        value, spread = (found.value or 0.0, found.uncertainty) if found is not None else (0.0, None)
        yield _error(name, "cobb_angle", value, curve.angle_deg, spread)


def _row(title: str, found: Sequence[Error]) -> str:
    off = np.array([each.size for each in found])
    shown = "" if found[0].unit == "1" else found[0].unit
    figures = (off.mean(), np.sqrt(np.mean(off**2)), np.quantile(np.abs(off), 0.95), np.abs(off).max())
    cells = " | ".join(f"{figure:.2f} {shown}".strip() for figure in figures)
    return f"| {title} | {len(off)} | {cells} | {np.mean([each.covered for each in found]):.0%} |"


def by_measurement(found: Sequence[Error]) -> Iterator[str]:
    """A table of every measurement, family by family."""
    yield "| measurement | records | mean error | RMS | 95 % within | largest | covered |"
    yield "|---|---|---|---|---|---|---|"
    for family in families():
        rows = [(d.title, [e for e in found if e.key == d.key]) for d in family.definitions]
        if any(own for _, own in rows):
            yield f"| **{family.title}** | | | | | | |"
        yield from (_row(title, own) for title, own in rows if own)


def by_phantom(found: Sequence[Error], names: Sequence[str]) -> Iterator[str]:
    """A table of every phantom: the largest errors of every family, and the share that is covered."""
    wanted = [(f, {d.key for d in f.definitions}) for f in families()]
    wanted = [(f, keys) for f, keys in wanted if any(e.key in keys and e.unit in ("mm", "deg") for e in found)]
    yield f"| phantom | {' | '.join(f.title for f, _ in wanted)} | covered |"
    yield "|---" * (len(wanted) + 2) + "|"

    def largest(own: Callable[[Error], bool]) -> str:
        sizes = {unit: [abs(e.size) for e in found if own(e) and e.unit == unit] for unit in ("mm", "deg")}
        return ", ".join(f"{max(all_):.2f} {unit}" for unit, all_ in sizes.items() if all_) or "–"

    for name in names:
        cells = [largest(lambda e, name=name, keys=keys: e.phantom == name and e.key in keys)  # type: ignore[misc]
                 for _, keys in wanted]
        share = np.mean([e.covered for e in found if e.phantom == name])
        yield f"| {name} | {' | '.join(cells)} | {share:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"all but {LONGEST!r} without a name")
    names = parser.parse_args().presets or [name for name in presets() if name != LONGEST]
    for title, (spacing, turned) in GRIDS.items():
        found = [error for name in names for error in errors(name, spacing, turned)]
        print(f"\n### {title}\n\n" + "\n".join(by_measurement(found)), flush=True)
        print("\nThe largest errors of every phantom:\n\n" + "\n".join(by_phantom(found, names)), flush=True)


if __name__ == "__main__":
    main()
