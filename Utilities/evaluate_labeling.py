"""How often levels are right: ``evaluate_labeling.py PREDICTIONS.json.gz GROUND_TRUTH.json.gz [--crops]``.

The files are those of the VID set of vertebral keypoints: case -> keypoints in DICOM (LPS) millimeters, bodies and
pedicles each by itself; predictions carry probabilities of the regions instead of levels.  Nothing is learned here.
Cases are told apart by a hash of their names into a half that was looked at while the model was written and one that
was not.

Detections belong to the ground truth's nearest body within 15 mm; others are spurious and must not be named among the
annotated ones.  A detection beyond the annotated ends is a vertebra that the annotators left out, mostly because it is
cut, and does not count.  Cases with a reference are those in which a border of regions is sharp.

``--crops`` asks of each case three to five vertebrae in a row instead, without the detector's answers for the regions,
as a cropped scan of unknown place is.
"""

import argparse
import gzip
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from SpineAnalysisLib.anatomy import Level, successors
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.detections import Detection
from SpineAnalysisLib.labeling.label import BLURRED, Certainty, Labeling, label
from SpineAnalysisLib.measurements.cutoffs import LIKELY_PLACE

NEAR_MM = 15.0
PEDICLES_BEHIND_MM = 45.0
NOTHING = 0.03
"""What the detector answers of a region that nothing speaks for: 0.027 is the median of the lower two of its three
answers over all bodies, whatever their levels, as of a network that was trained with smoothed labels."""
CONFIDENCE = (0.2, 0.99)
"""Limits of how sure a detection is to be a vertebra, whatever the detector says: it misses whole vertebrae, too."""
GAP = 1.6
"""Distance of annotated neighbors, in those beside, from which on one between them was left out."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    :param right, matched: detections named rightly, of those that are annotated.
    :param region_wrong, region_likely, likely_wrong: of those with a name, in how many its region is not the true one;
        in how many it is likely enough for the limits of one region; and in how many of these it is wrong.
    :param named_stray: detections between the annotated bodies that are none and got a name.
    """

    case: str
    looked_at: bool
    certainty: str
    references: tuple[str, ...] = ()
    right: int = 0
    matched: int = 0
    region_wrong: int = 0
    region_likely: int = 0
    likely_wrong: int = 0
    named_stray: int = 0
    variant: bool = False
    variant_found: bool = False
    cropped: bool = False
    seconds: float = 0.0
    note: str = ""

    @property
    def correct(self) -> bool:
        return self.certainty != "error" and self.right == self.matched and self.named_stray == 0


def looked_at(case: str) -> bool:
    """Whether a case belongs to the half that was looked at while the model was written."""
    return hashlib.sha256(case.encode()).digest()[0] % 2 == 0


def positions(points: Sequence[Mapping[str, Any]], kind: str) -> np.ndarray:
    """(N, 3) RAS mm of all keypoints of a kind."""
    lps = [p["coordinates"]["world_space"] for p in points if p["type"]["keypoint_type"] == kind]
    return np.array(lps, float).reshape(-1, 3) * (-1.0, -1.0, 1.0)


def regions(point: Mapping[str, Any]) -> np.ndarray:
    """(3,) probabilities of the regions, less what the detector answers where nothing speaks for a region."""
    each = np.maximum(answers(point) - NOTHING, 1e-3)
    return np.asarray(each / each.sum())


def answers(point: Mapping[str, Any]) -> np.ndarray:
    """(3,) of the detector, each region by itself; all are low for what is none of them."""
    return np.array(point["type"]["spine_segment_probabilities"], float)


def detections(points: Sequence[Mapping[str, Any]]) -> list[Detection]:
    """The bodies of a case with their pedicles."""
    bodies = [p for p in points if p["type"]["keypoint_type"] == "body"]
    centers = positions(points, "body")
    left, right = (nearest(centers, positions(points, side)) for side in ("left", "right"))
    return [Detection(center, regions(body), np.stack([left[i], right[i]]) if i in left and i in right else None,
                      confidence=float(np.clip(answers(body).max(), *CONFIDENCE)))
            for i, (center, body) in enumerate(zip(centers, bodies, strict=True))]


def nearest(centers: np.ndarray, points: np.ndarray) -> dict[int, np.ndarray]:
    """Body -> its pedicle on one side."""
    if len(centers) == 0 or len(points) == 0:
        return {}
    apart = np.linalg.norm(centers[:, None] - points[None], axis=2)
    return {int(i): points[j] for i, j in zip(*linear_sum_assignment(apart), strict=True)
            if apart[i, j] < PEDICLES_BEHIND_MM}


def crop_of(case: str, found: Sequence[Detection]) -> list[Detection]:
    """Three to five vertebrae in a row, of regions unknown; which ones is the same every time."""
    down = sorted((replace(d, region_probabilities=None) for d in found), key=lambda d: -float(d.center_RAS[2]))
    _, size, place = hashlib.sha256(case.encode()).digest()[:3]
    count = min(3 + size % 3, len(down))
    first = place % (len(down) - count + 1)
    return down[first:first + count]


def evaluate(case: str, predicted: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]],
             crop: bool = False) -> Outcome:
    """Label one case and compare."""
    seen = looked_at(case)
    bodies = [p for p in truth if p["type"]["keypoint_type"] == "body"]
    levels = [Level[p["type"]["spine_level"]] for p in bodies]
    centers = positions(truth, "body")
    cropped = Level.L5 not in levels and Level.L6 not in levels
    odd = odd_steps(levels)
    try:
        found = crop_of(case, detections(predicted)) if crop else detections(predicted)
        start = time.perf_counter()
        labeling = label(found)
        seconds = time.perf_counter() - start
    except InputError as error:
        return Outcome(case, seen, "error", variant=bool(odd), cropped=cropped, note=str(error))
    apart = np.linalg.norm(np.array([d.center_RAS for d in found])[:, None] - centers[None], axis=2)
    costs = np.minimum(apart, NEAR_MM)  # so that what has no partner does not push the others to their neighbors
    pairs = {int(i): int(j) for i, j in zip(*linear_sum_assignment(costs), strict=True) if apart[i, j] <= NEAR_MM}
    right = sum(labeling.levels[i] is levels[j] for i, j in pairs.items())
    told = [(level.region is levels[j].region, likely_region(labeling, i)) for i, j in pairs.items()
            for level in [labeling.levels[i]] if level is not None]
    low, high = centers[:, 2].min() + NEAR_MM, centers[:, 2].max() - NEAR_MM
    stray = sum(labeling.levels[i] is not None and bool(low < d.center_RAS[2] < high)
                and not in_gap(d.center_RAS, centers) for i, d in enumerate(found) if i not in pairs)
    return Outcome(case, seen, labeling.certainty.value, labeling.references, right, len(pairs),
                   sum(not same for same, _ in told), sum(likely for _, likely in told),
                   sum(likely and not same for same, likely in told), stray, bool(odd),
                   bool(odd) and odd <= odd_steps([v for v in labeling.levels if v is not None]), cropped, seconds,
                   f"{labeling.probability:.3f} {' '.join(str(v) for v in labeling.levels)}")


def likely_region(labeling: Labeling, place: int) -> bool:
    """Whether a vertebra is surely enough of its name's region to be graded by the limits of that region."""
    level, chances = labeling.levels[place], labeling.chances[place]
    share = sum(chance for other, chance in chances.items() if level is not None and other.region is level.region)
    return share >= LIKELY_PLACE


def odd_steps(levels: Sequence[Level]) -> set[tuple[Level, Level]]:
    """Neighbors that most people do not have: an L6 below L5, L1 below T11."""
    chain = sorted(levels)
    return {(a, b) for a, b in zip(chain, chain[1:], strict=False) if b in successors(a)[1:]}


def in_gap(point: np.ndarray, centers: np.ndarray) -> bool:
    """Whether annotators left out a vertebra here, as they do with a thirteenth thoracic one."""
    heights = np.sort(centers[:, 2])
    steps = np.diff(heights)
    at = int(np.clip(np.searchsorted(heights, point[2]) - 1, 0, len(steps) - 1))
    beside = [steps[i] for i in (at - 1, at + 1) if 0 <= i < len(steps)]
    return bool(beside and steps[at] > GAP * np.mean(beside))


def share(part: int, whole: int) -> float | None:
    return round(100.0 * part / whole, 2) if whole else None


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures in percent, with their counts."""
    told = [o for o in outcomes if any(not name.startswith(BLURRED) for name in o.references)]
    certain = [o for o in outcomes if o.certainty == Certainty.CERTAIN.value]
    variants = [o for o in outcomes if o.variant]
    cropped = [o for o in outcomes if o.cropped]
    named = [o for o in outcomes if o.certainty not in ("error", Certainty.REFUSED.value)]
    return {
        "cases": len(outcomes),
        "all_levels_right": share(sum(o.correct for o in outcomes), len(outcomes)),
        "vertebrae_right": share(sum(o.right for o in outcomes), sum(o.matched for o in outcomes)),
        "with_reference": {"cases": len(told), "all_levels_right": share(sum(o.correct for o in told), len(told))},
        "variants": {"cases": len(variants), "found": share(sum(o.variant_found for o in variants), len(variants)),
                     "all_levels_right": share(sum(o.correct for o in variants), len(variants)),
                     "vertebrae_right": share(sum(o.right for o in variants), sum(o.matched for o in variants))},
        "cropped": {"cases": len(cropped), "all_levels_right": share(sum(o.correct for o in cropped), len(cropped)),
                    "vertebrae_right": share(sum(o.right for o in cropped), sum(o.matched for o in cropped))},
        "regions": {"vertebrae": sum(o.matched for o in outcomes),
                    "wrong": share(sum(o.region_wrong for o in outcomes), sum(o.matched for o in outcomes)),
                    "likely": sum(o.region_likely for o in outcomes),
                    "wrong_of_likely": share(sum(o.likely_wrong for o in outcomes),
                                             sum(o.region_likely for o in outcomes))},
        "by_certainty": {c: {"cases": len(group), "wrong": sum(not o.correct for o in group)}
                         for c in (*(x.value for x in Certainty), "error")
                         if (group := [o for o in outcomes if o.certainty == c])},
        "certain": {"cases": len(certain), "wrong": share(sum(not o.correct for o in certain), len(certain))},
        "refused": share(len(outcomes) - len(named), len(outcomes)),
        "longest_ms": round(1000.0 * max((o.seconds for o in outcomes), default=0.0), 1),
    }


def read(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return dict(json.load(file))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures and every case's outcome here")
    parser.add_argument("--half", choices=("both", "seen", "unseen"), default="both", help="which cases to look at")
    parser.add_argument("--crops", action="store_true", help="a few vertebrae of each case, of regions unknown")
    options = parser.parse_args(arguments)
    predictions, truth = read(options.predictions), read(options.ground_truth)
    wanted = [case for case in sorted(truth) if case in predictions]
    outcomes = [o for case in wanted if options.half == "both" or looked_at(case) == (options.half == "seen")
                for o in [evaluate(case, predictions[case], truth[case], options.crops)]]
    figures = {name: summary(group) for name, group in (
        ("all", outcomes), ("looked at while developing", [o for o in outcomes if o.looked_at]),
        ("never looked at", [o for o in outcomes if not o.looked_at])) if group}
    print(json.dumps(figures, indent=2))
    if options.json:
        cases = [{**vars(o), "correct": o.correct} for o in outcomes]
        options.json.write_text(json.dumps({"figures": figures, "cases": cases}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
