#!/usr/bin/env python3
"""Adds a golden checkpoint, tests/golden/NAME (its README says what that is):

    tests/system/make_golden.py NAME
"""

import json
import pathlib
import shutil
import sys
import tempfile

import ledger
import weir

GOLDEN = weir.ROOT / "tests" / "golden"
ENTRIES, RATE = 900, 600

# What a golden checkpoint must hold to be worth keeping, by stage and state.
WANTED = {("entries", "splits"), ("gather", "open batch"), ("once", ""), ("book", "totals"), ("book", "ids"), ("book", "ids.end"),
          ("book", "notes"), ("book", "last"), ("book", "weir.timers.event"), ("booked", "output")}


def holds_everything(checkpoint):
    result = ledger.check(checkpoint, 1, "-o", "json")
    if result.code != weir.DONE:
        raise AssertionError(str(result))
    return {(finding["stage"], finding["state"]) for finding in result.report["findings"] if finding["verdict"] == "fits"} >= WANTED


def keep_only(checkpoint):
    """Removes the other checkpoints of its folder, and the files that it does not list."""
    listed = (checkpoint / "manifest.pb").read_bytes()
    for path in checkpoint.parent.iterdir():
        if path.name.startswith("chk-") and path != checkpoint:
            shutil.rmtree(path)
    for path in (checkpoint.parent / "files").iterdir():
        if path.name.encode() not in listed:
            path.unlink()


def make(folder):
    """True if the run left what was wanted."""
    ledger.run_until_killed(folder, ENTRIES, RATE, checkpoints=4)
    checkpoint = ledger.newest(folder)
    if not holds_everything(checkpoint):
        return False
    keep_only(checkpoint)
    shutil.rmtree(folder / "data" / "work", ignore_errors=True)
    about = {
        "weir": weir.command(weir.WEIR, "--version").stdout.split()[1],
        "checkpoint": checkpoint.relative_to(folder).as_posix(),
        "entries": ENTRIES,
        "modified_ns": {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in (folder / "input").iterdir()},
    }
    (folder / "golden.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return True


def main():
    if len(sys.argv) != 2 or not sys.argv[1] or "/" in sys.argv[1]:
        sys.exit(__doc__)
    target = GOLDEN / sys.argv[1]
    if target.exists():
        sys.exit(f"{target} is there already, and golden checkpoints stay as they are")
    for _ in range(20):
        with tempfile.TemporaryDirectory(prefix="weir-golden-") as temporary:
            folder = pathlib.Path(temporary) / "golden"
            if make(folder):
                shutil.copytree(folder, target)
                print(f"{target}: {sum(path.stat().st_size for path in target.rglob('*') if path.is_file())} bytes")
                return
    sys.exit("twenty runs, and none left state of every kind")


if __name__ == "__main__":
    main()
