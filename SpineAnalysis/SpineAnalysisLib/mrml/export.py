"""An analysis as files that Slicer opens."""

from pathlib import Path
from typing import Any

import slicer

from .. import headless
from ..analysis import Analysis
from ..errors import InputError
from ..progress import Progress, part, silent, step
from .results import ResultFolder
from .segmentations import add_segmentation
from .show import show
from .views import arrange_views


def write_scene(analysis: Analysis, path_mrb: Path | str, *, name: str | None = None,
                progress: Progress = silent) -> None:
    """A scene bundle with everything that was found, views pointed at the worst level.

    :param path_mrb: ends in ``.mrb``; appears only when it is whole.
    :raises InputError: where the file cannot be written.
    :raises Cancelled: when ``progress`` says so.
    """
    with headless.fresh_scene() as scene:
        nodes = show(analysis, scene, name=name, progress=part(progress, 0.0, 0.7))
        arrange_views(scene, analysis, nodes)
        step(progress, 0.7, "Writing the scene")
        headless.write_mrb(scene, path_mrb)
        step(progress, 1.0, "Scene written")


def write_segmentation(analysis: Analysis, path_seg_nrrd: Path | str) -> None:
    """The labels as a segmentation file: segments with name, color, terminology and label value, on the full grid.

    :param path_seg_nrrd: ends in ``.seg.nrrd``; appears only when it is whole.
    :raises InputError: where the file cannot be written.
    """
    target = Path(path_seg_nrrd)
    with headless.fresh_scene() as scene, headless.folder_beside(target) as folder:
        node = add_segmentation(ResultFolder(scene, "export"), analysis.spine.labels, None, surfaces=False)
        node.SetName(target.name.removesuffix(".seg.nrrd"))
        _store(node, folder / target.name, target)


def write_node(node: Any, path_seg_nrrd: Path | str) -> None:
    """A segmentation node as a file, with people's own segments too; where the scene saves it stays as it is.

    :param path_seg_nrrd: ends in ``.seg.nrrd``; appears only when it is whole.
    :raises InputError: where the file cannot be written.
    """
    target = Path(path_seg_nrrd)
    with headless.folder_beside(target) as folder:
        _store(node, folder / target.name, target)


def _store(node: Any, path: Path, target: Path) -> None:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(node):
        raise InputError(f"{target} could not be written: is the disk full?")
    path.replace(target)
