"""Scans and segmentations with damage, and what reading them must come to."""

import gzip
import math
import random
import re
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import RLELossless
from scan_files import PATIENT, enhanced_dataset, noise, save, slice_dataset, write, write_segments

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.reading.study import study_of

LONGEST_S = 90.0
"""Reading is milliseconds, on a busy computer seconds; what takes this long hangs."""
_NUMBERS = (0, 1, -1, 2, 3, 7, 255, 32767, 65535, 2**31 - 1, -2**31, 2**32, 1e-30, 1e30, 0.5, math.nan, math.inf)
_WORDS = (b"", b"0", b"-1", b"99999999999", b"nan", b"inf", b"1e400", b"raw", b"gzip", b"bzip2", b"hex", b"\xff\xfe",
          b"../outside.raw", b"/etc/hostname", b"LIST", b"%03d.raw", b"LOCAL", b"float", b"block", b"none", b"(1,0,0)")
_VALUES = ("", "0", "-1", "NaN", "1e400", "999999999", "1\\2", "1\\2\\3\\4\\5\\6\\7", "0\\0\\0", "é", "x" * 300)
_VRS = ("DS", "IS", "US", "SS", "FD", "FL", "LO", "UI", "CS", "SQ", "OB", "OW", "UL", "PN", "UN")


def originals() -> dict[str, Callable[[Path], Path]]:
    """Honest files by name: each makes one in a folder and says what to read."""
    return {"scan.nii": lambda p: write(p / "scan.nii", noise()), "scan.nii.gz": lambda p: write(p / "scan.nii.gz",
                                                                                                noise()),
            "scan.nrrd": lambda p: write(p / "scan.nrrd", noise()), "scan.nhdr": lambda p: write(p / "scan.nhdr",
                                                                                                noise()),
            "scan.mha": lambda p: write(p / "scan.mha", noise()), "scan.mhd": lambda p: write(p / "scan.mhd", noise()),
            "labels.nii.gz": lambda p: write(p / "labels.nii.gz", noise() % 6),
            "labels.seg.nrrd": _segments, "classic": _classic, "enhanced": _enhanced, "packed": _packed}


def _segments(folder: Path) -> Path:
    layers = np.random.default_rng(3).integers(0, 3, (9, 8, 7, 2), dtype=np.uint8)
    return write_segments(folder / "labels.seg.nrrd", layers, [
        {"Name": name, "Layer": layer, "LabelValue": value}
        for name, layer, value in (("L4", 0, 1), ("L5", 0, 2), ("canal", 1, 1))])


def _classic(folder: Path) -> Path:
    for k in range(3):
        made = slice_dataset(noise((9, 11), k).astype(np.uint16), (10.0 - 4.0 * k, 20.0, 30.0), instance=k + 1)
        save(made, folder / "classic" / f"{k}.dcm")
    return folder / "classic"


def _enhanced(folder: Path) -> Path:
    save(enhanced_dataset(noise((3, 9, 11)).astype(np.uint16)), folder / "enhanced" / "1.dcm")
    return folder / "enhanced"


def _packed(folder: Path) -> Path:
    path = _classic(folder)
    for file in path.iterdir():
        made = pydicom.dcmread(file)
        made.compress(RLELossless)
        save(made, file)
    return path


def damage(path: Path, chance: random.Random) -> None:
    """Damage one file of a scan, in a way that its format has ways for, or any."""
    victim = path if path.is_file() else chance.choice(sorted(path.iterdir()))
    beside = [p for p in path.parent.iterdir() if path.is_file() and p.is_file() and p != path]
    if beside and chance.random() < 0.2:
        victim = chance.choice(sorted(beside))
    content = victim.read_bytes()
    own = {".nii": _nifti, ".gz": _zipped_nifti, ".nrrd": _text_header, ".nhdr": _text_header, ".mha": _text_header,
           ".mhd": _text_header, ".dcm": _dicom}.get(victim.suffix, _bytes)
    victim.write_bytes((own if chance.random() < 0.65 else _bytes)(content, chance))


def _bytes(content: bytes, chance: random.Random) -> bytes:
    """Cut short, with bytes changed, doubled or put in."""
    out = bytearray(content)
    way = chance.choice(("cut", "change", "insert", "double", "zero"))
    if way == "cut" or not out:
        return bytes(out[:chance.randrange(len(out) + 1)])
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(out))
        long = chance.randrange(1, 40)
        if way == "change":
            out[at] = chance.randrange(256)
        elif way == "insert":
            out[at:at] = chance.randbytes(long)
        elif way == "double":
            out[at:at] = out[at:at + long]
        else:
            out[at:at + long] = bytes(len(out[at:at + long]))
    return bytes(out)


def _nifti(content: bytes, chance: random.Random) -> bytes:
    """Extreme values in the header's fields."""
    out = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        form, places = chance.choice((("<h", range(40, 56, 2)), ("<h", (70, 72, 252, 254)), ("<i", (0,)),
                                      ("<f", range(76, 120, 4)), ("<f", range(256, 328, 4)), ("<B", (123,))))
        value = chance.choice(_NUMBERS)
        try:
            packed = struct.pack(form, value if form == "<f" else int(value))
        except (struct.error, OverflowError, ValueError):
            packed = b"\xff" * struct.calcsize(form)
        at = chance.choice(list(places))
        out[at:at + len(packed)] = packed
    return bytes(out)


def _zipped_nifti(content: bytes, chance: random.Random) -> bytes:
    return gzip.compress(_nifti(gzip.decompress(content), chance), 1)


def _text_header(content: bytes, chance: random.Random) -> bytes:
    """Words of a header replaced, lines left out or doubled."""
    end = content.find(b"\n\n") if content.startswith(b"NRRD") else 400
    head, rest = (content[:end], content[end:]) if end >= 0 else (content, b"")
    lines = head.split(b"\n")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        way = chance.choice(("word", "word", "word", "drop", "double"))
        if way == "word":
            words = re.split(rb"([ =:,()]+)", lines[at])
            words[chance.randrange(len(words))] = chance.choice(_WORDS)
            lines[at] = b"".join(words)
        elif way == "drop" and len(lines) > 1:
            del lines[at]
        else:
            lines.insert(at, lines[at])
    return b"\n".join(lines) + rest


def _dicom(content: bytes, chance: random.Random) -> bytes:
    """An element emptied, given a strange value, or written with another representation."""
    out = bytearray(content)
    places = [found.start() for found in re.finditer(rb"[\x08\x10\x18\x20\x28]\x00..(?:DS|IS|US|UI|CS|LO|SH|PN)", out,
                                                      re.DOTALL)]
    for at in (chance.choice(places) for _ in range(chance.randrange(1, 4)) if places):
        length = int.from_bytes(out[at + 6:at + 8], "little")
        way = chance.choice(("representation", "value", "length", "empty"))
        if way == "representation":
            out[at + 4:at + 6] = chance.choice(_VRS).encode()
        elif way == "length":
            out[at + 6:at + 8] = chance.choice((0, 1, length + 2, 65535)).to_bytes(2, "little")
        else:
            text = "" if way == "empty" else chance.choice(_VALUES)
            value = text.encode("utf-8")[:length].ljust(length)
            out[at + 8:at + 8 + length] = value
    return bytes(out)


def damaged_copy(honest: dict[str, Path], folder: Path, seed: int) -> Path:
    """A damaged copy of one of the honest files.

    :param honest: by name, each in a folder of its own.
    """
    chance = random.Random(seed)
    source = honest[chance.choice(sorted(honest))]
    copied = shutil.copytree(source.parent, folder / "in")
    damage(copied / source.name, chance)
    return copied / source.name


def make_honest(folder: Path) -> dict[str, Path]:
    """All honest files, each in a folder of its own."""
    made = {}
    for name, make in originals().items():
        (folder / name).mkdir()
        made[name] = make(folder / name)
    return made


def read_or_refuse(path: Path) -> str:
    """Read it as everything that it may be.

    :return: the sentence of the last refusal, empty where everything was read.
    :raises AssertionError: where reading does neither, or does what it must not.
    """
    said = ""
    start = time.monotonic()
    for read in (_as_image, _as_segmentation, *([_as_study] if path.is_dir() else [])):
        try:
            read(path)
        except InputError as error:
            said = str(error)
            assert said.endswith("."), said
            assert "\n" not in said, said
            assert len(said) < 400, said
            assert PATIENT not in said, said
    assert time.monotonic() - start < LONGEST_S
    return said


def _as_image(path: Path) -> None:
    found = read_image([path])
    assert np.isfinite(found.volume.array).all()
    assert np.isfinite(found.volume.ijk_to_ras).all()
    assert abs(np.linalg.det(found.volume.ijk_to_ras)) > 0
    assert PATIENT not in f"{found.description} {found.notes} {found.hint} {found.volume.name}"


def _as_segmentation(path: Path) -> None:
    found = read_segmentation(path)
    assert found.volume is not None or len(found.segments)


def _as_study(path: Path) -> None:
    study_of(path)
