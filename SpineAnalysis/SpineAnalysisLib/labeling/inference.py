"""Exact inference on the chain of detections, for all body sizes at once, in logarithms.

A state is (k, a): the last ``k`` detections were spurious, the one before them was ``a``, a level in one of its shapes;
the last column of ``a`` stands for none yet.  Arrays start with the axis of the sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
Path = tuple[int, ...]
"""For each detection a level's index, or -1 where it is spurious."""


@dataclass(frozen=True, eq=False)
class Chain:
    """What the model says of one case; logarithms.

    :param sizes: (S,) prior of every body size.
    :param real: (S, N, L) of each detection as each level.
    :param spurious: (N,) of each detection as no vertebra.
    :param first: (S, L) of the first vertebra; :param last: (S, L) of the last.
    :param arcs: (2, A) state above and state below of every step that there is, sorted by the state below.
    :param steps: (S, N, K + 1, A) of each step, from the vertebra ``k + 1`` detections earlier to this one.
    :param names: (L,) level's index of each state; a level may have several.
    """

    sizes: FloatArray
    real: FloatArray
    spurious: FloatArray
    first: FloatArray
    last: FloatArray
    arcs: NDArray[np.intp]
    steps: FloatArray
    names: NDArray[np.intp]

    @property
    def most_spurious(self) -> int:
        """How many detections in a row may be spurious."""
        return self.steps.shape[2] - 1

    @cached_property
    def flat(self) -> "_Flat":
        """Every way from a state before a detection to a level of it, from none yet as well."""
        number, depth, count = *self.steps.shape[1:3], self.real.shape[2]
        start = np.concatenate([self.arcs[0], np.full(count, count)])
        end = np.concatenate([self.arcs[1], np.arange(count)])
        begin = np.broadcast_to(self.first[:, None, None], (*self.steps.shape[:3], count))
        likely = np.concatenate([self.steps, begin], axis=3) + self.real[:, :, None, end]
        before = np.arange(depth)[:, None] * (count + 1) + start
        order = np.argsort(np.broadcast_to(end, before.shape).ravel(), kind="stable")
        return _Flat(before.ravel()[order], np.broadcast_to(end, before.shape).ravel()[order],
                     likely.reshape(len(self.sizes), number, -1)[..., order])


class _Flat(NamedTuple):
    """Steps in one row.

    :param before, after: (E,) index of the state (k, a) before, and of the level after, by which they are sorted.
    :param likely: (S, N, E).
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    likely: FloatArray


@dataclass(frozen=True, eq=False)
class Posterior:
    """:param levels: (N, levels) probability of each level; what is missing to one is that the detection is spurious.

    :param best, second: the two likeliest labelings; the second is ``None`` where no other is possible.
    """

    levels: FloatArray
    best: Path
    probability: float
    second: Path | None
    second_probability: float


_Sum = Callable[[FloatArray, NDArray[np.intp]], FloatArray]
"""How ways are added within each of the groups that start at these columns: all of them, or only the best counts."""


def log_sum(values: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Logarithm of the sum of exponentials; minus infinity for an empty sum."""
    top = values.max(axis=axes, keepdims=True)
    top[~np.isfinite(top)] = 0.0
    with np.errstate(divide="ignore"):
        return (np.log(np.exp(values - top).sum(axis=axes, keepdims=True)) + top).squeeze(axes)


def _best(values: FloatArray, starts: NDArray[np.intp]) -> FloatArray:
    return np.maximum.reduceat(values, starts, axis=-1)


def _all(values: FloatArray, starts: NDArray[np.intp]) -> FloatArray:
    top = _best(values, starts)
    top[~np.isfinite(top)] = 0.0
    counts = np.diff(np.append(starts, values.shape[-1]))
    with np.errstate(divide="ignore"):
        return np.log(np.add.reduceat(np.exp(values - np.repeat(top, counts, axis=-1)), starts, axis=-1)) + top


def infer(chain: Chain) -> Posterior | None:
    """Marginals and the two likeliest labelings; ``None`` where no labeling is possible."""
    forward, backward = _forward(chain, _all), _backward(chain, _all)
    joint = log_sum(forward + backward, (0,))
    evidence = float(log_sum(joint[0], (0, 1)))
    if not np.isfinite(evidence):
        return None
    scores = {path: _score(chain, path) for path in _candidates(chain)}
    best, *others = sorted(scores, key=lambda path: (-scores[path], path))
    chance = {path: float(np.exp(min(scores[path] - evidence, 0.0))) for path in scores}
    levels = np.exp(joint[:, 0, :-1] - evidence) @ np.eye(chain.names.max() + 1)[chain.names]
    return Posterior(levels, best, chance[best], others[0] if others else None,
                     chance[others[0]] if others else 0.0)


def _forward(chain: Chain, add: _Sum) -> FloatArray:
    """(S, N, K + 1, L + 1) up to and with each detection."""
    count, number, levels = chain.real.shape
    before, after, likely = chain.flat
    starts = np.flatnonzero(np.diff(after, prepend=-1))
    states = np.full((count, number, chain.most_spurious + 1, levels + 1), -np.inf)
    states[:, 0, 0, :-1] = chain.sizes[:, None] + chain.first + chain.real[:, 0]
    if chain.most_spurious:
        states[:, 0, 1, -1] = chain.sizes + chain.spurious[0]
    for i in range(1, number):
        states[:, i, 0, :-1] = add(states[:, i - 1].reshape(count, -1)[:, before] + likely[:, i], starts)
        states[:, i, 1:] = states[:, i - 1, :-1] + chain.spurious[i]
    return states


def _backward(chain: Chain, add: _Sum) -> FloatArray:
    """(S, N, K + 1, L + 1) after each detection."""
    count, number, levels = chain.real.shape
    depth = chain.most_spurious + 1
    before, after, likely = chain.flat
    # A detection may always be spurious, too: one more way on from each state, put before its others.
    spurious = np.arange(depth * (levels + 1))
    order = np.argsort(np.concatenate([spurious, before]), kind="stable")
    starts = np.flatnonzero(np.diff(np.concatenate([spurious, before])[order], prepend=-1))
    states = np.full((count, number, depth, levels + 1), -np.inf)
    states[:, -1, :, :-1] = chain.last[:, None]
    for i in range(number - 1, 0, -1):
        stay = np.full((count, depth, levels + 1), -np.inf)
        stay[:, :-1] = states[:, i, 1:] + chain.spurious[i]
        on = np.concatenate([stay.reshape(count, -1), states[:, i, 0, after] + likely[:, i]], axis=1)
        states[:, i - 1] = add(on[:, order], starts).reshape(count, depth, levels + 1)
    return states


_FAR_BEHIND = 5.0  # logarithm from which on a body size's own best labeling is none of the two best over all


def _candidates(chain: Chain) -> set[Path]:
    """The best labeling for every body size, and the second best for the likeliest size."""
    forward, backward = _forward(chain, _best), _backward(chain, _best)
    through = forward + backward
    tops = through[:, 0].max(axis=(1, 2))
    if not np.isfinite(tops.max()):
        return set()
    found = {_path(chain, forward, backward, int(size), 0, _argmax(through[size, 0]))
             for size in np.flatnonzero(tops > tops.max() - _FAR_BEHIND)}
    size = int(tops.argmax())
    states = _states(chain, forward, backward, size, 0, _argmax(through[size, 0]))
    others = through[size].copy()
    for i, (skipped, level) in enumerate(states):
        same = np.append(chain.names == chain.names[level], False) if skipped == 0 else slice(None)
        others[i, skipped, same] = -np.inf
    i, skipped, level = _argmax(others)
    if np.isfinite(others[i, skipped, level]):
        found.add(_path(chain, forward, backward, size, i, (skipped, level)))
    return found


def _argmax(values: FloatArray) -> tuple[int, ...]:
    return tuple(int(x) for x in np.unravel_index(values.argmax(), values.shape))


def _path(chain: Chain, forward: FloatArray, backward: FloatArray, size: int, i: int, state: tuple[int, ...]) -> Path:
    return tuple(int(chain.names[level]) if skipped == 0 else -1
                 for skipped, level in _states(chain, forward, backward, size, i, state))


def _states(chain: Chain, forward: FloatArray, backward: FloatArray, size: int, i: int, state: tuple[int, ...],
            ) -> list[tuple[int, ...]]:
    """The best states of all detections, given the state of one."""
    before, after, likely = chain.flat
    shape = forward.shape[2:]
    states = [state]
    for j in range(i, 0, -1):
        skipped, level = states[0]
        if skipped:
            states.insert(0, (skipped - 1, level))
        else:
            ways = np.flatnonzero(after == level)
            values = forward[size, j - 1].reshape(-1)[before[ways]] + likely[size, j, ways]
            states.insert(0, tuple(int(x) for x in np.unravel_index(before[ways[values.argmax()]], shape)))
    for j in range(i + 1, chain.real.shape[1]):
        skipped, level = states[-1]
        ways = np.flatnonzero(before == skipped * shape[1] + level)
        ahead = likely[size, j, ways] + backward[size, j, 0, after[ways]]
        on = chain.spurious[j] + backward[size, j, skipped + 1, level] if skipped < chain.most_spurious else -np.inf
        stays = on > ahead.max(initial=-np.inf)
        states.append((skipped + 1, level) if stays else (0, int(after[ways[ahead.argmax()]])))
    return states


def _score(chain: Chain, path: Path) -> float:
    """Logarithm of a labeling's probability together with the data, over all body sizes and shapes."""
    arc = {(int(a), int(b)): index for index, (a, b) in enumerate(chain.arcs.T)}
    ways: dict[int, FloatArray] = {}
    stray, last = np.zeros(len(chain.sizes)), -1
    for i, name in enumerate(path):
        if name < 0:
            stray = stray + chain.spurious[i]
            continue
        found: dict[int, FloatArray] = {}
        for b in (int(b) for b in np.flatnonzero(chain.names == name)):
            into = [way + chain.steps[:, i, i - last - 1, arc[a, b]] for a, way in ways.items() if (a, b) in arc] \
                if last >= 0 else [chain.first[:, b]]
            if into:
                found[b] = chain.real[:, i, b] + log_sum(np.stack(into), (0,))
        ways, last = found, i
    if last < 0:
        return -np.inf
    ends = np.stack([way + chain.last[:, a] for a, way in ways.items()])
    return float(log_sum(ends + stray + chain.sizes, (0, 1)))
