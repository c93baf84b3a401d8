"""What the compiler says: every header compiles alone, and so do the snippets of the documents."""

import hashlib
import json
import pathlib
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tree import OTHER_FOLDERS, ROOM_RANKS, Fault, code_blocks, room_of

JOBS_AT_ONCE = 2
MESSAGE_LINES_MAX = 12
UMBRELLA = "jobs/job.h"


class Compiler:
    """Checks sources with the flags that the build uses, and remembers in a folder what passed, until a file it read changes."""

    def __init__(self, tree, build):
        self.tree = tree
        self.scratch = pathlib.Path(build) / "repository"
        self.scratch.mkdir(parents=True, exist_ok=True)
        database = pathlib.Path(build) / "compile_commands.json"
        if not database.exists():
            raise SystemExit(f"{database} is missing: configure the build first, with cmake --preset release")
        self.commands = {}
        for entry in json.loads(database.read_text(encoding="utf-8")):
            source = pathlib.Path(entry["file"])
            if source.is_relative_to(tree.root):
                self.commands[source.relative_to(tree.root).as_posix()] = (entry["directory"], shlex.split(entry["command"]))
        if not self.commands:
            raise SystemExit(f"{database} names no source of {tree.root}: it is another tree's")

    def flags_for(self, path):
        """Folder and command of the source that is closest to a path: its own .cc, one of its folder, of its room, any."""
        folder, own = path.rsplit("/", 1)[0], path.rsplit(".", 1)[0] + ".cc"

        def distance(source):
            return (source != own, source.rsplit("/", 1)[0] != folder, room_of(source) != room_of(path), source)

        return self.commands[min(self.commands, key=distance)]

    def check(self, name, like, source):
        """Compiles a source as if it stood beside the file `like`. Returns the compiler's complaint, or None."""
        directory, command = self.flags_for(like)
        command = [word for word in without_outputs(command) if not word.endswith("ccache")]
        base = self.scratch / re.sub(r"[^\w.-]", "_", name)
        stamp, file, depfile = (base.with_name(base.name + suffix) for suffix in (".ok", ".cc", ".d"))
        identity = hashlib.sha256(f"{command}\n{source}".encode()).hexdigest()
        if still_holds(stamp, file, depfile, identity):
            return None
        stamp.unlink(missing_ok=True)
        file.write_text(source, encoding="utf-8")
        result = subprocess.run(
            [*command, "-fsyntax-only", "-w", "-MMD", "-MF", str(depfile), "-MT", "x", str(file)],
            cwd=directory, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode == 0:
            stamp.write_text(identity, encoding="utf-8")
            return None
        return "\n".join(result.stdout.splitlines()[:MESSAGE_LINES_MAX])

    def check_all(self, sources):
        """Checks (name, like, source) two at a time; yields each with its complaint."""
        with ThreadPoolExecutor(JOBS_AT_ONCE) as pool:
            yield from zip(sources, pool.map(lambda item: self.check(*item), sources))


def without_outputs(command):
    """A compile command without its input and its outputs."""
    kept, skip = [], False
    for word in command:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        elif word not in ("-c", "-MD", "-MMD") and not word.endswith(".cc"):
            kept.append(word)
    return kept


def still_holds(stamp, file, depfile, identity):
    """Whether the same source passed before, with the same flags, and none of the files it read has changed since it was begun."""
    if not all(path.exists() for path in (stamp, file, depfile)) or stamp.read_text(encoding="utf-8") != identity:
        return False
    begun = file.stat().st_mtime_ns
    read = depfile.read_text(encoding="utf-8").replace("\\\n", " ").split()[1:]
    return all(pathlib.Path(path).exists() and pathlib.Path(path).stat().st_mtime_ns <= begun for path in read)


def check_headers_alone(tree, build):
    """Each header compiles as the first and only thing of a source; included twice, so that a missing guard shows.

    A header that is the first include of a source has been shown to by the build, and is not compiled again.
    """
    compiler = Compiler(tree, build)
    shown = {first_include(tree, source) for source in compiler.commands if tree.has(source)}
    headers = [path for path in tree.ending(".h") if room_of(path) in (*ROOM_RANKS, *OTHER_FOLDERS) and path not in shown]
    sources = [(f"alone_{path}", path, f'#include "{path}"\n#include "{path}"\n') for path in headers]
    return [
        Fault(path, 1, f"does not compile alone:\n{complaint}")
        for (_, path, _), complaint in compiler.check_all(sources)
        if complaint
    ]


def first_include(tree, source):
    """The header of the project that a source includes before anything else; None if there is none."""
    for line in tree.lines(source):
        include = re.match(r'#include (["<])([^">]+)[">]', line)
        if include:
            return include.group(2) if include.group(1) == '"' else None
        if line.startswith("#"):
            return None  # a macro or a condition before it may be what makes it compile
    return None


def snippets(tree):
    """The C++ blocks of the documents that are whole files: (document, line, source)."""
    for path in tree.ending(".md"):
        if "/" in path and not path.startswith("docs/"):
            continue
        for language, first, lines in code_blocks(tree.text(path)):
            text = "\n".join(lines)
            if language == "cpp" and (re.match(r"// file: \S+\.cc\b", text) or re.search(r"WEIR_(JOB|PLUGIN)\(", text)):
                includes = "" if "#include" in text else f'#include "{UMBRELLA}"\n'
                yield path, first, f'{includes}#line {first} "{path}"\n{text}\n'


def check_snippets(tree, build):
    """Complaints name line and file of the document, by #line."""
    sources = [(f"snippet_{path}_{first}", "jobs/snippet.cc", source) for path, first, source in snippets(tree)]
    return [
        Fault(name.removeprefix("snippet_").rpartition("_")[0], int(name.rpartition("_")[2]), f"snippet:\n{complaint}")
        for (name, _, _), complaint in Compiler(tree, build).check_all(sources)
        if complaint
    ]
