"""What kind of scan it is, as far as the file tells."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..spine import Contrast

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Hint = tuple[Contrast, str]
"""The contrast and how it is known."""

_WORDS: tuple[tuple[Contrast, str], ...] = (
    ("STIR", r"stir|tirm"), ("T1", r"t1(w|wi|we)?"), ("T2", r"t2(w|wi)?"), ("CT", r"ct"))
_STATED: dict[str, Contrast] = {"T1": "T1", "T2": "T2", "STIR": "STIR"}
_AIR_HU = -500
_DARKER_THAN_WATER = 0.1
"""Share of voxels below 0.  Thirteen scans by CT had 0.39 or more, of air and fat.  Where MR was resampled, some may be
below -500 as well, but 13 scans had 0.04 below 0 at most."""
_ENOUGH = 500_000


def of_words(text: str, known_by: str) -> Hint | None:
    """From a series description or a file name: the one contrast that it names."""
    words = re.split(r"[^a-z0-9]+", text.lower())
    named = [contrast for contrast, pattern in _WORDS if any(re.fullmatch(pattern, word) for word in words)]
    # STIR is T2-like, so both words may stand together.
    if named and (len(named) == 1 or named == ["STIR", "T2"]):
        return named[0], known_by
    return None


def is_hounsfield(array: NDArray) -> bool:
    """Whether values are Hounsfield units: some of them air, and many darker than water."""
    sample = array.ravel()[:: max(array.size // _ENOUGH, 1)]
    return bool(array.min() <= _AIR_HU and np.mean(sample < 0) > _DARKER_THAN_WATER)


def of_intensities(array: NDArray) -> Hint | None:
    """CT, where the values tell it; nothing else can be told by them."""
    return ("CT", "Hounsfield units") if is_hounsfield(array) else None


def of_dicom(header: "Dataset") -> Hint | None:
    """From what the scanner did, and only then from what somebody typed."""
    modality = str(header.get("Modality", ""))
    if modality == "CT":
        return "CT", "DICOM modality"
    if modality != "MR":
        return None
    stated = _STATED.get(str(header.get("AcquisitionContrast", "")))
    if stated is not None:
        return stated, "DICOM acquisition contrast"
    words = f"{header.get('SeriesDescription', '')} {header.get('SequenceName', '')}"
    return _of_timing(header) or of_words(words, "series description")


def _of_timing(header: "Dataset") -> Hint | None:
    """Spin echo weighting from echo, repetition and inversion times in milliseconds."""
    echo, repetition, inversion = (_number(header.get(name)) for name in
                                   ("EchoTime", "RepetitionTime", "InversionTime"))
    sequence = header.get("ScanningSequence", "")
    kinds = {sequence} if isinstance(sequence, str) else set(sequence)
    if "SE" not in kinds and "IR" not in kinds:
        return None
    if 70 <= inversion <= 300:  # the null of fat between 0.2 T and 3 T
        return "STIR", "inversion time"
    if echo >= 60 and repetition >= 1500 and inversion <= 300:
        return "T2", "echo and repetition time"
    if 0 < echo <= 30 and (0 < repetition <= 1000 or 300 < inversion <= 1300):
        return "T1", "echo and repetition time"
    return None


def _number(value: Any) -> float:
    """A DICOM number; 0 where there is none."""
    try:
        return float(np.nan_to_num(float(value)))
    except (TypeError, ValueError):
        return 0.0
