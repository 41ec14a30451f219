"""TotalSpineSeg."""

import sys
from pathlib import Path

from ..schemes import LabeledInput, understand
from ..volume import Volume
from .exchange import read_labels
from .outside import Run, only_file, run_outside
from .process import Program, Stage
from .protocol import Engine, Job, Segmented

_PROGRAM = Program("TotalSpineSeg", "totalspineseg.inference:main", (
    Stage(r"Downloading|Installing", 0.02, "TotalSpineSeg gets its weights"),
    Stage(r"Preprocessing images", 0.08, "TotalSpineSeg prepares the scan"),
    Stage(r"Running step 1 model", 0.12, "TotalSpineSeg finds discs and canal"),
    Stage(r"label IVDs with the definite", 0.50, "TotalSpineSeg names discs"),
    Stage(r"Running step 2 model", 0.58, "TotalSpineSeg finds vertebrae"),
    Stage(r"label vertebrae and IVDs", 0.92, "TotalSpineSeg names vertebrae"),
), "nnUNet/results in the folder that TOTALSPINESEG_DATA names",
    before="import multiprocessing\n"
           "multiprocessing.set_forkserver_preload(['totalspineseg'])")  # or each of its steps imports PyTorch anew

# Linux forks processes: its workers inherit the locks of PyTorch's threads and may wait for ever.
_NO_STALLING = ["--no-stalling"] if sys.platform == "linux" else []


def segment(job: Job) -> Segmented:
    """Discs, vertebrae, canal and cord, with levels."""
    def arguments(scan: Path, results: Path) -> list[str]:
        return [str(scan), str(results), "--keep-only", "step2_output", "--max-workers", "1", *_NO_STALLING]

    def collect(results: Path, scan: Volume) -> LabeledInput:
        return understand(read_labels(only_file(results, "step2_output/*.nii.gz"), scan), "totalspineseg")

    return run_outside(job, "totalspineseg", [Run("step 1 and 2", _PROGRAM, arguments)], "scan.nii.gz", collect)


ENGINE = Engine(
    name="totalspineseg", title="TotalSpineSeg", scans="MR of any contrast; CT with less certainty",
    license="LGPL-3.0-only", url="https://github.com/neuropoly/totalspineseg", package="totalspineseg",
    # Its library auglab takes names from kornia that 0.8.3 dropped.
    requirements=("totalspineseg[nnunetv2]>=20260807", "kornia>=0.8,<0.8.3"),
    hardware="a GPU to be quick; it also runs, slowly, without one",
    terms="TotalSpineSeg is free software under LGPL-3.0; on its first run it downloads its weights into its own "
          "package, or into the folder that TOTALSPINESEG_DATA names.  Cite Warszawer et al. 2025 (see its web page), "
          "and Isensee et al. 2021 (nnU-Net), https://doi.org/10.1038/s41592-020-01008-z.",
    run=segment, drives_gpu=True, order=20)
