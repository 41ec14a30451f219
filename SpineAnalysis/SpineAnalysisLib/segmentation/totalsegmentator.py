"""TotalSegmentator."""

from collections.abc import Sequence
from pathlib import Path

from ..anatomy import Level
from ..schemes import LabeledInput, understand
from ..volume import Volume
from .exchange import read_labels
from .outside import Run, is_ct, run_outside
from .process import Program, Stage
from .protocol import Engine, Job, Segmented

_FIRST = Stage(r"Downloading", 0.02, "TotalSegmentator gets its weights")
_LAST = Stage(r"Saving segmentations", 0.92, "TotalSegmentator writes its result")
_STAGES: dict[str, tuple[Stage, ...]] = {
    "total": (Stage(r"rough segmentation", 0.04, "TotalSegmentator looks for the spine"),
              Stage(r"^Predicting part 1", 0.15, "TotalSegmentator segments vertebrae"),
              Stage(r"^Predicting part 2", 0.40, "TotalSegmentator segments canal, hips and muscles"),
              Stage(r"^Predicting part 3", 0.65, "TotalSegmentator segments ribs")),
    "vertebrae_body": (Stage(r"^Predicting\.", 0.12, "TotalSegmentator segments bodies and discs"),),
    "vertebrae_mr": (Stage(r"^Predicting\.", 0.12, "TotalSegmentator segments vertebrae"),),
}

# Of the task total, what this project uses, which three of its five models find: vertebrae, then canal, hips and
# muscles together, then ribs.
_REGIONS = (*(f"vertebrae_{level}" for level in Level if not level.is_variant), "sacrum", "spinal_cord",
            *(f"{part}_{side}" for part in ("hip", "femur", "autochthon", "iliopsoas") for side in ("left", "right")),
            *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)))


def segment(job: Job) -> Segmented:
    """CT: vertebrae, ribs, canal content, hips and muscles, then bodies and discs.  MR: vertebrae."""
    tasks = ("total", "vertebrae_body") if is_ct(job.volume, job.contrast) else ("vertebrae_mr",)

    def collect(results: Path, scan: Volume) -> LabeledInput:
        found = [read_labels(results / f"{task}.nii.gz", scan) for task in tasks]
        scheme = "totalsegmentator" if tasks[0] == "total" else "totalsegmentator_vertebrae_mr"
        return understand(found[0], scheme, subregions=found[1] if len(found) > 1 else None)

    return run_outside(job, "TotalSegmentator", [_run(task) for task in tasks], "scan.nii.gz", collect)


def _run(task: str) -> Run:
    def arguments(scan: Path, results: Path) -> Sequence[str]:
        regions = ["--roi_subset", *_REGIONS] if task == "total" else []
        return ["-i", str(scan), "-o", str(results / f"{task}.nii.gz"), "--ml", "--task", task,
                "--nr_thr_saving", "1", *regions]  # each more would be a process that loads PyTorch

    program = Program("TotalSegmentator", "totalsegmentator.bin.TotalSegmentator:main",
                      (_FIRST, *_STAGES[task], _LAST), "the folder that TOTALSEG_WEIGHTS_PATH names "
                      "(~/.totalsegmentator/nnunet/results without it)")
    return Run(task, program, arguments)


ENGINE = Engine(
    name="totalsegmentator", title="TotalSegmentator", scans="CT (vertebrae, discs, ribs) and MR (vertebrae)",
    license="Apache-2.0", url="https://github.com/wasserth/TotalSegmentator", package="totalsegmentator",
    requirements=("TotalSegmentator>=2.13",),
    hardware="a GPU of 7 GB to be quick; 40 minutes and more without one",
    terms="TotalSegmentator and the weights of the tasks total, vertebrae_body and vertebrae_mr are under Apache-2.0; "
          "on its first run it downloads them, and it sends anonymous usage statistics unless its "
          "configuration says otherwise.  Cite Wasserthal et al. 2023, https://doi.org/10.1148/ryai.230024.",
    run=segment, drives_gpu=True, order=30)
