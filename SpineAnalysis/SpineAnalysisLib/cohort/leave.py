"""What the run of one study leaves for its cohort: files with BIDS names."""

import csv
import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..analysis import Analysis
from ..progress import Progress, silent, step
from ..report.cards import level_severities
from ..report.html import write_report
from ..report.pictures import house_style
from ..report.reformat import SagittalSurface
from ..report.sagittal import sagittal_picture
from ..results import MEASUREMENTS, write_measurements
from ..terminology import color_of
from ..volume import LabelMap

THUMBNAIL_PX = 640
"""Height; shown at half of it, so that it is sharp on any screen."""


def write_derivative(analysis: Analysis, folder: Path, stem: str, progress: Progress = silent) -> None:
    """Report, tables, segmentation and thumbnail of one study.

    :param stem: the beginning of all names, as ``sub-01_acq-sag``.
    """
    base = f"{stem}_desc-spine"
    step(progress, 0.0, "Writing measurements")
    write_measurements(analysis, folder)
    for path in sorted(folder.iterdir()):
        if path.suffix == ".csv":
            _as_tsv(path, folder / f"{base}_{path.stem.replace('_', '')}.tsv")
    (folder / MEASUREMENTS).rename(folder / f"{base}_{MEASUREMENTS}")
    step(progress, 0.2, "Writing the segmentation")
    write_label_map(analysis.spine.labels, folder / f"{base}_dseg.nii.gz")
    _write_label_table(analysis.spine.labels, folder / f"{base}_dseg.tsv")
    description: dict[str, Any] = {
        "Description": "Structures of the spine; values are named in the table beside.", "SpatialReference": "orig",
        "derived": {"Description": "Whether it was computed from the others, as the segmentation had none of it."}}
    if analysis.provenance.get("engine"):  # nobody knows how one that was given was made
        description["Manual"] = False
    (folder / f"{base}_dseg.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    step(progress, 0.3, "Writing the report")
    write_report(analysis, folder / f"{base}_report.html", title=f"Spine analysis, {stem.replace('_', ' ')}")
    write_thumbnail(analysis, folder / f"{base}_thumbnail.png")
    step(progress, 1.0, "Done")


def write_label_map(labels: LabelMap, path: Path) -> None:
    """As NIfTI, on the labels' own grid; a matrix tells the place, so that sheared grids (a tilted gantry) stay exact.

    The fields are those of https://nifti.nimh.nih.gov/nifti-1: 348 bytes, four of padding, then the voxels.
    """
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *labels.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 512, 16)  # unsigned integers of 16 bits
    struct.pack_into("<8f", header, 76, 1.0, *labels.spacing, 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)  # where voxels begin, slope and intercept
    header[123] = 2  # millimeters
    struct.pack_into("<2h", header, 252, 0, 1)  # no quaternion; the matrix is in the scanner's space
    struct.pack_into("<12f", header, 280, *labels.ijk_to_ras[:3].ravel())
    header[344:348] = b"n+1\0"
    named = np.where(np.isin(labels.array, list(labels.structures)), labels.array, 0).astype("<u2")
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        stream.write(bytes(header))
        stream.write(named.tobytes(order="F"))


def _write_label_table(labels: LabelMap, path: Path) -> None:
    rows = [(value, str(structure), "#" + "".join(f"{round(255 * c):02x}" for c in color_of(structure)),
             "true" if value in labels.derived else "false") for value, structure in sorted(labels.structures.items())]
    _write_tsv(path, [("index", "name", "color", "derived"), *rows])


def _as_tsv(table: Path, target: Path) -> None:
    """The same table as BIDS wants it: tabs, and n/a for what is not there."""
    with table.open(encoding="utf-8", newline="") as stream:
        _write_tsv(target, [tuple(cell or "n/a" for cell in row) for row in csv.reader(stream)])
    table.unlink()


def _write_tsv(path: Path, rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)


def write_thumbnail(analysis: Analysis, path: Path) -> None:
    """The spine from the side, small."""
    severities = level_severities(analysis.measurements)
    with house_style():
        pixels = sagittal_picture(analysis.spine, SagittalSurface.of(analysis.spine), severities).pixels()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    image.quantize(128).save(path, optimize=True)
