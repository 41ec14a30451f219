"""The spine in three dimensions: from behind and the left, and cut open along its middle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import find_objects

from ..anatomy import Kind, Level, Segment
from ..geometry.frames import unit
from ..measurements.record import Severity
from ..spine import Spine
from ..terminology import color_of
from ..volume import LabelMap, Volume
from .pictures import TONES, Picture, bare_axes, level_tag, picture, spread
from .reformat import SagittalSurface, canal_place, named_vertebrae
from .rendering import Pixels, Surface, View, render, surface_of

_BONE_AND_DISC = frozenset(kind for kind in Kind if kind.is_bone) | {Kind.DISC}
_SHOWN = _BONE_AND_DISC | {Kind.CANAL, Kind.DURAL_SAC, Kind.CORD}
_FINEST_MM = 0.9
"""Finer grids are thinned to about this: enough for a picture, and quick."""
_MARGIN_MM = 4.0
_MAX_WIDTH_IN, _MAX_HEIGHT_IN = 5.0, 7.6
_NAMES_IN, _TAGS_IN = 0.42, 0.68
_NORMAL = Severity.NORMAL


def rendered_picture(spine: Spine, middle: SagittalSurface,
                     severities: Mapping[Level | Segment, Severity]) -> Picture | None:
    """Both views side by side, or ``None`` where nothing can be rendered.

    :param middle: where the second view is cut.
    :param severities: worst grade of each level; those above normal are marked.
    """
    whole, opened = _surfaces(spine.labels, middle)
    if not whole or not opened:
        return None
    frame = middle.frame
    oblique = View.around(whole, unit(-0.85 * frame.anterior - 0.53 * frame.right), frame.superior, _MARGIN_MM)
    lateral = View.around(opened, -frame.right, frame.superior, _MARGIN_MM)
    bottom, top = min(oblique.lower[1], lateral.lower[1]), max(oblique.upper[1], lateral.upper[1])
    oblique, lateral = (replace(view, lower=np.array([view.lower[0], bottom]), upper=np.array([view.upper[0], top]))
                        for view in (oblique, lateral))
    images = render(whole, oblique), render(opened, lateral)
    if images[0] is None or images[1] is None:
        return None
    return _compose(spine, (oblique, lateral), (images[0], images[1]), severities)


def _surfaces(labels: LabelMap, middle: SagittalSurface) -> tuple[list[Surface], list[Surface]]:
    """Everything that is shown, and the same with the patient's left half of bone and discs taken away."""
    steps = np.maximum(1, np.floor(_FINEST_MM / labels.spacing + 0.2)).astype(int)
    thinned = labels.array[tuple(slice(None, None, int(step)) for step in steps)].astype(np.int32)
    grid = Volume(thinned, labels.ijk_to_ras @ np.diag([*steps, 1]))
    whole, opened = [], []
    for value, place in enumerate(find_objects(thinned), start=1):
        structure = labels.structures.get(value)
        if structure is None or structure.kind not in _SHOWN or place is None:
            continue
        block = grid.crop([s.start for s in place], [s.stop for s in place])
        mask, color = block.array == value, color_of(structure)
        whole.append(surface_of(block.with_array(mask), color))
        if structure.kind not in _BONE_AND_DISC:
            opened.append(whole[-1])
            continue
        right_half = mask & (middle.offset(block.to_ras(np.moveaxis(np.indices(mask.shape), 0, -1))) > 0.0)
        if right_half.any():
            opened.append(surface_of(block.with_array(right_half), color))
    return whole, opened


def _compose(spine: Spine, views: Sequence[View], images: Sequence[Pixels],
             severities: Mapping[Level | Segment, Severity]) -> Picture:
    """Heights are the same in both views, so that one column of names between them serves both."""
    bottom, top = float(views[0].lower[1]), float(views[0].upper[1])
    first, second = (float(view.upper[0] - view.lower[0]) for view in views)
    inches = min((_MAX_WIDTH_IN - _NAMES_IN - _TAGS_IN) / (first + second), _MAX_HEIGHT_IN / (top - bottom))
    names, tags = _NAMES_IN / inches, _TAGS_IN / inches
    total = first + names + second + tags
    figure = Figure(figsize=(total * inches, (top - bottom) * inches))
    axes = bare_axes(figure, 0.0, total, bottom, top)
    for image, start, width in ((images[0], 0.0, first), (images[1], first + names, second)):
        axes.imshow(image, extent=(start, start + width, bottom, top), interpolation="none")
    named = named_vertebrae(spine)
    heights = spread([float(views[0].project(v.frame.origin)[1]) for v in named], inches)
    for vertebra, height in zip(named, heights, strict=True):
        level_tag(axes, first + names / 2.0, height, str(vertebra.level), severities.get(vertebra.level, _NORMAL))
    shift = first + names - float(views[1].lower[0])
    marked = [s for s in spine.segments if severities.get(s.segment, _NORMAL) > _NORMAL]
    places = [views[1].project(canal_place(spine, segment)) for segment in marked]
    heights = spread([float(place[1]) for place in places], inches)
    edge = total - tags
    for segment, (x, y), height in zip(marked, places, heights, strict=True):
        severity = severities[segment.segment]
        axes.plot([x + shift, edge, edge + 0.25 * tags], [y, y, height], color=TONES[severity].mark, linewidth=1.0)
        level_tag(axes, edge + 0.25 * tags, height, str(segment.segment), severity, align="left")
    return picture(figure, "Three-dimensional views of the segmented spine, levels named: from behind and the left, "
                           "and from the left with the left half cut away so that the canal is seen.")
