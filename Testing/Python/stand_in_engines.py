"""Stand-ins for the strong engines: tiny packages of the same names, modules and command lines, run as real children.

They write what the real programs write where these write it, after lines of output like theirs.  They hold no network:
what they cannot show is that the real programs still take these command lines, and what their weights find.
"""

import os
from contextlib import suppress
from pathlib import Path

# What the stand-in does is told by the file MODE beside its package, so that nothing of the engine's call changes.
PROGRAM = '''
import os, subprocess, sys, time
from pathlib import Path
import numpy, SimpleITK

def act(arguments, write):
    here = Path(__file__).resolve().parent
    while not (here / "MODE").is_file():
        here = here.parent
    mode = (here / "MODE").read_text()
    (here / "ARGUMENTS").open("a").write("\\\\n".join(arguments) + "\\\\n\\\\n")
    (here / "ENVIRONMENT").write_text("\\\\n".join(f"{k}={v}" for k, v in os.environ.items()))
    print("a line that tells nothing")
    if mode == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (here / "PIDS").write_text(f"{os.getpid()} {child.pid}")
        print(LINES[0])
        time.sleep(600)
    if mode == "greedy":
        kept = numpy.ones(80_000_000)
        time.sleep(600)
    if mode == "no memory":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
        sys.exit(1)
    if mode == "no network":
        sys.exit("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>")
    if mode == "killed":
        os.kill(os.getpid(), 9)
    if mode == "crash":
        raise RuntimeError("no kernel image is available")
    for line in LINES:
        print(line)
        for percent in (50, 100):
            sys.stderr.write(f"\\\\r{percent}%|#####     | {percent}/100")
            sys.stderr.flush()
        sys.stderr.write("\\n")
        time.sleep(0.25)
    if mode != "nothing":
        write(mode)

def label(scan, target, name, mode):
    """Copy the label map that the test put beside the package, or garbage."""
    here = Path(__file__).resolve().parent
    while not (here / "MODE").is_file():
        here = here.parent
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if mode == "garbage":
        Path(target).write_bytes(b"not a label map")
        return
    image = SimpleITK.ReadImage(str(here / f"{name}.nii.gz"))
    array = SimpleITK.GetArrayFromImage(image)
    if mode == "empty":
        array[:] = 0
    if mode == "noise":
        array = numpy.random.default_rng(0).integers(0, 60000, array.shape).astype("uint16")
    out = SimpleITK.GetImageFromArray(array)
    out.CopyInformation(image)
    assert SimpleITK.ReadImage(str(scan)).GetSize() == image.GetSize()
    SimpleITK.WriteImage(out, str(target))
'''.replace("\\\\", "\\")

TOTALSPINESEG = PROGRAM + '''
LINES = ["Preprocessing images:", "Running step 1 model:", "Running step 2 model:"]

def main():
    scan, output, *rest = sys.argv[1:]
    assert rest[:4] == ["--keep-only", "step2_output", "--max-workers", "1"], rest
    act(sys.argv[1:], lambda mode: label(scan, Path(output) / "step2_output" / Path(scan).name, "labels", mode))
'''

TOTALSEGMENTATOR = PROGRAM + '''
import argparse
LINES = [*(["Predicting part 1 of 3 ...", "Predicting part 2 of 3 ..."] if "total" in sys.argv else ["Predicting..."]),
         "Saving segmentations..."]

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-i"), parser.add_argument("-o"), parser.add_argument("-ml", "--ml", action="store_true")
    parser.add_argument("-ta", "--task"), parser.add_argument("-rs", "--roi_subset", nargs="+")
    parser.add_argument("-ns", "--nr_thr_saving", type=int)
    given = parser.parse_args()
    assert given.ml
    act(sys.argv[1:], lambda mode: label(given.i, given.o, given.task, mode))
'''

SPINEPS = PROGRAM + '''
import argparse
LINES = ["[ ] Processing sub-scan_T2w.nii.gz", "[*] Predict Semantic Mask", "[*] Predict instance mask",
         "[*] Post process", "[ ] Sample took: 2.0 seconds"]

def entry_point():
    parser = argparse.ArgumentParser()
    sample = parser.add_subparsers().add_parser("sample")
    for name in ("--input", "--model-semantic", "--model-instance", "--model-labeling", "--derivative-name"):
        sample.add_argument(name, required=True)
    sample.add_argument("--ignore-inference-compatibility", action="store_true")
    sample.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    scan = Path(given.input)
    stem, _, suffix = scan.name.removesuffix(".nii.gz").partition("_")

    def write(mode):
        for name in ("vert", "spine"):
            label(scan, scan.parent / given.derivative_name / f"{stem}_mod-{suffix}_seg-{name}_msk.nii.gz", name, mode)

    act(sys.argv[1:], write)
'''

MODULES = {"totalspineseg": ("totalspineseg/inference.py", TOTALSPINESEG),
           "totalsegmentator": ("totalsegmentator/bin/TotalSegmentator.py", TOTALSEGMENTATOR),
           "spineps": ("spineps/entrypoint.py", SPINEPS)}


def install(engine: str, folder: Path, mode: str) -> None:
    """Put the stand-in of an engine into a folder that is, or will be, on Python's path."""
    path, source = MODULES[engine]
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    for parent in target.relative_to(folder).parents[:-1]:
        (folder / parent / "__init__.py").touch()
    target.write_text(source)
    (folder / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: False)\n")
    (folder / "MODE").write_text(mode)


def children() -> list[int]:
    """Ids of the processes that this one started to segment in, and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(os.getpid()) and b"segmentation.apart" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found
