#!/usr/bin/env python3
"""Makes examples/flights/input/*.jsonl.zst from the npm package vega-datasets.

Needs npm and zstd on the PATH and nothing else:

    examples/flights/make_input.py [--out FOLDER] [--source flights-20k.json]

The same package gives the same lines in the same order, whoever runs it: what looks like chance below is a hash of the event's
id. At its end it prints how many events it wrote and how many of them are distinct; README.md states these figures.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib
from datetime import datetime, timedelta

PACKAGE = "vega-datasets@3.2.1"
MEMBER = "package/data/flights-20k.json"

# Three collectors, each with its own share of the airports over the whole quarter, so that the files overlap in time from their
# first line to their last.
COLLECTORS = ("collector-a", "collector-b", "collector-c")

# Of 1000 events so many are sent again by a client that saw no answer, and of those so many again a third time.
RESENT_PER_1000 = 30
RESENT_AGAIN_PER_1000 = 100
# A client that failed sends to the next collector in so many of 1000 cases, else to the same one again.
FAILOVER_PER_1000 = 400


def chance(event_id, question, per_1000):
    """Whether the answer to a question about an event is yes, in per_1000 of 1000 cases, always the same."""
    return draw(event_id, question, 1000) < per_1000


def draw(event_id, question, sides):
    return zlib.crc32(f"{question}:{event_id}".encode()) % sides


def fetch(folder):
    """The data set of the npm package, by the package's name, unpacked into folder."""
    packed = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    subprocess.run(["tar", "-xzf", packed.stdout.split()[-1], MEMBER], cwd=folder, check=True)
    return pathlib.Path(folder) / MEMBER


def priority(delay):
    if delay >= 60:
        return 2
    return 1 if delay >= 15 else 0


def event(number, flight):
    """One departure as an event. The data has the airport's local time, written here as if it were UTC."""
    departed = datetime.strptime(flight["date"], "%Y/%m/%d %H:%M")
    return departed, {
        "id": f"F{number:06d}",
        "time": departed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "type": "departure",
        "tenant": flight["origin"],
        "priority": priority(flight["delay"]),
        "delay": flight["delay"],
        "distance": flight["distance"],
        "origin": flight["origin"],
        "destination": flight["destination"],
    }


def collect(flights):
    """What each collector received: lists of (time of arrival, order, line), sorted, and how many were sent again."""
    received = [[] for _ in COLLECTORS]
    resent = 0
    for number, flight in enumerate(flights, start=1):
        departed, fields = event(number, flight)
        line = json.dumps(fields, separators=(",", ":"))
        collector = draw(flight["origin"], "collector", len(COLLECTORS))
        received[collector].append((departed, number, line))

        attempt, arrived = 1, departed
        while chance(fields["id"], f"resend {attempt}", RESENT_PER_1000 if attempt == 1 else RESENT_AGAIN_PER_1000) and attempt < 3:
            arrived += timedelta(minutes=2 + draw(fields["id"], f"minutes {attempt}", 18))
            if chance(fields["id"], f"failover {attempt}", FAILOVER_PER_1000):
                collector = (collector + 1) % len(COLLECTORS)
            received[collector].append((arrived, number, line))
            attempt += 1
            resent += 1
    for lines in received:
        lines.sort()
    return received, resent


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Makes the input of the flights example.")
    parser.add_argument("--out", type=pathlib.Path, default=here / "input", help="folder to write to (default: %(default)s)")
    parser.add_argument("--source", type=pathlib.Path, help=f"flights-20k.json; without it npm fetches {PACKAGE}")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        source = arguments.source or fetch(folder)
        flights = json.loads(source.read_text(encoding="utf-8"))
    received, resent = collect(flights)

    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, lines in zip(COLLECTORS, received):
        target = arguments.out / f"{name}.jsonl.zst"
        text = "".join(line + "\n" for _, _, line in lines)
        subprocess.run(
            ["zstd", "-q", "-f", "-19", "--single-thread", "-o", str(target), "-"], input=text.encode(), check=True)
        print(f"{target}: {len(lines)} events")
    total = sum(len(lines) for lines in received)
    print(f"{total} events, {total - resent} distinct, {resent} sent again")


if __name__ == "__main__":
    sys.exit(main())
