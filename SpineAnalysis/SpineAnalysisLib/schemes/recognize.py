"""Which program's label map this is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..anatomy import Kind, Structure
from ..errors import InputError
from ..terminology import structure_from_name
from ..volume import Volume
from .census import Census
from .judge import BODIES_ONLY, ONE_LEVEL, Fit, judge, read
from .tables import INSTANCES, SCHEMES, Scheme

_CLEARLY_NEARER = 0.25  # of strangeness

# TotalSegmentator's way to name vertebrae.  TotalSpineSeg shares it, but has the canal as well.
_TOTAL_SEGMENTATOR_NAME = re.compile(r"vertebrae_[CTLS]\d+")


@dataclass(frozen=True)
class Recognition:
    """:param reasons: why this scheme; :param doubts: what speaks against it."""

    scheme: Scheme
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def known_schemes() -> str:
    """What to do about a scheme that cannot be told, for error messages."""
    return f"pass --scheme NAME; known schemes: {', '.join(SCHEMES)}"


def cord_follows_canal(names: Iterable[str]) -> bool:
    """Whether the spinal cord of labels that come together is TotalSegmentator's, which goes on to the sacrum.

    :param names: of all labels.
    """
    listed = list(names)
    return (any(_TOTAL_SEGMENTATOR_NAME.fullmatch(name) for name in listed)
            and not any(structure_from_name(name) == Structure(Kind.CANAL) for name in listed))


def scheme_of_names(names: Mapping[int, str]) -> Scheme:
    """The scheme that a table of label names is.

    :param names: label value -> name.  Names that are no structure of the spine are known and ignored.
    """
    named = {value: structure_from_name(name) for value, name in sorted(names.items())}
    table = {value: structure for value, structure in named.items() if structure is not None}
    if cord_follows_canal(names.values()):
        table = {v: Structure(Kind.CANAL_CONTENT) if s == Structure(Kind.CORD) else s for v, s in table.items()}
    return Scheme("names", "the table of names", table, "a table beside the label map", frozenset(names) - set(table))


def recognize(volume: Volume, names: Mapping[int, str] | None = None) -> Recognition:
    """The scheme of a label map, from its values and from where and how large they are.

    :param names: label value -> name, where a table comes with the label map; it decides.
    :raises InputError: where no scheme fits, or more than one does.
    """
    census = Census(volume)
    if names:
        fit = judge(census, scheme_of_names(names))
        if fit.impossible:
            raise InputError(f"The label map does not match its table of names: {fit.impossible[0]}.")
        return Recognition(fit.scheme, ("names come with the label map",), fit.unlikely + fit.doubts)
    judged = [judge(census, scheme) for scheme in SCHEMES.values() if scheme is not INSTANCES]
    best, rival = _nearest(_distinct(census, [fit for fit in judged if fit.fits]))
    if best is not None:
        doubts = (f"the labels fit {rival.scheme.title} as well, though less",) if rival else ()
        return Recognition(best.scheme, _reasons(best, census), best.doubts + doubts)
    if number_vertebrae(census):
        bodies = _distinct(census, [fit for fit in judged if not fit.impossible and fit.unlikely == (BODIES_ONLY,)])
        return Recognition(INSTANCES, ("its values number vertebrae along the spine, and fit no scheme's levels",),
                           tuple(f"if the values are levels of {fit.scheme.title}, pass --scheme {fit.scheme.name}"
                                 for fit in bodies))
    if any(not fit.impossible and fit.unlikely == (ONE_LEVEL,) for fit in judged):
        raise InputError("The segmentation holds only one vertebra: pass one with two or more.")
    named = [fit for fit in judged if fit.scheme.table.keys() >= set(census.values)]
    if len(named) == 1:
        fit = named[0]
        insist = f", or pass --scheme {fit.scheme.name} if they are right" if not fit.impossible else ""
        why = (fit.impossible + fit.unlikely)[0]
        raise InputError(f"All values of the segmentation are labels of {fit.scheme.title}, but {why}: correct its "
                         f"voxel spacing, orientation or labels{insist}.")
    values = ", ".join(map(str, census.values[:12])) + (", ..." if len(census.values) > 12 else "")
    raise InputError(f"The values of the segmentation ({values}) fit no known label scheme; {known_schemes()}.")


def _reasons(fit: Fit, census: Census) -> tuple[str, ...]:
    reading = read(census, fit.scheme)
    levels = list(reading.centers)
    reasons = [f"all {len(census.values)} values are labels of {fit.scheme.title}"]
    if len(levels) > 1:
        reasons.append(f"{levels[0]} to {levels[-1]} follow one another from head to foot")
    if reading.stature is not None:
        reasons.append(f"their distances are {reading.stature:.2f} times those of a typical adult")
    return tuple(reasons)


def _distinct(census: Census, fits: list[Fit]) -> list[Fit]:
    """Of schemes that read the label map alike, the first; of the others, those that tell levels, if any does."""
    telling = [fit for fit in fits if len(read(census, fit.scheme).centers) > 1] or fits
    seen: list[dict[int, Structure]] = []
    distinct = []
    for fit in telling:
        structures = dict(read(census, fit.scheme).structures)
        if structures not in seen:
            seen.append(structures)
            distinct.append(fit)
    return distinct


def _nearest(fits: list[Fit]) -> tuple[Fit | None, Fit | None]:
    """The fit whose levels are nearest to a typical adult's, and its rival, if any.

    :raises InputError: where others are about as near.
    """
    if len(fits) < 2:
        return (fits[0], None) if fits else (None, None)
    ranked = sorted(fits, key=lambda fit: fit.strangeness)
    first, second = ranked[:2]
    if second.strangeness - first.strangeness < _CLEARLY_NEARER:
        titles = ", ".join(f"{fit.scheme.title} ({fit.scheme.name})" for fit in ranked)
        raise InputError(f"The values of the segmentation fit more than one label scheme: {titles}; "
                         "pass --scheme NAME.")
    return first, second


def number_vertebrae(census: Census) -> bool:
    """Whether the values are consecutive numbers of vertebrae, one way or the other along the spine."""
    reading = read(census, INSTANCES)
    numbers = [v for v, s in reading.structures.items() if s.kind is Kind.VERTEBRA]
    if set(census.values) != set(reading.structures) or len(numbers) < 2:
        return False
    heights = np.array([census.region(v).center_RAS[2] for v in numbers])
    consecutive = bool((np.diff(numbers) == 1).all())
    steps = np.diff(heights)
    if not consecutive or not ((steps > 0).all() or (steps < 0).all()):
        return False
    centers = np.array([census.region(v).center_RAS for v in numbers])
    spacing = float(np.median(np.linalg.norm(np.diff(centers, axis=0), axis=1)))
    tall = float(np.median([census.region(v).extent_mm[2] for v in numbers])) / spacing
    stout = float(np.median([census.region(v).section_mm2 for v in numbers]))
    return 10.0 < spacing < 55.0 and 0.65 < tall < 3.5 and stout > 150.0
