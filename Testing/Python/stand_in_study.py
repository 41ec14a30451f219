"""A stand-in for ``run`` of one study: what it does is written in its scan; it needs nothing, and next to no time.

    ok            leaves results
    sleep N       the same after N seconds, or ends at once when standard input closes
    memory        takes more and more memory
    bad           input that cannot be used
    crash         ends by a signal
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    arguments = sys.argv[1:]
    scan, out = Path(arguments[1]), Path(arguments[arguments.index("--output") + 1])
    stem = arguments[arguments.index("--bids") + 1]
    word, _, number = scan.read_text("utf-8").partition(" ")
    with scan.with_suffix(".runs").open("a") as log:
        log.write(f"{os.getpid()}\n")
    if word == "bad":
        sys.stderr.write(f"spine-analysis: The file {scan} is no scan; pass one.\n")
        return 2
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "sleep" and select.select([sys.stdin], [], [], float(number))[0]:
        return 130
    held = []
    while word == "memory":
        held.append(bytearray(20_000_000))
        time.sleep(0.1)
    out.mkdir()
    record = {"key": "canal_area", "level": "L4-L5", "side": None, "value": 100.0 + len(scan.stem), "word": None,
              "unit": "mm2", "uncertainty": 5.0, "quality": "good", "flags": [], "scan": None, "grade": None}
    content = {"records": [record], "doubts": ["A doubt."],
               "provenance": {"contrast": "T2", "version": "0", "levels": {"provisional": False, "named_by": "labels"}}}
    (out / f"{stem}_desc-spine_measurements.json").write_text(json.dumps(content), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
