"""TotalSegmentator."""

from collections.abc import Sequence
from pathlib import Path

from ..anatomy import Level
from ..schemes import LabeledInput, understand
from ..volume import Volume
from .exchange import read_labels
from .outside import Arguments, is_ct, run_outside
from .process import Program, Stage
from .protocol import Engine, Job, Segmented

_PROGRAM = Program("TotalSegmentator", "totalsegmentator.bin.TotalSegmentator:main", (
    Stage(r"Downloading", 0.02, "TotalSegmentator gets its weights"),
    Stage(r"^Resampling", 0.08, "TotalSegmentator prepares the scan"),
    Stage(r"^Predicting(\.| part 1)", 0.12, "TotalSegmentator segments"),
    Stage(r"^Predicting part 2", 0.35, "TotalSegmentator segments, part 2"),
    Stage(r"^Predicting part 3", 0.55, "TotalSegmentator segments, part 3"),
    Stage(r"Saving segmentations", 0.92, "TotalSegmentator writes its result"),
), "the folder that TOTALSEG_WEIGHTS_PATH names (~/.totalsegmentator without it)")

# Of the task total, what this project uses: each further organ costs another of its five models.
_REGIONS = (*(f"vertebrae_{level}" for level in Level if not level.is_variant), "sacrum", "spinal_cord",
            *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)))


def segment(job: Job) -> Segmented:
    """CT: vertebrae, ribs and canal content, then bodies and discs.  MR: vertebrae."""
    tasks = ("total", "vertebrae_body") if is_ct(job.volume, job.contrast) else ("vertebrae_mr",)

    def collect(results: Path, scan: Volume) -> LabeledInput:
        found = [read_labels(results / f"{task}.nii.gz", scan) for task in tasks]
        scheme = "totalsegmentator" if tasks[0] == "total" else "totalsegmentator_vertebrae_mr"
        return understand(found[0], scheme, subregions=found[1] if len(found) > 1 else None)

    return run_outside(job, _PROGRAM, "TotalSegmentator", [(task, _call(task)) for task in tasks], "scan.nii.gz",
                       collect)


def _call(task: str) -> Arguments:
    def arguments(scan: Path, results: Path) -> Sequence[str]:
        regions = ["--roi_subset", *_REGIONS] if task == "total" else []
        return ["-i", str(scan), "-o", str(results / f"{task}.nii.gz"), "--ml", "--task", task, *regions]
    return arguments


ENGINE = Engine(
    name="totalsegmentator", title="TotalSegmentator", scans="CT (vertebrae, discs, ribs) and MR (vertebrae)",
    license="Apache-2.0", url="https://github.com/wasserth/TotalSegmentator", package="totalsegmentator",
    requirements=("TotalSegmentator>=2.13",),
    hardware="a GPU of 7 GB to be quick; 40 minutes and more without one",
    terms="TotalSegmentator and the weights of the tasks total, vertebrae_body and vertebrae_mr are under Apache-2.0; "
          "on its first run it downloads them, and it sends anonymous usage statistics unless its "
          "configuration says otherwise.  Cite Wasserthal et al. 2023, https://doi.org/10.1148/ryai.230024.",
    run=segment, drives_gpu=True, order=30)
