"""Tables of label names that come with a label map."""

import json
import re
from typing import Any

from ..errors import InputError

# ITK-SNAP: value, red, green, blue, opacity, two flags, "name".  Slicer: value, name, red, green, blue, opacity.
_ITK_SNAP = re.compile(r'^\s*(\d+)(?:\s+[\d.]+){6}\s+"(.*)"\s*$')
_SLICER = re.compile(r"^\s*(\d+)\s+(\S+)(?:\s+\d+){4}\s*$")


def names_from_table(text: str) -> dict[int, str]:
    """Label value -> name; the background is left out.

    Understands JSON of values and names either way round, nnU-Net's ``dataset.json``, ITK-SNAP's label descriptions and
    Slicer's color tables (``.ctbl``).

    :param text: what the file holds.
    :raises InputError: where it is none of them.
    """
    names = _from_json(text) if text.lstrip().startswith("{") else _from_lines(text)
    names.pop(0, None)
    if not names:
        raise InputError("The table of label names holds none: pass a JSON file of label values and names, nnU-Net's "
                         "dataset.json, ITK-SNAP's label descriptions or Slicer's color table.")
    return names


def _from_json(text: str) -> dict[int, str]:
    try:
        content: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        raise InputError("The table of label names is not valid JSON: correct it or pass another one.") from None
    table = content.get("labels", content)
    names = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        if key.isdigit() and isinstance(value, str):
            names[int(key)] = value
        elif isinstance(value, int):
            names[value] = key
        elif isinstance(value, str) and value.isdigit():
            names[int(value)] = key
    return names


def _from_lines(text: str) -> dict[int, str]:
    names = {}
    for line in text.splitlines():
        found = _ITK_SNAP.match(line) or _SLICER.match(line)
        if found:
            names[int(found[1])] = found[2]
    return names
