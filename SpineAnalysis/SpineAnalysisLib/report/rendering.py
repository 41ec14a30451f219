"""Smooth surfaces of labels, drawn off-screen in parallel projection."""

import ctypes.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry.frames import Vector
from ..volume import Volume

FloatArray = NDArray[np.floating]
Pixels = NDArray[np.uint8]

_PIXEL_MM = 0.35
_MAX_PIXELS = 1400
_SMOOTHING_ITERATIONS = 24
_LIGHTS = ((0.70, (-0.6, 0.8, 1.0)), (0.35, (1.3, 0.1, 0.8)), (0.30, (0.0, -0.2, 1.0)))
"""Intensity and direction (the picture's right, up and towards the viewer) of key, fill and head light."""


@dataclass(frozen=True, eq=False)
class Surface:
    """:param points_RAS: (N, 3); :param triangles: (M, 3) indices; :param color: RGB, 0..1."""

    points_RAS: FloatArray
    triangles: NDArray[np.integer]
    color: Sequence[float]


@dataclass(frozen=True, eq=False)
class View:
    """A parallel projection and the window of it that is shown.

    :param towards: (3,) unit, to the viewer; :param up: (3,) unit, perpendicular to it.
    :param lower: (2,) left and bottom edge, mm along the picture's right and up; :param upper: right and top.
    """

    towards: Vector
    up: Vector
    lower: FloatArray
    upper: FloatArray

    @property
    def right(self) -> Vector:
        return np.cross(self.up, self.towards)

    def project(self, points_RAS: FloatArray) -> FloatArray:
        """(..., 2) mm along the picture's right and up."""
        return np.asarray(points_RAS, float) @ np.stack([self.right, self.up], axis=1)

    @staticmethod
    def around(surfaces: Sequence[Surface], towards: Vector, up: Vector, margin_mm: float) -> "View":
        """The view from a direction that shows all surfaces."""
        view = View(towards, up, np.zeros(2), np.zeros(2))
        flat = np.vstack([view.project(s.points_RAS) for s in surfaces])
        return View(towards, up, flat.min(axis=0) - margin_mm, flat.max(axis=0) + margin_mm)


def surface_of(mask: Volume, color: Sequence[float]) -> Surface:
    """The smoothed boundary of a boolean volume."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    padded = np.pad(mask.array, 1).astype(np.uint8)
    image = vtkImageData()
    image.SetDimensions(*padded.shape)
    image.SetSpacing(*mask.spacing)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(order="F"), deep=True))
    nets = vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetValue(0, 1)
    nets.SetOutputMeshTypeToTriangles()
    nets.SetNumberOfIterations(_SMOOTHING_ITERATIONS)
    nets.Update()
    mesh = nets.GetOutput()
    indices = vtk_to_numpy(mesh.GetPoints().GetData()) / mask.spacing - 1.0
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return Surface(mask.to_ras(indices), triangles.copy(), color)


def render(surfaces: Sequence[Surface], view: View) -> Pixels | None:
    """(H, W, 3) pixels on white, top row first; ``None`` where this computer cannot render."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the windows)
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    extent = view.upper - view.lower
    with _quiet():
        window = vtkRenderWindow()
        if not _can_render(window):
            return None
        window.SetShowWindow(False)
        window.SetOffScreenRendering(True)
        window.SetSize(*(int(n) for n in np.ceil(extent / max(_PIXEL_MM, extent.max() / _MAX_PIXELS))))
        window.SetMultiSamples(4)
        renderer = vtkRenderer()
        renderer.SetBackground(1.0, 1.0, 1.0)
        window.AddRenderer(renderer)
        for surface in surfaces:
            renderer.AddActor(_actor(surface))
        _light(renderer, view)
        _aim(renderer.GetActiveCamera(), view, np.mean(surfaces[0].points_RAS, axis=0))
        renderer.ResetCameraClippingRange()
        window.Render()
        pixels = _grab(window)
        window.Finalize()
    return None if pixels.min() == pixels.max() else pixels


@contextmanager
def _quiet() -> Iterator[None]:
    """VTK says on the terminal which windows it tried in vain; whether one worked is seen from the pixels."""
    from vtkmodules.vtkCommonCore import vtkLogger, vtkObject

    warnings, verbosity = vtkObject.GetGlobalWarningDisplay(), vtkLogger.GetCurrentVerbosityCutoff()
    vtkObject.SetGlobalWarningDisplay(0)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(verbosity)
        vtkObject.SetGlobalWarningDisplay(warnings)


def _can_render(window: Any) -> bool:
    """Whether there is a driver.  VTK's last resort, OSMesa, crashes where its library is not installed."""
    if window.GetClassName() != "vtkOSOpenGLRenderWindow":
        return bool(window.SupportsOpenGL())
    return ctypes.util.find_library("OSMesa") is not None


def _grab(window: Any) -> Pixels:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    columns, rows, _ = grab.GetOutput().GetDimensions()
    pixels: Pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1].copy()


def _actor(surface: Surface) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(surface.points_RAS, np.float32), deep=True))
    cells = vtkCellArray()
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(surface.triangles, np.int64).ravel(), deep=True))
    mesh = vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    normals = vtkPolyDataNormals()
    normals.SetInputData(mesh)
    normals.SplittingOff()
    normals.ConsistencyOff()
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(normals.GetOutputPort())
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor(*surface.color)
    look.SetAmbient(0.16)
    look.SetDiffuse(0.9)
    look.SetSpecular(0.12)
    look.SetSpecularPower(18.0)
    return actor


def _light(renderer: Any, view: View) -> None:
    from vtkmodules.vtkRenderingCore import vtkLight

    for intensity, direction in _LIGHTS:
        light = vtkLight()
        light.PositionalOff()
        light.SetPosition(*(np.array(direction) @ np.stack([view.right, view.up, view.towards])))
        light.SetFocalPoint(0.0, 0.0, 0.0)
        light.SetIntensity(intensity)
        renderer.AddLight(light)


def _aim(camera: Any, view: View, target_RAS: Vector) -> None:
    middle = (view.lower + view.upper) / 2.0
    focal = np.array([*middle, target_RAS @ view.towards]) @ np.stack([view.right, view.up, view.towards])
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*focal)
    camera.SetPosition(*(focal + 1000.0 * view.towards))
    camera.SetViewUp(*view.up)
    camera.SetParallelScale(float(view.upper[1] - view.lower[1]) / 2.0)
