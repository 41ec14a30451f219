"""Segments, which may overlap and are told by terminology or name -> one label map."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from ..anatomy import Kind, Level, Structure
from ..errors import InputError
from ..terminology import structure_from_entry, structure_from_name
from ..volume import Volume, bounding_box
from .apply import LabeledInput, apply, sentences
from .recognize import cord_follows_canal
from .tables import SCHEMES, own_value

# From the general to the specific: where segments overlap, the later kind is what the voxel is.
_SPECIFICITY = (
    Kind.ERECTOR, Kind.ILIOPSOAS, Kind.HIP, Kind.FEMUR, Kind.RIB, Kind.CANAL_CONTENT, Kind.VERTEBRA, Kind.CANAL,
    Kind.DURAL_SAC, Kind.DISC, Kind.ARCH,
    Kind.SPINOUS_PROCESS, Kind.TRANSVERSE_PROCESS, Kind.SUPERIOR_ARTICULAR_PROCESS, Kind.INFERIOR_ARTICULAR_PROCESS,
    Kind.BODY, Kind.ENDPLATE, Kind.CORD,
)


def merge_segments(segments: Iterable[tuple[str, str, Volume]], lowest: Level | None = None,
                   derived: Collection[str] = ()) -> LabeledInput:
    """The structures of a segmentation whose segments may overlap.

    A voxel of several segments is the most specific of them: body over vertebra, cord over canal.  Segments that are no
    structure of the spine are left out.

    :param segments: name, serialized terminology entry (or an empty string), and mask; all on one grid.  They are asked
        for once, one after the other, and not kept.
    :param lowest: level of the lowest vertebra, for segments that do not tell levels.
    :param derived: names of the segments that an earlier analysis computed from others.
    :raises InputError: where no segment is a structure of the spine, or grids differ.
    """
    merged: _Merged | None = None
    names: list[str] = []
    notes: list[str] = []
    computed: set[int] = set()
    for name, entry, mask in segments:
        names.append(name)
        structure, named = structure_from_entry(entry, name), structure_from_name(name)
        if structure is None:
            continue
        if named is not None and named.level is not None and named.level is not structure.level:
            notes.append(f"the segment {name} is coded as {structure}, which counts: check name and terminology")
        merged = merged or _Merged(mask)
        merged.add(structure, mask)
        if name in derived:
            computed.add(own_value(structure))
    if merged is None:
        raise InputError("No segment is a structure of the spine by its terminology or its name "
                         f"({', '.join(names[:8])}): name them like L4 vertebra, L4-L5 disc, spinal canal.")
    if cord_follows_canal(names):
        merged.rename(Structure(Kind.CORD), Structure(Kind.CANAL_CONTENT))
    if merged.repeated:
        notes.append(f"several segments are the {merged.repeated[0]}, and are taken together: check their names")
    labeled = apply(SCHEMES["spineanalysis"], merged.labels, lowest=lowest)
    labels = replace(labeled.labels, derived=frozenset(computed.intersection(labeled.labels.structures)))
    return LabeledInput(labels, "segments", sentences(notes) + labeled.notes, labeled.levels_known)


class _Merged:
    """Segments in one label map of own values.

    :ivar repeated: structures that more than one segment is.
    """

    def __init__(self, grid: Volume) -> None:
        self.labels = grid.with_array(np.zeros(grid.shape, np.uint16))
        self.repeated: list[Structure] = []
        self._ranks = np.zeros(grid.shape, np.uint8)
        self._seen: set[Structure] = set()

    def add(self, structure: Structure, mask: Volume) -> None:
        """Label what is no more specific structure yet.

        :raises InputError: for a mask on another grid.
        """
        if not self.labels.same_grid(mask):
            raise InputError("The segments lie on different voxel grids: resample them to one.")
        box = bounding_box(mask.array)
        if box is None:
            return
        if structure in self._seen:
            self.repeated.append(structure)
        self._seen.add(structure)
        window = tuple(slice(a, b) for a, b in zip(*box, strict=True))
        rank = _SPECIFICITY.index(structure.kind) + 1
        wins = (mask.array[window] != 0) & (self._ranks[window] <= rank)
        self.labels.array[window][wins] = own_value(structure)
        self._ranks[window][wins] = rank

    def rename(self, structure: Structure, other: Structure) -> None:
        """Let what is one structure be another."""
        self.labels.array[self.labels.array == own_value(structure)] = own_value(other)
