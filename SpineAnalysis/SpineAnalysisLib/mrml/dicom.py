"""The DICOM series that a volume node was loaded from."""

from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from ..report.dicom.source import Source

_INSTANCES = "DICOM.instanceUIDs"  # Slicer's attribute of volumes from its DICOM database


def instances_of(node: Any | None) -> list[str]:
    """UIDs of the images that a volume was loaded from; none where it is not from Slicer's DICOM database."""
    return (node.GetAttribute(_INSTANCES) or "").split() if node is not None else []


def source_of(node: Any | None) -> Source:
    """The headers of the series that a volume was loaded from.

    :raises InputError: where it is not from the DICOM database, its files are gone, or it was moved since.
    """
    database = getattr(slicer, "dicomDatabase", None)
    instances = instances_of(node)
    if node is None or database is None or not instances:
        raise InputError("DICOM results belong to a DICOM scan: load it from Slicer's DICOM database, and choose it as "
                         "the scan to segment.")
    if node.GetParentTransformNode() is not None:
        raise InputError(f"{node.GetName()} lies under a transform, so results are not where its DICOM images are: "
                         "take it out of the transform, then measure again.")
    files = [Path(str(database.fileForInstance(uid) or "")) for uid in instances]
    if not all(path.is_file() for path in files):
        raise InputError(f"The DICOM files of {node.GetName()} are no longer where the database says: import them "
                         "again.")
    return Source.of_files(files)
