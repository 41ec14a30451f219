"""Ships a checkpoint: spine.onnx and its sidecar spine.json, checked against the trained network.

Usage: python export.py --work WORK --output FOLDER [--figures figures.json]
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from generator import CHANNELS, samples
from network import Answering, SpineNet

from SpineAnalysisLib.segmentation.network import canonical
from SpineAnalysisLib.segmentation.network.classes import RIM_MM, Class

TOLERANCE = 1e-4
"""Largest difference of a probability between the trained network and the exported one."""
OPSET = 17


def load(work: Path) -> tuple[SpineNet, dict[str, Any]]:
    """The averaged network of the last checkpoint, and the checkpoint."""
    state = torch.load(work / "last.pt", weights_only=True, map_location="cpu")
    network = SpineNet(CHANNELS, len(Class), tuple(state["config"]["widths"]))
    network.load_state_dict(state["average"])
    return network.eval(), state


def export(network: SpineNet, path: Path) -> None:
    answering = Answering(network).eval()
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(answering, (torch.zeros(2, CHANNELS, 64, 96),), str(path), dynamo=False, opset_version=OPSET,
                      input_names=["stack"], output_names=["probabilities"],
                      dynamic_axes={"stack": axes, "probabilities": axes})
    onnx.checker.check_model(str(path))


def greatest_difference(network: SpineNet, path: Path, work: Path) -> float:
    """Between both programs' answers, over samples of several sizes."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    for size in ((64, 96), (192, 176), (320, 256)):
        source = samples(work / "pool", 99, *size, torch.device("cpu"))
        stack = torch.stack([next(source)[0] for _ in range(3)])
        with torch.no_grad():
            wanted = Answering(network)(stack).numpy()
        got = session.run(["probabilities"], {"stack": stack.numpy()})[0]
        differences.append(float(np.abs(got - wanted).max()))
    return max(differences)


def sidecar(path: Path, state: dict[str, Any], work: Path, difference: float, figures: Any) -> dict[str, Any]:
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "version": state["config"]["version"],
        "input": {"name": "stack", "channels": CHANNELS, "neighbors": canonical.NEIGHBORS, "multiple_of": 16},
        "output": {"name": "probabilities", "classes": [c.name.lower() for c in Class]},
        "pixel_mm": canonical.PIXEL_MM,
        "coarse_pixel_mm": canonical.COARSE_PIXEL_MM,
        "slice_mm": canonical.SLICE_MM,
        "rim_mm": RIM_MM,
        "normalization": {"percentiles": canonical.PERCENTILES, "ceiling": canonical.CEILING,
                          "ct_range_hu": canonical.CT_RANGE},
        "training": {"config": state["config"], "steps": state["step"], "minutes": round(state["spent"] / 60, 1),
                     "final_loss": state["history"][-1][2] if state["history"] else None,
                     "masks_sha256": json.loads((work / "sources.json").read_text()),
                     "torch": torch.__version__},
        "export_difference": difference,
        "license": "Apache-2.0",
        "figures": figures,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    network, state = load(options.work)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "spine.onnx"
    export(network, path)
    difference = greatest_difference(network, path, options.work)
    if difference > TOLERANCE:
        raise SystemExit(f"The exported network differs from the trained one by {difference:.2g}.")
    figures = json.loads(options.figures.read_text()) if options.figures else None
    text = json.dumps(sidecar(path, state, options.work, difference, figures), indent=2)
    (options.output / "spine.json").write_text(text + "\n")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, greatest difference {difference:.2g}, step {state['step']}")
