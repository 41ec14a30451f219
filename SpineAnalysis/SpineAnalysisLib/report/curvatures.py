"""The whole spine from the front and from the side, with the endplates between which its curves are measured."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Segment, successors
from ..geometry.frames import Plane
from ..measurements.record import Measurement
from ..measurements.registry import BONE_HU, Definition
from ..spine import Spine, Vertebra
from .pictures import TONES, grays
from .planes import plane_name
from .reformat import CoronalSurface, SagittalSurface, colors_of_labels, named_vertebrae, sample_image
from .section import SectionPicture, letters
from .sketch import Sketch
from .wording import quantity

FloatArray = NDArray[np.floating]
Surface = SagittalSurface | CoronalSurface

_MARGIN_MM, _SIDE_MM = 14.0, 60.0
"""Above and below the spine, and to either side of its middle."""
_LINE_MM = 42.0
"""Half the length of the lines along endplates."""
_PIXEL_MM, _MOST_PIXELS = 0.6, 620
_SHOWN_SHARE = 0.8
"""Pixels on a page over pixels of the picture."""


def curvature_pictures(spine: Spine, measurements: Sequence[Measurement], definitions: Mapping[str, Definition]
                       ) -> list[SectionPicture]:
    """One picture from the front and one from the side, each where a curve of several vertebrae was measured in it."""
    found = [m for m in measurements if is_curve(m)]
    views: list[tuple[Surface, list[Measurement]]] = [
        (surface, here) for surface, plane in ((CoronalSurface.of(spine), "coronal"), (SagittalSurface.of(spine),
                                                                                       "sagittal"))
        if (here := [m for m in found if m.geometry is not None and m.geometry.frame is not None
                     and plane_name(m.geometry.frame).startswith(plane)])]
    return [_drawn(spine, surface, here, definitions) for surface, here in views]


def is_curve(record: Measurement) -> bool:
    """Whether it is an angle between vertebrae that are no neighbors."""
    level = record.level
    return record.value is not None and record.geometry is not None and record.geometry.type == "angle" \
        and isinstance(level, Segment) and level.lower not in successors(level.upper)


def _drawn(spine: Spine, surface: Surface, records: Sequence[Measurement], definitions: Mapping[str, Definition]
           ) -> SectionPicture:
    centers = surface.to_picture(np.array([v.frame.origin for v in spine.vertebrae]))
    low, high = centers[:, 1].min() - 2.0 * _MARGIN_MM, centers[:, 1].max() + 2.0 * _MARGIN_MM
    left, right = centers[:, 0].max() + _SIDE_MM, centers[:, 0].min() - _SIDE_MM
    step = max(_PIXEL_MM, (high - low) / _MOST_PIXELS)
    columns, rows = np.arange(left, right, -step), np.arange(high, low, -step)
    points = surface.to_ras(*np.meshgrid(columns, rows))
    image = colors_of_labels(spine.labels, points, step) if spine.image is None \
        else grays(sample_image(spine.image, points), spine.contrast, BONE_HU)
    sketch = Sketch(image, len(columns) * step, spine.image is not None)

    def place(flat: FloatArray) -> FloatArray:
        return np.stack([left - flat[..., 0], flat[..., 1] - rows[-1]], axis=-1)

    sketch.orient(letters(surface.across), letters(-surface.frame.superior))
    sketch.scale_bar()
    for record in records:
        ends = _endplates(spine, record)
        for plane, arm in ends:
            line = np.stack([plane.origin - _LINE_MM * arm, plane.origin + _LINE_MM * arm])
            sketch.line(place(surface.to_picture(line)), TONES[record.severity].mark, name=record.key)
    for vertebra in named_vertebrae(spine):
        sketch.label(str(vertebra.level), [place(surface.to_picture(vertebra.frame.origin))], small=True)
    for record in records:
        ends = _endplates(spine, record)
        tips = [place(surface.to_picture(plane.origin + sign * 0.9 * _LINE_MM * arm))
                for sign in (-1.0, 1.0) for plane, arm in ends]
        sketch.label(_number(record, definitions), [np.mean(tips[:2], axis=0), np.mean(tips[2:], axis=0), *tips],
                     record.severity or None)
    told = "; ".join(f"{_words(record, definitions)}" for record in records)
    view = "front" if isinstance(surface, CoronalSurface) else "side"
    where = "the patient's right on the left" if view == "front" else "front to the left"
    width = sketch.size[0] * _SHOWN_SHARE
    made = sketch.picture(f"The whole spine from the {view}, {where}: {told}.", width,
                          (letters(surface.across)[1], "I"))
    source = "the labels" if spine.image is None else spine.scans[0].name
    return SectionPicture(made, f"From the {view}, following the vertebral bodies: {told}. Lying down. On {source}.")


def _words(record: Measurement, definitions: Mapping[str, Definition]) -> str:
    """``Cobb angle 23° between the lines at T5-T11, convex to the right``."""
    side = f", convex to the {record.side}" if record.side else ""
    return f"{definitions[record.key].title} {_number(record, definitions)} between the lines at {record.level}{side}"


def _number(record: Measurement, definitions: Mapping[str, Definition]) -> str:
    assert record.value is not None
    return quantity(record.value, definitions[record.key].decimals, record.unit)


def _endplates(spine: Spine, record: Measurement) -> list[tuple[Plane, FloatArray]]:
    """The endplates that an angle's arms run along, with the arms' directions."""
    assert isinstance(record.level, Segment) and record.geometry is not None
    first, middle, last = record.geometry.points_RAS
    out = []
    for level, end in ((record.level.upper, first), (record.level.lower, last)):
        vertebra = spine.vertebra(level)
        arm = (end - middle) / np.linalg.norm(end - middle)
        plane = None if vertebra is None else _along(vertebra, arm)
        if plane is not None:
            out.append((plane, arm))
    return out


def _along(vertebra: Vertebra, arm: FloatArray) -> Plane | None:
    planes = [plane for plane in (vertebra.superior_endplate, vertebra.inferior_endplate) if plane is not None]
    return min(planes, key=lambda plane: abs(float(plane.normal @ arm)), default=None)
