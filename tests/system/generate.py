#!/usr/bin/env python3
"""Generates the input of the system tests: events in several files that overlap in time, the same bytes for the same seed.

    generate.py FOLDER --events 2000000 [--seed 1]

FOLDER/input gets .jsonl, .jsonl.gz and .jsonl.zst files, FOLDER/rules.yaml the router's rules (oracle.py knows them too). Every
thousandth line is broken, half of all events are one tenant's, and a tenth of the lines repeat the id of an earlier event:

    retry    the same bytes again, seconds later, in some file
    stale    the same bytes again, 1 to 8 slices later: the slice that holds the first was frozen long ago
    near     the same id with a time 1 to 7 slices later: a duplicate
    edge     the same id with a time exactly 8 slices later: just a duplicate
    beyond   the same id with a time exactly 9 slices later: just an event of its own

No id has events that are duplicates only in some order of reading, and no event can be late in any order of reading; the oracle
checks both.
"""

import argparse
import contextlib
import heapq
import pathlib
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone

SLICE_S = 3 * 3600  # a window of 24 h has 8 slices
REACH = 8
SPAN_SLICES = 64
START = datetime(2024, 3, 1, tzinfo=timezone.utc)
START_S = int(START.timestamp())
assert START_S % SLICE_S == 0

FILES = ("a.jsonl.zst", "b.jsonl", "c.jsonl.gz", "d.jsonl.zst", "e.jsonl", "f.jsonl.gz", "g.jsonl", "h.jsonl.zst")
# Each file reaches over this share of the whole time.
FILE_SHARE = 0.4
JITTER_MS_MAX = 600_000

RULES = """\
# Rules of the generated events; oracle.py has the same in Python.
match: all
default: warehouse
rules:
  - name: urgent
    when: {priority: {min: 6}}
    to: alerts
  - name: large orders
    when: {type: order, payload.body.amount: {min: 950}}
    to: [orders, audit]
  - name: europe
    when: {tenant: [t01, t02, t03, t04], payload.body.region: eu}
    to: eu
  - name: marked
    when: {payload.body.mark: {exists: true}}
    to: audit
"""

TYPES = ("order", "click", "view", "login", "refund", "signup", "ping", "order")
REGIONS = ("eu", "us", "ap", "sa")


def compressor(path):
    """The command that compresses its input to its output, or None."""
    if path.suffix == ".zst":
        return ["zstd", "-q", "-1", "-c", "--single-thread"]
    if path.suffix == ".gz":
        return ["gzip", "-1", "-c"]
    return None


@contextlib.contextmanager
def open_output(path):
    """A binary file that compresses by the ending of its name."""
    command = compressor(path)
    with open(path, "wb", buffering=1 << 20) as file:
        if command is None:
            yield file
            return
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, bufsize=1 << 20) as process:
            yield process.stdin
            process.stdin.close()
            if process.wait() != 0:
                raise RuntimeError(f"{command[0]} of {path} ended with {process.returncode}")


class Generator:
    def __init__(self, events, seed):
        self.events = events
        self.random = random.Random(seed)
        self.minutes = [(START + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")
                        for minute in range(-60, SPAN_SLICES * SLICE_S // 60 + 1)]
        self.notes = [self.note() for _ in range(97)]
        self.again = []  # heap of (position, number, line) to be sent again
        self.ms_per_event = SPAN_SLICES * SLICE_S * 1000 / events
        self.slice_ms = SLICE_S * 1000
        self.retry_max = min(4000, events // SPAN_SLICES // 2)

    def note(self):
        words = ["straße", "東京", "\\u00e9t\\u00e9", "plain", "\\\"quoted\\\"", "tab\\t", "{}", "[1,2]", "naïve", "emoji 🛫", "x" * 20]
        text = " ".join(self.random.choice(words) for _ in range(12))
        return text + "." * self.random.randrange(40)

    def time_text(self, ms, form):
        """A time in one of the forms that an event may have."""
        if form < 12:
            seconds, rest = divmod(ms, 1000)
            minute, second = divmod(seconds, 60)
            return f'"{self.minutes[minute + 60]}{second:02d}.{rest:03d}Z"'
        if form < 14:
            return str(START_S * 1000 + ms)
        if form == 14:
            return str((START_S * 1000 + ms) * 1000 + 7)
        moment = START + timedelta(milliseconds=ms, hours=5, minutes=30)
        return f'"{moment.strftime("%Y-%m-%dT%H:%M:%S")}.{ms % 1000:03d}+05:30"'

    def lines(self):
        """Yields (position, line) for each line of all files together, in order of arrival."""
        bits = self.random.getrandbits
        for position in range(self.events):
            if self.again and self.again[0][0] <= position:
                yield position, heapq.heappop(self.again)[2]
                continue
            dice = bits(60)
            ms = int(position * self.ms_per_event) - dice % JITTER_MS_MAX
            dice //= JITTER_MS_MAX
            tenant = "whale" if dice & 1 else f"t{(dice >> 1) % 50:02d}"
            dice >>= 7
            what = (dice & 1023) % 1000
            dice >>= 10
            rest = (f'"type":"{TYPES[dice & 7]}","tenant":"{tenant}","priority":{(dice >> 3) & 7},'
                    f'"body":{{"region":"{REGIONS[(dice >> 6) & 3]}","amount":{(dice >> 8) & 1023},'
                    f'"note":"{self.notes[position % 97]}"')
            form = (dice >> 18) & 15
            event_id = f'"e{position:08x}"'
            line = f'{{"id":{event_id},"time":{self.time_text(ms, form)},{rest}}}}}'
            if what < 115:
                self.send_again(what, position, event_id, ms, form, line, rest)
            elif what == 500 or position % 10_000 == 7:
                line = self.broken(position, line, rest)
            elif what == 501:
                line = self.odd(position, ms, form, rest)
            yield position, line

    def send_again(self, what, position, event_id, ms, form, line, rest):
        own_slice = ms // self.slice_ms
        if what < 60:
            self.schedule(position + 1 + self.random.randrange(self.retry_max), line)
            if what < 5:
                self.schedule(position + 1 + self.random.randrange(self.retry_max), line)
            return
        if what < 80:
            slices, line_again = self.random.randrange(1, REACH + 1), line
        else:
            slices = REACH if what < 95 else REACH + 1 if what < 105 else self.random.randrange(1, REACH)
            line_again = None
        # At a moment in the first half of that slice, so that a stale line is not late before it is sent.
        moment = (own_slice + slices) * self.slice_ms + self.random.randrange(self.slice_ms // 2)
        if line_again is None:
            if moment >= SPAN_SLICES * self.slice_ms:
                return
            if what & 1:
                event_id = '"\\u0065' + event_id[2:]  # the same id, spelled another way
            line_again = f'{{"id":{event_id},"time":{self.time_text(moment, form)},"attempt":2,{rest}}}}}'
        self.schedule(int(moment / self.ms_per_event), line_again)

    def schedule(self, position, line):
        if position < self.events:
            heapq.heappush(self.again, (position, len(self.again), line))

    def broken(self, position, line, rest):
        """A line that belongs to the dead letters."""
        fresh = f'"time":"2024-03-01T00:00:00Z","n":{position},{rest}'
        kind = self.random.randrange(20)
        if kind == 0:
            return f"not JSON at all {position}"
        if kind == 1:
            return line[: self.random.randrange(1, len(line))]
        if kind == 2:
            return line[:-2] + ',"late":tru}}'  # broken behind the fields that are read
        if kind == 3:
            return line + "}"
        if kind == 4:
            return f"[{line}]"
        if kind == 5:
            return str(position)
        return [
            f"{{{fresh}}}}}",  # no id
            f'{{"id":null,{fresh}}}}}',
            f'{{"id":true,{fresh}}}}}',
            f'{{"id":{{"a":1}},{fresh}}}}}',
            f'{{"id":["x"],{fresh}}}}}',
            f'{{"id":"b{position}",{fresh},"nan":NaN}}}}',
            f'{{"id":"b{position}",{fresh},"zero":012}}}}',
            f"{{'id':'b{position}',{fresh}}}}}",
            f'{{"id":"b{position}",{fresh},}}}}',
            f'{{"id":"b{position}",{fresh},"dot":1.}}}}',
            f'{{"id":"b{position}",{fresh},"control":"a\x01b"}}}}',
            f'{{"id":"b{position}",{fresh},"escape":"\\x41"}}}}',
            f'{{"id":"b{position}",{fresh},"bytes":"\udcff\udcfe"}}}}',  # not UTF-8
            f'"only a text {position}"',
        ][kind - 6]

    def odd(self, position, ms, form, rest):
        """A line that is unusual and good: it comes out."""
        time = f'"time":{self.time_text(ms, form)}'
        kinds = [
            f'{{"id":"o{position}",{rest}}}}}',  # no time
            f'{{"id":"o{position}","time":"yesterday",{rest}}}}}',
            f'{{"id":"o{position}","time":false,{rest}}}}}',
            f'{{"id":"o{position}","time":"2099-01-01T00:00:00Z",{rest}}}}}',
            f'{{"id":"o{position}",{time},"big":{"1234567890" * 4},{rest}}}}}',
            f'{{"id":"o{position}",{time},"deep":{"[" * 200}{"]" * 200},{rest}}}}}',
            f'{{"id":"o{position}",{time},"id":"e00000001",{rest}}}}}',  # the first of two keys counts
            f'{{"id":{position},{time},{rest}}}}}',
            f' {{ "id" : "o{position}" , {time}, {rest} }} }} ',
            f'{{"id":"o{position}",{time},"tenant":7,"type":null,"body":[],"tenant":"whale","note":[{{{rest}}}}}]}}',
            f'{{"id":"o{position}",{time},"exp":1e400,{rest},"mark":1}}}}',
            "",  # blank: skipped
        ]
        line = self.random.choice(kinds)
        if line == kinds[7]:
            # The same id as a text: one id.
            self.schedule(position + self.random.randrange(1, self.retry_max), f'{{"id":"{position}",{time},{rest}}}}}')
        return line


def generate(folder, events, seed=1):
    folder = pathlib.Path(folder)
    (folder / "input").mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    generator = Generator(events, seed)
    choose = random.Random(seed + 1).random
    last = len(FILES) - 1
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(open_output(folder / "input" / name)) for name in FILES]
        # The files that events of each thousandth of the time go to.
        active = []
        for step in range(1000):
            share = step / 1000
            open_now = [k for k in range(len(FILES)) if 0 <= share - (1 - FILE_SHARE) * k / last <= FILE_SHARE]
            # Plain files get twice as much, so that the largest are cut into ranges.
            active.append(open_now + [k for k in open_now if compressor(pathlib.Path(FILES[k])) is None])
        waiting = [[] for _ in FILES]
        for position, line in generator.lines():
            candidates = active[position * 1000 // events]
            k = candidates[int(choose() * len(candidates))]
            waiting[k].append(line)
            if len(waiting[k]) >= 4096:
                outputs[k].write(encode(waiting[k]) + b"\n")
                waiting[k] = []
        for k, lines in enumerate(waiting):
            # The last line of every other file has no line feed behind it.
            outputs[k].write(encode(lines) + (b"\n" if k % 2 and lines else b""))


def encode(lines):
    # surrogateescape: broken() smuggles bytes that are not UTF-8.
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def main():
    parser = argparse.ArgumentParser(description="Generates events for the system tests.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generate(arguments.folder, arguments.events, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
