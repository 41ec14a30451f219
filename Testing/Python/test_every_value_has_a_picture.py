"""No value without a plane and a picture: every family's records, on phantoms that have something of each."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import test_muscle
from test_axial import block

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements.record import Measurement
from SpineAnalysisLib.measurements.registry import definitions, families
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.phantoms.spec import Herniation
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.report.planes import sections_at
from SpineAnalysisLib.report.section import section_pictures
from SpineAnalysisLib.spine import Scan, Spine
from SpineAnalysisLib.volume import Volume

Case = tuple[Spine, list[Measurement]]
HEADS_MM = np.array([[-88.0, 25.0, -95.0], [91.0, 25.0, -95.0]])


def measured(spine: Spine, **parameters: dict[str, object]) -> list[Measurement]:
    """By all families."""
    return [m for family in families()
            for m in family.compute(spine, {**family.defaults, **parameters.get(family.name, {})}, silent).measurements]


@cache
def case(name: str) -> Case:
    return {"muscles": muscles, "lumbar MR": lumbar_mr, "lumbar CT": lumbar_ct, "whole spine": whole_spine}[name]()


def muscles() -> Case:
    spine, masks, fat = test_muscle.spine()
    image = np.where((masks["right"] | masks["left"]) & ~fat, 145.0, 620.0).astype(np.float32)
    spine = replace(spine, image=Volume(image, spine.labels.ijk_to_ras), contrast="T2")
    psoas = {value: replace(s, kind=Kind.ILIOPSOAS) if s.kind is Kind.ERECTOR else s
             for value, s in spine.labels.structures.items()}
    return spine, [*measured(spine), *measured(replace(spine, labels=replace(spine.labels, structures=psoas)))]


def lumbar_mr() -> Case:
    spec = SpineSpec.typical(Level.L4, Level.S1).changed(joints={
        Level.L4: {"modic": 2, "herniation": Herniation(5.0, 14.0, offset=6.0)}})
    phantom = Phantom(spec)
    grid = phantom.grid(1.6, margin=(2.0, 12.0, 2.0))
    spine = build_spine(phantom.labels(grid, split=True), phantom.image(grid, "T2"), "T2")
    axial = phantom.image(block(phantom, size=110), "T2")
    spine = replace(spine, further=(Scan(phantom.image(grid, "T1"), "T1", "T1"), Scan(axial, "T2 axial", "T2")))
    return spine, measured(spine)


def lumbar_ct() -> Case:
    phantom = Phantom(SpineSpec.typical(Level.L1, Level.L2))
    grid = phantom.grid(2.0)
    spine = build_spine(phantom.labels(grid), phantom.image(grid, "CT"), "CT")
    return spine, measured(spine)


def whole_spine() -> Case:
    """With a curve, from the neck to the femoral heads, known by its labels alone."""
    bend = {level: {"coronal": 8.0} for level in (Level.T7, Level.T8, Level.T9)}
    phantom = Phantom(SpineSpec.typical(Level.C2, Level.S1).changed(joints=bend))
    spine = build_spine(phantom.labels(phantom.grid(2.0)))
    plate = phantom.chain.bodies[-1].endplate(1)
    return spine, measured(spine, pelvis={"femoral_heads_RAS": (plate.origin + HEADS_MM).tolist()})


CASES = ("muscles", "lumbar MR", "lumbar CT", "whole spine")


@pytest.mark.parametrize("name", CASES)
def test_every_value_has_a_plane_that_is_pictured(name: str) -> None:
    _, records = case(name)
    every = [*records, *(other for m in records for other in m.others)]
    valued = [m for m in every if m.value is not None]
    assert valued
    for level in {m.level for m in valued}:
        sections = sections_at(level, [m for m in every if m.level == level])
        told = {id(m) for section in sections for m in section.told}
        for m in (m for m in valued if m.level == level):
            assert m.geometry is not None, m
            assert m.geometry.frame is not None, m
            np.testing.assert_allclose(m.geometry.frame.axes @ m.geometry.frame.axes.T, np.eye(3), atol=1e-9)
            assert np.isfinite(m.geometry.points_RAS).all(), m
            assert id(m) in told, m


@pytest.mark.parametrize("name", CASES)
def test_pictures_are_made_of_every_family(name: str) -> None:
    """One of each, as they take their time."""
    spine, records = case(name)
    homes = {d.key: family.name for family in families() for d in family.definitions}
    left = {homes[m.key] for m in records if m.value is not None}
    for level in sorted({m.level for m in records}, key=str):
        for section in sections_at(level, [m for m in records if m.level == level]):
            here = {homes[m.key] for m in section.told}
            if here & left:
                left -= here
                pictures = section_pictures(spine, section, definitions())
                assert pictures
                assert all(each.caption and each.picture.alt for each in pictures)
    assert left == set()


def test_nothing_was_left_out() -> None:
    """These phantoms have a value of every measurement that there is."""
    assert set(definitions()) - {m.key for name in CASES for m in case(name)[1] if m.value is not None} == set()
