"""The further scans of a visit, as people name them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..spine import Contrast, VisitScan
from ..volume import LabelMap
from .image import ReadImage, read_images

CONTRASTS: tuple[Contrast, ...] = ("T1", "T2", "STIR", "CT")


@dataclass(frozen=True, eq=False)
class FurtherScans:
    """:param inputs: provenance of each scan; :param notes: about what was left out."""

    scans: tuple[VisitScan, ...]
    inputs: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def read_further(texts: Iterable[str], first: ReadImage | None, labels: Sequence[LabelMap] = (),
                 optional: bool = False) -> FurtherScans:
    """Read further scans.

    :param texts: paths of files or DICOM folders, with ``T1=`` or the like before where the file does not tell.
        Of a folder with several series all are taken, but for ``first`` and what is no scan.
    :param first: the scan that was segmented.
    :param labels: segmentations of further scans; each belongs to the scan whose grid it has.
    :param optional: whether what cannot be read, or does not fit, is left out with a note.
    :raises InputError: for what cannot be read, and for a segmentation of none of the scans.
    """
    scans: list[VisitScan] = []
    inputs: list[dict[str, Any]] = []
    notes: list[str] = []
    for text in texts:
        told, path = _told(text)
        try:
            images, left_out = read_images(path)
        except InputError as error:
            if not optional:
                raise
            notes.append(f"A further scan was left out: {error}")
            continue
        if optional or len(images) > 1:  # not named one by one: the scan that was segmented may be among them
            images = [image for image in images if first is None or image.sha256 != first.sha256]
        notes += left_out
        for image in images:
            hint = image.hint[0] if image.hint else None
            scans.append(VisitScan(image.volume, told or hint, image.frame,
                                   optional=optional or (path.is_dir() and len(images) > 1)))
            inputs.append({"role": "further scan", "format": image.description, "sha256": image.sha256})
            notes += image.notes
    return FurtherScans(tuple(_with_labels(scans, labels)), tuple(inputs), tuple(notes))


def _told(text: str) -> tuple[Contrast | None, Path]:
    """``T1=scan.nii.gz`` as contrast and path."""
    word, equals, rest = text.partition("=")
    named = next((contrast for contrast in CONTRASTS if equals and word.upper() == contrast), None)
    return (named, Path(rest)) if named and not Path(text).exists() else (None, Path(text))


def _with_labels(scans: list[VisitScan], labels: Sequence[LabelMap]) -> list[VisitScan]:
    out = list(scans)
    for each in labels:
        place = next((i for i, scan in enumerate(out) if scan.volume.same_grid(each, 0.01)), None)
        if place is None:
            raise InputError("A segmentation of a further scan has the grid of none of them; pass the one that was "
                             "made on that scan.")
        out[place] = replace(out[place], labels=each)
    return out
