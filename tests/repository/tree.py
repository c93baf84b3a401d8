"""The project's files, as the checks beside this one see them, and what a check reports."""

import os
import pathlib
import re
from dataclasses import dataclass

# The rooms of the engine, from the bottom to the top. Rooms of one rank do not know each other.
ROOM_RANKS = {"core": 0, "state": 1, "operators": 2, "jobs": 3, "runtime": 4, "shadow": 4, "cli": 5, "testing": 5}

# Folders whose files stand beside the rooms.
OTHER_FOLDERS = ("examples", "tests", "bench")

NOT_THE_PROJECT = re.compile(r"^(\..*|build.*|weir-data|node_modules|__pycache__)$")


@dataclass(frozen=True)
class Fault:
    """What a check found, where, and what to do about it."""

    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


class Tree:
    """All files below a folder, without build folders and what begins with a dot. Paths are relative, with slashes."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.paths = []
        for folder, folders, names in os.walk(self.root):
            relative = pathlib.Path(folder).relative_to(self.root)
            at_top = relative == pathlib.Path(".")
            folders[:] = sorted(name for name in folders if not (NOT_THE_PROJECT.match(name) and (at_top or name[0] in "._")))
            self.paths += [(relative / name).as_posix() for name in sorted(names) if name[0] != "."]

    def ending(self, *suffixes):
        return [path for path in self.paths if path.endswith(suffixes)]

    def has(self, path):
        return (self.root / path).exists()

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8")

    def lines(self, path):
        return self.text(path).splitlines()


def room_of(path):
    """The first folder of a path, `core` for core/batch.h."""
    return path.split("/", 1)[0]


def code_blocks(text):
    """The fenced blocks of a Markdown text: (language, line number of the first line inside, lines)."""
    blocks, fence, language, first, inside = [], None, "", 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        opening = re.match(r"^\s*(```+|~~~+)\s*([\w+-]*)", line)
        if fence is None and opening:
            fence, language, first, inside = opening.group(1), opening.group(2), number + 1, []
        elif fence is not None and line.strip() == fence:
            blocks.append((language, first, inside))
            fence = None
        elif fence is not None:
            inside.append(line)
    return blocks
