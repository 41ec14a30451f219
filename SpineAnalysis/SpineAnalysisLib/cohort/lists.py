"""Studies of a list: a CSV file with a row for each."""

import csv
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..spine import Contrast
from .study import Cohort, Scan, Study, checked, person_of

_CONTRASTS: dict[str, Contrast] = {"t1": "T1", "t2": "T2", "stir": "STIR", "ct": "CT"}
_SEVERAL = ";"


def cohort_of_list(table: Path) -> Cohort:
    """One study for every row.

    Columns: ``participant_id`` and ``image`` (a file or a DICOM folder); where they are of use ``segmentation``,
    ``also`` (further scans of the visit), ``contrast`` of the image, ``session_id``, ``age`` and ``sex``.  Several
    files in one field stand apart by semicolons; paths are relative to the list.

    :raises InputError: for a list that misses a column or a field.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{table} cannot be read as a table; pass a CSV file in UTF-8.") from None
    if missing := [name for name in ("participant_id", "image") if not rows or name not in rows[0]]:
        raise InputError(f"The list has no column {missing[0]}, or no row; see docs/COHORTS.md for its columns.")
    return Cohort(checked(_study(row, number, table.parent) for number, row in enumerate(rows, start=2)))


def _study(row: dict[str, str | None], line: int, folder: Path) -> Study:
    def told(column: str) -> str:
        return (row.get(column) or "").strip()

    def paths(column: str) -> list[Path]:
        return [folder / part.strip() for part in told(column).split(_SEVERAL) if part.strip()]

    images = paths("image")
    if not told("participant_id") or len(images) != 1:
        raise InputError(f"Line {line} of the list needs a participant_id and one image; further scans go into the "
                         "column also.")
    contrast = _CONTRASTS.get(told("contrast").lower())
    if told("contrast") and contrast is None:
        raise InputError(f"Line {line} of the list has the contrast {told('contrast')!r}; T1, T2, STIR and CT are "
                         "known.")
    subject, session = told("participant_id").removeprefix("sub-"), told("session_id").removeprefix("ses-")
    scans = (Scan(images[0], contrast), *(Scan(path) for path in paths("also")))
    study = Study(subject, session, scans, tuple(paths("segmentation")), person_of(row))
    return replace(study, stem=study.label)
