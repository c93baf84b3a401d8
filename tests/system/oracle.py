#!/usr/bin/env python3
"""What event_pipeline must write for an input that generate.py made: an account of its own, which shares no code with Weir.

    oracle.py FOLDER EXPECTED     reads FOLDER/input, writes EXPECTED, which compare.py reads

Parameters: id=id time=time type=type tenant=tenant priority=priority window=24h routes=FOLDER/rules.yaml

An event is a duplicate exactly when an accepted event of the same id lies at most 8 slices of window / 8 away. Which one of several
lines is accepted depends on the order of reading; how many are must not, or the input is refused as useless. So where the ids of
different lines make them duplicates of each other, any one of them is right, and exactly one.
"""

import argparse
import gc
import json
import pathlib
import pickle
import subprocess
import sys
from array import array
from datetime import datetime, timezone
from hashlib import blake2b

SLICE_US = 24 * 3600 * 1_000_000 // 8
REACH = 8
DEAD_LETTERS = "dead-letters"
DIGITS = frozenset("0123456789")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def fingerprint(line):
    return int.from_bytes(blake2b(line, digest_size=8).digest(), "big")


def read_lines(path):
    """The lines of a plain or compressed file, as bytes without the line feed."""
    command = {".zst": ["zstd", "-dcq"], ".gz": ["gzip", "-dc"]}.get(path.suffix, ["cat"])
    with subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, bufsize=1 << 20) as process:
        for line in process.stdout:
            yield line[:-1] if line.endswith(b"\n") else line
        if process.wait() != 0:
            raise RuntimeError(f"{command[0]} cannot read {path}")


def refuse(word):
    raise ValueError(f"{word} is no JSON")


def first_of_each(pairs):
    members = {}
    for key, value in pairs:
        members.setdefault(key, value)
    return members


PLAIN = json.JSONDecoder(parse_constant=refuse)
WITH_DOUBLE_KEYS = json.JSONDecoder(parse_constant=refuse, object_pairs_hook=first_of_each)


def parse(line):
    """The object of a line with its id as a text; ValueError for what belongs to the dead letters."""
    decoder = PLAIN if line.count(b'"id"') < 2 else WITH_DOUBLE_KEYS
    event = decoder.decode(line.decode("utf-8"))
    if type(event) is not dict:
        raise ValueError("no object")
    event_id = event.get("id")
    if type(event_id) is int:
        event["id"] = str(event_id)
    elif type(event_id) is not str:
        raise ValueError("no id")
    return event


def time_us(value, days):
    """Event time in microseconds, or None where it is not usable. days: a cache."""
    if type(value) is str:
        try:
            if value[10:11] == "T" and value[-1] == "Z" and value[19] == ".":
                if value[:16] not in days:
                    days[value[:16]] = int((datetime.fromisoformat(value[:16] + ":00+00:00") - EPOCH).total_seconds()) * 1_000_000
                return days[value[:16]] + int(value[17:19]) * 1_000_000 + int(value[20:23]) * 1000
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        since = moment - EPOCH
        time = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return time if moment.year < 2090 else None  # further ahead than the clock's skew
    if type(value) is int:
        return value if value >= 10**14 else value * 1000 if value >= 10**11 else value * 1_000_000
    return None


def routes(event):
    """generate.RULES in Python."""
    found = set()
    priority, body = event.get("priority"), event.get("body")
    body = body if type(body) is dict else {}
    if type(priority) is int and priority >= 6:
        found.add("alerts")
    if event.get("type") == "order" and body.get("amount", 0) >= 950:
        found.update(("orders", "audit"))
    if event.get("tenant") in ("t01", "t02", "t03", "t04") and body.get("region") == "eu":
        found.add("eu")
    if "mark" in body:
        found.add("audit")
    return found or {"warehouse"}


def clusters(sightings):
    """Cuts sightings (slice, ...) of one id into groups of which exactly one event is accepted, in whatever order they are read."""
    sightings.sort(key=lambda sighting: sighting[0])
    groups = [[sightings[0]]]
    for sighting in sightings[1:]:
        if sighting[0] - groups[-1][-1][0] > REACH:
            groups.append([sighting])
        else:
            groups[-1].append(sighting)
    for group in groups:
        if group[-1][0] - group[0][0] > REACH:
            raise RuntimeError(f"how many of these are duplicates depends on the order of reading: {group}")
    return groups


class Expectation:
    """Fingerprints of lines: `routes` by label and `dead`, sorted, and `same_as`, which maps lines that stand for each other to one."""

    def __init__(self):
        self.routes, self.dead, self.same_as = {}, array("Q"), {}
        self.counts = {"lines": 0, "blank": 0, "dead": 0, "accepted": 0, "duplicates": 0, "unusable_times": 0, "written": 0}

    def add(self, labels, line_hash):
        self.counts["accepted"] += 1
        for label in labels:
            self.counts["written"] += 1
            self.routes.setdefault(label, array("Q")).append(line_hash)

    def finish(self):
        self.routes = {label: array("Q", sorted(lines)) for label, lines in self.routes.items()}
        self.dead = array("Q", sorted(self.dead))
        return self


def expect(folder):
    gc.disable()  # millions of tuples and no cycles
    expected = Expectation()
    counts = expected.counts
    # id -> (slice, fingerprint, labels), and where a second event has it, a list of them.
    once, often, days, labels_of = {}, {}, {}, {}
    for path in sorted((pathlib.Path(folder) / "input").iterdir()):
        highest = last_good = None
        for line in read_lines(path):
            if not line:
                counts["blank"] += 1
                continue
            counts["lines"] += 1
            try:
                event = parse(line)
            except (ValueError, RecursionError):
                counts["dead"] += 1
                expected.dead.append(fingerprint(line))
                continue
            time = time_us(event.get("time"), days)
            if time is None:
                counts["unusable_times"] += 1
                time = last_good
                if time is None or event["id"] in once:
                    raise RuntimeError(f"{path}: what becomes of an event without a time depends on the order of reading")
            last_good = time
            highest = time if highest is None else max(highest, time)
            slice_ = time // SLICE_US
            # No watermark is above what its own file has reached.
            if slice_ < highest // SLICE_US - REACH:
                raise RuntimeError(f"{path}: could be late: {line[:200]}")
            found = frozenset(routes(event))
            sighting = (slice_, fingerprint(line), labels_of.setdefault(found, found))
            if once.setdefault(event["id"], sighting) is not sighting:
                often.setdefault(event["id"], [once[event["id"]]]).append(sighting)
    for event_id, (_, line_hash, labels) in once.items():
        if event_id not in often:
            expected.add(labels, line_hash)
            continue
        for group in clusters(often[event_id]):
            if len({labels for _, _, labels in group}) != 1:
                raise RuntimeError(f"events of the id {event_id} have different routes")
            expected.add(group[0][2], group[0][1])
            counts["duplicates"] += len(group) - 1
            for _, other, _ in group[1:]:
                if other != group[0][1]:
                    expected.same_as[other] = group[0][1]
    return expected.finish()


def main():
    parser = argparse.ArgumentParser(description="Says what event_pipeline must write for generated events.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("expected", type=pathlib.Path)
    arguments = parser.parse_args()
    expected = expect(arguments.folder)
    with open(arguments.expected, "wb") as file:
        pickle.dump(vars(expected), file)
    print(json.dumps({**expected.counts, "routes": {label: len(lines) for label, lines in sorted(expected.routes.items())}}))


if __name__ == "__main__":
    sys.exit(main())
