#!/usr/bin/env python3
"""Compares the committed files of a run with what oracle.py expects, line by line. Says what is missing or extra; then exits 1.

    compare.py FOLDER EXPECTED OUT     FOLDER/input is read again to show the missing lines
"""

import argparse
import base64
import json
import pathlib
import pickle
import re
import subprocess
import sys
from array import array
from collections import Counter

from oracle import DEAD_LETTERS, fingerprint, read_lines

COMMITTED = re.compile(r"part-[A-Za-z0-9_.-]+\.jsonl(\.zst|\.gz|)")
TIME_FOLDER = re.compile(r"[a-z]+=[0-9-]+")
SHOWN = 5
SHOWN_BYTES = 300


def committed_files(folder):
    """The committed files of a route's folder and its folders of times, sorted; RuntimeError for one that has no business there."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name in (".pending", ".revoked", ".manifest"):
            continue
        if path.is_dir() and TIME_FOLDER.fullmatch(path.name):
            files += committed_files(path)
            continue
        if not COMMITTED.fullmatch(path.name):
            raise RuntimeError(f"{path} is neither a committed file nor a folder for others")
        files.append(path)
    return files


def route_folders(out):
    """The folders of an output by label, dead letters included."""
    out = pathlib.Path(out)
    folders = sorted(out.iterdir()) if out.exists() else []
    return {path.name: path for path in folders if path.is_dir() and path.name != ".manifest"}


def pending_files(out):
    return sorted(path for path in pathlib.Path(out).glob("*/.pending/*"))


def committed_lines(folder):
    """All lines of a route's committed files."""
    for path in committed_files(folder):
        yield from read_lines(path)


def dead_letters(out):
    """The dead letters of an output as (operator, error, record as bytes)."""
    folder = route_folders(out).get(DEAD_LETTERS)
    for line in committed_lines(folder) if folder else ():
        letter = json.loads(line)
        if "record_base64" in letter:
            record = base64.b64decode(letter["record_base64"], validate=True)
            members = {"operator", "error", "record_base64"}
        else:
            record = letter["record"].encode()
            members = {"operator", "error", "record"}
        if set(letter) != members or not letter["operator"] or not letter["error"]:
            raise RuntimeError(f"a dead letter with odd members: {line[:SHOWN_BYTES]}")
        yield letter["operator"], letter["error"], record


def lines_by_route(out):
    """Counter of the lines of each route but the dead letters; for small outputs."""
    return {label: Counter(committed_lines(folder)) for label, folder in route_folders(out).items()
            if label != DEAD_LETTERS and committed_files(folder)}


class Comparison:
    def __init__(self, folder, expected, out):
        self.folder, self.expected, self.out = pathlib.Path(folder), expected, pathlib.Path(out)
        self.faults = []

    def run(self):
        """The faults, as texts; none if all is right."""
        folders = route_folders(self.out)
        same_as = self.expected["same_as"]
        for label in sorted({*self.expected["routes"], *folders} - {DEAD_LETTERS}):
            found = []
            if label in folders:
                found = [same_as.get(line_hash, line_hash) for line_hash in map(fingerprint, committed_lines(folders[label]))]
            self.check(label, self.expected["routes"].get(label, array("Q")), found)
        self.check(DEAD_LETTERS, self.expected["dead"], [fingerprint(record) for _, _, record in dead_letters(self.out)])
        for path in pending_files(self.out)[:SHOWN]:
            self.faults.append(f"{path} is left over")
        return self.faults

    def check(self, label, expected, found):
        found = array("Q", sorted(found))
        if found == expected:
            return
        expected, found = Counter(expected), Counter(found)
        missing, extra = expected - found, found - expected
        self.faults.append(f"{label}: {missing.total()} lines missing, {extra.total()} extra")
        self.show(f"{label}: missing", missing, self.input_lines())
        folder = route_folders(self.out).get(label)
        if folder and label != DEAD_LETTERS:
            self.show(f"{label}: extra", extra, self.output_lines(folder))
        elif folder:
            self.show(f"{label}: extra", extra, ((str(folder), record) for _, _, record in dead_letters(self.out)))

    def show(self, what, hashes, lines):
        shown = 0
        for place, line in lines:
            line_hash = fingerprint(line)
            if self.expected["same_as"].get(line_hash, line_hash) in hashes:
                self.faults.append(f"  {what}: {place}: {line[:SHOWN_BYTES].decode('utf-8', 'replace')}")
                shown += 1
                if shown == SHOWN:
                    return

    def input_lines(self):
        for path in sorted((self.folder / "input").iterdir()):
            for number, line in enumerate(read_lines(path), start=1):
                yield f"{path}:{number}", line

    def output_lines(self, folder):
        for path in committed_files(folder):
            for number, line in enumerate(read_lines(path), start=1):
                yield f"{path}:{number}", line


def compare(folder, expected_file, out):
    """The faults of an output, as texts."""
    with open(expected_file, "rb") as file:
        expected = pickle.load(file)
    try:
        return Comparison(folder, expected, out).run()
    except (RuntimeError, ValueError, subprocess.SubprocessError) as error:
        return [str(error)]


def main():
    parser = argparse.ArgumentParser(description="Compares an output with what is expected.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("expected", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    faults = compare(arguments.folder, arguments.expected, arguments.out)
    print("\n".join(faults) or "exact")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
