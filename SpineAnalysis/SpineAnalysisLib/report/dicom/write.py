"""All DICOM results of one analysis."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis import Analysis
from ...progress import Progress, silent, step
from ..html import key_pictures
from ..pdf import browser, print_pdf
from .documents import encapsulated, key_images
from .measurements import structured_report
from .segmentation import segmentation
from .source import IDENTITY_REMOVED, Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def write_dicom(analysis: Analysis, source: Source, page: Path, folder: Path, progress: Progress = silent,
                environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Segmentation, structured report, report and key images as ``*.dcm`` of the source's patient and study.

    They carry new UIDs and the time of writing, as DICOM asks for; everything else is the same for the same input.

    :param source: the scan's series, with or without identity.
    :param page: the report as HTML.
    :param folder: made if need be.
    :param environment: of the browser that prints the report; ``None`` is this process's own.
    :return: sentences about what could not be written.
    :raises InputError: for labels that DICOM cannot hold.
    :raises Cancelled: by ``progress``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in _objects(analysis, source, page, folder, progress, environment):
        made.BodyPartExamined = "SPINE"
        for keyword in IDENTITY_REMOVED:
            if keyword in source.first:
                made[keyword] = source.first[keyword]
        made.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    step(progress, 1.0, "DICOM written")
    return () if browser() else ("The report was not written as a DICOM document: printing it needs Chromium, Chrome "
                                 "or Edge.",)


def _objects(analysis: Analysis, source: Source, page: Path, folder: Path,
             progress: Progress, environment: Mapping[str, str] | None) -> Iterator[tuple[str, "Dataset"]]:
    step(progress, 0.0, "Writing DICOM segmentation")
    segments = segmentation(analysis.spine.labels, source)
    yield "segmentation", segments
    step(progress, 0.4, "Writing DICOM measurements")
    yield "measurements", structured_report(analysis, source, segments)
    step(progress, 0.6, "Writing DICOM report")
    if browser():
        pdf = folder / "report.pdf"
        print_pdf(page, pdf, environment)
        yield "report", encapsulated(pdf, source)
        pdf.unlink()
    step(progress, 0.8, "Writing key images")
    for image in key_images(key_pictures(analysis), source):
        yield f"key_image_{image.InstanceNumber}", image
