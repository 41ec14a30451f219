"""How exactly the dural sac is outlined on axial slices of phantoms, as a table in Markdown.

Two vertebrae with a canal that is more or less narrow between them, with and without fat behind it; slices of 4.4 mm
with pixels of 0.6 mm that lie and lean differently; the segmentation is ideal, on sagittal slices of 4 mm.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements.axial import axial_readings
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.rasterize import Grid
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.spine import Scan

NARROWINGS = ((0.0, 0.0), (0.2, 0.1), (0.35, 0.3), (0.45, 0.1), (0.5, 0.45))
"""Shares of depth and width that are lost."""
FAT_MM = (0.0, 6.0)
LIES = ((0.0, 0.5), (-14.0, 0.2), (12.0, 0.0))
"""How far slices lean against the disc, degrees, and how far they are shifted, in slices."""
SAGITTAL, PIXEL_MM, STEP_MM, SLICES, SIZE, NOISE = (4.0, 0.8, 0.8), 0.6, 4.4, 5, 90, 40.0
QUANTITIES = {"area": "mm2", "ap_diameter": "mm", "transverse_diameter": "mm"}


def block(phantom: Phantom, tilt_deg: float, shift: float) -> Grid:
    """Slices about the disc."""
    disc = phantom.chain.joints[0].frame
    right, front, up = Rotation.from_euler("x", -tilt_deg, degrees=True).as_matrix() @ disc.axes
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([-PIXEL_MM * right, -PIXEL_MM * front, STEP_MM * up])
    middle = np.array([SIZE / 2.0, SIZE / 2.0, (SLICES - 1) / 2.0 - shift])
    matrix[:3, 3] = disc.origin - 20.0 * disc.anterior - matrix[:3, :3] @ middle
    return Grid((SIZE, SIZE, SLICES), matrix)


def readings() -> Iterator[tuple[str, float, float, float]]:
    """Quantity, what was found, what is exact, and the stated uncertainty."""
    turn = Rotation.from_euler("xyz", [3, -4, 5], degrees=True).as_matrix()
    for (depth, width), fat in product(NARROWINGS, FAT_MM):
        joint = {"narrowing_depth": depth, "narrowing_width": width, "bulge": 2.0 if depth else 0.0}
        phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5).changed(joints={Level.L4: joint}, fat=fat))
        spine = build_spine(phantom.labels(phantom.grid(SAGITTAL, rotation=turn)))
        exact = {t.key: t.value for t in phantom.truth() if t.level == phantom.chain.joints[0].segment}
        for seed, lie in enumerate(LIES):
            image = phantom.image(block(phantom, *lie), "T2", noise=NOISE, seed=seed)
            found, notes = axial_readings(replace(spine, further=(Scan(image, "T2 axial", "T2"),)))
            if len(found) != 1:
                raise RuntimeError(f"Narrowed by {depth} and {width}, fat {fat}, {lie}: {len(found)} readings; {notes}")
            for quantity in QUANTITIES:
                yield (quantity, float(getattr(found[0].narrowest, quantity)), exact[f"canal_{quantity}"],
                       found[0].uncertainty(quantity))


def main() -> None:
    every = list(readings())
    print("| measurement | records | mean error | RMS | largest | RMS, relative | covered |\n" + "|---" * 7 + "|")
    for quantity, unit in QUANTITIES.items():
        found, exact, stated = np.array([row[1:] for row in every if row[0] == quantity]).T
        error = found - exact
        print(f"| {quantity.replace('_', ' ')} | {len(error)} | {error.mean():.2f} {unit} | "
              f"{np.sqrt(np.mean(error**2)):.2f} {unit} | {np.abs(error).max():.2f} {unit} | "
              f"{np.sqrt(np.mean((error / exact)**2)):.1%} | {np.mean(np.abs(error) <= stated):.0%} |")


if __name__ == "__main__":
    main()
