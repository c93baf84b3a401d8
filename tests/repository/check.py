#!/usr/bin/env python3
"""Reads the repository and reports what it would not defend. ctest runs it once for each check:

    tests/repository/check.py includes [--root FOLDER] [--build FOLDER]
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True

from compatibility_check import check_compatibility  # noqa: E402
from compile_check import check_headers_alone, check_snippets  # noqa: E402
from flights_check import check_flights  # noqa: E402
from include_check import check_includes  # noqa: E402
from link_check import check_links  # noqa: E402
from table_check import check_tables  # noqa: E402
from text_check import check_headers, check_lengths, check_marks  # noqa: E402
from tree import Tree  # noqa: E402

READING = {
    "includes": check_includes,
    "lengths": check_lengths,
    "marks": check_marks,
    "headers": check_headers,
    "links": check_links,
    "flights": check_flights,
    "tables": check_tables,
    "compatibility": check_compatibility,
}
COMPILING = {"headers_alone": check_headers_alone, "snippets": check_snippets}


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description="Checks the repository.")
    parser.add_argument("check", choices=sorted({**READING, **COMPILING}))
    parser.add_argument("--root", type=pathlib.Path, default=root)
    parser.add_argument("--build", type=pathlib.Path, default=root / "build", help="a configured build, for its compiler flags")
    arguments = parser.parse_args()

    tree = Tree(arguments.root)
    if arguments.check in READING:
        faults = READING[arguments.check](tree)
    else:
        faults = COMPILING[arguments.check](tree, arguments.build)
    for fault in faults:
        print(fault)
    print(f"{arguments.check}: {len(faults)} faults" if faults else f"{arguments.check}: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
