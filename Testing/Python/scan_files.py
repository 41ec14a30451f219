"""Small scans and DICOM series, written where a test wants them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

PATIENT = "DOE^JANE"


def noise(shape: tuple[int, ...] = (12, 10, 8), seed: int = 0) -> NDArray[np.int16]:
    """(I, J, K) intensities of no particular scan."""
    return np.random.default_rng(seed).integers(0, 800, shape, dtype=np.int16)


def write(path: Path, array: NDArray, spacing: tuple[float, ...] = (1.0, 2.0, 3.0),
          origin: tuple[float, ...] = (5.0, 6.0, 7.0), vector: bool = False) -> Path:
    """An array [i, j, k] as a file, its spacing and origin in LPS."""
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0, 3) if vector else array.T, isVector=vector)
    image.SetSpacing((*spacing, 1.0)[:image.GetDimension()])
    image.SetOrigin((*origin, 0.0)[:image.GetDimension()])
    SimpleITK.WriteImage(image, str(path))
    return path


def write_segments(path: Path, layers: NDArray, segments: Iterable[dict[str, Any]]) -> Path:
    """A segmentation file as Slicer writes it.

    :param layers: (I, J, K, C).
    :param segments: fields such as ``{"Name": "L4", "Layer": 0, "LabelValue": 1}``.
    """
    image = SimpleITK.GetImageFromArray(layers.transpose(2, 1, 0, 3), isVector=True)
    for index, fields in enumerate(segments):
        for key, value in {"ID": f"Segment_{index}", **fields}.items():
            image.SetMetaData(f"Segment{index}_{key}", str(value))
    SimpleITK.WriteImage(image, str(path))
    return path


def slice_dataset(pixels: NDArray[np.uint16], position: Iterable[float], series: str = "1.2.3", number: int = 4,
                  instance: int = 1, orientation: Iterable[float] = (0, 1, 0, 0, 0, -1), **tags: Any) -> FileDataset:
    """One image of a series, with a patient's name in it.

    :param pixels: (rows, columns).
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(instance), str(tags)])
    made = FileDataset(None, {}, preamble=b"\0" * 128, file_meta=meta)
    fields = {"SOPClassUID": MRImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "Modality": "MR",
              "PatientName": PATIENT, "PatientID": "4711", "SeriesInstanceUID": series, "SeriesNumber": number,
              "SeriesDescription": "T2 SAG", "InstanceNumber": instance, "ImagePositionPatient": list(position),
              "ImageOrientationPatient": list(orientation), "PixelSpacing": [0.75, 0.5], "SamplesPerPixel": 1,
              "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
              "PixelRepresentation": 0, "Rows": pixels.shape[-2], "Columns": pixels.shape[-1],
              "PixelData": pixels.astype(np.uint16).tobytes(), **tags}
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_series(folder: Path, count: int = 6, step: float = 4.0, leave_out: Iterable[int] = (), prefix: str = "",
                 **tags: Any) -> NDArray[np.uint16]:
    """A sagittal series from left to right, its files in no order of place.

    :return: (slices, rows, columns).
    """
    volume = np.random.default_rng(7).integers(1, 900, (count, 9, 11), dtype=np.uint16)
    for k in set(range(count)) - set(leave_out):
        made = slice_dataset(volume[k], (10.0 - step * k, 20.0, 30.0), instance=k + 1, **tags)
        save(made, folder / f"{prefix}{(k * 5) % 7}_{k}.dcm")
    return volume


def enhanced_dataset(volume: NDArray[np.uint16], step: float = 4.0) -> FileDataset:
    """A multi-frame image of one stack.

    :param volume: (frames, rows, columns).
    """
    made = slice_dataset(volume, (0, 0, 0), NumberOfFrames=len(volume))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(made, name)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    made.AcquisitionContrast = "T1"

    def group(name: str, **values: Any) -> Dataset:
        inner, outer = Dataset(), Dataset()
        for key, value in values.items():
            setattr(inner, key, value)
        setattr(outer, name, Sequence([inner]))
        return outer

    shared = group("PixelMeasuresSequence", PixelSpacing=[0.75, 0.5], SliceThickness=step)
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    made.PerFrameFunctionalGroupsSequence = Sequence(
        [group("PlanePositionSequence", ImagePositionPatient=[10.0 - step * k, 20.0, 30.0])
         for k in range(len(volume))])
    return made
