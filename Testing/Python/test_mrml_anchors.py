"""Vertebrae that people know, as markups of the scene."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrml_phantom
import numpy as np
import pytest
import slicer

from SpineAnalysisLib import headless
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.label import Anchor
from SpineAnalysisLib.labeling.naming import Naming, Source
from SpineAnalysisLib.mrml import show as room
from SpineAnalysisLib.mrml.anchors import anchors_from_node, find_anchors
from SpineAnalysisLib.mrml.results import remove_results
from SpineAnalysisLib.mrml.show import show

ANCHORS = (Anchor(Level.L4, np.array([1.0, 20.0, -30.0])), Anchor(Level.T13, np.array([0.0, -5.5, 90.0])))


@pytest.fixture
def scene() -> Iterator[Any]:
    with headless.fresh_scene() as fresh:
        yield fresh


def point_list(scene: Any, *points: tuple[str, tuple[float, float, float]]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Known vertebrae")
    for label, at in points:
        node.AddControlPoint(at, label)
    return node


def test_points_are_read_where_their_transforms_put_them(scene: Any) -> None:
    node = point_list(scene, (" l5 ", (1.0, 2.0, 3.0)), ("T12", (0.0, 0.0, 150.0)))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:3, 3] = (10.0, 0.0, -7.0)
    slicer.util.updateTransformMatrixFromArray(transform, moved)
    node.SetAndObserveTransformNodeID(transform.GetID())
    low, high = anchors_from_node(node)
    assert (low.level, high.level) == (Level.L5, Level.T12)
    np.testing.assert_allclose(low.at_RAS, (11.0, 2.0, -4.0))
    np.testing.assert_allclose(high.at_RAS, (10.0, 0.0, 143.0))


def test_points_that_are_not_placed_yet_are_left_out(scene: Any) -> None:
    node = point_list(scene, ("L5", (1.0, 2.0, 3.0)), ("F-2", (0.0, 0.0, 0.0)))
    node.UnsetNthControlPointPosition(1)
    assert [a.level for a in anchors_from_node(node)] == [Level.L5]


@pytest.mark.parametrize("label", ["F-1", "", "L7"])
def test_a_point_that_names_no_vertebra_is_one_sentence(scene: Any, label: str) -> None:
    with pytest.raises(InputError, match="names no vertebra: label it with a level, such as L5") as error:
        anchors_from_node(point_list(scene, (label, (0.0, 0.0, 0.0))))
    assert str(error.value).count(". ") == 0


def test_anchors_survive_saving_and_removal_of_the_results(scene: Any, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "definitions", lambda: mrml_phantom.DEFINITIONS)
    analysis = mrml_phantom.analysis()
    analysis = replace(analysis, naming=Naming(analysis.spine.labels, Source.PEOPLE, anchors=ANCHORS))
    shown = show(analysis, scene)
    assert find_anchors(scene) is shown.anchors
    headless.write_mrb(scene, tmp_path / "scene.mrb")
    remove_results(scene, shown.name)
    assert find_anchors(scene) is shown.anchors, "they are people's, not the analysis's"
    scene.Clear()
    headless.read_mrb(scene, tmp_path / "scene.mrb")
    for loaded, anchor in zip(anchors_from_node(find_anchors(scene)), ANCHORS, strict=True):
        assert loaded.level is anchor.level
        np.testing.assert_allclose(loaded.at_RAS, anchor.at_RAS, atol=1e-3)


def test_a_node_that_is_in_the_scene_is_not_doubled(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "definitions", lambda: mrml_phantom.DEFINITIONS)
    mine = point_list(scene, ("L4", (1.0, 20.0, -30.0)))
    analysis = mrml_phantom.analysis()
    analysis = replace(analysis, naming=Naming(analysis.spine.labels, Source.PEOPLE, anchors=ANCHORS[:1]))
    assert show(analysis, scene, anchors_node=mine).anchors is mine
    assert find_anchors(scene) is None
