"""The embedded network itself: checked before it is loaded, run on the CPU, the same answer every time."""

import hashlib
import json
import os
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .classes import Class

THREADS = 2
"""At most; more do not pay on laptops.  Results do not depend on their number."""
MULTIPLE = 16
"""Height and width of what the network is shown are multiples of this."""
_DAMAGED = "install the extension again"


@dataclass(frozen=True, eq=False)
class Network:
    """:param sha256: of the model file.

    :param card: what is told about it beside the file.
    """

    session: Any
    sha256: str
    card: Mapping[str, Any]

    def probabilities(self, stacks: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K, H, W) for (N, 7, H, W); height and width are multiples of ``MULTIPLE``."""
        name = self.session.get_inputs()[0].name
        found: NDArray[np.float32] = self.session.run(None, {name: np.ascontiguousarray(stacks, np.float32)})[0]
        return found


def default_path() -> Path:
    """Where the model lies: in the module's resources, or where pip puts the package's data."""
    resources = Path(__file__).resolve().parents[3] / "Resources" / "Models"
    folder = resources if resources.is_dir() else Path(sysconfig.get_path("data")) / "share" / "spine-analysis"
    return folder / "spine.onnx"


def _threads() -> int:
    """No more than the environment allows: a cohort's workers share the cores."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(THREADS, int(told)) if told.isdecimal() and int(told) else THREADS


@lru_cache(maxsize=1)
def load(path: Path) -> Network:
    """Load a model after a look at its hash.

    :param path: of the ONNX file; a JSON file of the same stem tells its SHA-256.
    :raises InputError: where files are missing or not what they should be.
    """
    card_path = path.with_suffix(".json")
    try:
        data, card = path.read_bytes(), json.loads(card_path.read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError(f"The built-in engine's model is missing or unreadable: {_DAMAGED}.") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if card.get("sha256") != sha256:
        raise InputError(f"The built-in engine's model is not the one that was published (its SHA-256 differs): "
                         f"{_DAMAGED}.")
    import onnxruntime  # only here: Slicer gets it on the user's click

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    channels = session.get_outputs()[0].shape[1]
    if channels != len(Class):
        raise InputError(f"The built-in engine's model has {channels} classes instead of {len(Class)}: {_DAMAGED}.")
    return Network(session, sha256, card)
