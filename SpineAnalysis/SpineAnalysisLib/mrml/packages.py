"""Python packages that Slicer gets on the user's click, never at import or start-up."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import slicer
import slicer.util

from ..errors import InputError
from ..segmentation.install import built_in, constraints, question
from ..segmentation.registry import engine_named

_REQUESTER = "Spine Analysis"
_DECLINED = "The packages that are needed were not installed; install them to go on."


def install_requirements(path: str) -> None:
    """Install what the report and the built-in engine need beyond Slicer's own packages, after asking.

    :raises InputError: where the user declines.
    """
    _ensure(Path(path).read_text().split(),
            "The report needs additional Python packages. Install them now?")


def install_engine(name: str) -> None:
    """Install what an engine needs, after telling its license and asking; what is installed already stays as it is.

    :raises InputError: where the user declines, or something else has to be installed first.
    """
    engine = engine_named(name)
    if engine.installed:
        return
    if not slicer.util.confirmOkCancelDisplay(f"{question(engine)}\n\nInstall them now?"):
        raise InputError(f"{engine.title} was not installed; install it, or choose a segmentation.")
    if name == "totalsegmentator" and hasattr(slicer.modules, "totalsegmentator"):
        import TotalSegmentator  # Slicer's extension, which knows best how to install its program

        TotalSegmentator.TotalSegmentatorLogic().setupPythonRequirements()
        return
    if engine.drives_gpu and find_spec("torch") is None:
        if not hasattr(slicer.modules, "pytorchutils"):
            raise InputError(f"{engine.title} needs PyTorch; install Slicer's extension PyTorch first.")
        import PyTorchUtils

        PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False)
    _install(list(engine.requirements))


def _ensure(requirements: list[str], text: str) -> None:
    try:
        import slicer.packaging as packaging
    except ImportError:  # before Slicer 5.12
        if all(find_spec(requirement.partition(">")[0]) for requirement in requirements):
            return
        if not slicer.util.confirmOkCancelDisplay(text):
            raise InputError(_DECLINED) from None
        _install(requirements)
    else:
        if packaging.pip_check(requirements):
            return
        try:
            packaging.pip_ensure(requirements, requester=_REQUESTER)
        except RuntimeError as error:  # the user declined
            raise InputError(_DECLINED) from error


def _install(requirements: list[str]) -> None:
    """Install packages; what would change one that is there, or put a second VTK over Slicer's own, is refused."""
    with TemporaryDirectory() as folder:
        kept = Path(folder) / "constraints.txt"
        kept.write_text(constraints(), encoding="utf-8")
        try:
            import slicer.packaging as packaging
        except ImportError:  # before Slicer 5.12, which cannot leave packages out
            slicer.util.pip_install([*requirements, "--constraint", str(kept)])
        else:
            packaging.pip_install(requirements, constraints=str(kept), skip_packages=built_in() or None,
                                  requester=_REQUESTER)
    importlib.invalidate_caches()  # so that what is new is found at once
