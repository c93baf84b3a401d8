"""Documents tell the truth about the tree: local links and paths in code spans lead to files, anchors to headings."""

import posixpath
import re

from tree import OTHER_FOLDERS, ROOM_RANKS, Fault

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)")
REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)

# A code span that is a path of the project, from its root: `core/batch.h`, `core/batch.h:42`, `scripts/demo.sh`.
FOLDERS = "|".join((*ROOM_RANKS, *OTHER_FOLDERS, "docs", "scripts", "cmake"))
SPAN_PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]+\.(?:h|cc|py|sh|md|proto|cmake|yaml|txt))(?::\d+)?`")


def check_links(tree):
    faults = []
    for path in tree.ending(".md"):
        for number, line in prose(tree.lines(path)):
            for target in LINK.findall(line) + REFERENCE.findall(line):
                text = fault_of(tree, path, target)
                if text:
                    faults.append(Fault(path, number, text))
            for target in SPAN_PATH.findall(line):
                if not tree.has(target):
                    faults.append(Fault(path, number, f"`{target}`: no such file"))
    return faults


def prose(lines):
    """Numbered lines outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(lines, start=1):
        if re.match(r"^\s*(```|~~~)", line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def fault_of(tree, path, target):
    if REMOTE.match(target):
        return None
    file, _, anchor = target.partition("#")
    if file.startswith("/"):
        return f"link to {target}: write it relative to this file"
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
    if resolved.startswith("..") or not tree.has(resolved):
        return f"link to {target}: no such file"
    if anchor and resolved.endswith(".md") and anchor not in anchors(tree.lines(resolved)):
        return f"link to {target}: {resolved} has no such heading"
    return None


def anchors(lines):
    """The anchors that GitHub makes of headings."""
    made = set()
    for _, line in prose(lines):
        heading = re.match(r"^#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            words = re.sub(r"[^\w\- ]", "", heading.group(1).lower()).replace(" ", "-")
            made.add(words)
    return made
