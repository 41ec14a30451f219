"""Segmentations from files."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scan_files import noise, write, write_segments, write_series

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.names import names_in_header, read_names
from SpineAnalysisLib.reading.segmentation import read_segmentation, share_inside
from SpineAnalysisLib.volume import LabelMap, Volume


def blocks(*values: int) -> NDArray[np.uint8]:
    """(I, J, K) a column of labeled blocks."""
    array = np.zeros((12, 10, 6 * len(values)), np.uint8)
    for index, value in enumerate(values):
        array[3:9, 3:8, 6 * index + 1:6 * index + 5] = value
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_label_maps_of_any_type(tmp_path: Path, dtype: type, suffix: str) -> None:
    array = blocks(27, 28, 29)
    found = read_segmentation(write(tmp_path / f"labels.{suffix}", array.astype(dtype)))
    assert found.volume is not None
    assert np.array_equal(found.volume.array, array)
    assert found.volume.array.dtype.kind == "u"
    assert len(found.segments) == 0
    assert found.names == {}
    assert found.format == f".{suffix}"


SLICER_TAGS = ("Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type~SCT^123037004^"
               "Anatomical Structure~SCT^51282000^L1 vertebra~^^~Anatomic codes~^^~^^|")


def test_slicer_segments_that_overlap(tmp_path: Path) -> None:
    layers = np.stack([blocks(1, 2), np.zeros((12, 10, 12), np.uint8)], axis=-1)
    layers[5:11, 5:9, 2:9, 1] = 1
    found = read_segmentation(write_segments(tmp_path / "spine.seg.nrrd", layers, [
        {"Name": "first", "Layer": 0, "LabelValue": 1, "Tags": SLICER_TAGS, "Extent": "0 11 0 9 0 11"},
        {"Name": "over both", "Layer": 1, "LabelValue": 1},
        {"Name": "second", "Layer": 0, "LabelValue": 2},
        {"Name": "empty", "Layer": 1, "LabelValue": 9}]))
    assert found.volume is None
    assert [name for name, _, _ in found.segments] == ["first", "over both", "second"]
    assert found.segments[0][1].startswith("Segmentation category and type~SCT^123037004")
    assert found.segments[1][1] == ""
    for (_, _, mask), expected in zip(found.segments, [layers[..., 0] == 1, layers[..., 1] == 1, layers[..., 0] == 2],
                                      strict=True):
        assert np.array_equal(mask.array, expected)
        assert mask.to_ras(np.array([1, 2, 3])) == pytest.approx([-1, -2, 3])


def test_slicer_file_from_before_layers(tmp_path: Path) -> None:
    layers = np.stack([blocks(1, 0), blocks(0, 1)], axis=-1)
    found = read_segmentation(write_segments(tmp_path / "old.seg.nrrd", layers, [{"Name": "a"}, {"Name": "b"}]))
    assert [np.argwhere(mask.array)[:, 2].mean() for _, _, mask in found.segments] == [2.5, 8.5]


def test_folder_of_masks(tmp_path: Path) -> None:
    for name, array in {"vertebrae_L4": blocks(1, 0), "vertebrae_L5": blocks(0, 1), "lung": blocks(0, 0),
                        "column": blocks(1, 1)}.items():
        write(tmp_path / f"{name}.nii.gz", array)
    (tmp_path / "statistics.json").write_text("{}")
    found = read_segmentation(tmp_path)
    masks = {name: mask.array for name, _, mask in found.segments}
    assert set(masks) == {"vertebrae_L4", "vertebrae_L5", "column"}
    assert np.array_equal(masks["vertebrae_L5"], blocks(0, 1) > 0)
    assert np.array_equal(masks["column"], blocks(1, 1) > 0)
    write(tmp_path / "moved.nii.gz", blocks(1, 0), origin=(0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="different grids"):
        read_segmentation(tmp_path)


TABLES = {
    "labels.json": json.dumps({"27": "L5 vertebra", "28": "L4 vertebra"}),
    "dataset.json": json.dumps({"labels": {"background": 0, "L5 vertebra": 27, "L4 vertebra": 28}}),
    "map.json": json.dumps({"labels": {"27": "L5 vertebra", "28": "L4 vertebra"}}),
    "spine.ctbl": "# Color table\n0 background 0 0 0 0\n27 L5_vertebra 1 2 3 255\n28 L4_vertebra 1 2 3 255\n",
    "map.txt": '# ITK-SnAP\n    0     0    0    0        0  0  0    "Clear Label"\n'
               '   27   255    0    0        1  1  1    "L5 vertebra"\n'
               '   28     0  255    0      0.5  1  1    "L4 vertebra"\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_table_of_names_beside_a_label_map(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name])
    found = read_segmentation(write(tmp_path / "map.nii.gz", blocks(27, 28)))
    assert {value: text.replace("_", " ") for value, text in found.names.items() if value} == {
        27: "L5 vertebra", 28: "L4 vertebra"}
    assert read_names(tmp_path / name) == found.names


def test_files_beside_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"EchoTime": 0.1, "RepetitionTime": 3, "Modality": "MR"}))
    (tmp_path / "labels.json").write_text(json.dumps({"1": "liver", "2": "spleen"}))
    (tmp_path / "dataset.json").write_text("{broken")
    assert read_segmentation(write(tmp_path / "map.nii.gz", blocks(27, 28))).names == {}
    with pytest.raises(InputError, match="not valid JSON"):
        read_names(tmp_path / "dataset.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_names(tmp_path / "map.nii.gz")


def test_names_in_the_nifti_header(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(blocks(1, 2), np.eye(4))
    text = ('<CaretExtension><LabelTable>\n<Label Key="1" Red="0"><![CDATA[vertebrae_L5]]></Label>'
            '<Label Key="2">vertebrae_L4</Label></LabelTable></CaretExtension>')
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, text.encode()))
    image.to_filename(tmp_path / "labels.nii.gz")
    assert read_segmentation(tmp_path / "labels.nii.gz").names == {1: "vertebrae_L5", 2: "vertebrae_L4"}
    assert names_in_header("") == {}


def test_real_segmentations(real_data: Callable[[str], Path]) -> None:
    totalseg = read_segmentation(real_data("lumbar_ct_totalsegmentator/totalseg_labels.nii.gz"))
    assert totalseg.names[27] == "vertebrae_L5"
    body = read_segmentation(real_data("whole_body_masks_totalsegmentator/s0327_labels.nii.gz"))
    assert body.names[1] == "vertebrae_C1"
    floats = read_segmentation(real_data("cervical_mr_sct/t2_seg-manual_labeled.nii.gz"))
    assert floats.volume is not None
    assert sorted(np.unique(floats.volume.array)) == [0, 2, 3, 4, 5]


BAD_SEGMENTATIONS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (lambda p: p / "none.nii", "There is no file or folder"),
    "empty label map": (lambda p: write(p / "x.nii", blocks(0)), "segmentation is empty"),
    "empty Slicer file": (lambda p: write_segments(p / "x.seg.nrrd", blocks(0)[..., None], [{}]), "is empty"),
    "empty folder": (lambda p: p, "no mask in the folder"),
    "empty masks": (lambda p: write(p / "x.nii", blocks(0)).parent, "is empty"),
    "DICOM": (lambda p: next(p.iterdir()) if len(write_series(p)) else p, "DICOM object"),
    "fractions": (lambda p: write(p / "x.nii", blocks(1).astype(np.float32) * 0.5), "whole numbers"),
    "negative": (lambda p: write(p / "x.nii", blocks(1).astype(np.int16) - 1), "not labels"),
    "a scan": (lambda p: write(p / "x.nii", np.arange(1728, dtype=np.int16).reshape(12, 12, 12)), "it is a scan"),
    "vectors": (lambda p: write(p / "x.nrrd", np.stack([blocks(1)] * 2, -1), vector=True), "several values per voxel"),
    "not a number": (lambda p: write(p / "x.nii", np.full((5, 5, 5), np.nan, np.float32)), "whole numbers"),
    "cut": (lambda p: _cut(p / "x.nii.gz"), "truncated or corrupt"),
    "mask in a folder cut": (lambda p: _cut(p / "x.nii.gz").parent, "truncated or corrupt"),
}


def _cut(path: Path) -> Path:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:-700])
    return path


@pytest.mark.parametrize("case", BAD_SEGMENTATIONS)
def test_bad_segmentation_is_one_clear_sentence(tmp_path: Path, case: str) -> None:
    make, message = BAD_SEGMENTATIONS[case]
    with pytest.raises(InputError, match=message) as caught:
        read_segmentation(make(tmp_path))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_share_inside_the_image() -> None:
    array = np.concatenate([blocks(1, 2), np.full((40, 10, 12), 9, np.uint8)])  # of which 9 is no structure
    labels = LabelMap(array, np.eye(4), structures={1: Structure(Kind.VERTEBRA, Level.L5),
                                                    2: Structure(Kind.VERTEBRA, Level.L4)})
    image = Volume(noise((12, 10, 12)), np.eye(4))
    assert share_inside(image, labels) == 1.0
    lower_half = Volume(image.array[:, :, :6], np.eye(4))
    assert share_inside(lower_half, labels) == pytest.approx(0.5)
    oblique = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert share_inside(Volume(image.array.transpose(2, 1, 0), oblique), labels) == 1.0
    with pytest.raises(InputError, match="lies outside the image"):
        share_inside(image.transformed(np.array([[1.0, 0, 0, 300], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), labels)
