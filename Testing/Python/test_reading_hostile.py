"""DICOM folders that are damaged, mixed or made to do harm."""

import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian
from scan_files import enhanced_dataset, save, slice_dataset, write_series

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.headers import read_headers
from SpineAnalysisLib.reading.image import read_image

_HEADER = 132  # preamble and magic


def test_patients_are_never_mixed(tmp_path: Path) -> None:
    write_series(tmp_path, count=6)
    made = slice_dataset(np.ones((9, 11), np.uint16), (-14.0, 20.0, 30.0), instance=7, PatientID="another")
    save(made, tmp_path / "another.dcm")
    with pytest.raises(InputError, match="different patients; pass the folder of one patient"):
        read_image([tmp_path])


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "scan", count=4)
    write_series(tmp_path / "elsewhere", count=4, series="1.2.9", number=9)
    (tmp_path / "scan" / "link.dcm").symlink_to(next((tmp_path / "elsewhere").iterdir()))
    (tmp_path / "scan" / "folder").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "scan" / "again.dcm").symlink_to(next((tmp_path / "scan").glob("*.dcm")))
    found = read_image([tmp_path / "scan"])
    assert found.volume.shape[2] == 4
    assert found.notes == ("1 duplicate image(s) of series 4 were left out.",)


def test_what_unfolds_without_end_is_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(read_headers.__globals__, "_MOST_INFLATED", 2**20)
    write_series(tmp_path, count=4)
    bomb = slice_dataset(np.ones((9, 11), np.uint16), (0, 0, 0))
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(bomb, tmp_path / "bomb.dcm")
    content = path.read_bytes()
    end_of_meta = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(content[:end_of_meta] + packer.compress(bytes(2**22)) + packer.flush())
    assert path.stat().st_size < 2**14
    headers, broken = read_headers([path])
    assert (headers, broken) == ([], [path])
    assert read_image([tmp_path]).notes == ("1 DICOM file(s) in this folder cannot be read and were left out.",)


def test_honest_deflated_files_are_read(tmp_path: Path) -> None:
    made = slice_dataset(np.ones((9, 11), np.uint16), (0, 0, 0))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    headers, broken = read_headers([save(made, tmp_path / "1.dcm")])
    assert (len(headers), broken) == (1, [])


def test_nothing_but_damaged_files(tmp_path: Path) -> None:
    write_series(tmp_path, count=4)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_image([tmp_path])


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 60000), ("Columns", 65535)])
def test_sizes_that_are_not_there(tmp_path: Path, keyword: str, value: int) -> None:
    write_series(tmp_path, count=4, **{keyword: value})
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_image([tmp_path])


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """The files of a classic series, and of an enhanced one."""
    classic, enhanced = tmp_path_factory.mktemp("classic"), tmp_path_factory.mktemp("enhanced")
    write_series(classic, count=3)
    save(enhanced_dataset(np.ones((3, 9, 11), np.uint16)), enhanced / "1.dcm")
    return [[path.read_bytes() for path in sorted(folder.iterdir())] for folder in (classic, enhanced)]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut short, with bytes changed, or with bytes put in."""
    out = bytearray(content)
    way = chance.choice(("cut", "change", "change", "insert"))
    if way == "cut":
        return bytes(out[:chance.randrange(len(out))])
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(_HEADER, len(out))
        if way == "change":
            out[at] = chance.randrange(256)
        else:
            out[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(out)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damage_is_read_or_refused_in_one_sentence(originals: list[list[bytes]], tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = chance.choice(originals)
    victim = chance.randrange(len(files))
    for old in tmp_path.iterdir():
        old.unlink()
    for index, content in enumerate(files):
        (tmp_path / f"{index}.dcm").write_bytes(damaged(content, chance) if index == victim else content)
    try:
        found = read_image([tmp_path])
    except InputError as error:
        sentence = str(error)
    else:
        sentence = "."
        assert np.isfinite(found.volume.array).all()
    assert sentence.endswith(".")
    assert "\n" not in sentence
