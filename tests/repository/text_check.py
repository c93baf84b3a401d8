"""What can be told from the text of a file: its length, its columns, marks left behind, guards and banners of headers."""

import re

from tree import Fault

LINES_MAX = 500
COLUMNS_MAX = 100

# Written in pieces, so that this file does not find itself.
MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
PRIVATE_PATH = re.compile(r"(?<![\w.])/(home|root|work|Users)/\w")

TEXT_SUFFIXES = (".h", ".cc", ".py", ".sh", ".md", ".txt", ".cmake", ".proto", ".yaml", ".yml", ".json", ".supp")
GUARD = re.compile(r"^#pragma once$|^#ifndef \w+_H_?$", re.MULTILINE)


def check_lengths(tree):
    faults = []
    for path in tree.ending(".h", ".cc", ".py", ".sh"):
        lines = tree.lines(path)
        if len(lines) > LINES_MAX:
            faults.append(Fault(path, LINES_MAX + 1, f"{len(lines)} lines, at most {LINES_MAX}: what is its second idea called?"))
        if path.endswith((".h", ".cc")):
            for number, line in enumerate(lines, start=1):
                # A URL is not broken.
                if len(line) > COLUMNS_MAX and "://" not in line:
                    faults.append(Fault(path, number, f"{len(line)} columns, at most {COLUMNS_MAX}: run clang-format"))
    return faults


def check_marks(tree):
    faults = []
    for path in tree.ending(*TEXT_SUFFIXES):
        for number, line in enumerate(tree.lines(path), start=1):
            mark = MARKS.search(line)
            if mark:
                faults.append(Fault(path, number, f"{mark.group(1)}: finish it, or say what the limit is and why"))
            if PRIVATE_PATH.search(line):
                faults.append(Fault(path, number, "names a folder of somebody's own machine"))
    return faults


def check_headers(tree):
    faults = []
    for path in tree.ending(".h"):
        text = tree.text(path)
        if not GUARD.search(text):
            faults.append(Fault(path, 1, "has no #pragma once"))
        if not re.match(r"(#pragma once\s+)?//\s*\S", text):
            faults.append(Fault(path, 1, "does not begin with a comment that says what it is for"))
    return faults
