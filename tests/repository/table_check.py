"""The table of what a stream can do, in docs/jobs.md, names every public method of Stream and KeyedStream, and no other."""

import re

from link_check import prose
from tree import Fault

API = "jobs/stream.h"
DOCUMENT = "docs/jobs.md"
HEADING = "| on a stream |"

CLASS = re.compile(r"^class (Stream|KeyedStream) \{$")
METHOD = re.compile(r"^  (?:auto|Stream<\w+>|KeyedStream<\w+, \w+>|StreamEnd) (\w+)\(")
CALL = re.compile(r"(\w+)(?:<\w+>)?\(")


def check_tables(tree):
    methods = methods_of(tree.lines(API))
    faults, table, rows = [], 0, {}
    for number, line in prose(tree.lines(DOCUMENT)):
        if line.startswith(HEADING):
            table = number
        elif table and line.startswith("| `"):
            cell = re.match(r"\| `([^`]*)`", line).group(1)
            for name in CALL.findall(cell):
                rows.setdefault(name, number)
        elif table and not line.startswith("|"):
            break
    if not table:
        return [Fault(DOCUMENT, 1, f"the table that begins with '{HEADING}' is missing")]
    for name, number in methods.items():
        if name not in rows:
            faults.append(Fault(API, number, f"{name}() has no row in the table in {DOCUMENT}:{table}"))
    for name, number in rows.items():
        if name not in methods:
            faults.append(Fault(DOCUMENT, number, f"{name}() is no method of Stream or KeyedStream in {API}"))
    return faults


def methods_of(lines):
    """The public methods of both classes that return a stream or its end, each with the line where it is first."""
    methods, public = {}, False
    for number, line in enumerate(lines, start=1):
        if CLASS.match(line):
            public = True
        elif line == " private:" or line == "};":
            public = False
        method = METHOD.match(line)
        if public and method:
            methods.setdefault(method.group(1), number)
    return methods
