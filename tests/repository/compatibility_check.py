"""docs/compatibility.md says the numbers and formats that the code has, and its exit codes."""

import re

from tree import ROOM_RANKS, Fault, room_of

DOCUMENT = "docs/compatibility.md"
NUMBER = re.compile(r"^\| `(\w+)` \| `([\w./]+)` \| (\d+) \|")
FORMAT = re.compile(r"^\| `([a-z-]+/\d+)` \|")
EXIT_CODE = re.compile(r"^\| (\d+) \|")

WRITTEN_FORMAT = re.compile(r'"([a-z]+(?:-[a-z]+)*/\d+)"')
WRITTEN_EXIT_CODE = re.compile(r"^\s*k\w+ = (\d+),$")
EXIT_CODES = "cli/common.h"


def check_compatibility(tree):
    lines = tree.lines(DOCUMENT)
    faults = []
    told, codes = {}, {}
    numbers = 0
    for number, line in enumerate(lines, start=1):
        row = NUMBER.match(line)
        if row:
            numbers += 1
            faults += number_faults(tree, number, *row.groups())
        for pattern, found in ((FORMAT, told), (EXIT_CODE, codes)):
            row = pattern.match(line)
            if row:
                found[row.group(1)] = number
    if numbers == 0:
        faults.append(Fault(DOCUMENT, 1, "has no table of numbers"))
    faults += set_faults("format", told, formats_of(tree))
    written_codes = {match.group(1): EXIT_CODES for match in map(WRITTEN_EXIT_CODE.match, tree.lines(EXIT_CODES)) if match}
    return faults + set_faults("exit code", codes, written_codes)


def number_faults(tree, line, name, path, value):
    if not tree.has(path):
        return [Fault(DOCUMENT, line, f"{path}: no such file")]
    written = re.search(rf"\b{name}\b\s*=?\s*(\d+)", tree.text(path))
    if not written:
        return [Fault(DOCUMENT, line, f"{path} defines no {name}")]
    if written.group(1) != value:
        return [Fault(DOCUMENT, line, f"{name} is {written.group(1)} in {path}, and {value} here")]
    return []


def formats_of(tree):
    """Every format that the code writes or reads, with a file that names it."""
    found = {}
    for path in tree.ending(".h", ".cc"):
        if room_of(path) in ROOM_RANKS:
            for match in WRITTEN_FORMAT.finditer(tree.text(path)):
                found[match.group(1)] = path
    return found


def set_faults(what, told, written):
    faults = [Fault(DOCUMENT, line, f"{what} {name}: the code has no such") for name, line in told.items() if name not in written]
    return faults + [Fault(path, 1, f"{what} {name}: {DOCUMENT} does not have it") for name, path in written.items() if name not in told]
