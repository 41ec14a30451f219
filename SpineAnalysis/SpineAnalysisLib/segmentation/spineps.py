"""SPINEPS."""

from pathlib import Path

from ..schemes import LabeledInput, understand
from ..spine import Contrast
from ..volume import Volume
from .exchange import read_labels
from .outside import Run, is_ct, only_file, run_outside
from .process import Program, Stage
from .protocol import Engine, Job, Segmented

_PROGRAM = Program("SPINEPS", "spineps.entrypoint:entry_point", (
    Stage(r"[Dd]ownload", 0.02, "SPINEPS gets its weights"),
    Stage(r"Processing sub-scan", 0.06, "SPINEPS prepares the scan"),
    Stage(r"crop with VIBESegmentator", 0.08, "SPINEPS looks for the spine"),
    Stage(r"Predict Semantic Mask", 0.15, "SPINEPS finds parts of vertebrae"),
    Stage(r"Predict instance mask", 0.60, "SPINEPS tells vertebrae apart"),
    Stage(r"Post process", 0.85, "SPINEPS names vertebrae"),
    Stage(r"Sample took", 0.97, "SPINEPS writes its result"),
), "the folder that SPINEPS_SEGMENTOR_MODELS names (those of VIBESegmentator: VIBESEG_WEIGHTS_PATH)",
    # It takes a GPU for granted unless told.
    before="import torch\nif not torch.cuda.is_available():\n    sys.argv.append('--cpu')")

_MODELS: dict[Contrast, tuple[str, str, str]] = {  # semantic, instance and labeling
    "T1": ("t1w", "instance", "t2w_labeling"), "T2": ("t2w", "instance", "t2w_labeling"),
    "STIR": ("t2w", "instance", "t2w_labeling"), "CT": ("ct", "ct_instance", "ct_labeling")}
_SUFFIXES: dict[Contrast, str] = {"T1": "T1w", "T2": "T2w", "STIR": "T2w", "CT": "ct"}


def segment(job: Job) -> Segmented:
    """Vertebrae by level, their parts, discs, canal and cord."""
    contrast: Contrast = job.contrast or ("CT" if is_ct(job.volume, None) else "T2")
    semantic, instance, labeling = _MODELS[contrast]

    def arguments(scan: Path, _results: Path) -> list[str]:
        return ["sample", "--input", str(scan), "--model-semantic", semantic, "--model-instance", instance,
                "--model-labeling", labeling, "--derivative-name", "results", "--ignore-inference-compatibility"]

    def collect(results: Path, scan: Volume) -> LabeledInput:
        vertebrae, parts = (read_labels(only_file(results, f"**/*seg-{name}_msk.nii.gz"), scan)
                            for name in ("vert", "spine"))
        return understand(vertebrae, "spineps", subregions=parts)

    return run_outside(job, "spineps", [Run(f"{semantic}, {instance}, {labeling}", _PROGRAM, arguments)],
                       f"sub-scan_{_SUFFIXES[contrast]}.nii.gz", collect)


ENGINE = Engine(
    name="spineps", title="SPINEPS", scans="sagittal T2 and T1 MR, and CT",
    license="Apache-2.0", url="https://github.com/Hendrik-code/spineps", package="spineps",
    requirements=("spineps>=2.1",),
    hardware="a GPU; it also runs, much more slowly, without one",
    terms="SPINEPS is under Apache-2.0; on its first run it downloads its weights into its own package, or into the "
          "folder that SPINEPS_SEGMENTOR_MODELS names; for large scans it also downloads those of VIBESegmentator.  "
          "Cite Möller et al. 2024, https://doi.org/10.1007/s00330-024-11155-y.",
    run=segment, drives_gpu=True, order=40)
