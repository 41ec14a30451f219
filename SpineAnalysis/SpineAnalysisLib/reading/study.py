"""What a patient's folder holds, and which of it to analyze together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from ..spine import Contrast
from .dicom import Block, Series, series_of

Plane = Literal["sagittal", "axial", "coronal", "oblique"]

_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # by the axis of their normal
_OBLIQUE_DEG = 35.0
"""Axial blocks are angled to their discs; beyond this a plane is none of the three."""
_LEAST_SLICES = 3  # fewer are a localizer

# Words of body part and description, in the languages of scanners.
_SPINE = re.compile("|".join((
    r"spine|spinal|lumb|sacr|thora[ck]?o|cervic|v[eé]rt[eé]br|disc\b|[lct][ -]?sp",
    r"[lbh]ws\b|wirbel|wervel|kr[eę]gos|rachis|lomb|dorsal|colon[na]a|column[ae]|позвон",
    "腰椎|頚椎|頸椎|胸椎|脊椎|脊柱|척추")), re.IGNORECASE)
_ELSEWHERE = re.compile("|".join((
    r"head|brain|knee|hip\b|abdom|pelvi|chest|lung|heart|cardi|shoulder|neck soft|breast|prostat|liver",
    r"schädel|knie|hüft|becken|schulter|genou|頭部")), re.IGNORECASE)

# What to analyze first, the best for levels and signal before the others.
_FIRST: tuple[tuple[Contrast, Plane], ...] = (
    ("T2", "sagittal"), ("CT", "sagittal"), ("CT", "axial"), ("T1", "sagittal"), ("STIR", "sagittal"),
    ("CT", "coronal"), ("T2", "axial"), ("T1", "axial"))


@dataclass(frozen=True, eq=False)
class Listed:
    """One volume of the folder.

    :param name: for ``--series``; :param spine: ``None`` where no word tells.
    :param localizer: whether it only shows where the others lie.
    """

    name: str
    description: str
    contrast: Contrast | None
    contrast_medium: bool
    plane: Plane
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    spine: bool | None
    localizer: bool
    block: Block


@dataclass(frozen=True, eq=False)
class Study:
    """:param unreadable: DICOM files that cannot be read; :param proposed: names, the one to analyze first."""

    listed: tuple[Listed, ...]
    unreadable: tuple[Path, ...]
    proposed: tuple[str, ...]


def study_of(folder: Path) -> Study:
    """Look at headers only.

    :raises InputError: for a folder without DICOM images, or with those of several patients.
    """
    found, broken = series_of([folder])
    if not found:
        raise InputError("There is no DICOM image here; pass a patient's folder.")
    if len({h.patient for series in found for h in series.headers}) > 1:
        raise InputError("The folder holds images of several patients; pass the folder of one.")
    numbers = [series.first.number for series in found]
    listed = tuple(_listed(block, numbers.count(series.first.number) == 1) for series in found
                   for block in series.blocks)
    cut = [h.path for series in found for h in series.headers if not h.whole]
    return Study(listed, (*broken, *cut), _proposed(listed))


def _listed(block: Block, unique: bool) -> Listed:
    first = block.series.first
    stack = block.slices
    step = abs(float((stack[-1].position - stack[0].position) @ stack[0].normal)) / max(len(stack) - 1, 1)
    rows, columns = stack[0].size
    shape, spacing = (columns, rows, len(stack)), (float(stack[0].spacing[1]), float(stack[0].spacing[0]), step)
    return Listed(block.name(unique), first.description, first.hint[0] if first.hint else None, first.enhanced,
                  plane_of(stack[0].normal), shape, spacing, _is_spine(block.series), _is_localizer(block), block)


def plane_of(normal: np.ndarray) -> Plane:
    """The body's plane that slices with this normal, in LPS or RAS, lie in."""
    axis = int(np.abs(normal).argmax())
    return _PLANES[axis] if np.degrees(np.arccos(min(abs(normal[axis]), 1.0))) < _OBLIQUE_DEG else "oblique"


def _is_spine(series: Series) -> bool | None:
    words = f"{series.first.body_part} {series.first.description}"
    return True if _SPINE.search(words) else False if _ELSEWHERE.search(words) else None


def _is_localizer(block: Block) -> bool:
    return len(block.slices) < _LEAST_SLICES or re.search(
        r"locali[sz]er|scout|survey|topogram|loc\b|plan\b", block.series.first.description, re.IGNORECASE) is not None


def _proposed(listed: Sequence[Listed]) -> tuple[str, ...]:
    """The scans of one visit that belong together: the best first, one of each kind, every axial block."""
    usable = [x for x in listed if not x.localizer and x.spine is not False and x.contrast is not None]
    usable = [x for x in usable if x.spine] or usable
    out: list[str] = []
    for kind in _FIRST:
        same = [x for x in usable if (x.contrast, x.plane) == kind]
        blocks = [x for x in same if x.block.number]
        whole = max((x for x in same if not x.block.number), key=lambda x: np.prod(x.shape), default=None)
        out += [whole.name] if whole is not None else []
        out += [x.name for x in blocks]
    return tuple(out)
