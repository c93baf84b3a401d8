"""Where a run of the engine spends its time: samples of perf, by room, by file and by function.

A sample belongs to the innermost function of Weir on its stack, so what a file calls in the libraries (simdjson, zstd, RocksDB,
the kernel) is counted as that file's; the functions are listed by themselves, libraries and all.
"""

import collections
import os
import re
import shutil
import subprocess
import sys

SAMPLES_PER_SECOND = 499
FRAME = re.compile(r"^\s+[0-9a-f]+ (.+) \((.*)\)$")
OURS = re.compile(r"^(weir|lib(weir|event_pipeline)\.so.*)$")


def say(text=""):
    print(text, file=sys.stderr, flush=True)


def profile(pipeline, events):
    if shutil.which("perf") is None:
        say("--profile needs perf: apt-get install linux-perf")
        sys.exit(69)
    data = os.path.join(pipeline.folder, "perf.data")
    subprocess.run(
        ["perf", "record", "-q", "-F", str(SAMPLES_PER_SECOND), "-e", "cpu-clock", "--call-graph", "dwarf,16384", "-o", data, "--"]
        + pipeline.engine_command(),
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    samples = read_samples(data)
    if not samples:
        say("perf took no samples")
        sys.exit(69)
    files = SourceFiles()
    by_thread, by_room, by_file, by_function = (collections.Counter() for _ in range(4))
    for thread, frames in samples:
        by_thread[thread] += 1
        by_function[frames[0] if frames else ("?", "?", "?")] += 1
        path = next((file for file in map(files.of, filter(is_ours, frames)) if file is not None), None)
        if path is None:
            path = f"({frames[0][2] if frames else '?'}, no function of Weir)"
        by_file[path] += 1
        by_room[room_of(path)] += 1

    ns = 1e9 / SAMPLES_PER_SECOND / events
    say(f"{len(samples)} samples, {len(samples) * ns:.0f} ns per event (perf itself costs something)")
    table("thread", by_thread, ns, 20)
    table("room", by_room, ns, 30)
    table("file, with what it calls outside Weir", by_file, ns, 40)
    named = demangle([symbol for symbol, _, _ in by_function])
    totals = collections.Counter()
    for (symbol, _, dso), count in by_function.items():
        totals[f"{short(named[symbol])} ({dso})"] += count
    table("function by itself", totals, ns, 50)


def read_samples(data):
    """[(thread, [(symbol, path, dso), innermost first])]."""
    text = subprocess.run(
        ["perf", "script", "-i", data, "--no-demangle", "--no-inline", "-F", "comm,ip,sym,dso"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, errors="replace", text=True,
    ).stdout  # fmt: skip
    samples = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        frames = []
        for line in lines[1:]:
            match = FRAME.match(line)
            if match:
                symbol, path = match.groups()
                frames.append((symbol, path, os.path.basename(path)))
        # Debian's libraries have no symbols of their own functions: one line for all of them.
        frames = [("(without a name)" if symbol == "[unknown]" else symbol, path, dso) for symbol, path, dso in frames]
        samples.append((lines[0].strip(), frames))
    return samples


def is_ours(frame):
    return OURS.match(frame[2]) is not None


class SourceFiles:
    """The file that a function of Weir is defined in; None for stubs, instantiated templates of libraries and generated code."""

    def __init__(self):
        self.addresses = {}  # path of the library -> symbol -> address
        self.known = {}

    def of(self, frame):
        symbol, path, _ = frame
        if (path, symbol) not in self.known:
            self.known[path, symbol] = self.look_up(symbol, path)
        return self.known[path, symbol]

    def look_up(self, symbol, path):
        if path not in self.addresses:
            text = subprocess.run(["nm", path], stdout=subprocess.PIPE, text=True, check=True).stdout
            fields = (line.split() for line in text.splitlines())
            self.addresses[path] = {f[2]: f[0] for f in fields if len(f) == 3}
        address = self.addresses[path].get(symbol)
        if address is None:
            return None
        line = subprocess.run(["addr2line", "-e", path, address], stdout=subprocess.PIPE, text=True, check=True).stdout
        file = os.path.normpath(line.split(":")[0])  # a compiler cache may have built it elsewhere
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
        return file[len(root):] if file.startswith(root) else None


def room_of(path):
    if path.startswith("("):
        return path
    parts = path.split("/")
    return "/".join(parts[: 2 if parts[0] in ("operators", "runtime") and len(parts) > 2 else 1])


def demangle(symbols):
    if shutil.which("c++filt") is None:
        return {symbol: symbol for symbol in symbols}
    out = subprocess.run(["c++filt"], input="\n".join(symbols), stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(zip(symbols, out.splitlines()))


def short(name):
    """Without arguments of calls and templates."""
    name = name.replace("(anonymous namespace)", "{anonymous}")
    while True:
        shorter = re.sub(r"<[^<>]*>|\([^()]*\)", "", name)
        if shorter == name:
            return name.replace(" const", "")[:100]
        name = shorter


def table(title, counts, ns, most):
    say()
    say(f"{'':>7} {'ns/event':>9}  {title}")
    total = sum(counts.values())
    for name, count in counts.most_common(most):
        say(f"{count / total:>7.1%} {count * ns:>9.0f}  {name}")
