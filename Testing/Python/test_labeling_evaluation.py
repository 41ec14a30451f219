"""The program that counts how often levels are right."""

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from labeling_chains import chain, levels_between

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.labeling.detections import Detection


def keypoints(found: Sequence[Detection], levels: Sequence[Level] | None) -> list[dict[str, object]]:
    """Detections in the form of the VID set, with levels or with regions."""
    out = []
    for i, detection in enumerate(found):
        assert detection.region_probabilities is not None
        told = {"spine_level": str(levels[i])} if levels else \
            {"spine_segment_probabilities": detection.region_probabilities.tolist()}
        out.append(point(detection.center_RAS, {"keypoint_type": "body", **told}))
        assert detection.pedicles_RAS is not None
        out += [point(at, {"keypoint_type": side})
                for at, side in zip(detection.pedicles_RAS, ("left", "right"), strict=True)]
    return out


def point(at_RAS: np.ndarray, kind: dict[str, object]) -> dict[str, object]:
    return {"coordinates": {"world_space": (at_RAS * [-1.0, -1.0, 1.0]).tolist()}, "type": kind}


def test_figures_are_what_they_say(tmp_path: Path, repository: Path) -> None:
    usual = levels_between(Level.T9, Level.L5)
    six = levels_between(Level.T9, Level.L6, variants=[Level.L6])
    cases = {"usual": (usual, usual), "six": (six, six), "mistaken": (usual, [Level(v - 1) for v in usual[:2]]),
             "none": ([], usual)}
    predicted = {name: keypoints(chain(seen, sure=0.999), None) for name, (seen, _) in cases.items()}
    truth = {name: keypoints(chain(levels), levels) for name, (_, levels) in cases.items()}
    for name, content in (("predictions", predicted), ("truth", truth)):
        with gzip.open(tmp_path / f"{name}.json.gz", "wt") as file:
            json.dump(content, file)
    subprocess.run([sys.executable, repository / "Utilities" / "evaluate_labeling.py", tmp_path / "predictions.json.gz",
                    tmp_path / "truth.json.gz", "--json", tmp_path / "out.json"], check=True, capture_output=True,
                   env={"PYTHONPATH": str(repository / "SpineAnalysis"), "PATH": ""})
    written = json.loads((tmp_path / "out.json").read_text())
    figures, right = written["figures"]["all"], {c["case"]: c["correct"] for c in written["cases"]}
    assert right == {"usual": True, "six": True, "mistaken": False, "none": False}
    assert (figures["cases"], figures["all_levels_right"], figures["refused"]) == (4, 50.0, 25.0)
    assert figures["variants"] == {"cases": 1, "found": 100.0, "all_levels_right": 100.0, "vertebrae_right": 100.0}
    assert figures["regions"] == {"vertebrae": 21, "wrong": 0.0, "likely": 19, "wrong_of_likely": 0.0}, "L1 or L6"
    assert figures["by_certainty"]["error"] == {"cases": 1, "wrong": 1}
