"""The rules of the house, read from the source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "SpineAnalysis"
LIBRARY = MODULES / "SpineAnalysisLib"
TESTS = REPOSITORY / "Testing"

# A room imports only from the rows above its own.
ROOMS = (
    {"errors"},
    {"progress"},
    {"anatomy"},
    {"volume"},
    {"geometry", "naming", "terminology"},
    {"schemes"},
    {"spine"},
    {"derive"},
    {"build"},
    {"reading"},
    {"contrast", "labeling", "measurements", "segmentation"},
    {"findings", "visit"},
    {"analysis"},
    {"headless", "phantoms", "results"},
    {"report"},
    {"mrml", "terminal"},
    {"cohort"},
    {"panel"},
    {"cli"},
)
MAY_KNOW_SLICER = {"headless", "mrml", "panel", "cli"}
MAY_KNOW_QT = {"panel"}
HEAVY = {"numpy", "scipy", "SimpleITK", "skimage", "pydicom", "matplotlib", "jinja2", "SpineAnalysisLib"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


LIBRARY_FILES = sources(LIBRARY)
MODULE_FILES = sorted(MODULES.glob("*.py"))
ALL_FILES = [path for folder in (MODULES, TESTS, REPOSITORY / "Utilities") for path in sources(folder)]


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(path: Path) -> str:
    """The room of a library file; the package's own ``__init__`` is none."""
    first = path.relative_to(LIBRARY).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Every import of a library file as an absolute dotted name, split: ``("SpineAnalysisLib", "spine", "Spine")``."""
    package = ("SpineAnalysisLib", *path.relative_to(LIBRARY).parent.parts)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *module, alias.name) for alias in node.names)


def rank(room: str) -> int:
    return next(index for index, row in enumerate(ROOMS) if room in row)


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=name_of)
def test_arrows_point_one_way(path: Path) -> None:
    room = room_of(path)
    if not room:
        assert not list(imports(path)), "the package itself imports nothing"
        return
    used = {name[1] for name in imports(path) if name[0] == "SpineAnalysisLib"} - {room, "__version__"}
    assert {other for other in used if rank(other) >= rank(room)} == set()


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=name_of)
def test_only_the_upper_rooms_know_slicer_and_only_the_panel_knows_qt(path: Path) -> None:
    packages = {name[0] for name in imports(path)}
    assert packages.isdisjoint({"qt", "ctk"}) or room_of(path) in MAY_KNOW_QT
    assert "slicer" not in packages or room_of(path) in MAY_KNOW_SLICER


def test_every_room_is_known() -> None:
    assert {room_of(path) for path in LIBRARY_FILES} - {""} <= set().union(*ROOMS)


@pytest.mark.parametrize("path", MODULE_FILES, ids=name_of)
def test_module_files_only_define(path: Path) -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    body = tree_of(path).body
    assert ast.get_docstring(tree_of(path))
    assert [ast.unparse(node) for node in body[1:] if not isinstance(node, allowed)
            and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")] == []
    assert [ast.unparse(node) for node in body
            if isinstance(node, ast.Assign) and any(isinstance(n, ast.Call) for n in ast.walk(node))] == []


@pytest.mark.parametrize("path", MODULE_FILES, ids=name_of)
def test_importing_a_module_is_light(path: Path) -> None:
    program = f"""
import sys
import Harness.slicer_application
Harness.slicer_application.install()
for name in [n for n in sys.modules if n.partition(".")[0] in {HEAVY!r}]:
    del sys.modules[name]
import {path.stem}
print(sorted({{n.partition(".")[0] for n in sys.modules}} & {HEAVY!r}))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False,
                         env={"PYTHONPATH": f"{MODULES}:{TESTS}", "PATH": ""})
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    long = [node.name for node in ast.walk(tree_of(path))
            if is_function(node) and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES]
    assert long == []


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_nothing_runs_text_or_pickles(path: Path) -> None:
    tree = tree_of(path)
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert called.isdisjoint({"eval", "exec"})
    assert imported.isdisjoint({"pickle", "cPickle", "dill", "shelve", "marshal"})


def test_there_is_no_attic() -> None:
    assert [name_of(path) for path in ALL_FILES if path.stem.lower() in {"util", "utils", "helpers", "misc"}] == []


def asserts(node: ast.AST) -> bool:
    """Whether a statement can fail a test: ``assert``, ``pytest.raises``, ``self.assertX`` or a ``check_…`` helper."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"raises", "fail", "warns"} or re.match(r"_?(assert|check)", name) is not None


def test_every_test_asserts_something() -> None:
    paths = sources(TESTS / "Python") + MODULE_FILES
    tests = [(name_of(path), node) for path in paths for node in ast.walk(tree_of(path)) if is_function(node)
             and node.name.startswith("test")]
    assert tests
    assert [f"{name}: {node.name}" for name, node in tests if not any(map(asserts, ast.walk(node)))] == []
