"""Segments, which may overlap and are told by terminology or name -> one label map."""

from collections.abc import Sequence

import numpy as np

from ..anatomy import Kind, Level, Structure
from ..errors import InputError
from ..terminology import structure_from_entry, structure_from_name
from ..volume import Volume, bounding_box
from .apply import LabeledInput, apply
from .tables import SCHEMES, own_value

# From the general to the specific: where segments overlap, the later kind is what the voxel is.
_SPECIFICITY = (
    Kind.HIP, Kind.FEMUR, Kind.RIB, Kind.CANAL_CONTENT, Kind.VERTEBRA, Kind.CANAL, Kind.DURAL_SAC, Kind.DISC, Kind.ARCH,
    Kind.SPINOUS_PROCESS, Kind.TRANSVERSE_PROCESS, Kind.SUPERIOR_ARTICULAR_PROCESS, Kind.INFERIOR_ARTICULAR_PROCESS,
    Kind.BODY, Kind.ENDPLATE, Kind.CORD,
)


def merge_segments(segments: Sequence[tuple[str, str, Volume]], lowest: Level | None = None) -> LabeledInput:
    """The structures of a segmentation whose segments may overlap.

    A voxel of several segments is the most specific of them: body over vertebra, cord over canal.  Segments that are no
    structure of the spine are left out.

    :param segments: name, serialized terminology entry (or an empty string), and mask; all on one grid.
    :param lowest: level of the lowest vertebra, for segments that do not tell levels.
    :raises InputError: where no segment is a structure of the spine, or grids differ.
    """
    found: list[tuple[Structure, Volume]] = []
    notes: list[str] = []
    for name, entry, mask in segments:
        structure, named = structure_from_entry(entry, name), structure_from_name(name)
        if structure is None:
            continue
        if named is not None and (named.kind, named.level) != (structure.kind, structure.level) and named.level:
            notes.append(f"the segment {name} is coded as {structure}, which counts: check name and terminology")
        found.append((structure, mask))
    if not found:
        listed = ", ".join(name for name, _, _ in segments[:8])
        raise InputError(f"No segment is a structure of the spine by its terminology or its name ({listed}): name them "
                         "like L4 vertebra, L4-L5 disc, spinal canal.")
    if len({structure for structure, _ in found}) < len(found):
        notes.append("several segments are the same structure, and are taken together: check their names")
    labeled = apply(SCHEMES["spineanalysis"], _merged(found), lowest=lowest)
    return LabeledInput(labeled.labels, "segments", (*notes, *labeled.notes), labeled.levels_known)


def _merged(found: list[tuple[Structure, Volume]]) -> Volume:
    """All segments in one label map of own values."""
    grid = found[0][1]
    array = np.zeros(grid.shape, np.uint16)
    for structure, mask in sorted(found, key=lambda item: _SPECIFICITY.index(item[0].kind)):
        if not grid.same_grid(mask):
            raise InputError("The segments lie on different voxel grids: resample them to one.")
        box = bounding_box(mask.array)
        if box is not None:
            window = tuple(slice(a, b) for a, b in zip(*box, strict=True))
            array[window][mask.array[window] != 0] = own_value(structure)
    return grid.with_array(array)
