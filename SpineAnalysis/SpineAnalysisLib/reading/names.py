"""Tables that give label values their names, in the forms in which programs write them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

_XML_LABEL = re.compile(r'<Label\s+Key="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]+)')
# Slicer: value name r g b a.  ITK-SNAP: value r g b a visible mesh "name".
_ROW = re.compile(r'^\s*(\d+)[\s,]+(?:(?:[\d.]+\s+){4,6}"([^"]+)"|"?([^\s",]+)"?(?:[\s,]+[\d.]+)*)\s*$')
_SUFFIXES = (".json", ".ctbl", ".txt", ".csv", ".tsv")
_COMMON = ("labels.json", "dataset.json")


def names_in_header(text: str) -> dict[int, str]:
    """From the XML table that TotalSegmentator and Connectome Workbench put into a NIfTI file."""
    return {int(value): name.strip() for value, name in _XML_LABEL.findall(text)}


def names_beside(path: Path, stem: str, values: Iterable[int]) -> dict[int, str]:
    """From the first file next to a label map that names at least half of its values.

    :param stem: the label map's name without its suffix.
    :param values: that the label map has.
    """
    wanted = set(values)
    nearby = [path.with_name(stem + suffix) for suffix in _SUFFIXES]
    nearby += [path.with_name(name) for name in _COMMON] + sorted(path.parent.glob("*.ctbl"))
    for candidate in nearby:
        if candidate.is_file():
            names = _parse(candidate)
            if 2 * len(wanted & set(names)) >= len(wanted):
                return names
    return {}


def read_names(path: Path) -> dict[int, str]:
    """From a table that the user chose.

    :raises InputError: where it names no label value.
    """
    names = _parse(path)
    if not names:
        raise InputError("The table of labels names no label value; pass JSON such as {\"1\": \"L1 vertebra\"}, a "
                         "dataset.json or a color table.")
    return names


def _parse(path: Path) -> dict[int, str]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    if path.suffix.lower() == ".json":
        try:
            return _of_json(json.loads(text))
        except json.JSONDecodeError:
            return {}
    rows = (_ROW.match(line) for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {int(row[1]): (row[2] or row[3]).strip() for row in rows if row}


def _of_json(content: Any) -> dict[int, str]:
    """Value -> name, name -> value (nnU-Net), or either below ``labels``."""
    if not isinstance(content, Mapping):
        return {}
    if isinstance(content.get("labels"), Mapping):
        content = content["labels"]
    names = {}
    for key, value in content.items():
        if isinstance(value, str) and key.isdecimal():
            names[int(key)] = value
        elif isinstance(value, int) and not isinstance(value, bool) and not key.isdecimal():
            names[value] = key
    return names
