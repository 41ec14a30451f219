"""What people point at, to help the built-in engine where it errs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


class HintKind(Enum):
    """What points mean."""

    ADD = "add"  # each lies in the body of a vertebra
    SPLIT = "split"  # each lies between two vertebrae
    MERGE = "merge"  # each lies within one vertebra, where it was cut in two
    REMOVE = "remove"  # each lies in what is no vertebra
    REGION = "region"  # the spine passes each; look nowhere else


@dataclass(frozen=True, eq=False)
class Hint:
    """One kind of help.

    :param points_RAS: (N, 3) mm.
    """

    kind: HintKind
    points_RAS: NDArray[np.floating]

    def __post_init__(self) -> None:
        points = np.asarray(self.points_RAS, float).reshape(-1, 3)
        if not len(points) or not np.isfinite(points).all():
            raise InputError(f"A hint ({self.kind.value}) needs points in RAS millimeters: place at least one.")
        object.__setattr__(self, "points_RAS", points)


def points_of(hints: Iterable[Hint], kind: HintKind) -> NDArray[np.floating]:
    """(N, 3) all points of one kind."""
    return np.concatenate([np.zeros((0, 3)), *(hint.points_RAS for hint in hints if hint.kind is kind)])


def hints_from_labels(labeled: Sequence[tuple[str, NDArray[np.floating]]]) -> tuple[Hint, ...]:
    """Hints from points that are labeled with what they mean, as people label markups.

    A label may go on after the word: "add-1", "split L3".

    :param labeled: label and (3,) RAS mm.
    :raises InputError: for a label that begins with none of the words.
    """
    words = {kind.value: kind for kind in HintKind}
    found: dict[HintKind, list[NDArray[np.floating]]] = {}
    for label, point in labeled:
        word = next((w for w in words if label.strip().lower().startswith(w)), None)
        if word is None:
            raise InputError(f"The point {label or 'without a label'} does not say what it means: begin its label with "
                             f"{', '.join(list(words)[:-1])} or {list(words)[-1]}.")
        found.setdefault(words[word], []).append(np.asarray(point, float))
    return tuple(Hint(kind, np.array(points)) for kind, points in found.items())
