"""Foramina at the disc and lateral recesses on axial T2 slices that cover them: finer from front to back than a
sagittal scan shows them, as their walls lie beside one another in one slice.

Where a place is and where its walls about are comes from the segmentation; the walls themselves are found in the
slice's own pixels, where what is bright (fat, fluid) ends at what is dark.  Ligament and capsule are as dark as bone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Segment, Side
from ..geometry.clefts import Cleft, bright_cleft
from ..geometry.foramina import Walls, run_beside
from ..geometry.frames import Frame
from ..spine import Scan, Spine
from .axial import SLICE_DEG, is_axial
from .bone import graded
from .leading import leading
from .record import Geometry, Measurement
from .slices import ScanSlice, slice_normal

FloatArray = NDArray[np.floating]

COLUMN_MM, ASIDE_MM = 0.3, 3.0
"""Columns of a slice, and how many to either side of a place the walls are followed, so that they run on."""
EXPECTED_MM, EXPECTED_VOXELS = (2.5, 1.5), 0.5
"""Standard deviations of where the segmentation lets expect the walls behind and in front: at least, and in voxels of
the scan that was segmented."""
ASTRAY_MM = 5.0
"""What is open farther behind or in front than the place is another opening, such as a joint's."""
HALF_MM, MARGIN_MM = 14.0, 6.0
"""No wall is farther from a place's middle; and so much of a slice must be around a place."""
NEAR_MM, LEAST_SEEN, LEAST_FILLED = 1.0, 0.6, 0.4
"""A place counts where in this share of the columns about it both walls are edges, and what is between them is this
bright, of the brightest: fat beside fluid, with some of a pedicle in the same slice, is 0.4 to 0.5 on phantoms."""
WIDTHS_MM = (1.0, 18.0)
DOUBTFUL_MM = 1.5
"""Walls that depend by more than this on where they are expected are not told."""
PLACE_VOXELS = 0.5
"""Standard uncertainty of where, along R, a foramen's plane is, in voxels of the scan that was segmented."""
EDGE_MM = 0.4
"""Standard uncertainty of where one wall's edge is."""
LET_EXPECT = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
"""How far off the walls behind and in front are expected, mm; how much the widths found differ is added to the
uncertainty."""
ALONE_OFF = 0.4
"""A place that is farther from its slice, in slices, needs the next one as well, which tells what lies between; without
it, nearly all of the width could be lost on the way there."""
SOFT = "soft_walls"


@dataclass(frozen=True, eq=False)
class Place:
    """A width to be read on an axial slice.

    :param line_RAS: (2, 3) by the segmentation, from the wall behind to the one in front.
    :param anterior: (3,) along which it is defined; :param superior: (3,) slices about across this are used.
    :param walls: what is labeled as bone and disc; :param apply_cutoffs: whether it may be graded.
    :param reach_mm: how far beside the line, along R, the smallest width is looked for; (0, 0) takes it at the line.
    """

    key: str
    segment: Segment
    side: Side
    line_RAS: FloatArray
    anterior: FloatArray
    superior: FloatArray
    walls: Walls
    flags: tuple[str, ...]
    reach_mm: tuple[float, float] = (0.0, 0.0)
    apply_cutoffs: bool = True

    @property
    def middle(self) -> FloatArray:
        return np.asarray(self.line_RAS.mean(axis=0))


@dataclass(frozen=True, eq=False)
class _Slice(ScanSlice):
    """The slice that holds a place, which its frame is about.

    :param off: the place's distance from the slice, in slices.
    """

    off: float


def led_by_axial_slices(spine: Spine, records: Sequence[Measurement], places: Sequence[Place],
                        settings: Mapping[str, Any]) -> tuple[list[Measurement], tuple[str, ...]]:
    """The records, those that an axial slice shows better by that slice; and a sentence about places where none does.

    :param records: of the foramina, by the segmentation.
    """
    scans = [scan for scan in spine.further if scan.contrast == "T2" and is_axial(scan.volume, spine)]
    segmented = spine.scans[0].name if spine.image is not None else None
    at = {(place.key, place.segment, place.side): place for place in places}
    out: list[Measurement] = []
    unclear: list[str] = []
    for record in records:
        place = at.get((record.key, record.level, record.side))  # type: ignore[arg-type]
        if place is None or record.value is None:
            out.append(record)
            continue
        tried = [(scan, _read(spine, place, scan, settings)) for scan in scans if _slice_at(place, scan) is not None]
        found = [reading for _, reading in tried if reading is not None]
        unclear += [f"{place.segment} {place.side} ({_NAMES[place.key]}) on {scan.name}" for scan, reading in tried
                    if reading is None]
        if not found:
            out.append(record)
            continue
        ordered = sorted([*found, replace(record, scan=record.scan or segmented)], key=lambda m: m.uncertainty or 0.0)
        out.append(leading(ordered[0], ordered[1:], ordered[1:]))
    told = f"The walls do not stand out at {', '.join(unclear)}; the widths there are those of the segmentation."
    return out, (told,) if unclear else ()


_NAMES = {"foramen_width_disc": "foramen at the disc", "lateral_recess_depth": "lateral recess"}


def _slice_at(place: Place, scan: Scan, next_one: bool = False) -> _Slice | None:
    """``None`` where no slice holds the place, or slices lean too much.

    :param next_one: the slice on the other side of the place instead of the nearest one.
    """
    volume = scan.near(place.middle).volume
    slow = int(np.argmax(volume.spacing))
    index = volume.to_ijk(place.line_RAS)
    middle = float(index[:, slow].mean())
    fixed, fine = round(middle), np.delete(index, slow, axis=1)
    normal = slice_normal(volume, slow)
    if float(normal @ place.superior) < np.cos(np.radians(SLICE_DEG)):
        return None
    if next_one:
        fixed += 1 if middle > fixed else -1
    if not 0 <= fixed < volume.shape[slow]:
        return None
    origin = volume.to_ras(np.insert(fine.mean(axis=0), slow, fixed))
    found = _Slice(volume, slow, fixed, Frame.from_axes(origin, normal, place.anterior), abs(middle - fixed))
    return found if found.shows(found.frame.to_frame(place.line_RAS)[:, :2], MARGIN_MM) else None


def _read(spine: Spine, place: Place, scan: Scan, settings: Mapping[str, Any]) -> Measurement | None:
    """The width on the slice that holds the place; ``None`` where its walls do not stand out.

    How much wider it is on the next slice tells what the place's distance from the slice is worth.
    """
    each, beyond = _slice_at(place, scan), _slice_at(place, scan, next_one=True)
    assert each is not None
    here = _width(spine, place, scan, each)
    if here is None:
        return None
    there = None if beyond is None else _width(spine, place, scan, beyond)
    if there is None and each.off > ALONE_OFF:
        return None
    between = each.off * (here.width if there is None else abs(there.width - here.width))
    flags = (*place.flags, *(("contrast_guessed",) if scan.contrast_guessed else ()), SOFT)
    return graded(place.key, place.segment, here.width, "mm", float(np.hypot(here.spread, between)), flags,
                  Geometry("line", here.line_RAS, each.frame), settings, place.side, place.apply_cutoffs, scan.name)


@dataclass(frozen=True, eq=False)
class _Width:
    """:param line_RAS: (2, 3) in the slice; :param spread: one standard deviation, mm."""

    width: float
    spread: float
    line_RAS: FloatArray


def _width(spine: Spine, place: Place, scan: Scan, each: _Slice) -> _Width | None:
    """``None`` where the walls do not stand out, or depend much on where they are expected."""
    low, high = place.reach_mm
    across = np.arange(low - ASIDE_MM, high + ASIDE_MM + COLUMN_MM / 2.0, COLUMN_MM)
    behind, ahead, free = _expected(place, each.frame, across)
    step = EXPECTED_VOXELS * float(np.linalg.norm(place.anterior @ spine.resolution))
    back, front = (float(np.hypot(max(least, step), scan.residual_mm or 0.0)) for least in EXPECTED_MM)
    found = [bright_cleft(each.values, across, behind + off_behind, ahead + off_ahead, (back, front))
             for off_behind, off_ahead in LET_EXPECT]
    columns = [_column(cleft, free, place.reach_mm) for cleft in found]
    widths = np.array([cleft.widths[i] for cleft, i in zip(found, columns, strict=True) if i is not None])
    at = columns[0]
    if at is None or len(widths) < len(found) - 1 or widths.std() > DOUBTFUL_MM or \
            not WIDTHS_MM[0] < widths[0] < WIDTHS_MM[1]:
        return None
    aside = 0.0 if any(place.reach_mm) else _changes(found[0], at, PLACE_VOXELS * float(
        np.linalg.norm(each.frame.right @ spine.resolution)))
    ends = np.array([[across[at], found[0].behind[at], 0.0], [across[at], found[0].ahead[at], 0.0]])
    return _Width(float(widths[0] * (each.frame.anterior @ place.anterior)),
                  float(np.linalg.norm([np.sqrt(2.0) * EDGE_MM, widths.std(), aside])), each.frame.to_ras(ends))


def _changes(cleft: Cleft, at: int, off_mm: float) -> float:
    """By how much a width is another one where its place is off to either side, mm."""
    near = (np.abs(cleft.across - cleft.across[at]) <= max(off_mm, COLUMN_MM)) & cleft.seen
    return float(np.ptp(cleft.widths[near])) / 2.0


def _expected(place: Place, frame: Frame, across: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """(N,) where the segmentation has the walls, along the frame's A axis, and whether it is open there."""
    ends = frame.to_frame(place.line_RAS)[:, 1]
    walls = run_beside(place.walls, frame, across, float(ends.mean()), HALF_MM)
    known = np.asarray(np.abs(walls.mean(axis=1) - ends.mean()) < ASTRAY_MM)  # not where there is none
    if not known.any():
        walls, known = np.broadcast_to(ends, walls.shape), np.ones(len(across), np.bool_)
    behind, ahead = (np.interp(across, across[known], walls[known, i]) for i in range(2))
    return behind, ahead, known


def _column(cleft: Cleft, free: NDArray[np.bool_], reach_mm: tuple[float, float]) -> int | None:
    """Index of the narrowest column, or of the one at the place; ``None`` where the walls are not seen about it.

    Those at the place must be seen in any case: there the segmentation has it narrowest.

    :param free: (N,) whether a column is not closed by a pedicle.
    """
    low, high = reach_mm if any(reach_mm) else (-COLUMN_MM / 2.0, COLUMN_MM / 2.0)
    near = (np.abs(cleft.across[:, None] - cleft.across) <= NEAR_MM).astype(float)
    clear = near @ (cleft.seen & free & (cleft.filled > LEAST_FILLED)) >= LEAST_SEEN * near.sum(axis=1)
    inside = clear & (cleft.across >= low) & (cleft.across <= high)
    if not clear[np.abs(cleft.across).argmin()] or not inside.any():
        return None
    return int(np.argmin(np.where(inside, cleft.widths, np.inf)))
