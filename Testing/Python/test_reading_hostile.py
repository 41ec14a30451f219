"""DICOM folders that are damaged, mixed or made to do harm."""

import gzip
import random
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian
from reader_fuzz import damaged_copy, make_honest, read_or_refuse
from scan_files import enhanced_dataset, noise, save, slice_dataset, write, write_segments, write_series

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.headers import read_headers
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.raw import check_memory
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand

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


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_honest(tmp_path_factory.mktemp("honest"))


def test_honest_files_are_read(honest: dict[str, Path]) -> None:
    """What the damaged ones are made from."""
    for name, path in honest.items():
        if name.startswith("labels"):
            assert read_segmentation(path).format in (".nii.gz", ".seg.nrrd")
        else:
            assert read_image([path]).volume.shape[2] >= 3


@settings(max_examples=100, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_every_format_is_read_or_refused(honest: dict[str, Path], tmp_path: Path, seed: int) -> None:
    """``Utilities/fuzz_readers.py`` does the same for longer."""
    shutil.rmtree(tmp_path / "in", ignore_errors=True)
    outside = sorted(tmp_path.iterdir())
    read_or_refuse(damaged_copy(honest, tmp_path, seed))
    assert sorted(path for path in tmp_path.iterdir() if path.name != "in") == outside


def _two_files(folder: Path, header: str, voxels: str, written: Callable[[bytes, bytes], bytes]) -> Path:
    """A header in ``in`` with its voxels' file; the same voxels outside as well."""
    (folder / "in").mkdir()
    path = write(folder / "in" / header, noise())
    content = path.read_bytes()
    (folder / "secret.raw").write_bytes((folder / "in" / voxels).read_bytes())
    path.write_bytes(written(content, voxels.encode()))
    return path


@pytest.mark.parametrize(("header", "voxels", "key", "elsewhere"), [
    ("x.nhdr", "x.raw", b"data file: ", b"../secret.raw"), ("x.nhdr", "x.raw", b"datafile: ", b"../secret.raw"),
    ("x.nhdr", "x.raw", b"data file: ", b"LIST\n../secret.raw"), ("x.nhdr", "x.raw", b"DATA FILE: ", b"/etc/hostname"),
    ("x.mhd", "x.raw", b"ElementDataFile = ", b"../secret.raw"),
    ("x.mhd", "x.raw", b"ElementDataFile = ", b"LIST\n../secret.raw"),
    ("x.mhd", "x.raw", b"ElementDataFile = ", b"../%03d.raw 1 8 1")])
def test_headers_do_not_lead_out_of_the_folder(tmp_path: Path, header: str, voxels: str, key: bytes, elsewhere: bytes
                                               ) -> None:
    path = _two_files(tmp_path, header, voxels, lambda content, name: re.sub(
        rb"(?m)^(data file: |ElementDataFile = )" + re.escape(name) + rb"$", lambda _: key + elsewhere, content))
    assert elsewhere in path.read_bytes()
    with pytest.raises(InputError, match="a file outside of its folder; export it as one file"):
        read_image([path])


def test_a_link_to_voxels_elsewhere_is_not_followed(tmp_path: Path) -> None:
    path = _two_files(tmp_path, "x.nhdr", "x.raw", lambda content, _: content)
    (tmp_path / "in" / "x.raw").unlink()
    (tmp_path / "in" / "x.raw").symlink_to(tmp_path / "secret.raw")
    with pytest.raises(InputError, match="outside of its folder"):
        read_image([path])


def test_texts_in_no_character_set_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mha", noise())
    head, mark, rest = path.read_bytes().partition(b"ElementSpacing")
    path.write_bytes(head + b"Comm\xff\xfeent = \xff\xfe\n" + mark + rest)
    assert read_image([path]).volume.shape == noise().shape


@pytest.mark.parametrize(("field", "value"), [("Layer", "inf"), ("LabelValue", "block"), ("Layer", "1.5")])
def test_segments_in_no_layer(tmp_path: Path, field: str, value: str) -> None:
    layers = np.ones((9, 8, 7, 1), np.uint8)
    path = write_segments(tmp_path / "x.seg.nrrd", layers, [{"Name": "L4", "Layer": 0, "LabelValue": 1, field: value}])
    with pytest.raises(InputError, match="does not say in whole numbers which voxels are whose"):
        read_segmentation(path)


def test_segments_in_a_layer_that_is_not_there(tmp_path: Path) -> None:
    layers = np.ones((9, 8, 7, 2), np.uint8)
    path = write_segments(tmp_path / "x.seg.nrrd", layers, [{"Name": "L4", "Layer": -1, "LabelValue": 1}])
    with pytest.raises(InputError, match="empty"):
        read_segmentation(path)


def test_voxels_that_no_memory_holds_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip bomb: the header is honest, and there is no end of zeros."""
    path = write(tmp_path / "x.nii", noise())
    content = bytearray(path.read_bytes())
    struct.pack_into("<3h", content, 42, 1200, 1200, 1200)
    bomb = tmp_path / "x.nii.gz"
    bomb.write_bytes(gzip.compress(bytes(content), 1))
    monkeypatch.setitem(check_memory.__globals__, "_memory_bytes", lambda: 2.0**31)
    with pytest.raises(InputError, match="does not fit into the memory"):
        read_image([bomb])


def test_two_patients_with_one_uid(tmp_path: Path) -> None:
    """Instances that share every UID but not the patient."""
    for patient in ("one", "two"):
        for k in range(3):
            save(slice_dataset(np.full((9, 11), k + 1, np.uint16), (10.0 - 4.0 * k, 20.0, 30.0), instance=k + 1,
                               PatientID=patient, SOPInstanceUID=f"1.2.{k}"), tmp_path / f"{patient}{k}.dcm")
    with pytest.raises(InputError, match="different patients"):
        read_image([tmp_path])


def test_thousands_of_labels(tmp_path: Path) -> None:
    """No structures: told in one sentence, and soon."""
    path = write(tmp_path / "x.nii.gz", np.arange(20**3, dtype=np.int32).reshape(20, 20, 20))

    def labels() -> None:
        found = read_segmentation(path)
        assert found.volume is not None
        understand(found.volume, "auto", found.names, None, None)

    with pytest.raises(InputError) as caught:
        labels()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
