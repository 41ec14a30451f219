"""``python -m SpineAnalysisLib.phantoms PRESET OUT_DIR`` writes a phantom as a scan and its segmentation."""

import argparse
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import SimpleITK

from ..errors import InputError
from ..volume import Volume
from .image import Contrast
from .presets import preset, presets

# Around the spine, along right, front and head: like the field of view of a sagittal scan, which cuts the canal.
_MARGIN_RAS = {"R": 25.0, "A": 50.0, "S": -6.0}
_OPPOSITE = {"L": "R", "P": "A", "I": "S"}


def write(volume: Volume, path: Path) -> None:
    """Save a volume with orthogonal axes in any format of SimpleITK."""
    image = SimpleITK.GetImageFromArray(volume.array.T)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(volume.spacing.tolist())
    image.SetOrigin((to_lps @ volume.ijk_to_ras[:3, 3]).tolist())
    image.SetDirection((to_lps @ volume.ijk_to_ras[:3, :3] / volume.spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(path), True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m SpineAnalysisLib.phantoms", description=__doc__)
    parser.add_argument("preset", choices=presets())
    parser.add_argument("out_dir", type=Path, help="gets image.nii.gz and segmentation.nii.gz")
    parser.add_argument("--spacing", type=float, nargs=3, default=(1.0, 1.0, 1.0), help="mm along the grid's axes")
    parser.add_argument("--axes", default="PSR", help="patient directions of the grid's axes (default: sagittal)")
    parser.add_argument("--contrast", choices=get_args(Contrast), default="T2")
    parser.add_argument("--noise", type=float, help="standard deviation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    phantom = preset(options.preset)
    margin = [_MARGIN_RAS.get(_OPPOSITE.get(letter, letter), 0.0) for letter in options.axes]
    try:
        grid = phantom.grid(options.spacing, options.axes, margin=margin)
    except InputError as error:
        parser.error(str(error))
    options.out_dir.mkdir(parents=True, exist_ok=True)
    image = phantom.image(grid, options.contrast, noise=options.noise, seed=options.seed)
    write(image, options.out_dir / "image.nii.gz")
    write(phantom.labels(grid), options.out_dir / "segmentation.nii.gz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
