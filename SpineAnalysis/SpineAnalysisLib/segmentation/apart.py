"""The built-in engine in a process of its own, so that an application stays usable and can end it at any moment."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..progress import Progress, part, silent, step
from ..schemes import LabeledInput
from ..schemes.apply import own_structures, settled_discs
from ..spine import Contrast
from ..volume import LabelMap, Volume
from .exchange import scratch_folder
from .hints import Hint, HintKind
from .process import Program, run_program, tell
from .protocol import Engine, Limits, Segmented
from .registry import engine_named

_SCAN, _LABELS, _JOB, _RESULT = "scan.npy", "labels.npy", "job.json", "result.json"
_HERE = Path(__file__).resolve().parents[2]
"""The folder that holds this package: a child of Slicer's does not look for modules there."""


def segment_apart(engine: Engine, volume: Volume, contrast: Contrast | None = None, *, hints: tuple[Hint, ...] = (),
                  limits: Limits | None = None, progress: Progress = silent) -> Segmented:
    """What :meth:`Engine.segment` does, in a process of its own; engines that have one anyway are asked directly.

    Probabilities do not come back.

    :raises InputError: what the engine raises, and where its process is killed or reaches a limit.
    :raises Cancelled: by ``progress``; the process is then gone.
    """
    if not engine.inside or not engine.installed:
        return engine.segment(volume, contrast, hints=hints, limits=limits, progress=progress)
    program = Program(engine.title, f"{__name__}:main", (), "its own folder", _HERE)
    with scratch_folder() as folder:
        step(progress, 0.0, f"Starting {engine.title}")
        np.save(folder / _SCAN, volume.array)
        _write(folder / _JOB, {
            "engine": engine.name, "contrast": contrast, "name": volume.name, "ijk_to_ras": volume.ijk_to_ras.tolist(),
            "hints": [{"kind": hint.kind.value, "points_RAS": hint.points_RAS.tolist()} for hint in hints]})
        run_program(program, [str(folder)], folder, limits or Limits(), part(progress, 0.0, 0.98))
        result = json.loads((folder / _RESULT).read_text("utf-8"))
        if "error" in result:
            raise InputError(result["error"])
        found = volume.with_array(np.load(folder / _LABELS))
    labels = LabelMap(found.array, found.ijk_to_ras, found.name, settled_discs(own_structures(found)))
    labeled = LabeledInput(labels, result["scheme"], tuple(result["notes"]), result["levels_known"],
                           result["canal_means"])
    step(progress, 1.0, "Segmented")
    return Segmented(labeled, provenance=result["provenance"])


def main() -> int:
    """The child: segments what lies in the folder that is its argument."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / _JOB).read_text("utf-8"))
    volume = Volume(np.load(folder / _SCAN), np.array(job["ijk_to_ras"]), job["name"])
    hints = tuple(Hint(HintKind(each["kind"]), np.array(each["points_RAS"])) for each in job["hints"])
    try:
        found = engine_named(job["engine"]).segment(volume, job["contrast"], hints=hints, progress=tell)
    except InputError as error:
        _write(folder / _RESULT, {"error": str(error)})
        return 0
    labeled = found.labeled
    np.save(folder / _LABELS, labeled.labels.array)
    _write(folder / _RESULT, {
        "scheme": labeled.scheme, "notes": labeled.notes, "levels_known": labeled.levels_known,
        "canal_means": labeled.canal_means, "provenance": dict(found.provenance)})
    return 0


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
