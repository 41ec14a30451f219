"""The network's answer for the region along the spine."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...volume import Volume, bounding_box
from ..network.classes import BODY, Class

FloatArray = NDArray[np.floating]
Mask = NDArray[np.bool_]

CERTAIN = 255
"""The probability 1 in the field's numbers."""
NO_SPINE = ("No spine was found in this scan; check that it shows one, or segment it elsewhere and pass the "
            "segmentation.")
LEAST_BODY_MM3 = 3000.0
"""Of vertebral bodies, for a scan to show a spine: less than two cervical bodies."""
_SAME_SPINE = 0.08
"""Share of the largest component from which on another one in line with it is a part of the same spine."""
_AROUND = 6
"""Voxels that are kept around what is cropped."""
_LOST_MM = 45.0
"""Height of spine that metal can hide; what lies farther off is something else."""
_CANAL_MM2, _LEAST_CANAL_MM = 20.0, 40.0
"""Area of the canal in a row that counts, and length of canal from which on its course tells where the spine is."""
_STEADY_MM = 60.0
"""Leaks of the canal to the side are shorter."""
_BODY_ASIDE_MM, _SACRUM_ASIDE_MM, _BEYOND_CANAL_MM = 50.0, 75.0, 45.0
"""How far from the canal to the side bodies and processes, and the sacrum, reach; and beyond the canal's ends."""
_NEAR_BAND = 5
"""Voxels across, in slices, that tell what a dark band borders on."""
_GAP_MM = 6.0
"""Parts of a spine that are nearer to one another than this belong together: metal and thick slices tear it."""


@dataclass(frozen=True, eq=False)
class Field:
    """Probabilities on a canonical grid.

    :param values: (K, I, J, K) 0..255, one channel per :class:`Class`.
    :param grid: a volume on this grid, for its geometry.
    """

    values: NDArray[np.uint8]
    grid: Volume

    @property
    def spacing(self) -> FloatArray:
        return self.grid.spacing

    def classes(self) -> NDArray[np.uint8]:
        """(I, J, K) the likeliest structure; a body's marrow and rim vote together and then between themselves."""
        votes = self.values.astype(np.uint16)
        body = votes[list(BODY)].sum(axis=0)
        rim = votes[Class.RIM] > votes[Class.MARROW]
        votes[Class.MARROW], votes[Class.RIM] = body, 0
        best = votes.argmax(axis=0).astype(np.uint8)
        best[(best == Class.MARROW) & rim] = Class.RIM
        return best

    def without(self, dropped: Mask) -> "Field":
        """The field with background where something is dropped."""
        values = self.values.copy()
        values[:, dropped] = 0
        values[Class.BACKGROUND, dropped] = CERTAIN
        return replace(self, values=values)

    def with_class(self, mask: Mask, kind: Class) -> "Field":
        """The field with one class, certainly, where the mask is."""
        values = self.values.copy()
        values[:, mask] = 0
        values[kind, mask] = CERTAIN
        return replace(self, values=values)

    def cropped(self, mask: Mask) -> tuple["Field", NDArray[np.int_]]:
        """The field around what a mask holds, and the indices of its lower corner."""
        box = bounding_box(mask, _AROUND)
        assert box is not None
        lower, upper = np.maximum(box[0], 0), np.minimum(box[1], mask.shape)
        window = tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))
        return Field(np.ascontiguousarray(self.values[(slice(None), *window)]), self.grid.crop(lower, upper)), lower

    def places(self, indices: NDArray[np.integer]) -> FloatArray:
        """(N, 3) millimeters of (N, 3) indices."""
        return indices * self.spacing

    def places_of(self, points_RAS: FloatArray) -> FloatArray:
        """(N, 3) millimeters of points of the patient."""
        return self.grid.to_ijk(points_RAS) * self.spacing


def without_dark_band(field: Field) -> Field:
    """The field with bodies that end where bone does, also where cortex is dark, as on MR.

    Cartilage and ligaments upon cortex are dark as well then, and rims hold all of that band, where on CT they are
    cortex alone.  Half of it is bone, as one adult's bodies on CT tell; the other half becomes disc or nothing,
    whichever is near.  Toward the canal all of it stays: the sac is measured within its dura.  On 31 scans by MR the
    rim had at most 0.96 of the marrow's brightness, on 7 by CT at least 1.24.

    :param field: its grid holds the scan.
    """
    classes = field.classes()
    rim, marrow = (field.grid.array[classes == kind] for kind in (Class.RIM, Class.MARROW))
    if rim.size and marrow.size and np.median(rim) > np.median(marrow):
        return field
    values = field.values.copy()
    rim = values[Class.RIM].astype(np.float32)
    around = {kind: ndimage.uniform_filter(values[kind].astype(np.float32), (1, _NEAR_BAND, _NEAR_BAND))
              for kind in Class if kind not in BODY}
    total = np.maximum(sum(around.values()), 1.0)
    for kind in (Class.BACKGROUND, Class.DISC):
        given = np.rint(rim / 2.0 * around[kind] / total).astype(np.uint8)
        values[kind] += given
        values[Class.RIM] -= given
    return replace(field, values=values)


def one_spine(structures: Mask, spacing: FloatArray, share: float = _SAME_SPINE) -> Mask:
    """The largest connected part of all structures together, with what continues it.

    :param share: of the largest part's volume, from which on another one is more than a crumb.
    """
    near = np.maximum(np.round(_GAP_MM / 2.0 / spacing), 1).astype(int)
    joined = ndimage.maximum_filter(structures, size=2 * near + 1)
    numbered, count = ndimage.label(joined)
    if count <= 1:
        return structures
    sizes = np.bincount(numbered[structures], minlength=count + 1)
    sizes[0] = 0
    main = int(sizes.argmax())
    places = ndimage.find_objects(numbered)
    center = np.array(ndimage.center_of_mass(numbered == main)) * spacing
    kept = [number for number in np.flatnonzero(sizes >= share * sizes[main])
            if number == main or _continues(places[number - 1], places[main - 1], center, spacing)]
    return structures & np.isin(numbered, kept)


def _continues(part: tuple[slice, ...], main: tuple[slice, ...], center: FloatArray, spacing: FloatArray) -> bool:
    """Whether a part lies above or below the main one, not beside it."""
    middle = np.array([(s.start + s.stop) / 2.0 for s in part]) * spacing
    overlap = 0.1 * (main[1].stop - main[1].start)
    beyond = part[1].stop <= main[1].start + overlap or part[1].start >= main[1].stop - overlap
    lost = max(main[1].start - part[1].stop, part[1].start - main[1].stop) * spacing[1]
    aside = np.abs(middle - center)[[0, 2]]
    return bool(beyond and lost < _LOST_MM and (aside < 0.6 * abs(middle - center)[1] + 15.0).all())


def beside_canal(classes: NDArray[np.uint8], spacing: FloatArray) -> Mask:
    """What of the structures is near enough to the canal to be the spine's: hips and thighs look like bone as well.

    Everything is, where too little of the canal is seen to tell.
    """
    canal = np.isin(classes, (Class.CANAL, Class.CORD))
    rows = np.flatnonzero(canal.sum(axis=(0, 2)) * spacing[0] * spacing[2] > _CANAL_MM2)
    if len(rows) * spacing[1] < _LEAST_CANAL_MM:
        return classes > 0
    middles = np.array([np.median(np.nonzero(canal[:, j])[0]) for j in rows])
    middles = ndimage.median_filter(middles, int(_STEADY_MM / spacing[1]), mode="nearest")
    at = np.arange(classes.shape[1])
    aside = np.abs(np.arange(classes.shape[0])[:, None] - np.interp(at, rows, middles)) * spacing[0]
    beyond = np.maximum(rows[0] - at, at - rows[-1]) * spacing[1]
    near = (aside < _BODY_ASIDE_MM) & (beyond < _BEYOND_CANAL_MM)
    return (classes > 0) & (near[:, :, None] | (classes == Class.SACRUM) & (aside < _SACRUM_ASIDE_MM)[:, :, None])
