"""How well the embedded engine segments: ``evaluate_segmentation.py --images GLOB --references GLOB --structure S``.

Images and references are paired in the order of their names.  ``--values`` names the reference's label values (all but
0 by default; ``27-33,50``), each of them one vertebra or disc; for canal and cord they are taken together.
``--leave-out 'PATTERN=VALUES'`` drops values of the references whose names match, such as S1 where bodies are wanted.

One rule for every case, which does not look at the prediction to choose:

* every reference instance is paired with at most one predicted instance, so that the sum of Dice is greatest; it is
  found where their Dice is above one half; what is not found counts as Dice 0;
* a predicted instance that is nobody's pair is false, unless it lies beyond the ends of the reference along the spine
  (a level that the reference leaves out) or mostly in what was left out;
* a predicted instance that holds more than 30 % of two reference instances has merged them;
* canal and cord are compared between the reference's uppermost and lowest slice.

Bodies are compared three times: as they are, without their cortex, which manual masks of MR often leave out, and so in
the slices within 8.5 mm of the middle of the reference's body, where how far masks reach to the side does not matter.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from SpineAnalysisLib.anatomy import POSTERIOR_KINDS, Kind, Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.reading.image import read_file, read_image
from SpineAnalysisLib.segmentation.builtin import on_scan
from SpineAnalysisLib.segmentation.instances.separate import Separated, separate
from SpineAnalysisLib.segmentation.network.canonical import back_to
from SpineAnalysisLib.segmentation.network.classes import Class
from SpineAnalysisLib.segmentation.network.model import Network, default_path, load
from SpineAnalysisLib.segmentation.network.predict import predict
from SpineAnalysisLib.segmentation.outside import is_ct
from SpineAnalysisLib.volume import LabelMap, Volume

Mask = NDArray[np.bool_]

FOUND_DICE = 0.5
MERGED_SHARE = 0.3
MIDDLE_MM = 8.5
ASIDE_MM = 25.0
"""How far from the line beyond the last reference instance a level that was left out may lie, at its nearest."""
KINDS: Mapping[str, frozenset[Kind]] = {
    "body": frozenset({Kind.BODY}),
    "vertebra": frozenset({Kind.BODY, Kind.VERTEBRA, *POSTERIOR_KINDS}),
    "disc": frozenset({Kind.DISC}),
    "canal": frozenset({Kind.CANAL, Kind.DURAL_SAC, Kind.CORD}),
    "cord": frozenset({Kind.CORD}),
}
TUBES = ("canal", "cord")


@dataclass
class Pair:
    """One reference instance and what was found of it."""

    value: int
    dice: float = 0.0
    distance_mm: float | None = None
    level: str = ""


@dataclass
class Outcome:
    """:param dice: of all found pairs together; :param distance_mm: mean over instances."""

    case: str
    dice: float = 0.0
    distance_mm: float | None = None
    dice_without_cortex: float | None = None
    distance_without_cortex_mm: float | None = None
    dice_in_the_middle: float | None = None
    instances: int = 0
    found: int = 0
    false: int = 0
    merged: int = 0
    ignored: int = 0
    seconds: float = 0.0
    note: str = ""
    pairs: list[Pair] = field(default_factory=list)


# --- one case

def evaluate(image: Path, reference: Path, structure: str, values: Sequence[int], left_out: Sequence[int],
             network: Network) -> Outcome:
    """Segment an image and compare."""
    outcome = Outcome(image.name)
    seen = read_image([image])
    raw = read_file(reference, "The reference")
    known = Volume(np.asarray(raw.array), raw.ijk_to_ras)
    if not known.same_grid(seen.volume, 0.5):
        raise InputError(f"{reference.name} is not on the grid of {image.name}: pair them by their names' order.")
    began = time.perf_counter()
    try:
        ct = is_ct(seen.volume, seen.hint[0] if seen.hint else None)
        found = separate(predict(seen.volume, network, ct, lambda _: None, silent))
        labels = on_scan(found, seen.volume)
    except InputError as error:
        outcome.note = str(error)
        outcome.instances = len([v for v in np.unique(known.array) if _wanted(v, values, left_out)])
        return outcome
    outcome.seconds = round(time.perf_counter() - began, 1)
    wanted = {int(v): known.array == v for v in np.unique(known.array) if _wanted(v, values, left_out)}
    if structure in TUBES:
        _compare_tube(outcome, wanted, labels, structure, known)
        return outcome
    dropped = np.isin(known.array, list(left_out))
    predicted = _instances(labels, structure)
    _compare(outcome, wanted, predicted, dropped, known)
    if structure == "body":
        _compare_marrow(outcome, wanted, predicted, found, seen.volume)
    return outcome


def _wanted(value: Any, values: Sequence[int], left_out: Sequence[int]) -> bool:
    return value != 0 and (not values or int(value) in values) and int(value) not in left_out


def _instances(labels: LabelMap, structure: str) -> dict[Level, Mask]:
    """The predicted instances by their level; the sacrum is none."""
    out: dict[Level, Mask] = {}
    for value, named in labels.structures.items():
        if named.kind in KINDS[structure] and named.level is not None and named.level is not Level.S1:
            mask = labels.array == value
            out[named.level] = out[named.level] | mask if named.level in out else mask
    return {level: mask for level, mask in out.items() if mask.any()}


def _compare(outcome: Outcome, wanted: Mapping[int, Mask], predicted: Mapping[Level, Mask], dropped: Mask,
             grid: Volume) -> None:
    """Pair instances and count what is right and wrong."""
    levels, numbers = list(predicted), list(wanted)
    shared = np.array([[np.count_nonzero(wanted[n] & predicted[v]) for v in levels] for n in numbers], float)
    shared = shared.reshape(len(numbers), len(levels))
    sizes = np.array([np.count_nonzero(wanted[n]) for n in numbers], float)
    their = np.array([np.count_nonzero(predicted[v]) for v in levels], float)
    dices = 2 * shared / (sizes[:, None] + their[None, :])
    rows, columns = linear_sum_assignment(-dices)
    matched = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if dices[r, c] > 0}
    outcome.instances = len(numbers)
    both = total = 0.0
    for row, number in enumerate(numbers):
        pair = Pair(number)
        total += sizes[row]
        if row in matched:
            column = matched[row]
            pair.dice, pair.level = round(float(dices[row, column]), 4), str(levels[column])
            pair.distance_mm = surface_distance(wanted[number], predicted[levels[column]], grid.spacing)
            both += 2 * shared[row, column]
            total += their[column]
        outcome.found += int(pair.dice > FOUND_DICE)
        outcome.pairs.append(pair)
    outcome.dice = round(both / max(total, 1.0), 4)
    outcome.distance_mm = _mean([p.distance_mm for p in outcome.pairs if p.distance_mm is not None])
    outcome.merged = int(((shared > MERGED_SHARE * sizes[:, None]).sum(axis=0) > 1).sum())
    centers = [_center(wanted[n], grid) for n in numbers]
    for column, level in enumerate(levels):
        if column in matched.values():
            continue
        ignored = bool(np.count_nonzero(predicted[level] & dropped) > 0.5 * their[column]
                       or _is_beyond(_center(predicted[level], grid), centers))
        outcome.ignored += int(ignored)
        outcome.false += int(not ignored)


def _center(mask: Mask, grid: Volume) -> NDArray[np.floating]:
    return grid.to_ras(np.array(ndimage.center_of_mass(mask)))


def _is_beyond(point: NDArray[np.floating], centers: Sequence[NDArray[np.floating]]) -> bool:
    """Whether a center continues the chain of the reference's centers upward or downward."""
    chain = sorted(centers, key=lambda center: float(center[2]))
    if len(chain) < 2:
        return bool(chain and np.linalg.norm((point - chain[0])[:2]) < ASIDE_MM + abs((point - chain[0])[2]) / 2)
    for end, inner in ((chain[0], chain[1]), (chain[-1], chain[-2])):
        spacing = float(np.linalg.norm(end - inner))
        along = float((point - end) @ (end - inner)) / spacing
        aside = float(np.linalg.norm(point - end - along * (end - inner) / spacing))
        if along > 0.5 * spacing and aside < ASIDE_MM + 0.5 * along:
            return True
    return False


def _compare_marrow(outcome: Outcome, wanted: Mapping[int, Mask], predicted: Mapping[Level, Mask], found: Separated,
                    scan: Volume) -> None:
    """The same pairs with the predicted bodies' rims taken off."""
    values, grid = found.field.values, found.field.grid
    marrow = back_to(values[Class.MARROW], grid, scan) > back_to(values[Class.RIM], grid, scan)
    both, total = np.zeros(2), np.zeros(2)
    distances = []
    for pair in outcome.pairs:
        mask = wanted[pair.value]
        inner = predicted[Level[pair.level]] & marrow if pair.level else np.zeros_like(mask)
        for place, window in enumerate(((slice(None),), _middle(mask, scan))):
            both[place] += 2 * np.count_nonzero(inner[window] & mask[window])
            total[place] += np.count_nonzero(inner[window]) + np.count_nonzero(mask[window])
        distances.append(surface_distance(mask, inner, scan.spacing))
    outcome.dice_without_cortex, outcome.dice_in_the_middle = (round(float(x), 4) for x in both / np.maximum(total, 1))
    outcome.distance_without_cortex_mm = _mean([d for d in distances if d is not None])


def _middle(mask: Mask, grid: Volume) -> tuple[slice, ...]:
    """The window of the slices near the middle of a body, from side to side."""
    axis = int(np.abs(grid.ijk_to_ras[0, :3] / grid.spacing).argmax())
    at = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    middle, reach = (at[0] + at[-1]) / 2.0, MIDDLE_MM / grid.spacing[axis]
    near = slice(int(np.ceil(max(middle - reach, 0.0))), int(middle + reach) + 1)
    return tuple(near if a == axis else slice(None) for a in range(3))


def _compare_tube(outcome: Outcome, wanted: Mapping[int, Mask], labels: LabelMap, structure: str, grid: Volume) -> None:
    """Canal or cord, all of it at once, where the reference is."""
    known = np.logical_or.reduce(list(wanted.values())) if wanted else np.zeros(grid.shape, bool)
    found = labels.mask(labels.values(KINDS[structure]))
    axis = int(np.abs(grid.ijk_to_ras[2, :3] / grid.spacing).argmax())
    rows = np.flatnonzero(known.any(axis=tuple(a for a in range(3) if a != axis)))
    if rows.size:
        outside = np.ones(grid.shape[axis], bool)
        outside[rows[0]:rows[-1] + 1] = False
        found[(slice(None),) * axis + (outside,)] = False
    outcome.instances = 1
    total = float(np.count_nonzero(known) + np.count_nonzero(found))
    outcome.dice = round(2 * float(np.count_nonzero(known & found)) / max(total, 1.0), 4)
    outcome.distance_mm = surface_distance(known, found, grid.spacing)
    outcome.found = int(outcome.dice > FOUND_DICE)


def surface_distance(first: Mask, second: Mask, spacing: NDArray[np.floating]) -> float | None:
    """Average symmetric distance between two surfaces, mm; ``None`` where one is empty."""
    if not first.any() or not second.any():
        return None
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    window = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in box)
    a, b = np.pad(first[window], 1), np.pad(second[window], 1)
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    distances = [ndimage.distance_transform_edt(~edge, spacing) for edge in edges]
    both = np.concatenate([distances[1][edges[0]], distances[0][edges[1]]])
    return round(float(both.mean()), 3)


# --- all cases

def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Means over cases, sums over instances."""
    bare = [o.dice_without_cortex for o in outcomes if o.dice_without_cortex is not None]
    instances = sum(o.instances for o in outcomes)
    return {
        "cases": len(outcomes),
        "dice": _mean([o.dice for o in outcomes]),
        "lowest_dice": min(o.dice for o in outcomes),
        "distance_mm": _mean([o.distance_mm for o in outcomes if o.distance_mm is not None]),
        "dice_without_cortex": _mean(bare),
        "lowest_dice_without_cortex": min(bare) if bare else None,
        "distance_without_cortex_mm": _mean([o.distance_without_cortex_mm for o in outcomes
                                             if o.distance_without_cortex_mm is not None]),
        "dice_in_the_middle": _mean([o.dice_in_the_middle for o in outcomes if o.dice_in_the_middle is not None]),
        "instances": instances,
        "found": round(sum(o.found for o in outcomes) / max(instances, 1), 4),
        "false": sum(o.false for o in outcomes),
        "merged": sum(o.merged for o in outcomes),
        "ignored": sum(o.ignored for o in outcomes),
    }


def show(outcome: Outcome) -> None:
    bare = "" if outcome.dice_without_cortex is None else \
        f"  without cortex {outcome.dice_without_cortex:.3f}, in the middle {outcome.dice_in_the_middle:.3f}"
    far = "  -  " if outcome.distance_mm is None else f"{outcome.distance_mm:5.2f}"
    print(f"{outcome.case:<34} Dice {outcome.dice:.3f}  {far} mm{bare}  found {outcome.found}/{outcome.instances}"
          f"  false {outcome.false}  merged {outcome.merged}  {outcome.seconds:.1f} s  {outcome.note}", flush=True)


def numbers_of(text: str) -> list[int]:
    """``1,3-5`` as numbers."""
    out: list[int] = []
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        out += range(int(first), int(last or first) + 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--structure", choices=list(KINDS), required=True)
    parser.add_argument("--values", default="")
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--model", type=Path, default=default_path())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    images, references = (sorted(pattern.parent.glob(pattern.name)) for pattern in (options.images, options.references))
    if not images or len(images) != len(references):
        raise SystemExit(f"There are {len(images)} images and {len(references)} references: give as many of each.")
    network = load(options.model)
    rules = [rule.partition("=")[::2] for rule in options.leave_out]
    outcomes = []
    for image, reference in zip(images, references, strict=True):
        left_out = [v for pattern, text in rules if fnmatch(reference.name, pattern) for v in numbers_of(text)]
        outcomes.append(evaluate(image, reference, options.structure, numbers_of(options.values), left_out, network))
        show(outcomes[-1])
    result = {"structure": options.structure, "model_sha256": network.sha256, "values": options.values,
              "left_out": options.leave_out, "summary": summary(outcomes), "cases": [asdict(o) for o in outcomes]}
    print(json.dumps(result["summary"], indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
