"""An analysis in the scene."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis import Analysis
from ..findings import Explanation
from ..measurements.registry import definitions
from ..progress import Progress, part, silent, step
from .anchors import add_anchors
from .edits import can_renew, remember_content, renew, was_edited
from .markups import add_centerline, add_level_labels, add_measurement, drawn
from .memory import LevelName, memory_of, remember
from .results import ResultFolder, find_result, one_operation, remove_node
from .segmentations import add_segmentation
from .tables import add_curve, add_explanation_table, add_findings_table, add_measurement_table
from .volumes import add_scan, add_volume


@dataclass(frozen=True, eq=False)
class ResultNodes:
    """The nodes that show an analysis.

    :param name: of the analysis; ``results.remove_results`` takes it.
    :param folder: subject-hierarchy item that holds all of them.
    :param image: the scan, the caller's or a new one; ``None`` for a segmentation alone.
    :param markups: of measurements, in the order of the records.
    :param curves: tables of measured curves.
    :param anchors: vertebrae that people named, the caller's node or a new one; ``None`` where they named none.
    """

    name: str
    folder: int
    image: Any | None
    segmentation: Any
    levels: Any
    centerline: Any
    table: Any
    markups: tuple[Any, ...] = ()
    curves: tuple[Any, ...] = ()
    charts: tuple[Any, ...] = ()
    memory: Any = None
    anchors: Any | None = None


def show(analysis: Analysis, scene: Any, *, image_node: Any | None = None, anchors_node: Any | None = None,
         name: str | None = None, replace: bool = False, keep: Any | None = None, names: Sequence[LevelName] = (),
         progress: Progress = silent) -> ResultNodes:
    """Add everything that an analysis found to a scene, in one operation that can be undone.

    Nodes lie in RAS, where the analysis saw the scan: whatever transforms its node then had are part of them.

    :param image_node: the scan's node if it is in the scene already; otherwise the scan is added.
    :param anchors_node: the point list of the vertebrae that people named, if it is in the scene already; otherwise it
        is added.
    :param name: of the folder; ``None`` names it after the scan.
    :param names: how sure the levels are, for the scene to remember.
    :param replace: remove earlier results of the same name.
    :param keep: the segmentation that the analysis was made from: where it is one of theirs, it stays and is brought
        up to date.  Another one of theirs that people have edited becomes their own.
    :raises Cancelled: when ``progress`` says so; the scene is then as before.
    """
    spine = analysis.spine
    image_name = image_node.GetName() if image_node is not None else spine.image.name if spine.image else ""
    title = name or f"Spine analysis: {image_name or spine.labels.name or 'segmentation'}"
    earlier = find_result(scene, title, "segmentation") if replace else None
    renewed = earlier is not None and earlier is keep and can_renew(earlier)
    edited = earlier if earlier is not None and not renewed and (earlier is keep or was_edited(earlier)) else None
    with one_operation(scene, title, replace, edited) as folder:
        step(progress, 0.0, "Showing the scan")
        if image_node is None and spine.image is not None:
            image_node = add_volume(folder, spine.image, spine.contrast)
            shown, role = {scan.name for scan in spine.further}, "image"
        else:  # those that outlines lie on: the user's own nodes may lie elsewhere
            shown, role = {m.scan for m in analysis.measurements if m.others and m.scan}, "scan"
        for scan in spine.further:
            if scan.name in shown:
                add_scan(folder, scan, role)
        step(progress, 0.15, "Showing the segmentation")
        segmentation = keep if renewed else \
            add_segmentation(folder, spine.labels, image_node, progress=part(progress, 0.15, 0.8))
        step(progress, 0.8, "Showing the measurements")
        levels = add_level_labels(folder, spine)
        if anchors_node is None and analysis.naming is not None and analysis.naming.anchors:
            anchors_node = add_anchors(folder, analysis.naming.anchors)
        centerline = add_centerline(folder, spine)
        markups = _add_measurements(folder, analysis)
        step(progress, 0.95, "Filling the tables")
        tables = folder.folder("Tables and plots", expanded=False)
        table = add_measurement_table(folder, analysis.measurements, definitions(), tables)
        if analysis.levels:
            add_findings_table(folder, analysis.levels, tables)
        if analysis.explanations:
            add_explanation_table(folder, analysis.explanations, tables)
        curves = [add_curve(folder, curve, tables) for curve in analysis.tables]
        memory = remember(folder, memory_of(analysis, names), tables)
        step(progress, 1.0, "Shown")
        if renewed:  # last, because it cannot be undone by taking nodes out again
            renew(segmentation, spine.labels)
            folder.take(segmentation)
        else:
            remember_content(segmentation)
    return ResultNodes(title, folder.item, image_node, segmentation, levels, centerline, table, markups,
                       tuple(node for node, _ in curves), tuple(chart for _, charts in curves for chart in charts),
                       memory, anchors_node)


def show_explanations(scene: Any, name: str, explanations: Sequence[Explanation]) -> None:
    """Replace the table of what could explain a symptom in an analysis that is in the scene."""
    hierarchy, folder = scene.GetSubjectHierarchyNode(), ResultFolder.existing(scene, name)
    earlier, beside = find_result(scene, name, "symptom"), find_result(scene, name, "measurements")
    if earlier is not None:
        remove_node(scene, earlier)
    if folder is not None and explanations:
        item = hierarchy.GetItemByDataNode(beside) if beside is not None else 0
        add_explanation_table(folder, explanations, hierarchy.GetItemParent(item) if item else folder.item)


def _add_measurements(folder: ResultFolder, analysis: Analysis) -> tuple[Any, ...]:
    """Markups of the records, in one subfolder for each level."""
    defined = definitions()
    chosen = drawn(analysis.measurements, defined)
    if not chosen:
        return ()
    parent = folder.folder("Measurements", expanded=False)
    levels: dict[str, int] = {}
    nodes = []
    for what in chosen:
        level = "Whole spine" if what.record.level is None else str(what.record.level)
        if level not in levels:
            levels[level] = folder.folder(level, parent, expanded=False)
        nodes.append(add_measurement(folder, what, defined[what.record.key], levels[level]))
    return tuple(nodes)
