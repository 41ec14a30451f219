"""Studies of a BIDS data set: its file names, its participants and the segmentations of its derivatives.

Names are read here, as only few of their rules matter; the specification is https://bids-specification.readthedocs.io.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..reading.nifti import SUFFIXES as EXTENSIONS
from ..reading.nifti import read_grid
from ..reading.study import plane_of
from ..spine import Contrast
from ..volume import FloatArray
from .study import Cohort, Person, Scan, Study, checked, person_of

SUFFIXES: dict[str, Contrast] = {"T2w": "T2", "ct": "CT", "T1w": "T1"}
"""Suffix -> contrast, what to segment first before the others."""
DESCRIPTION = "dataset_description.json"

_ENTITY = re.compile(r"([a-z]+)-([0-9A-Za-z+]+)")
_STIR = re.compile(r"stir|tirm", re.IGNORECASE)
_SEGMENTATIONS = frozenset({"dseg", "seg", "msk"})
"""Suffixes of label maps; the last two are not of the specification, and widely used."""
_OF_THE_MAP = frozenset({"desc", "label", "seg", "res", "den", "space"})
"""Entities that tell about a derivative and not about the scan that it was made from."""
_NATIVE_SPACES = frozenset({"orig", "native", "individual"})
_THICK = 1.5
"""Slices are thicker by this factor than their voxels are wide where a scan has a plane."""
_AT_ONE_PLACE_MM = 0.1


@dataclass(frozen=True)
class Name:
    """A file's name, taken apart: ``sub-01_acq-sag_T2w.nii.gz``.

    :param of: the suffix of the scan where a derivative keeps it before its own entities (``sub-01_T2w_label-SC_seg``).
    """

    entities: Mapping[str, str]
    suffix: str
    of: str = ""

    @staticmethod
    def parse(name: str) -> "Name | None":
        """``None`` for what is no BIDS name of an image."""
        stem = next((name[:-len(end)] for end in EXTENSIONS if name.endswith(end)), None)
        if stem is None:
            return None
        *parts, suffix = stem.split("_")
        entities: dict[str, str] = {}
        of = ""
        for part in parts:
            entity = _ENTITY.fullmatch(part)
            if entity is not None and entity[1] not in entities:
                entities[entity[1]] = entity[2]
            elif part in SUFFIXES and not of:
                of = part
            else:
                return None
        return Name(entities, suffix, of) if suffix.isalnum() and "sub" in entities else None

    @property
    def source(self) -> dict[str, str]:
        """The entities that a scan and what is derived from it share."""
        return {key: value for key, value in self.entities.items() if key not in _OF_THE_MAP}

    @property
    def stem(self) -> str:
        return "_".join(f"{key}-{value}" for key, value in self.source.items())


@dataclass(frozen=True)
class _Image:
    """:param plane: empty where voxels are as thick as wide, or the header cannot be read."""

    path: Path
    name: Name
    plane: str

    @property
    def scan(self) -> Scan:
        stir = any(_STIR.search(value) for key, value in self.name.entities.items() if key not in ("sub", "ses"))
        return Scan(self.path, "STIR" if stir else SUFFIXES[self.name.suffix])


def cohort_of_bids(root: Path, suffixes: Sequence[str] = tuple(SUFFIXES), derivatives: Path | None = None) -> Cohort:
    """Every session of every participant.

    :param suffixes: of the scans that are read; the first of them that a session has is segmented and measured.
    :param derivatives: a folder of derivatives whose segmentations are taken, or the name of one in ``derivatives/``.
    :raises InputError: for what is no BIDS data set, or has no scan of the spine's kinds.
    """
    people = participants(root / "participants.tsv")
    source = _derivatives(root, derivatives) if derivatives is not None else None
    studies: list[Study] = []
    bare: list[str] = []
    for folder in sorted(path for path in root.glob("sub-*") if path.is_dir()):
        images = [image for image in _images(folder) if image.name.suffix in suffixes]
        sessions = sorted({image.name.entities.get("ses", "") for image in images})
        if not sessions:
            bare.append(folder.name)
        for session in sessions:
            mine = [image for image in images if image.name.entities.get("ses", "") == session]
            maps = list(_maps(source / folder.name)) if source is not None else []
            studies.append(_study(mine, maps, suffixes, people.get(folder.name.removeprefix("sub-"), Person())))
    if not studies:
        raise InputError(f"There is no scan sub-*/…/sub-*_{'|'.join(suffixes)}.nii.gz in {root}; pass a BIDS data set, "
                         "or another suffix with --suffix.")
    notes = (f"No scan to read of {', '.join(bare)}.",) if bare else ()
    return Cohort(checked(studies), notes)


def participants(table: Path) -> dict[str, Person]:
    """Label without ``sub-`` -> age and sex; nothing where there is no table."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        return {str(row.get("participant_id")).strip().removeprefix("sub-"): person_of(row) for row in rows}


def _derivatives(root: Path, wanted: Path) -> Path:
    found = next((path for path in (root / "derivatives" / wanted, wanted) if path.is_dir()), None)
    if found is None:
        raise InputError(f"There are no derivatives {wanted}; pass a folder, or the name of one in "
                         f"{root / 'derivatives'}.")
    return found


def _named(folder: Path) -> Iterator[tuple[Path, Name]]:
    """Images of a participant, links to files that are not there included: their study fails, and says so."""
    for path in sorted(folder.rglob("*")):
        name = Name.parse(path.name)
        if name is not None and f"sub-{name.entities['sub']}" == folder.name and not path.is_dir():
            yield path, name


def _images(folder: Path) -> list[_Image]:
    """Scans whose contrast is known, without phases and all but the last of runs that were repeated."""
    found = [_Image(path, name, _plane(path)) for path, name in _named(folder)
             if name.suffix in SUFFIXES and name.entities.get("part", "mag") == "mag" and not name.of]
    last: dict[tuple[str, ...], _Image] = {}
    for image in sorted(found, key=lambda image: (_number(image.name.entities.get("run", "")), image.path)):
        kept = {key: value for key, value in image.name.entities.items() if key != "run"}
        last[(*map("-".join, kept.items()), image.name.suffix)] = image
    return list(last.values())


def _number(run: str) -> int:
    return int(run) if run.isdigit() else -1


def _maps(folder: Path) -> Iterator[tuple[Path, Name]]:
    """Label maps of a participant among derivatives."""
    return ((path, name) for path, name in _named(folder) if name.suffix in _SEGMENTATIONS)


def _study(images: Sequence[_Image], maps: Sequence[tuple[Path, Name]], suffixes: Sequence[str],
           person: Person) -> Study:
    """The scan to segment before the others: one with a segmentation, then by suffix, then by plane."""
    made = {image.path: _made_from(image, images, maps) for image in images}
    order = sorted(images, key=lambda image: (not made[image.path], suffixes.index(image.name.suffix),
                                              image.plane in ("axial", "oblique"), image.path))
    first = order[0]
    used = {path for paths in made.values() for path in paths}
    mine = [(path, name) for path, name in maps if name.entities.get("ses", "") == first.name.entities.get("ses", "")]
    left = [name.entities.get("space", "") for path, name in mine if path not in used]
    notes = [f"{len(left)} segmentation(s) of another scan or space were left out."] if left else []
    return Study(first.name.entities["sub"], first.name.entities.get("ses", ""), tuple(i.scan for i in order),
                 made[first.path], person, first.name.stem, tuple(notes))


def _made_from(image: _Image, images: Sequence[_Image], maps: Sequence[tuple[Path, Name]]) -> tuple[Path, ...]:
    """Label maps of this scan.

    A map is of a scan when its entities are the scan's and it lies in the scan's space.  A name that does not tell the
    scan's suffix fits several scans: then the map is of the one whose voxels it has.
    """
    found = []
    for path, name in maps:
        space = name.entities.get("space", "")
        if space and space not in _NATIVE_SPACES and space != image.name.suffix:
            continue
        told = name.of or (space if space in SUFFIXES else "")
        if name.source != image.name.source or told not in ("", image.name.suffix):
            continue
        rivals = [other for other in images if other is not image and other.name.source == name.source]
        if told or not rivals or _same_grid(path, image.path):
            found.append(path)
    return tuple(found)


def _grid(path: Path) -> tuple[tuple[int, ...], FloatArray] | None:
    try:
        return read_grid(path, "The image")
    except (InputError, OSError):  # told by the study's own run
        return None


def _same_grid(a: Path, b: Path) -> bool:
    first, second = _grid(a), _grid(b)
    if first is None or second is None or first[0] != second[0]:
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first[0]], [1])).reshape(4, -1)
    return bool(np.abs((first[1] - second[1]) @ corners).max() <= _AT_ONE_PLACE_MM)


def _plane(path: Path) -> str:
    grid = _grid(path)
    if grid is None:
        return ""
    axes = grid[1][:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    thick = int(spacing.argmax())
    others = np.delete(spacing, thick)
    return plane_of(axes[:, thick] / spacing[thick]) if spacing[thick] > _THICK * others.max() else ""
