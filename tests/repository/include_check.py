"""Includes point one way: core <- state <- operators <- jobs, on which runtime and shadow stand; cli and testing are above."""

import re

from tree import OTHER_FOLDERS, ROOM_RANKS, Fault, room_of

# What is built far from here, with nothing of Weir linked to it, and what of the project it may include.
STANDALONE_HEADERS = {
    "operators/plugin.h": ("operators/plugin_table.h",),
    "operators/plugin_table.h": (),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')

# What an outside user may include, and so what examples/ may: whole rooms, and single headers of the others.
PUBLIC_ROOMS = ("core", "jobs", "testing")
PUBLIC_HEADERS = (
    "operators/operator.h",
    "operators/plugin.h",
    "operators/source.h",
    "operators/sink.h",
    "state/keyed_state.h",
)


def check_includes(tree):
    faults = []
    for path in tree.ending(".h", ".cc"):
        room = room_of(path)
        if room not in ROOM_RANKS and room not in OTHER_FOLDERS:
            faults.append(Fault(path, 1, "belongs to no room; the rooms are " + ", ".join(ROOM_RANKS)))
            continue
        for number, line in enumerate(tree.lines(path), start=1):
            include = INCLUDE.match(line)
            if include:
                text = fault_of(tree, room, include.group(1) == '"', include.group(2)) or leans(path, include.group(2))
                if text:
                    faults.append(Fault(path, number, text))
    return faults


def fault_of(tree, room, quoted, included):
    """What is wrong with a file of `room` that includes `included`; None if nothing is."""
    generated = included.startswith("weir/")
    target = included.removeprefix("weir/")
    if generated and not target.endswith(".pb.h"):
        return f'"{included}": only generated headers (.pb.h) are under weir/; others are included from the root of the project'
    ours = room_of(target) in ROOM_RANKS or room_of(target) in OTHER_FOLDERS
    if not quoted:
        return f"<{included}>: headers of the project are included in quotes" if ours and tree.has(target) else None
    source = target.removesuffix(".pb.h") + ".proto" if generated else target
    if not ours and not generated and "/" in included:
        return None  # another project's, absl/status/status.h; the compiler knows whether it exists
    if not ours or not tree.has(source):
        return f'"{included}": no such file; paths of includes start at the root of the project'

    other = room_of(target)
    if room in ("tests", "bench"):
        return None
    if other in ("tests", "bench"):
        return f'"{included}": {room}/ must not include from {other}/'
    if room == "examples":
        public = other in PUBLIC_ROOMS or other == "examples" or target in PUBLIC_HEADERS
        return None if public else f'"{included}": not a public header; examples include only what an outside user may'
    if other == "examples":
        return f'"{included}": {room}/ must not include from examples/'
    if other != room and ROOM_RANKS[other] >= ROOM_RANKS[room]:
        return f'"{included}": {room}/ must not include from {other}/, which {stands(room, other)}'
    return None


def leans(path, included):
    """What is wrong with an include of a header that stands alone; None if nothing is."""
    may = STANDALONE_HEADERS.get(path)
    if may is None or included in may or re.fullmatch(r"[a-z_]+(\.h)?", included):
        return None
    return f'"{included}": {path} is built without Weir, and includes only the standard library'


def stands(room, other):
    return "stands beside it" if ROOM_RANKS[other] == ROOM_RANKS[room] else "stands above it"
