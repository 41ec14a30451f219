"""The spine in three dimensions: from behind and the left, and cut open along its middle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import find_objects

from ..anatomy import Kind, Level, Segment
from ..geometry.frames import unit
from ..measurements.record import Severity
from ..spine import Spine
from ..terminology import color_of
from ..volume import LabelMap, Volume
from .pictures import TONES, Picture, bare_axes, level_tag, picture
from .reformat import SagittalSurface
from .rendering import Pixels, Surface, View, render, surface_of

_BONE_AND_DISC = frozenset(kind for kind in Kind if kind.is_bone) | {Kind.DISC}
_SHOWN = _BONE_AND_DISC | {Kind.CANAL, Kind.DURAL_SAC, Kind.CORD}
_FINEST_MM = 0.9
"""Finer grids are thinned to about this: enough for a picture, and quick."""
_MARGIN_MM = 4.0
_NAMES_MM = 18.0
_TAGS_MM = 30.0
_MAX_WIDTH_IN, _MAX_HEIGHT_IN = 4.4, 7.6


def rendered_picture(spine: Spine, middle: SagittalSurface,
                     severities: Mapping[Level | Segment, Severity]) -> Picture | None:
    """Both views side by side, or ``None`` where nothing can be rendered.

    :param middle: where the second view is cut.
    :param severities: worst grade of each level; those above normal are marked.
    """
    whole, opened = _surfaces(spine.labels, None), _surfaces(spine.labels, middle)
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


def _surfaces(labels: LabelMap, opened_along: SagittalSurface | None) -> list[Surface]:
    """Everything that is shown; with the patient's left half of bone and discs taken away on request."""
    steps = np.maximum(1, np.floor(_FINEST_MM / labels.spacing + 0.2)).astype(int)
    thinned = labels.array[tuple(slice(None, None, int(step)) for step in steps)].astype(np.int32)
    grid = Volume(thinned, labels.ijk_to_ras @ np.diag([*steps, 1]))
    places = dict(enumerate(find_objects(thinned), start=1))
    surfaces = []
    for value, structure in sorted(labels.structures.items()):
        place = places.get(value)
        if structure.kind not in _SHOWN or place is None:
            continue
        block = grid.crop([s.start for s in place], [s.stop for s in place])
        mask = block.array == value
        if opened_along is not None and structure.kind in _BONE_AND_DISC:
            mask &= opened_along.offset(block.to_ras(np.moveaxis(np.indices(mask.shape), 0, -1))) > 0.0
        if mask.any():
            surfaces.append(surface_of(block.with_array(mask), color_of(structure)))
    return surfaces


def _compose(spine: Spine, views: Sequence[View], images: Sequence[Pixels],
             severities: Mapping[Level | Segment, Severity]) -> Picture:
    """Heights are the same in both views, so that one column of names between them serves both."""
    bottom, top = float(views[0].lower[1]), float(views[0].upper[1])
    first, second = (float(view.upper[0] - view.lower[0]) for view in views)
    total = first + _NAMES_MM + second + _TAGS_MM
    scale = min(_MAX_WIDTH_IN / total, _MAX_HEIGHT_IN / (top - bottom))
    figure = Figure(figsize=(total * scale, (top - bottom) * scale))
    axes = bare_axes(figure, 0.0, total, bottom, top)
    for image, start, width in ((images[0], 0.0, first), (images[1], first + _NAMES_MM, second)):
        axes.imshow(image, extent=(start, start + width, bottom, top), interpolation="none")
    for vertebra in spine.vertebrae:
        height = views[0].project(vertebra.frame.origin)[1]
        level_tag(axes, first + _NAMES_MM / 2.0, height, str(vertebra.level),
                  severities.get(vertebra.level, Severity.NORMAL))
    _tag_segments(axes, spine, views[1], first + _NAMES_MM - float(views[1].lower[0]), severities)
    return picture(figure, "Three-dimensional views of the segmented spine, levels named: from behind and the left, "
                           "and from the left with the left half cut away so that the canal is seen.")


def _tag_segments(axes: Axes, spine: Spine, view: View, shift: float,
                  severities: Mapping[Level | Segment, Severity]) -> None:
    edge = float(view.upper[0]) + shift
    for segment in spine.segments:
        severity = severities.get(segment.segment, Severity.NORMAL)
        if severity is Severity.NORMAL:
            continue
        place = segment.disc.origin if segment.canal_s is None else spine.centerline.position(segment.canal_s)
        x, y = view.project(place)
        axes.plot([x + shift, edge + 4.0], [y, y], color=TONES[severity].mark, linewidth=1.0)
        level_tag(axes, edge + 4.0, y, str(segment.segment), severity, align="left")
