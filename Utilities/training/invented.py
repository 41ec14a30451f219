"""The project's own phantoms as anatomies: any levels, curves, sizes and ailments, with rough surroundings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tissues as T
from numpy.typing import NDArray
from scipy import ndimage
from source import Plate, Source

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.geometry.frames import Frame
from SpineAnalysisLib.phantoms.phantom import Phantom
from SpineAnalysisLib.phantoms.rasterize import Grid, evaluate
from SpineAnalysisLib.phantoms.solids import Solid
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.phantoms.surroundings import Surroundings, inner_solids

Random = np.random.Generator

RANGES = ((Level.C2, Level.T3), (Level.C2, Level.T3), (Level.C3, Level.T8), (Level.T4, Level.L3), (Level.T10, Level.S1),
          (Level.T11, Level.S1))
"""Levels that one phantom spans; the neck, which the masks lack, twice."""
_TISSUES = {"skin": T.SKIN, "fat": T.SUBCUTANEOUS, "bowel": T.CLUSTERS[0], "psoas": 64, "muscle": 32,
            "interspinous": T.NEAR[1], "ligament": T.NEAR[2], "vessel": 30, "vein": T.VEIN, "dura": T.DURA,
            "csf": T.CSF, "cord": T.CORD, "rootlet": T.ROOTS, "nerve": T.NEAR[3]}
MARGIN_MM = (45.0, 55.0, 25.0)


def random_spec(random: Random, first: Level, last: Level) -> SpineSpec:
    """Sizes, curves and ailments within what people have."""
    omit = {Level.T13, Level.L6} - ({Level.L6} if random.random() < 0.15 else set())
    spec = SpineSpec.typical(first, last, tuple(omit))
    size, curve, scoliosis = random.uniform(0.85, 1.18), random.normal(1.0, 0.45), random.random() < 0.3
    phase, tilt = random.uniform(0, 2 * np.pi), random.uniform(2.0, 7.0)
    vertebrae, joints = [], []
    for vertebra in spec.vertebrae:
        keys = ("width", "depth", "height_anterior", "height_posterior", "canal_width", "canal_depth", "pedicle_width",
                "pedicle_height", "process_reach", "spinous_length")
        changed: dict[str, Any] = {key: getattr(vertebra, key) * size * random.normal(1.0, 0.05) for key in keys}
        changed["canal_depth"] = max(changed["canal_depth"], vertebra.cord_depth + 2.5)
        changed["height_posterior"] = changed["height_anterior"] * (
            vertebra.height_posterior / vertebra.height_anterior) * random.normal(1.0, 0.03)
        changed["concavity"] = random.uniform(0.2, 2.5) * min(1.0, vertebra.width / 40)
        changed["osteophyte"] = random.exponential(0.8) * min(1.0, vertebra.width / 30)
        changed["waist"] = random.uniform(0.02, 0.14)
        changed["spinous_slope"] = vertebra.spinous_slope * random.uniform(0.7, 1.3)
        if random.random() < 0.12 and vertebra.level is not Level.S1:
            changed["height_anterior"] *= random.uniform(0.5, 0.85)
            changed["height_posterior"] *= random.uniform(0.7, 1.0)
            changed["concavity"] += random.uniform(0.0, 3.0)
        vertebrae.append(replace(vertebra, **changed))
    for index, joint in enumerate(spec.joints):
        wave = np.sin(phase + index * 0.9)
        height = joint.disc_height * size * random.uniform(0.55, 1.25)
        steep = np.degrees(np.arcsin(np.clip((height - 1.5) / (vertebrae[index + 1].depth / 2), 0, 0.5)))
        joints.append(replace(
            joint, disc_height=height, lordosis=float(min(joint.lordosis * curve + random.normal(0, 1.5), steep)),
            coronal=tilt * wave if scoliosis else random.normal(0, 1.0),
            rotation=2.0 * wave if scoliosis else random.normal(0, 0.8),
            slip=random.uniform(-4.0, 9.0) if random.random() < 0.08 else random.normal(0, 0.5),
            narrowing_depth=random.uniform(0.1, 0.5) if random.random() < 0.3 else 0.0,
            narrowing_width=random.uniform(0.0, 0.3) if random.random() < 0.3 else 0.0,
            bulge=random.exponential(1.2), degeneration=int(random.integers(1, 6))))
    conus = Level(int(np.clip(random.normal(Level.L1, 1.0), Level.T12, Level.L3)))
    return SpineSpec(tuple(vertebrae), tuple(joints), conus=conus)


def invented(random: Random, number: int) -> Source:
    """A phantom, painted."""
    first, last = RANGES[number % len(RANGES)]
    while True:
        try:
            phantom = Phantom(random_spec(random, first, last))
            solids = phantom.solids
            break
        except InputError:  # no height left at a disc's back, and the like: draw again
            continue
    spine = Grid.around(np.concatenate([s.corners for s in solids if s.structure is not None]), 1.0, "RIP",
                        margin=(MARGIN_MM[0], MARGIN_MM[2], MARGIN_MM[1]))
    return _painted(random, phantom, solids, spine, f"invented {number}", first is Level.C2)


def _painted(random: Random, phantom: Phantom, solids: list[Solid], grid: Grid, name: str, neck: bool) -> Source:
    tissue = np.zeros(grid.shape, np.uint8)
    depth = np.zeros(grid.shape, np.uint8)
    pose = phantom.spec.pose
    around = Surroundings.of(phantom.chain, phantom.canal, Frame(pose[:3, 3], *pose[:3, :3].T))
    for layer, distance in around.layers(*grid.coordinates(np.linalg.inv(around.frame.matrix))):
        tissue[np.broadcast_to(distance < 0, grid.shape)] = _TISSUES[layer]
        if layer == "fat":  # under the skin; deeper there is a mixture
            tissue[np.broadcast_to(distance < -random.uniform(4, 25), grid.shape)] = T.CLUSTERS[0]
    if neck:
        _throat(random, tissue, around, grid)
    before, after = inner_solids(phantom.chain, phantom.canal)
    numbers = {level: index for index, level in enumerate(phantom.spec.levels)}
    for solid in before:
        _paint(solid, grid, tissue, lambda _: T.EPIDURAL if solid.layers[0][1] == "fat" else T.NEAR[3])  # noqa: B023
    for solid in solids:
        _paint(solid, grid, tissue, _painter(solid, numbers, phantom), depth)
    for solid in after:
        _paint(solid, grid, tissue, lambda _: T.ROOTS)
    if neck:
        _head(tissue, phantom, grid)
    inverse = np.linalg.inv(grid.ijk_to_ras)
    plates = []
    for body in phantom.chain.bodies:
        for sign in (1, -1):
            frame = body.endplate(sign)
            down = -(inverse[:3, :3] @ frame.superior)
            plates.append(Plate(inverse[:3, :3] @ frame.origin + inverse[:3, 3], down / np.linalg.norm(down)))
    canal = phantom.canal.points @ inverse[:3, :3].T + inverse[:3, 3]
    order = np.argsort(canal[:, 1])
    rows = np.arange(grid.shape[1])
    axis = np.stack([np.interp(rows, canal[order, 1], canal[order, c], np.nan, np.nan) for c in (0, 2)], axis=-1)
    return Source(name, tissue, depth, None, None, axis, tuple(plates), float("inf"), neck)


def _painter(solid: Solid, numbers: dict[Level, int], phantom: Phantom) -> Callable[[str], int]:
    """Tissue number of a layer of a solid."""
    structure = solid.structure
    if structure is None:
        level = _level_of_nucleus(solid, phantom)
        return lambda layer: (T.NUCLEUS + numbers[level] if layer.startswith("nucleus") and level is not None
                              else _TISSUES[layer])
    if structure.kind in (Kind.BODY, Kind.ARCH) and structure.level is Level.S1:
        return lambda layer: T.SACRUM
    if structure.kind in (Kind.BODY, Kind.ARCH, Kind.DISC) and structure.level is not None:
        base = {Kind.BODY: T.MARROW, Kind.ARCH: T.ARCH, Kind.DISC: T.ANNULUS}[structure.kind] + numbers[structure.level]
        return lambda layer: base
    return lambda layer: _TISSUES[layer]


def _level_of_nucleus(solid: Solid, phantom: Phantom) -> Level | None:
    for joint in phantom.chain.joints:
        if joint.frame is solid.frame:
            return joint.upper.spec.level
    return None


def _paint(solid: Solid, grid: Grid, tissue: NDArray[np.uint8], value_of: Callable[[str], int],
           depth: NDArray[np.uint8] | None = None) -> None:
    found = evaluate(solid, grid)
    if found is None:
        return
    window, distance = found
    inside = distance < 0
    for below, layer in solid.layers:
        tissue[window][distance < -below] = value_of(layer)
    if depth is not None:
        depth[window][inside] = np.clip(-distance[inside] * 10, 0, 255).astype(np.uint8)


def _throat(random: Random, tissue: NDArray[np.uint8], around: Surroundings, grid: Grid) -> None:
    """Airway and prevertebral muscle in front of the neck, and the neck's own skin."""
    x, y, z = grid.coordinates(np.linalg.inv(around.frame.matrix))
    u = x - np.interp(z, around.z, around.x)
    front = y - np.interp(z, around.z, around.y) - np.interp(z, around.z, around.front)
    far = random.uniform(10.0, 18.0)
    wide = random.uniform(5.0, 9.0)
    muscle = (np.abs(u) < 12) & (front > 0) & (front < random.uniform(3.0, 6.0))
    tissue[np.broadcast_to(muscle, grid.shape)] = T.MUSCLE
    airway = (u / wide) ** 2 + ((front - far) / (wide * 0.9)) ** 2 < 1
    tissue[np.broadcast_to(airway, grid.shape)] = 116
    tissue[np.broadcast_to((front > random.uniform(40.0, 60.0)), grid.shape)] = T.AIR


def _head(tissue: NDArray[np.uint8], phantom: Phantom, grid: Grid) -> None:
    """Above C2: the dens, the ring of C1 about the canal, occiput and brain."""
    body = phantom.chain.bodies[0]
    top = body.height / 2
    matrix = np.linalg.inv(body.frame.matrix)
    x, y, z = (np.broadcast_to(c, grid.shape) for c in grid.coordinates(matrix))
    canal_y = -body.spec.depth / 2 - 1 - body.spec.canal_depth / 2
    up = z - top
    above = up > 0
    free = above & (tissue != T.SKIN) & (tissue != T.SUBCUTANEOUS) & (tissue != T.AIR)
    cord = above & (np.hypot(x / 1.3, y - canal_y) < 5.0 + 0.12 * np.clip(up - 15, 0, None))
    canal = above & (np.hypot(x / 1.2, y - canal_y) < body.spec.canal_depth / 2 + 1)
    ring = np.hypot(x / 1.3, y - canal_y + 1)
    inner = body.spec.canal_depth / 2 + 3
    atlas = (ring > inner) & (ring < inner + 5) & (np.abs(up - 9) < 5) & (np.abs(x) + 2 * (y > canal_y) > 0)
    dens = (np.hypot(x / 1.1, y + body.spec.depth / 2 - 6) < 5.5) & (up > -2) & (up < 14)
    front = (np.hypot(x / 2.0, y + body.spec.depth / 2 - 15) < 3.5) & (np.abs(up - 9) < 5)
    skull = above & (up > 24) & (np.hypot(x / 1.2, y - canal_y + 8) > 14) & (up < 34) & (y < canal_y + 25)
    brain = (up > 30) & (np.hypot(x, y - canal_y + 10) < 55)
    tissue[free & canal] = T.CSF
    tissue[free & skull] = T.BONE_RIM
    tissue[free & brain & ~canal] = 37
    tissue[cord & free] = T.CORD
    tissue[(atlas | front) & ~canal & free] = T.ARCH + 29
    tissue[dens & ~canal] = T.MARROW
    tissue[dens & ~ndimage.binary_erosion(dens, iterations=1) & (up > 0) & ~canal] = T.BODY_RIM
