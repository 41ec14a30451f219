"""Pictures of the views, drawn off-screen by slicer-core's own displayable managers."""

from contextlib import contextmanager

import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SpineAnalysisLib import headless

_FLAT = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D",
         "vtkMRMLMarkupsDisplayableManager")
_SPACE = ("vtkMRMLCameraDisplayableManager", "vtkMRMLViewDisplayableManager", "vtkMRMLModelDisplayableManager",
          "vtkMRMLSegmentationsDisplayableManager3D", "vtkMRMLMarkupsDisplayableManager")


class _View:
    """A render window with the managers of one view node."""

    def __init__(self, factory, managers, size):
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetAlphaBitPlanes(1)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        factory.SetMRMLApplicationLogic(headless._started.application_logic)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group.SetRenderer(self.renderer)

    def picture(self):
        """(height, width, 3) uint8, rows from the top."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()


@contextmanager
def _outlines_only():
    """This window draws what is filled on top of the scan, not into it; Slicer's blends them."""
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    before = [display.GetOpacity2DFill() for display in displays]
    for display in displays:
        display.SetOpacity2DFill(0.0)
    yield
    for display, opacity in zip(displays, before, strict=True):
        display.SetOpacity2DFill(opacity)


def slice_picture(name, size):
    """A slice view as its node and its composite node say, segments as outlines."""
    with _outlines_only():
        return _slice_picture(name, size)


def _slice_picture(name, size):
    scene = slicer.mrmlScene
    view = _View(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _FLAT, size)
    view.renderer.GetActiveCamera().ParallelProjectionOn()
    view.group.Initialize(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), view.renderer)
    node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(headless._started.application_logic)
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(node)
    _, height, depth = node.GetFieldOfView()
    logic.ResizeSliceNode(*size)
    node.SetFieldOfView(height * size[0] / size[1], height, depth)
    view.group.SetMRMLDisplayableNode(node)
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(logic.GetImageDataConnection())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    if logic.GetImageDataConnection() is not None:
        view.renderer.AddViewProp(actor)
    try:
        return view.picture()
    finally:
        view.group.SetMRMLDisplayableNode(None)
        logic.SetMRMLScene(None)


def space_picture(name, size):
    """A 3D view."""
    view = _View(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _SPACE, size)
    view.group.Initialize(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), view.renderer)
    node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLViewNode")
    node.SetBoxVisible(False)
    node.SetAxisLabelsVisible(False)
    view.group.SetMRMLDisplayableNode(node)
    try:
        view.renderer.ResetCameraClippingRange()
        return view.picture()
    finally:
        view.group.SetMRMLDisplayableNode(None)


def plot_picture(name, size):
    """A plot view: the series of its chart as lines and marks."""
    chart = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLPlotViewNode").GetPlotChartNode()
    context = vtk.vtkContextView()
    context.GetRenderWindow().SetOffScreenRendering(1)
    context.GetRenderWindow().SetMultiSamples(0)
    context.GetRenderWindow().SetSize(*size)
    context.GetRenderer().SetBackground(1, 1, 1)
    drawn = vtk.vtkChartXY()
    context.GetScene().AddItem(drawn)
    for index in range(chart.GetNumberOfPlotSeriesNodes() if chart is not None else 0):
        series = chart.GetNthPlotSeriesNode(index)
        marks = series.GetMarkerStyle() != series.MarkerStyleNone
        plot = drawn.AddPlot(vtk.vtkChart.POINTS if marks else vtk.vtkChart.LINE)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetColorF(*series.GetColor())
    if chart is not None:
        drawn.SetTitle(chart.GetTitle())
        drawn.GetAxis(1).SetTitle(chart.GetXAxisTitle() or "")
        drawn.GetAxis(0).SetTitle(chart.GetYAxisTitle() or "")
    context.GetRenderWindow().Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(context.GetRenderWindow())
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
