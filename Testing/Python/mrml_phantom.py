"""A small analysis made by hand: boxes and a tube on an oblique grid, and records with known values."""

import numpy as np
from numpy.typing import NDArray

from SpineAnalysisLib.analysis import Analysis
from SpineAnalysisLib.anatomy import Kind, Level, Segment, Structure
from SpineAnalysisLib.geometry.curves import Curve
from SpineAnalysisLib.geometry.frames import Frame
from SpineAnalysisLib.measurements.record import Geometry, Grade, Measurement, Quality, Severity, Table
from SpineAnalysisLib.measurements.registry import Definition
from SpineAnalysisLib.spine import MotionSegment, Spine, Vertebra
from SpineAnalysisLib.volume import LabelMap, Volume

SHAPE = (40, 44, 60)
LEVELS = (Level.L3, Level.L4, Level.L5)
FIRST_K = {Level.L3: 42, Level.L4: 24, Level.L5: 6}
BODY_K = 12
CANAL_LABEL = 60

DEFINITIONS = {d.key: d for d in (
    Definition("canal_area", "Canal area", "mm2", "Area of the section.", draw=True),
    Definition("canal_ap_diameter", "Canal AP diameter", "mm", "Extent along A.", draw=True),
    Definition("canal_area_ratio", "Canal area ratio", "1", "Area over neighbors' area.", decimals=2),
)}
STENOSIS = Grade("stenosis", "canal_area < 100 mm2", "Bolender 1985", Severity.SEVERE)


def oblique_matrix() -> NDArray[np.floating]:
    """1.5 x 2 x 2.5 mm voxels, turned about two axes, i to the left, j to the back."""
    a, b = np.radians([17.0, -9.0])
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    out = np.eye(4)
    out[:3, :3] = about_s @ about_r @ np.diag([-1.5, -2.0, 2.5])
    out[:3, 3] = [31.0, 52.0, -210.0]
    return out


def labels() -> LabelMap:
    array = np.zeros(SHAPE, np.uint16)
    structures = {CANAL_LABEL: Structure(Kind.CANAL)}
    for number, level in enumerate(LEVELS, start=1):
        k = FIRST_K[level]
        array[10:30, 8:24, k:k + BODY_K] = number
        array[13:27, 32:38, k + 2:k + 8] = number + 10
        structures |= {number: Structure(Kind.BODY, level), number + 10: Structure(Kind.ARCH, level)}
        if level is not Level.L5:
            array[10:30, 8:24, k - 6:k] = number + 20
            structures[number + 20] = Structure(Kind.DISC, level, below=LEVELS[number])
    i, j = np.ogrid[:SHAPE[0], :SHAPE[1]]
    array[((i - 20) / 7.0) ** 2 + ((j - 28) / 4.0) ** 2 < 1] = CANAL_LABEL
    structures[99] = Structure(Kind.CORD)  # declared, but nowhere to be seen
    return LabelMap(array, oblique_matrix(), "phantom", structures, frozenset({21}))


def image() -> Volume:
    rng = np.random.default_rng(7)
    array = (200 * (labels().array > 0) + rng.integers(0, 50, SHAPE)).astype(np.int16)
    return Volume(array, oblique_matrix(), "T2 sag")


def frame_at(i: float, j: float, k: float) -> Frame:
    matrix = oblique_matrix()
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return Frame(labels().to_ras(np.array([i, j, k])), -axes[:, 0], -axes[:, 1], axes[:, 2])


def spine() -> Spine:
    frames = {level: frame_at(19.5, 15.5, FIRST_K[level] + 5.5) for level in LEVELS}
    vertebrae = tuple(Vertebra(v, frames[v], None, None, frames[v].origin, None) for v in LEVELS)
    gaps = tuple(MotionSegment(Segment(a, b), frame_at(19.5, 15.5, FIRST_K[a] - 3.0), 15.0, None)
                 for a, b in zip(LEVELS, LEVELS[1:], strict=False))
    ends = np.stack([frame_at(20, 28, k).origin for k in (59, 0)])
    centerline = Curve(ends[0] + np.linspace(0, 1, 148)[:, None] * (ends[1] - ends[0]))
    return Spine(labels(), vertebrae, gaps, centerline, None, None, image(), "T2")


def contour(frame: Frame, right_mm: float, anterior_mm: float) -> NDArray[np.floating]:
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return frame.to_ras(np.stack([right_mm * np.cos(angle), anterior_mm * np.sin(angle), 0 * angle], axis=1))


def measurements() -> tuple[Measurement, ...]:
    out = []
    for upper, lower, area, grades in ((Level.L3, Level.L4, 180.0, ()), (Level.L4, Level.L5, 72.34, (STENOSIS,))):
        frame = frame_at(20, 28, FIRST_K[upper] - 3.0)
        half = np.array([10.5, area / np.pi / 10.5])
        segment = Segment(upper, lower)
        line = frame.to_ras(np.array([[0, -half[1], 0], [0, half[1], 0]]))
        out += [
            Measurement("canal_area", segment, area, "mm2", None, 4.5, Quality.GOOD, (), grades,
                        Geometry("contour", contour(frame, *half), frame)),
            Measurement("canal_ap_diameter", segment, 2 * half[1], "mm", None, 0.4, Quality.LIMITED, ("thick slices",),
                        (), Geometry("line", line, frame)),
        ]
    out.append(Measurement("canal_area_ratio", Segment(Level.L4, Level.L5), None, "1",
                           flags=("canal not in view at L5",)))
    return tuple(out)


def analysis() -> Analysis:
    along = np.arange(0.0, 147.0)
    profile = Table("canal_profile", "Canal profile", {
        "arc_length_mm": along, "canal_area_mm2": 150 + 30 * np.cos(along / 20),
        "canal_ap_diameter_mm": np.where(along < 3, np.nan, 14.0), "canal_transverse_diameter_mm": 20 + along / 100},
        {"L3": 28.0, "L4": 73.0, "L5": 118.0})
    return Analysis(spine(), measurements(), (profile,), ("Severe stenosis at L4-L5.",))
