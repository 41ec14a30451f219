"""Studies of a plain folder: every image file in it, and every folder of images or of DICOM files."""

import hashlib
import re
from pathlib import Path

from ..errors import InputError
from ..reading.image import digest, is_image, suffix_of
from .study import Cohort, Scan, Study, checked

_SEGMENTATION = re.compile(r"(?:^|[_\-. ])(?:seg|segmentation|label|labels|mask|dseg|msk)$", re.IGNORECASE)
_DIGITS = 10
"""Of a label that is made from the files' content: with 10 hexadecimal ones, two of ten thousand studies have the same
label with a probability of 0.00005."""


def cohort_of_folder(root: Path, keep_names: bool, without: Path) -> Cohort:
    """One study for every image file of the folder, and one for every folder in it.

    A file named as another one with ``_seg``, ``-segmentation`` or the like behind is its segmentation; in a folder,
    any file with such a name is.  A folder without image files is one of DICOM files.

    :param keep_names: whether names of files and folders become the labels.  They are often patients' names, so
        otherwise labels are made from what the files hold: the same for the same files, wherever they lie.
    :param without: the folder of the results, which may lie within.
    :raises InputError: where there is nothing to analyze, or names make no labels.
    """
    entries = sorted(path for path in root.iterdir()
                     if not path.name.startswith(".") and path.resolve() != without.resolve())
    files = [path for path in entries if path.is_file() and is_image(path)]
    maps = {path for path in files if _SEGMENTATION.search(stem_of(path))}
    found = [_case(stem_of(path), [path], [m for m in maps if _SEGMENTATION.sub("", stem_of(m)) == stem_of(path)])
             for path in files if path not in maps]
    found += [_of_folder(path) for path in entries if path.is_dir() and any(path.iterdir())]
    if not found:
        raise InputError(f"There is no image and no folder of images in {root}; pass the folder that holds them.")
    named, notes = (found, []) if keep_names else _pseudonyms(found)
    orphans = len(maps) - sum(len(study.segmentations) for name, study in found if study.scans[0].path in files)
    notes += [f"Segmentations without an image beside them that were left out: {orphans}."] if orphans else []
    return Cohort(checked(_labeled(name, study) for name, study in named), tuple(notes))


def stem_of(path: Path) -> str:
    return path.name[:-len(suffix_of(path))] if suffix_of(path) else path.name


def _case(name: str, images: list[Path], maps: list[Path]) -> tuple[str, Study]:
    return name, Study("", scans=tuple(Scan(path) for path in images), segmentations=tuple(sorted(maps)))


def _of_folder(folder: Path) -> tuple[str, Study]:
    images = sorted(path for path in folder.iterdir() if path.is_file() and is_image(path))
    maps = [path for path in images if _SEGMENTATION.search(stem_of(path))]
    return _case(folder.name, [path for path in images if path not in maps] or [folder], maps)


def _labeled(name: str, study: Study) -> Study:
    label = re.sub(r"[^0-9A-Za-z]", "", name.removeprefix("sub-"))
    if not label:
        raise InputError(f"{name!r} has no letter or digit to make a label from; rename it.")
    return Study(label, scans=study.scans, segmentations=study.segmentations, stem=f"sub-{label}")


def _pseudonyms(found: list[tuple[str, Study]]) -> tuple[list[tuple[str, Study]], list[str]]:
    """Labels from the content of all files of each study, and sentences about what is left out."""
    named: dict[str, Study] = {}
    unreadable = 0
    for _, study in found:
        try:
            content = "".join(sorted(content_of(path) for _, path in study.files))
        except InputError:
            unreadable += 1
            continue
        named.setdefault(hashlib.sha256(content.encode()).hexdigest()[:_DIGITS], study)
    if not named:
        raise InputError("No file of the folder can be read; check its permissions.")
    counts = {"Studies that are there twice and count once": len(found) - unreadable - len(named),
              "Studies with files that cannot be read, and were left out": unreadable}
    return list(named.items()), [f"{what}: {count}." for what, count in counts.items() if count]


def content_of(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder.

    :raises InputError: where one cannot be read.
    """
    try:
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        return digest(files)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check that it is there and may be read.") from None
