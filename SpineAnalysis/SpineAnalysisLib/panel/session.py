"""What the steps of the panel share: one analysis of the scene, and where on the spine people are."""

import json
from typing import Any

import slicer

from ..analysis import Analysis
from ..anatomy import Level, Segment
from ..errors import InputError
from ..findings import Explanation, explain, symptom_of
from ..labeling.label import Numbering
from ..measurements.record import Measurement
from ..measurements.registry import families
from ..mrml.anchors import anchors_from_node
from ..mrml.hints import hints_from_node
from ..mrml.memory import ROLE as MEMORY
from ..mrml.memory import Memory, memory_of, place, recall
from ..mrml.results import ROLE_ATTRIBUTE, find_result, nodes_of
from ..mrml.runs import Choices, Outcome
from ..mrml.show import show_explanations
from ..mrml.walk import Walk, walk_of

FURTHER_ROLE = "furtherVolume"
"""Node reference of the parameter node: the other scans of the visit."""

MEASURED_ROLE = "measuredVolume"
"""Node reference of the parameter node: the scan that its results are of."""

ENGINE, SEGMENTATION = "engine", "segmentation"


class Session:
    """:ivar parameters: the wrapped parameter node, or ``None`` between scenes.

    :ivar memory: what the scene remembers of the analysis; ``None`` before the first run.
    :ivar walk: the way along its canal.
    :ivar s: where on that way people are, mm.
    :ivar record: the measurement that they look at.
    """

    def __init__(self) -> None:
        self.parameters: Any = None
        self.memory: Memory | None = None
        self.walk: Walk | None = None
        self.s = 0.0
        self.record: Measurement | None = None
        self._live: dict[str, Analysis] = {}  # by the node that remembers it
        self._seen = ""

    # ---- the analysis

    @property
    def name(self) -> str:
        """Of the results' folder; empty before the first run."""
        return self.parameters.resultName if self.parameters is not None else ""

    @property
    def analysis(self) -> Analysis | None:
        """The analysis itself, where it was made since Slicer started."""
        return self._live.get(self._seen)

    def bind(self, parameters: Any | None) -> None:
        """Turn to another parameter node."""
        self.parameters = parameters
        self.reload()

    def reload(self) -> None:
        """Read again what the scene remembers."""
        self._seen = self._memory_id()
        self.memory = recall(slicer.mrmlScene, self.name) if self.name else None
        self.walk = walk_of(slicer.mrmlScene, self.name) if self.name else None
        self.record = None
        s = self.walk.s_of(self._stored_level()) if self.walk is not None else None
        self.s = s if s is not None else 0.0

    def keep(self, outcome: Outcome) -> None:
        """Remember a fresh outcome whose nodes are in the scene."""
        self._seen = self._memory_id()
        self._live[self._seen] = outcome.analysis
        self.memory = memory_of(outcome.analysis, outcome.names)
        self.walk = walk_of(slicer.mrmlScene, self.name)
        self.record = None

    def outdated(self) -> bool:
        """Whether the scene remembers something else by now: results were removed, or undone."""
        return self._seen != self._memory_id()

    def _memory_id(self) -> str:
        node = self.node(MEMORY)
        return node.GetID() if node is not None else ""

    def forget(self) -> None:
        """The scene is being closed: nothing of it is left."""
        self._live.clear()
        self.bind(None)

    def new_name(self, title: str) -> str:
        """A name for results that no other analysis of the scene has."""
        taken = {node.GetParameter("resultName") for node in
                 slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode") if node is not self.parameters.parameterNode}
        count, name = 1, title
        while name in taken:
            count += 1
            name = f"{title} ({count})"
        return name

    # ---- what people chose

    def choices(self) -> Choices:
        """The chosen engine, names, families and limits."""
        chosen = self.parameters
        return Choices(scheme=chosen.scheme, engine=chosen.engine, apart=True, symptom=chosen.symptom,
                       only=self.families(), limits=self.limits(), anchors=anchors_from_node(self.anchors),
                       numbering=Numbering(chosen.numbering) if chosen.numbering else None,
                       hints=hints_from_node(self.hints) if self.hints is not None and chosen.source == ENGINE
                       else ())

    def families(self) -> list[str]:
        """Names of the families that are to be measured."""
        skipped = set(self.parameters.skipped.split(","))
        return [family.name for family in families() if family.name not in skipped]

    def limits(self) -> dict[str, list[float]]:
        """People's own limits by cut-off; a text that is none counts as none."""
        try:
            found = json.loads(self.parameters.limits or "{}")
            return {str(name): [float(x) for x in own] for name, own in found.items()}
        except (AttributeError, TypeError, ValueError):
            return {}

    def explanations(self) -> tuple[Explanation, ...]:
        """What could explain the symptom that people named, by what was measured."""
        if self.memory is None or not self.parameters.symptom:
            return ()
        try:
            felt = symptom_of(self.parameters.symptom)
        except InputError:  # of another version
            return ()
        return explain(felt, [name.level for name in self.memory.names], self.memory.measurements)

    def keep_explanations(self) -> None:
        """Let the scene's table say the same."""
        if self.name:
            show_explanations(slicer.mrmlScene, self.name, self.explanations())

    def set_limits(self, limits: dict[str, list[float]]) -> None:
        self.parameters.limits = json.dumps(limits) if limits else ""

    @property
    def volume(self) -> Any | None:
        """The scan to analyze."""
        return _here(self.parameters.inputVolume) if self.parameters is not None else None

    @property
    def measured(self) -> Any | None:
        """The scan that the results are of, whatever is chosen by now."""
        return self.parameters.parameterNode.GetNodeReference(MEASURED_ROLE) if self.parameters is not None else None

    def further(self) -> list[Any]:
        """The other scans of the visit."""
        node = self.parameters.parameterNode
        count = node.GetNumberOfNodeReferences(FURTHER_ROLE)
        chosen = [node.GetNthNodeReference(FURTHER_ROLE, i) for i in range(count)]
        return [n for n in chosen if n is not None and n is not self.volume]

    @property
    def segmentation(self) -> Any | None:
        """The segmentation that was chosen, whether it is the source or not."""
        return _here(self.parameters.inputSegmentation) if self.parameters is not None else None

    @property
    def anchors(self) -> Any | None:
        """Markups of the vertebrae that people have named."""
        return _here(self.parameters.anchors) if self.parameters is not None else None

    @property
    def hints(self) -> Any | None:
        """Markups that steer the engine."""
        return _here(self.parameters.hints) if self.parameters is not None else None

    def input_segmentation(self) -> Any | None:
        """The segmentation to analyze; ``None`` where an engine is to make one."""
        return self.segmentation if self.parameters.source == SEGMENTATION else None

    # ---- where people are

    @property
    def level(self) -> Level | Segment | None:
        """The level that the views show."""
        stop = self.walk.nearest(self.s) if self.walk is not None else None
        return stop.level if stop is not None else None

    def _stored_level(self) -> Level | Segment | None:
        try:
            return place(self.parameters.level) if self.parameters.level else None
        except KeyError:
            return None

    def records(self, level: Level | Segment | None) -> list[Measurement]:
        """What was measured at a level."""
        return [m for m in self.memory.measurements if m.level == level] if self.memory is not None else []

    # ---- its nodes

    def node(self, role: str) -> Any | None:
        """A node of the results by what it shows."""
        return find_result(slicer.mrmlScene, self.name, role) if self.name else None

    def charts(self) -> list[Any]:
        """Chart nodes of the measured curves."""
        return [node for node in nodes_of(slicer.mrmlScene, self.name, "vtkMRMLPlotChartNode")
                if (node.GetAttribute(ROLE_ATTRIBUTE) or "").endswith("chart")] if self.name else []


def _here(node: Any | None) -> Any | None:
    """A node that is still in the scene; parameter nodes may know one for a while that was removed."""
    return node if node is not None and node.GetScene() is not None else None
