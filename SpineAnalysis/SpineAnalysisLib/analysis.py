"""Volumes in, a measured spine out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .measurements.record import Measurement, Table
from .spine import Spine


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything that one run found.

    :param findings: sentences, the worst first.
    :param doubts: sentences about what limits the result: provisional levels, derived structures, partial view.
    :param provenance: versions, parameters, inputs (plain data, JSON-ready).
    """

    spine: Spine
    measurements: tuple[Measurement, ...]
    tables: tuple[Table, ...]
    findings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
