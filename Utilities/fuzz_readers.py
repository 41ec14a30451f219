"""Damage scans and segmentations in many ways, and read them: each must be read or refused in one sentence.

    python Utilities/fuzz_readers.py [--seeds 5000] [--start 0] [--keep FOLDER]

What is found belongs into ``Testing/Python/test_reading_hostile.py`` as a case of its own.
"""

import argparse
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "Testing" / "Python"), str(REPOSITORY / "SpineAnalysis")]


def main() -> int:
    """:return: 1 where reading did neither."""
    from reader_fuzz import damaged_copy, make_honest, read_or_refuse

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for what was found")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found: set[tuple[str, int | None, str]] = set()
    read = 0
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "honest").mkdir()
        honest = make_honest(Path(place) / "honest")
        for seed in range(arguments.start, arguments.start + arguments.seeds):
            with tempfile.TemporaryDirectory(dir=place) as own:
                path = damaged_copy(honest, Path(own), seed)
                try:
                    read += not read_or_refuse(path)
                except Exception as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    key = (where.filename, where.lineno, type(error).__name__)
                    if key not in found:
                        print(f"seed {seed}, {path.name}: {type(error).__name__}: {error} "
                              f"({Path(where.filename).name}:{where.lineno})", flush=True)
                        if arguments.keep:
                            arguments.keep.mkdir(parents=True, exist_ok=True)
                            path.parent.rename(arguments.keep / str(seed))
                            path.parent.mkdir()
                    found.add(key)
    print(f"{arguments.seeds} seeds: {read} read, {len(found)} kinds of fault, the others refused")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
