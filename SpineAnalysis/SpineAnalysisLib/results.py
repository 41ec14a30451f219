"""The folder that a run leaves: filled out of sight, moved into place when it is whole."""

import csv
import glob
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .analysis import Analysis
from .errors import InputError
from .measurements.record import Measurement, Table
from .measurements.registry import definitions

MEASUREMENTS = "measurements.json"
"""Every results folder has it; a folder without it is not ours to replace."""

_COLUMNS = ("key", "title", "level", "side", "value", "word", "unit", "uncertainty", "quality", "flags", "scan",
            "grade", "cutoff", "source", "led_by")
_PACKAGES = ("numpy", "scipy", "SimpleITK", "vtk", "slicer-core")


@contextmanager
def output_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder whose files become those of ``target`` when the block ends without an error.

    A folder that exists stays the same folder: it may be a mounted disk, a link or where the user is.  Whatever an
    earlier run left unfinished there is removed.

    :param overwrite: whether results of an earlier run may be replaced (at the end, not before).
    :raises InputError: where the folder cannot be written, or holds something.
    """
    target = target.absolute()
    prefix = f".{target.name}.partial-"
    try:
        place = target if target.is_dir() else target.parent
        _check_free(target, prefix, overwrite)
        place.mkdir(parents=True, exist_ok=True)
        for stale in place.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(stale, ignore_errors=True)
        partial = place / f"{prefix}{os.getpid()}"
        partial.mkdir()
    except OSError as error:
        raise InputError(f"Nothing can be written to {target} ({error.strerror}); choose another folder.") from None
    try:
        yield partial
        _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(target: Path, prefix: str, overwrite: bool) -> None:
    if target.is_dir() and any(not path.name.startswith(prefix) for path in target.iterdir()):
        if not (target / MEASUREMENTS).is_file():
            raise InputError(f"{target} holds other files; choose a new folder for the results.")
        if not overwrite:
            raise InputError(f"{target} already holds results; pass --overwrite or choose a new folder.")
    elif target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; choose a folder for the results.")


def _move(partial: Path, target: Path) -> None:
    """Into place; in a folder that exists, the file by which results are known is the last."""
    if not target.exists():
        partial.rename(target)
        return
    (target / MEASUREMENTS).unlink(missing_ok=True)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == MEASUREMENTS):
        if path.is_dir():
            shutil.rmtree(target / path.name, ignore_errors=True)
        path.replace(target / path.name)


def write_measurements(analysis: Analysis, folder: Path) -> None:
    """``measurements.json``, ``measurements.csv`` and one CSV file per table.

    The same analysis gives the same bytes.
    """
    _write_json(analysis, folder / MEASUREMENTS)
    write_table(analysis.measurements, folder / "measurements.csv")
    for table in analysis.tables:
        _write_csv(folder / f"{table.key}.csv", [*table.all_columns, "level"], _table_rows(table))


def write_table(measurements: Iterable[Measurement], path: Path) -> None:
    """All records as one CSV file, each followed by what other scans of the visit say, whose ``led_by`` is its scan."""
    _write_csv(path, _COLUMNS, [_row(each, led_by) for m in measurements
                                for each, led_by in ((m, None), *((other, m.scan) for other in m.others))])


def versions() -> dict[str, str]:
    """Name -> version of this package, Python and the libraries that compute; nothing is imported to find out."""
    found = {"spine-analysis": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # inside Slicer some come without their metadata
            continue
    return found


def _write_json(analysis: Analysis, path: Path) -> None:
    """One record per line, so that people can read it and programs can compare it."""
    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    lists = {"findings": analysis.findings, "doubts": analysis.doubts,
             "levels": [f.as_dict() for f in analysis.levels],
             "explanations": [e.as_dict() for e in analysis.explanations],
             "records": [m.as_dict() for m in analysis.measurements]}
    parts = [f'"{name}": [\n' + ",\n".join(map(line, values)) + "\n]" for name, values in lists.items()]
    provenance = json.dumps(dict(analysis.provenance), ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True)
    path.write_text("{\n" + ",\n".join([*parts, f'"provenance": {provenance}']) + "\n}\n", "utf-8", newline="\n")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _row(measurement: Measurement, led_by: str | None) -> list[Any]:
    record = {**measurement.as_dict(), "title": definitions()[measurement.key].title,
              "flags": "; ".join(measurement.flags), "led_by": led_by}
    grade = measurement.grade
    record |= grade.as_dict() | {"grade": grade.label} if grade else {}
    return [record.get(column) for column in _COLUMNS]


def _table_rows(table: Table) -> Iterator[list[Any]]:
    """One row per position, with the name of the level that is marked nearest to it."""
    positions = next(iter(table.columns.values()))
    marked = {int(np.argmin(np.abs(positions - at))): name for name, at in table.marks.items()}
    for index, values in enumerate(zip(*table.all_columns.values(), strict=True)):
        yield [*(round(float(v), 4) if np.isfinite(v) else None for v in values), marked.get(index)]
