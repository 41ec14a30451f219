"""Fills a folder with patients for the generator.

Usage: python pool.py --data DATA --work WORK [--count N] [--seed N]
"""

import argparse
import json
from pathlib import Path

import anatomy
import numpy as np
import tissues as T
from deform import Patient, patient_of
from invented import invented
from source import Source

SUBJECTS = ("s0327", "s0328")
SHARES = (0.36, 0.32, 0.32)
"""Of the two subjects and the invented anatomies."""
OFF_SPINE = 0.2
WARPS = 3
"""Patients from each invented anatomy."""


def write(patient: Patient, path: Path, random: np.random.Generator) -> None:
    """A patient and what belongs to it; the patient's own file last, so that what is there is whole."""
    spine = np.argwhere(T.SPINE[patient.tissue[::2, ::3, ::3]]) * (2, 3, 3)
    if len(spine):
        spine = spine[random.integers(len(spine), size=4000)]
    np.save(path.with_suffix(".spine.npy"), spine.astype(np.int16))
    np.save(path.with_suffix(".fused.npy"), np.array(patient.fused, np.int16))
    if patient.over is not None:
        np.save(path.with_suffix(".over.npy"), patient.over)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.save(stream, patient.tissue)
    part.rename(path)


def fill(data: Path, work: Path, first: int, count: int, seed: int) -> None:
    """Patients ``first`` ... ``first + count - 1``; each depends on the seed and its number only."""
    folder = data / "whole_body_masks_totalsegmentator"
    pool = work / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    (work / "sources.json").write_text(json.dumps({s: anatomy.digest(folder, s) for s in SUBJECTS}))
    subjects: dict[str, Source] = {}
    made: tuple[int, Source] | None = None
    for number in range(first, first + count):
        path = pool / f"{number:05d}.npy"
        if path.exists():
            continue
        random = np.random.default_rng((seed, number))
        chosen = int(random.choice(3, p=SHARES))
        if chosen < 2:
            subject = SUBJECTS[chosen]
            if subject not in subjects:
                subjects[subject] = anatomy.source_of_masks(folder, subject)
            source = subjects[subject]
        else:
            kind = number // WARPS
            if made is None or made[0] != kind:
                made = kind, invented(np.random.default_rng((seed, 7, kind)), kind)
            source = made[1]
        write(patient_of(source, random, bool(random.random() < OFF_SPINE)), path, random)
        print(number, source.name, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fill(options.data, options.work, options.first, options.count, options.seed)
