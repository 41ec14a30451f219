"""NRRD and MetaImage files, read by SimpleITK."""

from pathlib import Path

import numpy as np

from .raw import LPS_TO_RAS, RawImage, affine, check_size, out_of_memory, unreadable

SUFFIXES = (".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")


def read(path: Path, role: str) -> RawImage:
    """:raises InputError: for what is no volume, is truncated or has no usable geometry."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        check_size(tuple(reader.GetSize()), role)
        image = reader.Execute()
        pixels = SimpleITK.GetArrayFromImage(image)
    except MemoryError:
        raise out_of_memory(role) from None
    except RuntimeError as error:
        raise _explained(str(error), role) from None
    # NumPy's view is [k, j, i], components last.
    array = pixels.transpose(2, 1, 0) if pixels.ndim == 3 else pixels.transpose(2, 1, 0, 3)
    directions = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix = LPS_TO_RAS @ affine(directions, np.asarray(image.GetOrigin()))
    return RawImage(array, matrix, {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()})


def _explained(message: str, role: str) -> Exception:
    """The error that a user can act on, from SimpleITK's."""
    if "Unable to determine ImageIO" in message:
        return unreadable(role, "is not in the format that its name says; pass NIfTI, NRRD, MetaImage or DICOM")
    if "spacing" in message:
        return unreadable(role, "states a voxel spacing of zero; correct its header")
    if "allocate" in message:
        return out_of_memory(role)
    return unreadable(role)
