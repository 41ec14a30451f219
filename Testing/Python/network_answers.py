"""What a network that knows the truth, or is wrong in a certain way, would answer: probabilities from phantoms."""

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.segmentation.instances.field import Field
from SpineAnalysisLib.segmentation.network.classes import RIM_MM, Class
from SpineAnalysisLib.volume import LabelMap, Volume

_CLASS_OF = {Kind.ARCH: Class.ARCH, Kind.DISC: Class.DISC, Kind.CANAL: Class.CANAL, Kind.CORD: Class.CORD}


def phantom_labels(spec: SpineSpec, slice_mm: float = 4.0, pixel_mm: float = 1.0) -> LabelMap:
    """A phantom on a canonical grid, parts told apart."""
    phantom = Phantom(spec)
    return phantom.labels(phantom.grid((slice_mm, pixel_mm, pixel_mm), "RIP"), split=True)


def classes_of(labels: LabelMap) -> NDArray[np.uint8]:
    """The network's classes of a phantom: of the sacrum everything is sacrum, a body's border is rim."""
    out = np.zeros(labels.shape, np.uint8)
    for value, structure in labels.structures.items():
        mask = labels.array == value
        if structure.level is Level.S1 and structure.kind.is_bone:
            out[mask] = Class.SACRUM
        elif structure.kind is Kind.BODY:
            inner = ndimage.distance_transform_edt(mask, labels.spacing) > RIM_MM
            out[mask] = np.where(inner[mask], Class.MARROW, Class.RIM)
        else:
            out[mask] = _CLASS_OF[structure.kind]
    return out


def field_of(classes: NDArray[np.uint8], grid: LabelMap, blur_mm: float = 0.8, noise: float = 0.04,
             seed: int = 0) -> Field:
    """Probabilities around classes, blurred and noisy."""
    generator = np.random.default_rng(seed)
    values = np.stack([ndimage.gaussian_filter((classes == c).astype(np.float32), blur_mm / grid.spacing)
                       for c in Class])
    values += noise * generator.random(values.shape, np.float32)
    values /= values.sum(axis=0)
    return Field(np.rint(255 * values).astype(np.uint8), grid.with_array(np.zeros(grid.shape, np.uint8)))


def mask_of(labels: LabelMap, kind: Kind, level: Level | None = None) -> NDArray[np.bool_]:
    return labels.mask(labels.values(kind, level))


def center_of(labels: LabelMap, structure: Structure) -> NDArray[np.floating]:
    """(3,) RAS mm."""
    value = next(v for v, s in labels.structures.items() if (s.kind, s.level) == (structure.kind, structure.level))
    return labels.to_ras(np.argwhere(labels.array == value).mean(axis=0))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2.0 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1))


# Neighbors in the body are neighbors here, so that what lies between two voxels is read as one of the two.
CODES = (Class.BACKGROUND, Class.ARCH, Class.RIM, Class.MARROW, Class.DISC, Class.SACRUM, Class.CANAL, Class.CORD)


class Table:
    """A session that reads the class of a pixel from its normalized intensity in the middle slice of the stack."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="stack")]

    def run(self, _outputs: None, given: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        stack = given["stack"]
        self.shapes.append(stack.shape)
        assert stack.shape[1] == 7
        assert stack.shape[2] % 16 == stack.shape[3] % 16 == 0
        code = np.clip(np.rint(stack[:, 3] * 8.0), 0, 8).astype(int)
        kinds = np.array([*(int(c) for c in CODES), Class.BACKGROUND])[code]
        out = np.full((len(stack), 8, *stack.shape[2:]), 0.01, np.float32)
        np.put_along_axis(out, kinds[:, None], 0.93, axis=1)
        return [out]


def scan_of(phantom: Phantom, spacing: tuple[float, float, float], axes: str,
            rotation: NDArray[np.floating] | None = None) -> tuple[Volume, LabelMap]:
    """A scan whose intensities tell the classes, and the truth on its grid."""
    truth = phantom.labels(phantom.grid(spacing, axes, rotation, margin=12.0), split=True)
    code_of = np.argsort([int(c) for c in CODES])
    array = (code_of[classes_of(truth)] + 1).astype(np.int16) * 100
    array[:2] = 0  # blank, as borders of scans are
    array[-2:] = 900  # the brightest, as skin beside a coil is, so that percentiles are known
    return Volume(array, truth.ijk_to_ras), truth
