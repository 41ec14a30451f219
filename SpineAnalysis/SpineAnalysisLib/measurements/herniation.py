"""Bulging and herniation: what of a labeled disc leaves its space, where, and how much of the canal it takes."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind
from ..geometry.faces import NO_MATCH
from ..geometry.frames import Frame
from ..progress import Progress, step
from ..spine import Spine
from ..volume import Volume
from .bone import spine_flags
from .canal import THICK_MM
from .disc_margin import FloatArray, Margin, margin
from .disc_space import DiscSpace, around, disc_label, disc_spaces
from .displaced import BULGE, EXTRUSION, NONE, PROTRUSION, SEQUESTRATION, TYPES, Displacement, displacement
from .flags import NEAR_CUTOFF, quality_of
from .profiles import value_at
from .record import Geometry, Grade, Measurement, Severity
from .registry import SOFT_HU, Definition, Family, FamilyResult

FARDON = "Fardon et al., Spine J 2014;14:2525-2545"
MSU = "Mysliwiec et al., Eur Spine J 2010;19:1087-1093"
REACHES = 0.75
"""A label that fills less than this of a layer just inside the rims does not reach them."""
TOLD = 0.5
"""Less of the disc's border to the canal that can be compared with both rims says nothing of all of it."""
SIDES = {0: "central", 1: "right", 2: "left"}
ZONES = {0: "central", 1: "subarticular", 2: "foraminal", 3: "extraforaminal"}
CENTRAL_SHARE = 0.5
"""Of the canal's half width between the pedicles: up to here the central zone (MSU's quarters)."""
MIDDLE_SHARE = 0.25
"""A herniation whose middle is nearer to the midline than this share of that half width has no side."""
CANAL_SHARE = 0.56
"""Width of the bony canal over that of the endplates, L1 to L5: Panjabi et al., Spine 1992;17:299-306."""
SMOOTHED_SHARE, SAMPLED_SHARE = 0.06, 0.04
"""Shares of a depth that smoothing takes from a tip, and that each millimeter between samples across the disc may miss
(phantoms)."""
PIXEL_MM = 0.5
CANAL_KINDS = (Kind.CANAL, Kind.DURAL_SAC, Kind.CORD)

_LABELS = {NONE: "normal", BULGE: "bulging", PROTRUSION: "herniation", EXTRUSION: "herniation",
           SEQUESTRATION: "herniation"}
_SEVERITY = {NONE: Severity.NORMAL, BULGE: Severity.MILD, PROTRUSION: Severity.MODERATE, EXTRUSION: Severity.SEVERE,
             SEQUESTRATION: Severity.SEVERE}

DEFINITIONS = (
    Definition("disc_bulge_depth", "Bulge depth", "mm", "Greatest extension of the labeled disc behind the line that "
               "joins the posterior rims of the two endplates (of a herniation: its own greatest extension).",
               draw=True),
    Definition("herniation_type", "Disc displacement", "1", "Bulge: beyond the rims over more than a quarter of the "
               "circumference. Protrusion: less, and no wider, taller or deeper than its base. Extrusion: more than "
               "its base in a plane. Sequestration: not connected with the disc.", FARDON, decimals=0, words=TYPES),
    Definition("herniation_zone", "Herniation zone", "1", "Where the middle of the herniation lies: up to half the "
               "way to the medial border of the pedicles, up to that border, up to the side of the body, beyond.",
               FARDON, decimals=0, words=ZONES),
    Definition("herniation_side", "Herniation side", "1", "The patient's side of the herniation's middle.", FARDON,
               decimals=0, words=SIDES),
    Definition("herniation_canal_fraction", "Canal taken", "%", "Share of the canal between the pedicles that the "
               "herniation takes at the worst section parallel to the disc; with the size and zone of the MSU "
               "classification, adapted: against the canal's back instead of the line between the facets.", FARDON,
               decimals=0),
)


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Look at every labeled disc."""
    step(progress, 0.1, "Looking for herniations")
    common = spine_flags(spine)
    records: list[Measurement] = []
    for _, space in disc_spaces(spine):
        if space is not None:
            records += _at_disc(spine, space, common + space.flags)
    step(progress, 1.0, "Herniations looked for")
    return FamilyResult(tuple(records))


def _at_disc(spine: Spine, space: DiscSpace, flags: tuple[str, ...]) -> Iterator[Measurement]:
    found = disc_label(spine, space.motion, space.frame)
    if found is None:
        return
    mask, derived = found
    edge = None if derived else margin(spine, space, mask)
    reason = (NO_MATCH if NO_MATCH in flags else "disc_derived" if derived else "rims_not_known" if edge is None
              else "disc_label_short" if edge.reaches < REACHES
              else "rims_not_known" if edge.canal_told < TOLD else "")
    if reason or edge is None:
        flags = tuple(dict.fromkeys((*flags, reason)))
        for key, unit in (("disc_bulge_depth", "mm"), ("herniation_type", "1")):
            yield Measurement(key, space.motion.segment, None, unit, None, None, quality_of(flags), flags)
        return
    moved = displacement(edge)
    thick = float(np.linalg.norm(edge.frame.right @ edge.voxels)) > THICK_MM  # outlines between are anybody's guess
    if thick or not moved.told:
        flags = (*flags, "slices_too_thick_for_type" if thick else "displacement_not_in_view")
        yield _depth(edge, moved.unnamed(edge), flags)
        yield Measurement("herniation_type", space.motion.segment, None, "1", None, None, quality_of(flags), flags)
        return
    yield _depth(edge, moved, flags)
    yield _kind(edge, moved, flags)
    if moved.is_herniation:
        yield from _place(spine, edge, moved, flags)
        yield from _taken(spine, edge, moved, flags)


def _view(edge: Margin, height: int) -> Frame:
    return edge.frame.at(edge.frame.to_ras(np.array([0.0, 0.0, edge.up[height]])))


def _depth(edge: Margin, moved: Displacement, flags: tuple[str, ...]) -> Measurement:
    across = float(np.linalg.norm(edge.frame.right @ edge.voxels))
    spread = float(np.hypot(edge.spread[moved.ray], (SMOOTHED_SHARE + SAMPLED_SHARE * across) * moved.depth))
    up = float(edge.up[moved.height])
    line = np.stack([edge.point(moved.ray, 0.0, up), edge.point(moved.ray, moved.depth, up)])
    return Measurement("disc_bulge_depth", edge.space.motion.segment, moved.depth, "mm", None, spread,
                       quality_of(flags), flags, (), Geometry("line", line, _view(edge, moved.height)))


def _outline(edge: Margin, moved: Displacement) -> Geometry:
    """What is displaced, in the plane parallel to the disc in which it reaches farthest; else the whole disc."""
    height = moved.height
    rays = np.flatnonzero(moved.parts[:, :, height].any(axis=1)) if moved.is_herniation else np.arange(len(edge.rim))
    reach = np.nan_to_num(edge.depth[rays, height])
    outer = [edge.point(int(ray), float(far), float(edge.up[height])) for ray, far in zip(rays, reach, strict=True)]
    inner = [edge.point(int(ray), 0.0, float(edge.up[height])) for ray in rays[::-1]] if moved.is_herniation else []
    return Geometry("contour", np.array([*outer, *inner]), _view(edge, height))


def _kind(edge: Margin, moved: Displacement, flags: tuple[str, ...]) -> Measurement:
    word = TYPES[moved.kind]
    flags = (*flags, NEAR_CUTOFF) if moved.close else flags
    text = f"{moved.share:.0%} of the circumference" if moved.kind in (NONE, BULGE) else f"{moved.depth:.1f} mm deep"
    return Measurement("herniation_type", edge.space.motion.segment, float(moved.kind), "1", None, None,
                       quality_of(flags), flags, (Grade(_LABELS[moved.kind], text, FARDON, _SEVERITY[moved.kind]),),
                       _outline(edge, moved), None, word)


def _half_canal(spine: Spine, edge: Margin) -> float:
    """Half the distance between the pedicles, mm."""
    usual = CANAL_SHARE * float(edge.space.half[0])
    if spine.canal is None:
        return usual
    seen = [value_at(spine.canal, spine.canal.transverse_diameter, v.canal_s)
            for v in (edge.space.upper, edge.space.lower)]
    half = float(np.nanmean(seen)) / 2.0 if np.isfinite(seen).any() else usual
    return max(half, usual) if spine.canal.meaning == "dural sac" else half  # the sac is narrower than the canal


def _middle(edge: Margin, moved: Displacement) -> tuple[float, float]:
    """(2,) mm along R: where the middle of the herniation lies, and one standard deviation."""
    ray, out, height = np.nonzero(moved.parts)
    distance = edge.radius[ray, height] + edge.outward[out]
    weight = distance * edge.outward[out]
    across = distance * edge.rim[ray, 0] / np.linalg.norm(edge.rim[ray], axis=1)
    step_mm = float(np.linalg.norm(edge.frame.right @ edge.voxels))
    return float(np.average(across, weights=weight)), 0.3 * step_mm


def _place(spine: Spine, edge: Margin, moved: Displacement, flags: tuple[str, ...]) -> Iterator[Measurement]:
    middle, spread = _middle(edge, moved)
    half, wide = _half_canal(spine, edge), float(edge.space.half[0])
    limits = np.array([CENTRAL_SHARE * half, half, max(wide, half + 1.0)])
    zone = int(np.searchsorted(limits, abs(middle)))
    side = 0 if abs(middle) < MIDDLE_SHARE * half else 1 if middle > 0 else 2
    drawn, segment = _outline(edge, moved), edge.space.motion.segment
    for key, code, words, near in (
            ("herniation_zone", zone, ZONES, np.abs(limits - abs(middle)).min() < spread),
            ("herniation_side", side, SIDES, abs(abs(middle) - MIDDLE_SHARE * half) < spread)):
        noted = (*flags, "side_near_midline") if near else flags
        yield Measurement(key, segment, float(code), "1", None, None, quality_of(noted), noted, (), drawn, None,
                          words[code])


def _taken(spine: Spine, edge: Margin, moved: Displacement, flags: tuple[str, ...]) -> Iterator[Measurement]:
    segment = edge.space.motion.segment
    shares = _shares_of_canal(spine, edge, moved, _half_canal(spine, edge))
    if shares is None:
        flags = (*flags, "canal_not_labeled")
        yield Measurement("herniation_canal_fraction", segment, None, "%", None, None, quality_of(flags), flags)
        return
    if spine.canal is not None and spine.canal.derived:
        flags = (*flags, "canal_derived")
    area, depth, spread = shares
    severity = Severity(1 + int(np.searchsorted([100.0 / 3.0, 200.0 / 3.0], area)))
    name = {Severity.MILD: "mild", Severity.MODERATE: "moderate", Severity.SEVERE: "severe"}[severity]
    zone = "ABCC"[int(np.searchsorted([CENTRAL_SHARE, 1.0], abs(_middle(edge, moved)[0]) / _half_canal(spine, edge)))]
    size = 1 + int(depth > 0.5) + int(depth >= 1.0)
    if min(abs(area - 100.0 / 3.0), abs(area - 200.0 / 3.0)) < spread:
        flags = (*flags, NEAR_CUTOFF)
    grades = (Grade(name, ("< 33 %", "33-67 %", ">= 67 %")[severity - 1], FARDON, severity),
              Grade(f"MSU {size}-{zone}", f"{depth:.0%} of the canal's depth", MSU, Severity.NORMAL))
    yield Measurement("herniation_canal_fraction", segment, area, "%", None, spread, quality_of(flags), flags, grades,
                      _outline(edge, moved))


def _shares_of_canal(spine: Spine, edge: Margin, moved: Displacement, half: float
                     ) -> tuple[float, float, float] | None:
    """Share of area taken at the worst plane, %; the share of the canal's depth there; one standard deviation, %."""
    window = around(spine.labels, edge.frame, (40.0, 60.0, 24.0))
    canal = Volume(np.isin(window.array, spine.labels.values(CANAL_KINDS)), window.ijk_to_ras)
    disc = Volume(np.isin(window.array, spine.labels.values(Kind.DISC, edge.space.motion.segment.upper)),
                  window.ijk_to_ras)
    right = np.arange(-half, half + PIXEL_MM / 2, PIXEL_MM)
    front = np.arange(-float(edge.space.half[1]) - 30.0, 0.0, PIXEL_MM)
    x, y = np.meshgrid(right, front, indexing="ij")
    worst: tuple[float, float, float] | None = None
    for height in np.flatnonzero(moved.parts.any(axis=(0, 1)))[::2]:
        points = edge.frame.to_ras(np.stack([x, y, np.full_like(x, edge.up[height])], axis=-1))
        beyond = np.hypot(x, y) > _radius_at(edge, x, y, int(height))
        taken = np.asarray(_nearest(disc, points) & beyond & (y < 0))
        free = _nearest(canal, points)
        total = float((taken | free).sum()) * PIXEL_MM**2
        if not free.any() or not taken.any():
            continue
        area = float(taken.sum()) * PIXEL_MM**2 / total
        column = int(np.where(free.any(axis=1), taken.sum(axis=1), 0).argmax())
        depth = float(taken[column].sum()) / max(float((taken[column] | free[column]).sum()), 1.0)
        border = 0.3 * float(np.linalg.norm(edge.voxels, axis=0).mean()) * (2.0 * half + moved.depth) / total
        if worst is None or 100.0 * area > worst[0]:
            worst = 100.0 * area, depth, 100.0 * border
    return worst


def _radius_at(edge: Margin, x: FloatArray, y: FloatArray, height: int) -> FloatArray:
    angle = np.arctan2(edge.rim[:, 1], edge.rim[:, 0])
    order = np.argsort(angle)
    return np.interp(np.arctan2(y, x), angle[order], edge.radius[order, height], period=2 * np.pi)


def _nearest(mask: Volume, points: FloatArray) -> NDArray[np.bool_]:
    index = np.rint(mask.to_ijk(points)).astype(int)
    inside: NDArray[np.bool_] = np.asarray(np.all((index >= 0) & (index < mask.shape), axis=-1))
    index = np.where(inside[..., None], index, 0)
    return np.asarray(mask.array[tuple(np.moveaxis(index, -1, 0))] & inside)


FAMILY = Family("herniation", "Bulging and herniation", DEFINITIONS, compute,
                order=22, chapter="Bulge", window_HU=SOFT_HU)
