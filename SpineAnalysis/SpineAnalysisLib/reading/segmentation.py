"""A segmentation from a label map, from Slicer's segmentation file, or from a folder of masks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..schemes.census import Census, as_labels
from ..volume import LabelMap, Volume
from . import dicom
from .image import check_exists, digest, is_image, read_file, suffix_of
from .names import names_beside, names_in_header
from .nifti import EXTENSION
from .raw import RawImage, unreadable

_ROLE = "The segmentation"
_LEAST_INSIDE = 0.02
_ENOUGH_VOXELS = 10_000
_DERIVED = re.compile(r"(?:^|\|)SpineAnalysis\.derived:1(?:\||$)")
_TERMINOLOGY = re.compile(r"(?:^|\|)TerminologyEntry:([^|]*)")


class Segments(Sequence[tuple[str, str, Volume]]):
    """Named segments: name, Slicer's serialized terminology entry (empty where there is none), and boolean mask.

    A mask is made when its segment is asked for, since segmentations of a whole body have many.

    :param entries: name, terminology, layer and the segment's value in it.
    """

    def __init__(self, entries: Sequence[tuple[str, str, Volume, int]]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Segments(self._entries[index])
        name, terminology, layer, value = self._entries[index]
        return name, terminology, layer.with_array(layer.array == value)


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    """A segmentation as it was read: either a label map or named segments.

    :param volume: the label map, of an unsigned integer type; ``None`` for named segments.
    :param segments: named segments, which may overlap; empty for a label map.
    :param names: label value -> name, where the file or a table beside it tells.
    :param format: the file's suffix.
    :param derived: names of the segments that an earlier analysis computed from others.
    """

    volume: Volume | None
    segments: Segments
    names: Mapping[int, str]
    format: str
    sha256: str
    notes: tuple[str, ...] = ()
    derived: frozenset[str] = frozenset()


def read_segmentation(path: Path) -> ReadSegmentation:
    """Read one segmentation.

    :param path: a label map, a ``.seg.nrrd``, or a folder with one mask file per structure, named after it.
    :raises InputError: for what is no segmentation, or is empty.
    """
    check_exists(path)
    if path.is_dir():
        return _from_folder(path)
    if suffix_of(path) == ".dcm" or dicom.is_dicom(path):
        raise unreadable(_ROLE, "is a DICOM object; export it as NIfTI or as a Slicer segmentation (.seg.nrrd)")
    raw = read_file(path, _ROLE)
    if "Segment0_ID" in raw.metadata:
        segments = _segments(raw)
        if not segments:
            raise _empty()
        return ReadSegmentation(None, segments, {}, suffix_of(path), digest([path]), raw.notes, _derived(raw))
    if raw.array.ndim != 3:
        raise unreadable(_ROLE, "has several values per voxel; pass a label map or a Slicer segmentation (.seg.nrrd)")
    census = Census(Volume(raw.array, raw.ijk_to_ras, "Segmentation"))
    stem = path.name[:-len(suffix_of(path))]
    names = names_in_header(raw.metadata.get(EXTENSION, "")) or names_beside(path, stem, census.values)
    return ReadSegmentation(census.volume, Segments(()), names, suffix_of(path), digest([path]), raw.notes)


def _empty() -> InputError:
    return InputError("The segmentation is empty: no voxel has a label; check that the right file was exported.")


def _segments(raw: RawImage) -> Segments:
    """The segments of Slicer's file that have voxels.

    A layer is one value per voxel; files from before layers have one for each segment.
    """
    stacked = raw.array if raw.array.ndim == 4 else raw.array[..., None]
    layers = [Volume(as_labels(stacked[..., c]), raw.ijk_to_ras) for c in range(stacked.shape[3])]
    present = [set(np.unique(layer.array).tolist()) for layer in layers]
    found = []
    index = 0
    while f"Segment{index}_ID" in raw.metadata:
        def entry(key: str, default: str, index: int = index) -> str:
            return raw.metadata.get(f"Segment{index}_{key}", default)

        layer, value = _whole(entry("Layer", str(index))), _whole(entry("LabelValue", "1"))
        if 0 <= layer < len(layers) and value in present[layer]:
            terminology = _TERMINOLOGY.search(entry("Tags", ""))
            name = entry("Name", entry("ID", ""))
            found.append((name, terminology[1] if terminology else "", layers[layer], value))
        index += 1
    return Segments(found)


def _whole(text: str) -> int:
    """:raises InputError: for what is no whole number."""
    try:
        return int(text)
    except ValueError:
        raise unreadable(_ROLE, "does not say in whole numbers which voxels are whose; export it again") from None


def _derived(raw: RawImage) -> frozenset[str]:
    """Names of the segments with the tag that our own files have for what was computed."""
    tags = {key.removesuffix("_Tags"): value for key, value in raw.metadata.items() if key.endswith("_Tags")}
    return frozenset(raw.metadata.get(f"{segment}_Name", "") for segment, tag in tags.items() if _DERIVED.search(tag))


def _from_folder(folder: Path) -> ReadSegmentation:
    """One segment per mask file, as TotalSegmentator writes them; the file's name is the structure's.

    Masks that do not overlap share a layer, so that a hundred of them need the memory of one.
    """
    files = sorted(p for p in folder.iterdir() if is_image(p))
    if not files:
        raise InputError("There is no mask in the folder of the segmentation; pass a label map, a .seg.nrrd file or a "
                         "folder of NIfTI masks.")
    layers: list[Volume] = []
    found: list[tuple[str, str, Volume, int]] = []
    for value, path in enumerate(files, start=1):
        raw = read_file(path, _ROLE)
        if raw.array.ndim != 3:
            raise unreadable(_ROLE, "has a mask with several values per voxel; pass a folder of 3D masks")
        mask = Volume(raw.array > 0, raw.ijk_to_ras)
        if layers and not layers[0].same_grid(mask, tolerance_mm=0.1):
            raise InputError("The masks in the folder of the segmentation lie on different grids; pass those of one "
                             "scan.")
        if mask.array.any():
            layer = next((x for x in layers if not x.array[mask.array].any()), None)
            if layer is None:
                layer = mask.with_array(np.zeros(mask.shape, np.uint16))
                layers.append(layer)
            layer.array[mask.array] = value
            found.append((path.name[:-len(suffix_of(path))], "", layer, value))
    if not found:
        raise _empty()
    return ReadSegmentation(None, Segments(found), {}, "folder of masks", digest(files))


def share_inside(image: Volume, labels: LabelMap) -> float:
    """How much of the labeled structures lies within an image, 0..1.

    :raises InputError: for next to nothing of it.
    """
    labeled = np.argwhere(labels.mask(labels.structures))
    labeled = labeled[:: max(1, len(labeled) // _ENOUGH_VOXELS)]
    ijk = image.to_ijk(labels.to_ras(labeled.astype(float)))
    share = float(((ijk >= -0.5) & (ijk <= np.array(image.shape) - 0.5)).all(axis=1).mean())
    if share < _LEAST_INSIDE:
        raise InputError("The segmentation lies outside the image: they are of different patients or in "
                         "different coordinate systems; pass the segmentation of this scan.")
    return share
