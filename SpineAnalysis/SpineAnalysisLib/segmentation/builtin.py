"""The built-in engine: the embedded network, and what makes a spine of its answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import Kind, Structure
from ..progress import part, step
from ..schemes import LabeledInput, own_value
from ..schemes.apply import own_structures, sentences, settled_discs
from ..volume import LabelMap, Volume, bounding_box
from .instances import guided
from .instances.field import Field, without_dark_band
from .instances.separate import KIND_OF_CLASS, Separated, separate
from .network.canonical import anatomical_axes, back_to
from .network.classes import Class
from .network.model import default_path, load
from .network.predict import predict
from .outside import is_ct, version_of
from .protocol import Engine, Job, Segmented

ROUGH = ("the built-in engine drew the outlines, rougher than an expert would: look at them before believing a number "
         "or a grade")
_SLAB_VOXELS = 12_000_000
"""Of the scan at a time: interpolated probabilities take four bytes for each."""


def segment(job: Job, model: Path | None = None) -> Segmented:
    """Bodies, arches, discs, canal, cord and sacrum; levels are provisional."""
    network = load(model or default_path())
    ct = is_ct(job.volume, job.contrast)
    field = predict(job.volume, network, ct, lambda grid: guided.region(job.hints, grid), part(job.progress, 0.0, 0.75))
    step(job.progress, 0.75, "Telling vertebrae apart")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in job.volume.shape])).reshape(3, -1).T
    found = separate(field, job.hints, float(field.places_of(job.volume.to_ras(corners))[:, 1].max()))
    step(job.progress, 0.88, "Drawing the segmentation")
    labels = on_scan(found, job.volume)
    labeled = LabeledInput(labels, "spineanalysis", sentences((*found.notes, ROUGH)), False, "dural sac")
    step(job.progress, 1.0, "Segmented")
    return Segmented(labeled, _probabilities(found.field), {
        "engine": "builtin", "model": network.card.get("version", "unknown"), "model_sha256": network.sha256,
        "onnxruntime": version_of("onnxruntime"), "counted_from_sacrum": found.sacrum,
        "confidence": {str(level): share for level, share in zip(found.levels, found.confidence, strict=True)},
        "hints": [{"kind": hint.kind.value, "points_RAS": np.round(hint.points_RAS, 3).tolist()}
                  for hint in job.hints]})


def _probabilities(field: Field) -> dict[Kind, Volume]:
    """How sure the network is of each kind, after cleaning."""
    kinds: dict[Kind, list[int]] = {}
    for channel, kind in KIND_OF_CLASS.items():
        kinds.setdefault(kind, []).append(int(channel))
    return {kind: field.grid.with_array(field.values[channels].sum(axis=0, dtype=np.uint16).clip(0, 255)
                                        .astype(np.uint8)) for kind, channels in kinds.items()}


def on_scan(found: Separated, volume: Volume) -> LabelMap:
    """The labels on the scan's own grid: classes from interpolated probabilities, names from the nearest label.

    Slab by slab of the part of the scan that holds the spine, so that memory does not grow with the scan.
    """
    found = replace(found, field=without_dark_band(found.field))
    array = np.zeros(volume.shape, np.uint16)
    lower, upper = _box_on(volume, found)
    slow = int(np.argmax(upper - lower))
    thickness = max(int(_SLAB_VOXELS / max(int(np.prod(np.delete(upper - lower, slow))), 1)), 1)
    for start in range(int(lower[slow]), int(upper[slow]), thickness):
        low, high = lower.copy(), upper.copy()
        low[slow], high[slow] = start, min(start + thickness, upper[slow])
        slab = volume.crop(low, high)
        array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = _on_slab(found, slab)
    labels = volume.with_array(array)
    structures = settled_discs(own_structures(labels))
    return LabelMap(array, volume.ijk_to_ras, volume.name, structures)


def _box_on(volume: Volume, found: Separated) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The box of the scan in which there are labels."""
    box = bounding_box(found.labels, margin=2)
    assert box is not None
    corners = np.array(np.meshgrid(*zip(box[0], box[1], strict=True))).reshape(3, -1).T
    there = volume.to_ijk(found.field.grid.to_ras(corners))
    lower = np.clip(np.floor(there.min(axis=0)).astype(int), 0, volume.shape)
    upper = np.clip(np.ceil(there.max(axis=0)).astype(int) + 1, 0, volume.shape)
    return lower, upper


def _on_slab(found: Separated, slab: Volume) -> NDArray[np.uint16]:
    """Labels of a part of the scan."""
    grid = found.field.grid
    best = np.zeros(slab.shape, np.float32)
    kinds = np.zeros(slab.shape, np.uint8)
    groups = [[int(Class.BACKGROUND)], [int(Class.MARROW), int(Class.RIM)],
              *([int(c)] for c in Class if c not in (Class.BACKGROUND, Class.MARROW, Class.RIM))]
    for number, channels in enumerate(groups):
        share = back_to(found.field.values[channels].sum(axis=0, dtype=np.uint16), grid, slab)
        better = share > best
        best[better], kinds[better] = share[better], number
    out = np.zeros(slab.shape, np.uint16)
    blocks = {Kind.BODY: 1, Kind.ARCH: 2, Kind.DISC: 3, Kind.CANAL: 4, Kind.CORD: 5, Kind.VERTEBRA: 6}
    for kind, number in blocks.items():
        wanted = kinds == number
        if wanted.any():
            out[wanted] = _nearest(_grown(found.labels, kind), grid, slab)[wanted]
    return out


def _grown(labels: NDArray[np.uint16], kind: Kind) -> NDArray[np.uint16]:
    """The labels of one kind, a voxel larger, as far as interpolation reaches; discs by two, into dark bands."""
    first = own_value(Structure(kind)) // 100 * 100
    own = np.where((labels >= first) & (labels < first + 100), labels, 0)
    return np.where(own > 0, own, ndimage.maximum_filter(own, size=(3, 5, 5) if kind is Kind.DISC else 3))


def _nearest(labels: NDArray[np.uint16], grid: Volume, slab: Volume) -> NDArray[np.uint16]:
    """The labels at the voxels of another grid with the same axes, in whatever order."""
    order, _ = anatomical_axes(slab)
    matrix = grid.ras_to_ijk @ slab.ijk_to_ras
    at, valid = [], []
    for axis in range(3):
        across = order[axis]
        places = np.rint(matrix[axis, 3] + np.arange(slab.shape[across]) * matrix[axis, across]).astype(int)
        valid.append((places >= 0) & (places < labels.shape[axis]))
        at.append(np.clip(places, 0, labels.shape[axis] - 1))
    picked = labels[np.ix_(*at)]
    for axis in range(3):
        picked[tuple(~valid[axis] if a == axis else slice(None) for a in range(3))] = 0
    return picked.transpose(np.argsort(order))


ENGINE = Engine(
    name="builtin", title="Built-in engine", scans="MR (T1, T2, STIR) and CT of any part of the spine",
    license="Apache-2.0", url="https://github.com/SlicerSpineAnalysis/SlicerSpineAnalysis", package="onnxruntime",
    requirements=("onnxruntime>=1.20",),
    hardware="any computer, no GPU", run=segment, takes_hints=True, inside=True, order=10)
