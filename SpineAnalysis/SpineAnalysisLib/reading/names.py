"""Tables that give label values their names: where they lie."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..schemes import names_from_table

_XML_LABEL = re.compile(r'<Label\s+Key="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]+)')
_SUFFIXES = (".json", ".ctbl", ".txt", ".label")
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
            try:
                names = read_names(candidate)
            except InputError:  # a file of another purpose
                continue
            if 2 * len(wanted & set(names)) >= len(wanted):
                return names
    return {}


def read_names(path: Path) -> dict[int, str]:
    """Label value -> name, from a table that the user chose.

    :raises InputError: where it is none.
    """
    try:
        return names_from_table(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        raise InputError("The table of label names cannot be read; pass a text file of values and names.") from None
