"""What an analysis begins with: a segmentation of the scene, or a scan that an engine segments."""

from typing import Any

from ..errors import InputError
from ..progress import Progress, step
from ..schemes import LabeledInput, merge_segments, understand
from ..segmentation.registry import engine_named
from ..spine import Contrast
from ..volume import Volume
from .hints import hints_from_node
from .segmentations import derived_segments, segments_from_node
from .volumes import volume_from_node


def structures_of(image: Volume | None, segmentation: Any | None, scheme: str, contrast: Contrast | None, engine: str,
                  hints: Any | None, progress: Progress) -> tuple[LabeledInput, dict[str, Any] | None]:
    """The structures, and the provenance of the engine that found them, if one did.

    :param segmentation: segmentation or label map volume; where there is none, the engine segments the image.
    :param scheme: of a label map.
    :param hints: point list that helps the engine.
    :raises InputError: for what cannot be understood or segmented.
    :raises Cancelled: by ``progress``.
    """
    if segmentation is not None:
        step(progress, 0.0, "Recognizing labels")
        return understood(segmentation, scheme), None
    if image is None:
        raise InputError("There is nothing to analyze: choose a scan, a segmentation, or both.")
    points = hints_from_node(hints) if hints is not None else ()
    found = engine_named(engine).segment(image, contrast, hints=points, progress=progress)
    return found.labeled, dict(found.provenance)


def understood(node: Any, scheme: str) -> LabeledInput:
    """Segments by terminology or name, the values of a label map by their scheme."""
    if node.IsA("vtkMRMLSegmentationNode"):
        return merge_segments(segments_from_node(node), derived=derived_segments(node))
    return understand(volume_from_node(node), scheme)
