"""The nodes of one analysis: filed in one folder of the subject hierarchy, added as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
import vtk

ANALYSIS_ATTRIBUTE = "SpineAnalysis.analysis"
"""Attribute of the folder and of every node: the name of the analysis that it belongs to."""
ROLE_ATTRIBUTE = "SpineAnalysis.role"
"""Attribute of every node: what it shows, so that it is found again after a scene was saved and loaded."""


class ResultFolder:
    """Adds nodes to a scene, remembers them, and files them under one subject-hierarchy folder.

    :ivar scene: the ``vtkMRMLScene``.
    :ivar name: of the analysis.
    :ivar item: the folder's subject-hierarchy item.
    """

    def __init__(self, scene: Any, name: str) -> None:
        self.scene = scene
        self.name = name
        self._hierarchy = scene.GetSubjectHierarchyNode()
        self._nodes: list[Any] = []
        self._folders: list[int] = []
        self.item = self.folder(name, self._hierarchy.GetSceneItemID())
        self._hierarchy.SetItemAttribute(self.item, ANALYSIS_ATTRIBUTE, name)

    @classmethod
    def existing(cls, scene: Any, name: str) -> "ResultFolder | None":
        """The folder of an analysis that is in the scene already, to add to it."""
        items = result_items(scene, name)
        if not items:
            return None
        folder = cls.__new__(cls)
        folder.scene, folder.name, folder.item = scene, name, items[0]
        folder._hierarchy, folder._nodes, folder._folders = scene.GetSubjectHierarchyNode(), [], []
        return folder

    def folder(self, title: str, parent: int | None = None, expanded: bool = True) -> int:
        """A subfolder (of this folder, unless another is given)."""
        item = int(self._hierarchy.CreateFolderItem(self.item if parent is None else parent, title))
        self._hierarchy.SetItemExpanded(item, expanded)
        self._folders.append(item)
        return item

    def add(self, class_name: str, title: str, role: str, folder: int | None = None) -> Any:
        """A new node with default display nodes, filed."""
        node = getattr(slicer, class_name)()
        node.SetName(title)
        node.SetAttribute(ANALYSIS_ATTRIBUTE, self.name)
        node.SetAttribute(ROLE_ATTRIBUTE, role)
        node.SetUndoEnabled(True)
        self.scene.AddNode(node)
        self._nodes.append(node)
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        self._file(node, self.item if folder is None else folder)
        return node

    def _file(self, node: Any, folder: int) -> None:
        item = self._hierarchy.GetItemByDataNode(node)
        if item == self._hierarchy.GetInvalidItemID():
            self._hierarchy.CreateItem(folder, node)
        else:  # Slicer's application has filed it already
            self._hierarchy.SetItemParent(item, folder)

    def take(self, node: Any) -> None:
        """File a node that an earlier analysis of this name has added."""
        self._file(node, self.item)

    def discard(self) -> None:
        """Take everything out again."""
        for node in reversed(self._nodes):
            remove_node(self.scene, node)
        for item in reversed(self._folders):
            self._hierarchy.RemoveItem(item, False, False)


@contextmanager
def one_operation(scene: Any, name: str, replace: bool = False, keep: Any | None = None) -> Iterator[ResultFolder]:
    """Add the nodes of an analysis as one step that can be undone; an exception takes out all that was added.

    :param replace: remove earlier results of the same name, once the new ones are complete.
    :param keep: a node of theirs that people have edited: it becomes their own.
    """
    scene.SaveStateForUndo()
    scene.StartState(scene.BatchProcessState)
    try:
        earlier = result_items(scene, name) if replace else []
        folder = ResultFolder(scene, name)
        try:
            yield folder
        except BaseException:
            folder.discard()
            raise
        if earlier and keep is not None:
            _adopt(scene, keep)
        for item in earlier:
            _remove_results(scene, item)
    finally:
        scene.EndState(scene.BatchProcessState)


def _adopt(scene: Any, node: Any) -> None:
    """Make a node of an analysis one of the user's, out of the way of the new one."""
    hierarchy = scene.GetSubjectHierarchyNode()
    node.SetName(scene.GenerateUniqueName(f"{node.GetName()} (edited)"))
    node.SetDisplayVisibility(False)
    for attribute in (ANALYSIS_ATTRIBUTE, ROLE_ATTRIBUTE):
        node.RemoveAttribute(attribute)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), hierarchy.GetSceneItemID())


def remove_results(scene: Any, name: str) -> None:
    """Remove what analyses of this name have added; whatever else was moved into their folders stays."""
    scene.SaveStateForUndo()
    scene.StartState(scene.BatchProcessState)
    try:
        for item in result_items(scene, name):
            _remove_results(scene, item)
    finally:
        scene.EndState(scene.BatchProcessState)


def find_result(scene: Any, name: str, role: str) -> Any | None:
    """The first node of an analysis with this role."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return next((n for n in nodes if n.GetAttribute(ANALYSIS_ATTRIBUTE) == name
                 and n.GetAttribute(ROLE_ATTRIBUTE) == role), None)


def nodes_of(scene: Any, name: str, class_name: str) -> list[Any]:
    """All nodes of a class that belong to an analysis."""
    nodes = (scene.GetNthNodeByClass(i, class_name) for i in range(scene.GetNumberOfNodesByClass(class_name)))
    return [node for node in nodes if node.GetAttribute(ANALYSIS_ATTRIBUTE) == name]


def result_items(scene: Any, name: str) -> list[int]:
    """Subject-hierarchy items of the folders of an analysis."""
    hierarchy = scene.GetSubjectHierarchyNode()
    return [item for item in _children(hierarchy, hierarchy.GetSceneItemID())
            if hierarchy.GetItemAttribute(item, ANALYSIS_ATTRIBUTE) == name]


def _children(hierarchy: Any, item: int, recursive: bool = True) -> list[int]:
    ids = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, ids, recursive)
    return [ids.GetId(i) for i in range(ids.GetNumberOfIds())]


def _remove_results(scene: Any, folder: int) -> None:
    hierarchy = scene.GetSubjectHierarchyNode()
    nodes = [hierarchy.GetItemDataNode(item) for item in _children(hierarchy, folder)]
    for node in nodes:
        if node is not None and node.GetAttribute(ANALYSIS_ATTRIBUTE):
            remove_node(scene, node)
    for item in [*reversed(_children(hierarchy, folder)), folder]:
        if hierarchy.GetItemDataNode(item) is None and not _children(hierarchy, item):
            hierarchy.RemoveItem(item, False, False)


def remove_node(scene: Any, node: Any) -> None:
    """Remove a node with its place in the hierarchy and the nodes that show and store it."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        hierarchy.RemoveItem(item, False, False)
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for helper in helpers:
        if helper is not None and helper.GetScene() is scene:
            scene.RemoveNode(helper)
