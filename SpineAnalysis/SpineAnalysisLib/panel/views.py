"""The views of the panel: a layout of its own, and what the views show."""

from typing import Any

import slicer

from ..geometry.frames import Frame
from ..mrml.views import AXIAL_VIEW, SAGITTAL_VIEW, look_at, upright
from ..mrml.walk import Walk

LAYOUT = 27131
"""Number of the layout; Slicer's own ones and those of known extensions are far below."""

_AXIAL_MM, _SAGITTAL_MARGIN, _LEAST_MM = 110.0, 1.15, 90.0

_XML = f"""<layout type="horizontal" split="true">
 <item splitSize="500"><view class="vtkMRMLSliceNode" singletontag="{SAGITTAL_VIEW}">
  <property name="orientation" action="default">Sagittal</property>
  <property name="viewlabel" action="default">S</property>
  <property name="viewcolor" action="default">#EDD54C</property></view></item>
 <item splitSize="500"><layout type="vertical" split="true">
  <item splitSize="500"><view class="vtkMRMLSliceNode" singletontag="{AXIAL_VIEW}">
   <property name="orientation" action="default">Axial</property>
   <property name="viewlabel" action="default">A</property>
   <property name="viewcolor" action="default">#F34A33</property></view></item>
  <item splitSize="500"><layout type="horizontal" split="true">
   <item splitSize="400"><view class="vtkMRMLViewNode" singletontag="1">
    <property name="viewlabel" action="default">1</property></view></item>
   <item splitSize="600"><view class="vtkMRMLPlotViewNode" singletontag="SpinePlot">
    <property name="viewlabel" action="default">P</property></view></item></layout></item></layout></item>
</layout>"""


class SpineViews:
    """Sagittal view, section across the canal, 3D and plot; works without any view as well."""

    def __init__(self) -> None:
        self._before: int | None = None

    @property
    def shown(self) -> bool:
        return self._before is not None

    def show(self) -> None:
        """Change to the layout, once."""
        manager = slicer.app.layoutManager()
        if manager is None or self.shown:
            return
        node = manager.layoutLogic().GetLayoutNode()
        if not node.IsLayoutDescription(LAYOUT):
            node.AddLayoutDescription(LAYOUT, _XML)
        current = manager.layout
        self._before = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView if current == LAYOUT else current
        manager.setLayout(LAYOUT)

    def restore(self) -> None:
        """Change back to the user's layout, unless the user has left this one already."""
        manager = slicer.app.layoutManager()
        if manager is not None and self._before is not None and manager.layout == LAYOUT:
            manager.setLayout(self._before)
        self._before = None

    def show_across(self, image: Any | None) -> None:
        """Let the section across the canal show a scan."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetLayoutName() == AXIAL_VIEW and image is not None:
                composite.SetBackgroundVolumeID(image.GetID())

    def fill(self, image: Any | None, walk: Walk) -> None:
        """Show a scan and the whole spine."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetLayoutName() in (SAGITTAL_VIEW, AXIAL_VIEW) and image is not None:
                composite.SetBackgroundVolumeID(image.GetID())
        self.fit(walk)

    def fit(self, walk: Walk) -> None:
        """Let the views show the whole spine, or what is around the canal."""
        for name, size in ((SAGITTAL_VIEW, max(walk.length * _SAGITTAL_MARGIN, _LEAST_MM)), (AXIAL_VIEW, _AXIAL_MM)):
            node = _slice_node(name)
            if node is None:
                continue
            width, height, depth = node.GetFieldOfView()
            scale = size / min(width, height) if name == AXIAL_VIEW else size / height
            node.SetFieldOfView(width * scale, height * scale, depth)

    def go(self, walk: Walk, across: Frame, along: Frame | None = None) -> None:
        """Point the views; the sagittal one stays upright and shows the whole spine.  In the user's own layout, all
        slice views go to the place, in the planes that they have.

        :param across: of the section across the canal; its axes also say where sagittal is.
        :param along: another plane for the sagittal view.
        """
        if not self.shown:
            slice_class = slicer.vtkMRMLSliceNode
            slice_class.JumpAllSlices(slicer.mrmlScene, *across.origin.tolist(), slice_class.CenteredJumpSlice)
        axial, sagittal = _slice_node(AXIAL_VIEW), _slice_node(SAGITTAL_VIEW)
        if axial is not None:
            look_at(axial, across)
        if sagittal is not None:
            along = along or Frame(across.origin, across.anterior, across.superior, across.right)
            plane = upright(along, across)
            middle = walk.centerline.position(walk.length / 2)
            look_at(sagittal, plane.at(middle - plane.plane.distance(middle) * plane.superior))

    def plot(self, chart: Any | None) -> None:
        """Show a chart, or none."""
        node = slicer.mrmlScene.GetSingletonNode("SpinePlot", "vtkMRMLPlotViewNode")
        if node is not None:
            node.SetPlotChartNodeID(chart.GetID() if chart is not None else None)


def _slice_node(name: str) -> Any | None:
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
