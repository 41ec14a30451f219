"""How exactly foramina and lateral recesses are read on axial slices of phantoms, as a table in Markdown.

Two vertebrae whose articular processes stand forward, differently on either side; slices of 4.4 mm with pixels of
0.6 mm that lie and lean differently; the segmentation is ideal, on sagittal slices of 4 mm.  What the segmentation says
of the same places stands below.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation

from accuracy_axial import LIES, NOISE, PIXEL_MM, SAGITTAL, SLICES, STEP_MM
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import foramen
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.rasterize import Grid
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Scan

FORWARD_MM = ((0.0, 0.0), (3.0, 0.0), (0.0, 5.0), (6.0, 3.0))
"""How far the processes on the left and on the right stand in front of their usual place."""
BULGES_MM = (0.0, 2.0)
SIZE = 120
KEYS = ("foramen_width_disc", "lateral_recess_depth")


def block(phantom: Phantom, tilt_deg: float, shift: float) -> Grid:
    """Slices about the disc, wide enough for both foramina."""
    disc = phantom.chain.joints[0].frame
    right, front, up = Rotation.from_euler("x", -tilt_deg, degrees=True).as_matrix() @ disc.axes
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([-PIXEL_MM * right, -PIXEL_MM * front, STEP_MM * up])
    matrix[:3, 3] = disc.origin - 20.0 * disc.anterior - matrix[:3, :3] @ [SIZE / 2, SIZE / 2, (SLICES - 1) / 2 - shift]
    return Grid((SIZE, SIZE, SLICES), matrix)


def readings() -> Iterator[tuple[str, bool, float, float]]:
    """Key, whether it is by the axial slices, the error and the stated uncertainty."""
    turn = Rotation.from_euler("xyz", [3, -4, 5], degrees=True).as_matrix()
    for (left, right), bulge in product(FORWARD_MM, BULGES_MM):
        phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5).changed(
            joints={Level.L4: {"bulge_around": bulge}},
            vertebrae={Level.L5: {"facet_left": left, "facet_right": right}}))
        spine = build_spine(phantom.labels(phantom.grid(SAGITTAL, rotation=turn)))
        exact = {(t.key, t.side): t.value for t in phantom.truth()}
        for seed, lie in enumerate(LIES):
            image = phantom.image(block(phantom, *lie), "T2", noise=NOISE, seed=seed)
            found = foramen.compute(replace(spine, further=(Scan(image, "T2 axial", "T2"),)), {}, silent)
            for record in (m for m in found.measurements if m.key in KEYS):
                for each in (record, *record.others):
                    if each.value is not None and each.uncertainty is not None:
                        yield each.key, each.scan is not None, each.value - exact[each.key, each.side], each.uncertainty


def main() -> None:
    every = list(readings())
    print("| measurement | by | records | mean error | RMS | largest | covered |\n" + "|---" * 7 + "|")
    for key, axial in product(KEYS, (True, False)):
        error, stated = np.array([row[2:] for row in every if row[:2] == (key, axial)]).T
        print(f"| {key} | {'axial slices' if axial else 'segmentation'} | {len(error)} | {error.mean():.2f} mm | "
              f"{np.sqrt(np.mean(error**2)):.2f} mm | {np.abs(error).max():.2f} mm | "
              f"{np.mean(np.abs(error) <= stated):.0%} |")


if __name__ == "__main__":
    main()
