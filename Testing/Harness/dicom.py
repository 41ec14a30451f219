"""``slicer.dicomDatabase``: what modules ask it about files that were imported."""

from pathlib import Path

import pydicom


class DICOMDatabase:
    """The two questions of ctkDICOMDatabase that the project asks, on a folder of files.

    As there, what is not known is answered by an empty text.
    """

    def __init__(self, folder: Path):
        self._files = {}
        for path in sorted(folder.iterdir()):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            self._files[str(header.SOPInstanceUID)] = path

    def instances(self, series: str) -> list[str]:
        """Of one series: what Slicer's readers write into the attribute ``DICOM.instanceUIDs`` of a volume."""
        return [uid for uid, path in self._files.items()
                if pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID == series]

    def fileForInstance(self, uid: str) -> str:
        return str(self._files.get(uid, ""))

    def instanceValue(self, uid: str, tag: str) -> str:
        if uid not in self._files:
            return ""
        group, element = tag.split(",")
        header = pydicom.dcmread(self._files[uid], stop_before_pixels=True)
        found = header.get((int(group, 16), int(element, 16)))
        return "" if found is None else str(found.value)
