"""What is installed, published and shown to others."""

import importlib
import json
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = REPOSITORY / "SpineAnalysis"
CMAKE = (REPOSITORY / "CMakeLists.txt").read_text()
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
INDEX_ENTRY = REPOSITORY / "Resources" / "SpineAnalysis.json"

# The catalog's schema, version 1.0.2, allows no other keys.
INDEX_KEYS = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "dicom_support_rule",
              "build_subdirectory", "enabled", "tier"}

# A stand-in for a built Slicer: it checks what Slicer's own macro checks, that every listed file exists.
SLICER_CONFIG = r"""
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/use.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/pack.cmake)
"""
SLICER_USE = r"""
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "no such file: ${file}")
    endif()
  endforeach()
  message(STATUS "module ${MY_NAME}")
endmacro()
macro(slicer_add_python_unittest)
  message(STATUS "test ${ARGN}")
endmacro()
"""
SLICER_PACK = r"""
foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL DEPENDS RECOMMENDS KEYWORDS)
  message(STATUS "${name}: ${EXTENSION_${name}}")
endforeach()
"""


@pytest.fixture
def file_lists(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "Utilities"))
    import update_cmake_lists

    return update_cmake_lists


def test_cmake_lists_every_file(file_lists):
    listed, present = file_lists.listed_files(), file_lists.files_on_disk()
    assert listed == present, "run: python Utilities/update_cmake_lists.py"
    assert all(listed.values())


def test_the_file_lists_are_rewritten_from_disk(file_lists, monkeypatch, tmp_path):
    lists = tmp_path / "CMakeLists.txt"
    lists.write_text("a\n  # begin scripts\n  gone.py\n  # end scripts\nb\n  # begin resources\n  # end resources\n")
    monkeypatch.setattr(file_lists, "CMAKE_LISTS", lists)
    file_lists.update()
    assert file_lists.listed_files() == file_lists.files_on_disk()
    assert "gone.py" not in lists.read_text()
    assert lists.read_text().startswith("a\n")


def test_every_python_file_beside_the_modules_is_a_module():
    for path in MODULES.glob("*.py"):
        source = path.read_text()
        for part in ("", "Widget", "Logic", "Test"):
            assert f"class {path.stem}{part}(ScriptedLoadableModule{part}" in source


@pytest.mark.skipif(shutil.which("cmake") is None, reason="CMake is not installed")
def test_cmake_configures_the_extension(tmp_path):
    slicer = tmp_path / "slicer"
    slicer.mkdir()
    for name, text in (("SlicerConfig", SLICER_CONFIG), ("use", SLICER_USE), ("pack", SLICER_PACK), ("empty", "")):
        (slicer / f"{name}.cmake").write_text(text)
    ran = subprocess.run(["cmake", "-S", REPOSITORY, "-B", tmp_path / "build", f"-DSlicer_DIR={slicer}",
                          "-DBUILD_TESTING=ON"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "-- module SpineAnalysis\n" in ran.stdout
    assert "-- test SCRIPT;SpineAnalysis.py\n" in ran.stdout
    said = dict(re.findall(r"^-- ([A-Z]+): (.+)$", ran.stdout, re.MULTILINE))
    assert said.keys() == {"HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "DEPENDS", "RECOMMENDS", "KEYWORDS"}
    assert said["ICONURL"].endswith("main/Resources/SpineAnalysis.png")


def test_index_entry_follows_its_schema():
    data = INDEX_ENTRY.read_bytes()
    entry = json.loads(data)
    assert b"\r" not in data
    assert data.endswith(b"}\n")
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert {"$schema", "category", "scm_url"} <= entry.keys() <= INDEX_KEYS
    assert entry["tier"] in range(1, 6)
    assert f"project({INDEX_ENTRY.stem})" in CMAKE


def test_one_repository_is_named_everywhere():
    named = {match for path in (REPOSITORY / "CMakeLists.txt", INDEX_ENTRY, REPOSITORY / "README.md")
             for match in re.findall(r'(?<=["/])[\w-]+/SlicerSpineAnalysis\b', path.read_text())}
    assert named == {"SlicerSpineAnalysis/SlicerSpineAnalysis"}


@pytest.mark.parametrize("path", ["Resources/SpineAnalysis.png", "SpineAnalysis/Resources/Icons/SpineAnalysis.png"])
def test_icons_are_of_the_size_that_slicer_expects(path):
    header = (REPOSITORY / path).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


def test_requirements_in_slicer_are_those_of_the_package():
    lines = (MODULES / "Resources" / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert set(wanted) <= set(PYPROJECT["project"]["dependencies"])
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+>=[0-9.]+", line) for line in wanted)


def test_license_is_apache_2():
    text = (REPOSITORY / "LICENSE.txt").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("script", PYPROJECT["project"]["scripts"].values())
def test_the_commands_exist(script):
    module, function = script.split(":")
    ran = subprocess.run([sys.executable, "-c", f"from {module} import {function}; {function}()", "--version"],
                         capture_output=True, text=True, check=False, env={"PYTHONPATH": str(MODULES), "PATH": ""})
    from SpineAnalysisLib import __version__

    assert ran.returncode == 0, ran.stderr
    assert __version__ in ran.stdout


def test_the_readme_names_every_label_scheme_and_only_what_can_be_imported():
    from SpineAnalysisLib.schemes import SCHEMES

    readme = (REPOSITORY / "README.md").read_text()
    assert [name for name in SCHEMES if f"`{name}`" not in readme] == []
    imported = re.findall(r"^from (SpineAnalysisLib[\w.]*) import (\w+)$", readme, re.MULTILINE)
    assert len(imported) >= 4
    assert [name for module, name in imported if not hasattr(importlib.import_module(module), name)] == []
