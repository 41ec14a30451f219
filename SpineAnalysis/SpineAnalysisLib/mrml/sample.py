"""A spine to try everything on, computed instead of downloaded."""

from dataclasses import replace
from typing import Any

from .. import phantoms
from .results import one_operation
from .segmentations import add_segmentation
from .volumes import add_volume

_SPACING_MM = 1.0


def add_sample(scene: Any, name: str, scan: bool = True) -> tuple[Any | None, Any]:
    """A lumbar spine with stenosis at L4-L5, in place of an earlier one.

    :param scan: whether it gets a T2-weighted scan, which takes some seconds.
    :return: its scan and its segmentation.
    """
    phantom = phantoms.preset("stenotic_lumbar")
    grid = phantom.grid(_SPACING_MM)
    with one_operation(scene, name, replace=True) as folder:
        volume = add_volume(folder, replace(phantom.image(grid), name=name), "T2") if scan else None
        return volume, add_segmentation(folder, phantom.labels(grid), volume)
