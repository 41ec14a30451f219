"""Programs that segment the spine, and whether they are here."""

from dataclasses import dataclass
from importlib.util import find_spec

from ..errors import InputError


@dataclass(frozen=True)
class Engine:
    """A program that turns a scan into a label map of the spine.

    :param package: its Python package.
    :param scans: what it was made for.
    :param install: the command that gets it; :param command: the one that runs it.
    :param license: SPDX identifier of the code.
    """

    name: str
    title: str
    package: str
    scans: str
    install: str
    command: str
    license: str
    url: str

    @property
    def installed(self) -> bool:
        """Whether this Python could import it; nothing is imported to find out."""
        return find_spec(self.package) is not None


KNOWN_ENGINES: dict[str, Engine] = {engine.name: engine for engine in (
    Engine("totalspineseg", "TotalSpineSeg", "totalspineseg", "MR",
           'pip install "totalspineseg[nnunetv2]"', "totalspineseg SCAN OUTPUT",
           "LGPL-3.0-only", "https://github.com/neuropoly/totalspineseg"),
    Engine("totalsegmentator", "TotalSegmentator", "totalsegmentator", "CT and MR",
           "pip install TotalSegmentator", "TotalSegmentator -i SCAN -o OUTPUT --ml",
           "Apache-2.0", "https://github.com/wasserth/TotalSegmentator"),
    Engine("spineps", "SPINEPS", "spineps", "T2 MR and CT",
           "pip install spineps", "spineps sample -i SCAN -model_semantic t2w -model_instance instance",
           "Apache-2.0", "https://github.com/Hendrik-code/spineps"),
)}


def no_segmentation(name: str | None = None) -> InputError:
    """What to tell somebody who brought a scan and no segmentation.

    :param name: the engine that was asked for.
    """
    if name is not None and name not in KNOWN_ENGINES:
        return InputError(f"There is no engine {name}; the known ones are {', '.join(KNOWN_ENGINES)}.")
    wanted = [KNOWN_ENGINES[name]] if name else list(KNOWN_ENGINES.values())
    installed = [engine for engine in wanted if engine.installed]
    here = ("; ".join(f"{engine.title} is installed: {engine.command}" for engine in installed)
            or "; ".join(f"{engine.title} is not installed: {engine.install}" for engine in wanted))
    return InputError("A scan alone is not enough yet: segment it with another program and pass its result with "
                      f"--segmentation ({here}).")
