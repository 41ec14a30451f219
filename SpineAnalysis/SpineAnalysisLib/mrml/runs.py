"""A run on nodes of the scene in three parts, so that the long one in the middle needs no scene."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..analysis import Analysis, analyze
from ..anatomy import Level
from ..errors import InputError
from ..labeling.label import Anchor, Numbering
from ..labeling.naming import Source
from ..labeling.repair import label_spine
from ..progress import Progress, part, silent, step
from ..reading.segmentation import share_inside
from ..schemes import LabeledInput, merge_segments, understand
from ..segmentation.apart import segment_apart
from ..segmentation.hints import Hint
from ..segmentation.registry import DEFAULT, engine_named, labels_of
from ..spine import Contrast, VisitScan
from ..volume import Volume
from .memory import LevelName
from .scans import contrast_of, frame_of
from .segmentations import derived_segments, segments_from_node
from .show import ResultNodes, show
from .volumes import volume_from_node

AUTO = "auto"


@dataclass(frozen=True)
class Choices:
    """What people chose beside the nodes.

    :param scheme: of a label map's values, or "auto".
    :param contrast: of the scan, or "auto".
    :param engine: what segments a scan that comes without a segmentation.
    :param only: families to measure; ``None`` is all.
    :param limits: cut-off -> own limits.
    :param anchors: vertebrae that people have named.
    :param hints: points that steer the engine.
    :param symptom: a painful dermatome and its side, to be explained; may be empty.
    :param apart: run the engine in a process of its own, which can be ended at any moment.
    """

    scheme: str = AUTO
    contrast: str = AUTO
    engine: str = DEFAULT
    only: Collection[str] | None = None
    limits: Mapping[str, Sequence[float]] | None = None
    anchors: Sequence[Anchor] = ()
    numbering: Numbering | None = None
    hints: Sequence[Hint] = ()
    symptom: str = ""
    apart: bool = False


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be analyzed, taken out of the scene."""

    image: Volume | None
    labeled: LabeledInput | None
    contrast: Contrast | None
    choices: Choices
    further: tuple[VisitScan, ...] = ()
    frame: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    analysis: Analysis
    names: tuple[LevelName, ...]


def request(volume_node: Any | None, segmentation_node: Any | None, choices: Choices, further: Sequence[Any] = (),
            ) -> Request:
    """Read the nodes, where their parent transforms put them.

    :param further: the visit's other scans, which are left out (with a note) where they do not fit.
    :param segmentation_node: segmentation or label map; ``None`` lets the engine of ``choices`` segment.
    :raises InputError: for what cannot be analyzed.
    """
    if segmentation_node is None and volume_node is None:
        raise InputError("There is nothing to analyze: choose a scan, a segmentation, or both.")
    image = volume_from_node(volume_node) if volume_node is not None else None
    labeled = understood(segmentation_node, choices.scheme) if segmentation_node is not None else None
    if image is not None and labeled is not None:
        share_inside(image, labeled.labels)
    known: Any = choices.contrast if choices.contrast != AUTO else \
        contrast_of(volume_node) if volume_node is not None else None
    others = tuple(VisitScan(volume_from_node(n), contrast_of(n), frame_of(n), optional=True) for n in further)
    return Request(image, labeled, known, choices, others, frame_of(volume_node) if volume_node is not None else "")


def work(asked: Request, progress: Progress = silent) -> Outcome:
    """Segment where needed, label and measure.  Touches no node, so it may run in a thread of its own.

    :raises InputError: for what cannot be analyzed.
    :raises Cancelled: by ``progress``.
    """
    chosen = asked.choices
    labeled, share = asked.labeled, 0.0
    made: Mapping[str, Any] | None = None
    if labeled is None:
        assert asked.image is not None, "a request has a segmentation, a scan, or both"
        share = 0.6
        engine = engine_named(chosen.engine)
        segment = partial(segment_apart, engine) if chosen.apart else engine.segment
        found = segment(asked.image, asked.contrast, hints=tuple(chosen.hints), progress=part(progress, 0.0, share))
        labeled, made = found.labeled, found.provenance
    step(progress, share, "Recognizing the spine")
    provenance = {"scheme": labeled.scheme, "engine": dict(made) if made is not None else None}
    analysis = analyze(
        asked.image, labeled.labels, contrast=asked.contrast, levels_known=labeled.levels_known,
        canal_means=labeled.canal_means, notes=labeled.notes, anchors=chosen.anchors, numbering=chosen.numbering,
        further=asked.further, frame=asked.frame, segment=labels_of, symptom=chosen.symptom, only=chosen.only,
        limits=chosen.limits, provenance=provenance, progress=part(progress, share, 0.95))
    step(progress, 0.95, "Weighing the levels")
    return Outcome(analysis, level_names(analysis, bool(chosen.anchors)))


def finish(outcome: Outcome, scene: Any, name: str, volume_node: Any | None = None, anchors_node: Any | None = None,
           progress: Progress = silent, edited: Any | None = None) -> ResultNodes:
    """Add what was found to the scene, in place of earlier results of the same name.

    :param anchors_node: point list of the vertebrae that people named, if the scene has one.
    :param edited: the segmentation that it was found from: where that is one of the earlier results, it stays with all
        that people have made of it, and is brought up to date.
    :raises Cancelled: by ``progress``; the scene is then as before.
    """
    return show(outcome.analysis, scene, image_node=volume_node, anchors_node=anchors_node, name=name, replace=True,
                keep=edited, names=outcome.names, progress=progress)


def level_names(analysis: Analysis, told: bool = False) -> tuple[LevelName, ...]:
    """How sure each vertebra's name is, by the anatomy alone.

    :param told: people have named vertebrae, so that their word counts.
    """
    spine = analysis.spine
    bare = tuple(LevelName(v.level, provisional=spine.provisional) for v in spine.vertebrae)
    if told:
        return bare
    naming = analysis.naming
    known = naming.labeling if naming is not None and naming.source is Source.SEGMENTATION and \
        not naming.provisional else None
    found = known or label_spine(spine)
    if found is None:
        return bare
    out = []
    seconds: Sequence[Level | None] = found.runner_up or (None,) * len(found.levels)
    for vertebra, level, chance, second in zip(spine.vertebrae, found.levels, found.probabilities, seconds,
                                               strict=True):
        agrees = level is vertebra.level
        other = second if agrees else level
        other_chance = found.runner_up_probability if agrees else chance
        out.append(LevelName(vertebra.level, chance if agrees else max(0.0, 1.0 - chance),
                             other if other is not vertebra.level else None,
                             other_chance if other is not vertebra.level else None, spine.provisional))
    return tuple(out)


def understood(node: Any, scheme: str) -> LabeledInput:
    """Segments by terminology or name, the values of a label map by their scheme."""
    if node.IsA("vtkMRMLSegmentationNode"):
        return merge_segments(segments_from_node(node), derived=derived_segments(node))
    return understand(volume_from_node(node), scheme)
