"""Label maps of other programs -> label maps whose labels are structures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import POSTERIOR_KINDS, VERTEBRA_KINDS, CanalMeaning, Kind, Level, Structure, successors
from ..errors import InputError
from ..volume import LabelMap, Volume
from .census import GREATEST_VALUE, Census
from .judge import Reading, judge, read
from .provisional import levels_of_numbers, pieces_of, pieces_with_levels, write_discs
from .recognize import known_schemes, recognize
from .stature import SPACING_MM
from .tables import INSTANCES, SCHEMES, Scheme, own_value

SUBREGION_SCHEMES = (SCHEMES["spineps_subregions"], SCHEMES["totalsegmentator_vertebrae_body"])
"""Schemes of masks that tell parts of vertebrae apart, but not vertebrae: they go with a mask that does."""

_SECOND_PLACE = 0.2  # of a level's largest part, from which on another part counts
_FAR_APART = 1.5  # height between the two, in spacings of vertebrae, from which on it is another one's place
_SPLITTABLE = frozenset({Kind.VERTEBRA, Kind.BODY})


@dataclass(frozen=True, eq=False)
class LabeledInput:
    """A segmentation that is understood.

    :param scheme: name of the scheme it came in.
    :param notes: sentences about what was assumed and what looks odd.
    :param levels_known: ``False`` where the levels are provisional.
    :param canal_means: what the canal's label follows, where that is known.
    """

    labels: LabelMap
    scheme: str
    notes: tuple[str, ...] = ()
    levels_known: bool = True
    canal_means: CanalMeaning = ""


def understand(volume: Volume, scheme: str = "auto", names: Mapping[int, str] | None = None,
               subregions: Volume | None = None, lowest: Level | None = None) -> LabeledInput:
    """A label map of any program as structures.

    :param scheme: a name of ``SCHEMES``, or "auto".
    :param names: label value -> name, where a table comes with the label map.
    :param subregions: a mask of parts of vertebrae that goes with a mask of vertebrae, on the same grid: SPINEPS's
        subregion mask, TotalSegmentator's vertebrae_body.
    :param lowest: the level of the lowest vertebra, for label maps that do not tell levels.
    :raises InputError: for what cannot be used, in one sentence.
    """
    if scheme != "auto" and scheme not in SCHEMES:
        raise InputError(f"There is no label scheme {scheme}; {known_schemes()}.")
    chosen, doubts = _chosen(volume, scheme, names)
    if chosen in SUBREGION_SCHEMES and subregions is not None:  # passed the other way round
        volume, subregions = subregions, volume
        chosen, doubts = _chosen(volume, "auto", names)
        if chosen in SUBREGION_SCHEMES:
            raise InputError("Both segmentations are subregion masks: pass the instance mask and its subregion mask.")
    labeled = apply(chosen, volume, subregions, lowest)
    return replace(labeled, notes=tuple(dict.fromkeys(sentences(doubts) + labeled.notes)))


def _chosen(volume: Volume, scheme: str, names: Mapping[int, str] | None) -> tuple[Scheme, tuple[str, ...]]:
    """The scheme to use, and doubts about it."""
    if scheme != "auto":
        return SCHEMES[scheme], ()
    recognition = recognize(volume, names)
    return recognition.scheme, recognition.doubts


def apply(scheme: Scheme, volume: Volume, subregions: Volume | None = None,
          lowest: Level | None = None) -> LabeledInput:
    """A label map of this scheme as structures; parameters and errors as for :func:`understand`."""
    census = Census(volume)
    fit = judge(census, scheme)
    if fit.impossible:
        raise InputError(f"The segmentation is not of the label scheme {scheme.name}: {fit.impossible[0]}; "
                         f"{known_schemes()}.")
    reading, notes, provisional = _with_levels(read(census, scheme), scheme, lowest)
    volume, structures = reading.census.volume, settled_discs(reading.structures)
    if reading.holds_bodies_only:
        structures = {v: replace(s, kind=Kind.BODY) if s.kind is Kind.VERTEBRA else s for v, s in structures.items()}
    notes = (*(() if provisional else fit.unlikely), *fit.doubts, *notes, *_scattered(reading))
    if subregions is not None:
        volume = volume.with_array(_with_subregions(reading, structures, subregions))
        structures = settled_discs(own_structures(volume))
    labels = LabelMap(volume.array, volume.ijk_to_ras, volume.name, structures)
    return LabeledInput(labels, scheme.name, sentences(notes), not provisional, scheme.canal_means)


def sentences(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes as people read them."""
    return tuple(f"{note[0].upper()}{note[1:]}." for note in notes)


def _with_levels(reading: Reading, scheme: Scheme, lowest: Level | None) -> tuple[Reading, tuple[str, ...], bool]:
    """The reading with a level for every vertebra and disc, notes, and whether the levels are provisional."""
    if scheme is INSTANCES:
        structures, notes = levels_of_numbers(reading, lowest)
        return Reading(reading.census, structures), notes, True
    if not any(s.level is None and s.kind in _SPLITTABLE for s in reading.structures.values()):
        return reading, (), False
    array, notes = pieces_with_levels(reading, lowest)
    if any(s.level is None and s.kind in POSTERIOR_KINDS for s in reading.structures.values()):
        notes += ("arches and processes have no levels without the instance mask",)
    volume = reading.census.volume.with_array(array)
    return Reading(Census(volume), own_structures(volume)), notes, True


def own_structures(volume: Volume) -> dict[int, Structure]:
    """The structures of a label map in this project's own values."""
    table = SCHEMES["spineanalysis"].table
    return {value: table[value] for value in Census(volume).values}


def settled_discs(structures: Mapping[int, Structure]) -> dict[int, Structure]:
    """Discs between the vertebrae that there are: the one below T12 is T12-T13 in a spine that has a T13."""
    present = {s.level for s in structures.values() if s.kind in VERTEBRA_KINDS and s.level is not None}
    discs = [s for s in structures.values() if s.kind is Kind.DISC]
    out = dict(structures)
    for value, disc in structures.items():
        if disc.kind is not Kind.DISC or disc.level is None:
            continue
        if disc.below is Level.S1 and Level.L6 in present and any(s.below is Level.L6 for s in discs):
            out[value] = replace(disc, level=Level.L6)  # schemes that have one label for the disc above the sacrum
        else:
            options = sorted(present.intersection(successors(disc.level)))
            out[value] = replace(disc, below=options[0] if options else disc.below or successors(disc.level)[0])
    return out


def _scattered(reading: Reading) -> tuple[str, ...]:
    """Vertebrae whose label is in two places."""
    volume, notes = reading.census.volume, []
    for value, structure in reading.structures.items():
        if structure.kind not in _SPLITTABLE or structure.level is None:
            continue
        numbered, count = ndimage.label(reading.census.mask(value))
        sizes = np.bincount(numbered.ravel())[1:]
        large = np.flatnonzero(sizes >= _SECOND_PLACE * sizes.max()) + 1
        if count > 1 and large.size > 1:
            centers_RAS = volume.to_ras(np.array(ndimage.center_of_mass(numbered > 0, numbered, large)))
            apart = float(np.ptp(centers_RAS[:, 2]))
            if apart > _FAR_APART * SPACING_MM[structure.level]:
                notes.append(f"{structure} is labeled in two places {apart:.0f} mm apart: check the labels")
    return tuple(notes)


def _with_subregions(reading: Reading, structures: Mapping[int, Structure], subregions: Volume) -> NDArray[np.uint16]:
    """Own values: the kind from the subregion mask, the level from the instance mask.

    :param structures: of the instance mask, which the reading is of.
    :raises InputError: where the two do not belong together.
    """
    volume = reading.census.volume
    if not volume.same_grid(subregions):
        raise InputError("The instance mask and the subregion mask have different voxel grids: pass two of one run.")
    census = Census(subregions)
    scheme = next((s for s in SUBREGION_SCHEMES if not judge(census, s).impossible), None)
    if scheme is None:
        raise InputError("The subregion mask is not one: pass SPINEPS's subregion mask or TotalSegmentator's "
                         "vertebrae_body.")
    parts: list[Structure | None] = [None, *(scheme.table.get(v) for v in census.values)]
    instances: list[Structure | None] = [None, *structures.values()]
    table = np.array([[_combined(i, p) for p in parts] for i in instances], np.uint16)
    array: NDArray[np.uint16] = table[_indices(volume.array, structures), _indices(census.volume.array, census.values)]
    if not reading.regions({Kind.DISC}):
        discs = [v for v in census.values if scheme.table.get(v) == Structure(Kind.DISC)]
        write_discs(array, pieces_of(census.volume, discs), reading.centers)
    return array


def _indices(array: NDArray, values: Iterable[int]) -> NDArray[np.uint16]:
    """Where in ``values`` each voxel's value is, counted from 1; 0 for none."""
    lookup = np.zeros(GREATEST_VALUE + 1, np.uint16)
    for index, value in enumerate(values, start=1):
        lookup[value] = index
    return lookup[array]


def _combined(instance: Structure | None, part: Structure | None) -> int:
    """The own value of a voxel that is this instance and this subregion."""
    if part is not None and part.kind in (Kind.CORD, Kind.CANAL):
        return own_value(part)
    if instance is None:
        return 0
    if instance.kind in _SPLITTABLE and part is not None and part.kind in VERTEBRA_KINDS:
        return own_value(replace(part, level=instance.level))
    return own_value(instance)
