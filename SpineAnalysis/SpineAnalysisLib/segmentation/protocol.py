"""What every program that segments a spine offers, whether it runs here or in a process of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..anatomy import Kind
from ..errors import InputError
from ..progress import Progress, silent
from ..schemes import LabeledInput
from ..spine import Contrast
from ..volume import Volume
from .hints import Hint


@dataclass(frozen=True)
class Limits:
    """When a program that runs in a process of its own is ended.

    :param seconds: of the clock.
    :param gigabytes: of memory that it and its children use together; ``None`` is all that the computer has.
    """

    seconds: float = 2 * 3600.0
    gigabytes: float | None = None


@dataclass(frozen=True, eq=False)
class Segmented:
    """What an engine made of a scan.

    :param labeled: structures on the scan's own grid, with notes.
    :param probabilities: for some kinds, how sure the engine is at each place: 0..255, on any grid of the same
        patient space; empty where the engine does not tell.
    :param provenance: engine, version, model (plain data, JSON-ready).
    """

    labeled: LabeledInput
    probabilities: Mapping[Kind, Volume] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What an engine is asked.

    :param volume: the scan.
    :param contrast: T1, T2, STIR or CT, where it is known.
    :param hints: what people have pointed at.
    """

    volume: Volume
    contrast: Contrast | None = None
    hints: Sequence[Hint] = ()
    limits: Limits = Limits()
    progress: Progress = silent


@dataclass(frozen=True)
class Engine:
    """A program that turns a scan into labeled structures.

    :param name: what people pass; :param title: what they read.
    :param scans: what it was made for.
    :param license: SPDX identifier of the code.
    :param terms: what people are told before it runs for the first time: licenses, downloads, whom to cite.
    :param hardware: what it needs, and how long it takes.
    :param package: the Python package that it needs; :param requirements: how pip knows what is needed.
    :param run: does the work.
    :param takes_hints: whether points that people have placed steer it.
    :param drives_gpu: whether it needs PyTorch, which Slicer installs in its own way.
    :param inside: whether it computes in this process, unless :func:`apart.segment_apart` takes it elsewhere.
    """

    name: str
    title: str
    scans: str
    license: str
    url: str
    package: str
    requirements: tuple[str, ...]
    hardware: str
    run: Callable[[Job], Segmented]
    terms: str = ""
    takes_hints: bool = False
    drives_gpu: bool = False
    inside: bool = False
    order: int = 100

    @property
    def installed(self) -> bool:
        """Whether this Python could import what it needs; nothing is imported to find out."""
        return find_spec(self.package) is not None

    @property
    def install(self) -> str:
        """The command that gets what it needs, in plain Python."""
        return "pip install " + " ".join(f'"{requirement}"' for requirement in self.requirements)

    def segment(self, volume: Volume, contrast: Contrast | None = None, *, hints: Sequence[Hint] = (),
                limits: Limits | None = None, progress: Progress = silent) -> Segmented:
        """Segment the spine in a scan.

        :param volume: (I, J, K) on any grid.
        :param contrast: of the scan, where it is known.
        :param hints: what people have pointed at, in RAS mm.
        :raises InputError: where the engine is not there, fails, or finds no spine, in one sentence.
        :raises Cancelled: by ``progress``; nothing is left running or on the disk.
        """
        if not self.installed:
            raise InputError(f"{self.title} is not installed: get it with {self.install}, or use another engine.")
        if hints and not self.takes_hints:
            raise InputError(f"{self.title} takes no points: use the built-in engine, or leave the points out.")
        if min(volume.shape) < 1 or not np.isfinite(volume.array).any():
            raise InputError("The scan holds no values: check that it is the right file.")
        return self.run(Job(volume, contrast, tuple(hints), limits or Limits(), progress))
