"""One study of a cohort: a visit of a person, and the files that it consists of."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..spine import Contrast

Sex = Literal["female", "male", "other", ""]

_LABEL = re.compile(r"[0-9A-Za-z]+")
_SEXES: dict[str, Sex] = {"f": "female", "female": "female", "w": "female", "woman": "female", "m": "male",
                          "male": "male", "man": "male", "o": "other", "other": "other"}
_SHORTEST_NAME = 4
"""Shorter names of files are words of a sentence as well."""


@dataclass(frozen=True)
class Person:
    """What is known of a participant besides scans.

    :param age: years; ``None`` where it is not told.
    """

    age: float | None = None
    sex: Sex = ""


@dataclass(frozen=True)
class Scan:
    """:param contrast: where the input tells; the file itself may know too."""

    path: Path
    contrast: Contrast | None = None


@dataclass(frozen=True)
class Study:
    """What one run analyzes.

    :param subject: BIDS label, without ``sub-``; :param session: without ``ses-``, empty where there are none.
    :param scans: the first is segmented and measured, the others are read besides it.
    :param segmentations: of the first scan; none lets an engine make one.
    :param stem: how names of its results begin: the entities of its first scan.
    :param notes: sentences about what was left out.
    """

    subject: str
    session: str = ""
    scans: tuple[Scan, ...] = ()
    segmentations: tuple[Path, ...] = ()
    person: Person = Person()
    stem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``sub-01`` or ``sub-01_ses-2``: its name among all studies."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")

    @property
    def folder(self) -> Path:
        """Of its results, within the derivatives."""
        return Path(*self.label.split("_"), "anat")

    @property
    def files(self) -> list[tuple[str, Path]]:
        """Role and path of everything that it is made of."""
        return [*(("image" if i == 0 else "further scan", scan.path) for i, scan in enumerate(self.scans)),
                *(("segmentation", path) for path in self.segmentations)]

    def anonymous(self, text: str) -> str:
        """A sentence without the paths and names of its files, which may be those of a patient."""
        for role, path in sorted(self.files, key=lambda file: -len(str(file[1]))):
            text = re.sub(re.escape(str(path)) + r"(?:/[^\s,;]*[^\s,;.])?", f"the {role}", text)
            if len(path.name) >= _SHORTEST_NAME:
                text = text.replace(path.name, f"the {role}")
        return text


@dataclass(frozen=True)
class Cohort:
    """:param notes: sentences about what of the input was left out.

    :param unwanted: labels of studies of the input that were not asked for.
    """

    studies: tuple[Study, ...]
    notes: tuple[str, ...] = ()
    unwanted: frozenset[str] = frozenset()

    def of(self, subjects: Sequence[str], sessions: Sequence[str]) -> "Cohort":
        """Only these participants and sessions, with or without ``sub-`` and ``ses-``; all where none is named.

        :raises InputError: for a name that none has.
        """
        wanted = [{label.removeprefix(prefix) for label in labels}
                  for prefix, labels in (("sub-", subjects), ("ses-", sessions))]
        present = {s.subject for s in self.studies}, {s.session for s in self.studies}
        for kind, asked, there in zip(("participant", "session"), wanted, present, strict=True):
            if missing := sorted(asked - there):
                raise InputError(f"There is no {kind} {missing[0]} in the input; check the label.")
        chosen = [s for s in self.studies if (not wanted[0] or s.subject in wanted[0])
                  and (not wanted[1] or s.session in wanted[1])]
        if not chosen:
            raise InputError("No study is of these participants and of these sessions; check the labels.")
        labels = {study.label for study in self.studies} - {study.label for study in chosen}
        return Cohort(tuple(chosen), self.notes, self.unwanted | labels)


def checked(studies: Iterable[Study]) -> tuple[Study, ...]:
    """In order, each once.

    :raises InputError: for labels that are none, or came twice.
    """
    found: dict[str, Study] = {}
    for study in studies:
        for label in filter(None, (study.subject, study.session)):
            if not _LABEL.fullmatch(label):
                raise InputError(f"{label!r} cannot be a participant's or session's label; use letters and digits.")
        if study.label in found:
            raise InputError(f"The input has {study.label} twice; give every study a label of its own.")
        found[study.label] = study
    return tuple(found[label] for label in sorted(found))


def person_of(row: Mapping[str, str | None]) -> Person:
    """Age and sex of a row of ``participants.tsv`` or of a list, whatever the case of its columns.

    An age such as "89+" and a sex that is a number say too little to be used.
    """
    told = {(name or "").strip().lower(): (value or "").strip() for name, value in row.items()}
    try:
        age = float(told.get("age", ""))
    except ValueError:
        age = -1.0
    return Person(age if 0 <= age < 130 else None, _SEXES.get(told.get("sex", told.get("gender", "")).lower(), ""))
