"""What the panel hands on: PDF, segmentation, DICOM, and what could explain a pain."""

import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import slicer
from panel_scene import Opened
from PySide6 import QtGui, QtWidgets
from scan_files import save, slice_dataset

from Harness import pythonqt
from Harness.dicom import DICOMDatabase
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.mrml import packages
from SpineAnalysisLib.mrml.results import find_result
from SpineAnalysisLib.mrml.volumes import volume_from_node
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.report.dicom.source import RAS_TO_LPS
from SpineAnalysisLib.report.pdf import browser

SERIES = "1.2.840.99999.72.3"
STUDY = {"StudyInstanceUID": "1.2.840.99999.72.1", "FrameOfReferenceUID": "1.2.840.99999.72.2", "StudyID": "7",
         "PatientID": "PAT-4711-X", "StudyDate": "20200102"}


@pytest.fixture(scope="module")
def _run():
    opened = Opened()
    opened.run()
    return opened


@pytest.fixture
def done(_run):
    yield _run
    assert pythonqt.errors == []


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Answers every file dialog; opens no browser."""
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName",
                        lambda _parent, _title, name, _kind: (str(tmp_path / name), ""))
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda _parent, _title: str(tmp_path))
    monkeypatch.setattr(QtGui.QDesktopServices, "openUrl", lambda _url: True)
    return tmp_path


@pytest.fixture
def dicom(done, tmp_path, monkeypatch):
    """The scan as if it had been loaded from Slicer's DICOM database."""
    node, folder = done.session.volume, tmp_path / "database"
    folder.mkdir()
    volume = volume_from_node(node)
    affine = RAS_TO_LPS @ volume.ijk_to_ras
    steps = affine[:3, :3] / volume.spacing
    for k in range(volume.shape[2]):
        made = slice_dataset(
            volume.array[:, :, k].T.astype(np.uint16), affine[:3, 3] + k * affine[:3, 2], instance=k + 1, series=SERIES,
            orientation=[*steps[:, 0], *steps[:, 1]], PixelSpacing=[volume.spacing[1], volume.spacing[0]],
            SliceThickness=volume.spacing[2], **STUDY)
        save(made, folder / f"{k}.dcm")
    database = DICOMDatabase(folder)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node.SetAttribute("DICOM.instanceUIDs", " ".join(database.instances(SERIES)))
    done.panel.update()
    yield folder
    node.RemoveAttribute("DICOM.instanceUIDs")


# ---- files

@pytest.mark.skipif(browser() is None, reason="printing a PDF needs Chromium, Chrome or Edge")
def test_the_report_is_printed(done, asked):
    done.click(done.ui.pdfButton)
    assert (asked / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "report.pdf" in done.ui.statusLabel.text


def test_without_a_browser_the_panel_says_what_to_do(done, asked, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done.ui.pdfButton.click()
    done.settle()
    assert str(pythonqt.errors[0]).startswith("A PDF needs Chromium, Chrome or Edge")
    pythonqt.errors.clear()


def test_the_segmentation_is_written_with_people_s_own_segments(done, asked):
    node = done.session.node("segmentation")
    node.GetSegmentation().AddEmptySegment("mine", "my tumor")
    done.click(done.ui.segmentationButton)
    node.GetSegmentation().RemoveSegment("mine")
    found = read_segmentation(asked / "segmentation.seg.nrrd")
    names = {name for name, _entry, _mask in found.segments}
    assert {"L4 vertebra", "L4-L5 disc", "spinal canal"} <= names
    assert "my tumor" in (asked / "segmentation.seg.nrrd").read_bytes()[:20000].decode("latin1")
    assert node.GetStorageNode() is None, "where the scene saves it is not touched"


# ---- DICOM

def test_a_scan_from_elsewhere_has_no_dicom_results(done):
    done.panel.update()
    assert not done.ui.dicomButton.enabled
    with pytest.raises(InputError, match="load it from Slicer's DICOM database"):
        done.widget.logic.writeDicom(done.session.analysis, done.session.volume, "nowhere")


def test_dicom_results_belong_to_the_scan_that_was_measured(done, dicom, asked):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "another scan")
    chosen = done.parameters.inputVolume
    done.parameters.inputVolume = other
    done.panel.update()
    assert done.ui.dicomButton.enabled
    done.click(done.ui.dicomButton)
    done.click(done.ui.dicomButton)
    done.parameters.inputVolume = chosen
    slicer.mrmlScene.RemoveNode(other)
    written = {path.stem: pydicom.dcmread(path) for path in (asked / "spine-analysis").glob("*.dcm")}
    assert {"segmentation", "measurements", "key_image_1"} <= written.keys()
    assert ("report" in written) == (browser() is not None)
    assert {each.StudyInstanceUID for each in written.values()} == {STUDY["StudyInstanceUID"]}
    assert {each.PatientID for each in written.values()} == {"PAT-4711-X"}
    assert (asked / "spine-analysis-2" / "segmentation.dcm").is_file(), "nothing is written over"
    names = [segment.SegmentLabel for segment in written["segmentation"].SegmentSequence]
    assert "L4 vertebra" in names
    assert "canal_area L4-L5" in str(written["measurements"])


def test_dicom_results_without_identity(done, dicom, asked):
    done.ui.deidentifyCheck.checked = True
    done.click(done.ui.dicomButton)
    done.ui.deidentifyCheck.checked = False
    for path in (asked / "spine-analysis").glob("*.dcm"):
        raw = path.read_bytes()
        for text in ("PAT-4711-X", STUDY["StudyInstanceUID"]):
            assert text.encode() not in raw, path.name


def test_dicom_results_are_refused_where_the_scan_was_moved_or_its_files_are_gone(done, dicom, asked):
    node = done.session.volume
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="under a transform"):
        done.widget.logic.writeDicom(done.session.analysis, node, asked / "x")
    slicer.mrmlScene.RemoveNode(transform)
    shutil.rmtree(dicom)
    with pytest.raises(InputError, match="import them again"):
        done.widget.logic.writeDicom(done.session.analysis, node, asked / "x")
    assert not (asked / "x").exists()


# ---- pain

def test_a_painful_dermatome_is_explained_at_once(done, asked):
    ui = done.ui
    assert ui.symptomNote._it.isHidden()
    ui.symptomRootSelector.currentIndex = ui.symptomRootSelector.findData("L5")
    ui.symptomSideSelector.currentIndex = ui.symptomSideSelector.findData("left")
    done.settle()
    assert done.parameters.symptom == "L5 left"
    assert "stenosis" in ui.symptomNote.text
    assert 'href="L4-L5"' in ui.symptomNote.text
    assert "L5-S1 left foraminal" in ui.symptomNote.toolTip
    table = find_result(slicer.mrmlScene, done.session.name, "symptom")
    assert table.GetCellText(0, 1) == "L4-L5"
    done.panel.go_to(None)
    ui.symptomNote._it.linkActivated.emit("L4-L5")
    assert str(done.session.level) == "L4-L5"
    done.click(ui.copyButton)
    assert "L5 left: L4-L5 central" in QtWidgets.QApplication.clipboard().text()
    done.click(ui.reportButton)
    assert "What could explain pain of L5 left" in (asked / "report.html").read_text(encoding="utf-8")
    ui.symptomRootSelector.currentIndex = ui.symptomRootSelector.findData("C6")
    done.settle()
    assert "No level" in ui.symptomNote.text
    ui.symptomRootSelector.currentIndex = 0
    done.settle()
    assert find_result(slicer.mrmlScene, done.session.name, "symptom") is None
    assert ui.symptomNote._it.isHidden()


# ---- packages

@pytest.mark.parametrize("new", [False, True])
def test_packages_are_installed_only_with_consent(monkeypatch, new):
    """Before Slicer 5.12 the module asks; later Slicer's own ``pip_ensure``, which raises where people decline."""
    engine = replace(packages.engine_named("builtin"), package="surely_not_here")
    monkeypatch.setitem(packages.install_engine.__globals__, "engine_named", lambda _name: engine)
    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    for answer in (False, True):
        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay",
                            lambda text, *_, answer=answer: (asked.append(text), answer)[1])
        if answer:
            packages.install_engine("builtin")
        else:
            with pytest.raises(InputError, match="was not installed"):
                packages.install_engine("builtin")
            assert installed == []
    assert "Apache-2.0" in asked[0]
    assert installed[0][:2] == ["onnxruntime>=1.20", "--constraint"]

    requirements = Path(packages.__file__).parents[2] / "Resources" / "requirements.txt"
    if new:
        module = types.ModuleType("slicer.packaging")
        module.pip_check = lambda _wanted: False
        def ensure(wanted, requester):
            raise RuntimeError("User declined package installation")
        module.pip_ensure = ensure
        monkeypatch.setitem(sys.modules, "slicer.packaging", module)
        monkeypatch.setattr(slicer, "packaging", module, raising=False)
    else:
        monkeypatch.setitem(packages.install_requirements.__globals__, "find_spec", lambda _name: None)
        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: False)
    with pytest.raises(InputError, match="were not installed"):
        packages.install_requirements(str(requirements))
    assert len(installed) == 1
