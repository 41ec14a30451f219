"""How far measurements are from a phantom's exact answers, as the Markdown table of ``docs/ACCURACY.md``.

Run by hand: ``python Utilities/accuracy.py [PRESET ...]``.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.measurements.registry import definitions
from SpineAnalysisLib.phantoms import preset, presets

GRIDS: dict[str, tuple[float, float, float]] = {"1 mm": (1.0, 1.0, 1.0), "3.3 mm sagittal": (3.3, 0.7, 0.7)}
RELATIVE = ("mm2", "mm3")
"""Units whose errors are given in percent of the value."""


def errors(name: str, spacing: tuple[float, float, float]) -> Iterator[tuple[str, float, bool]]:
    """Key, error, and whether the stated uncertainty covers it, of every record with an exact answer."""
    phantom = preset(name)
    grid = phantom.grid(spacing)
    analysis = analyze(phantom.image(grid, "T2"), phantom.labels(grid), contrast="T2")
    for truth in phantom.truth():
        record = analysis.measurement(truth.key, str(truth.level), truth.side)
        if record is not None and record.value is not None:
            error = record.value - truth.value
            covered = record.uncertainty is not None and abs(error) <= record.uncertainty
            yield truth.key, 100.0 * error / truth.value if truth.unit in RELATIVE else error, covered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=[], metavar="PRESET", help="all without a name")
    names = parser.parse_args().presets or presets()
    for title, spacing in GRIDS.items():
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for name in names:
            for key, error, covered in errors(name, spacing):
                found[key].append((error, covered))
        print(f"\n### {title}\n\n| measurement | records | mean error | RMS | 95 % within | largest | covered |")
        print("|---|---|---|---|---|---|---|")
        for key, values in found.items():
            unit = definitions()[key].unit
            off = np.array([value for value, _ in values])
            shown = "%" if unit in RELATIVE else "" if unit == "1" else unit
            figures = (off.mean(), np.sqrt(np.mean(off**2)), np.quantile(np.abs(off), 0.95), np.abs(off).max())
            cells = " | ".join(f"{figure:.2f} {shown}".strip() for figure in figures)
            print(f"| {definitions()[key].title} | {len(off)} | {cells} | {np.mean([c for _, c in values]):.0%} |")


if __name__ == "__main__":
    main()
