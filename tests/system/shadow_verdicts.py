#!/usr/bin/env python3
"""How often the verdict of `weir shadow` is wrong, by counting.

    shadow_verdicts.py [--runs 200] [--events 20000]

The job is the main one at parallelism 4, and noisy in every way: a random number and a clock in each record, numbers that are noise in
a tenth and in a hundredth of them, and a race. One event in a hundred has a duplicate in another file with another price, with one in
ten of these another note and with one in twenty another route, and whichever is read first is kept.

It is compared with itself so many times, and so many times with a candidate that changes something, in turn one of CHANGES. Fails if
more than 1 in 100 of the former FAIL, more than 1 in 20 of the latter PASS, or more than 1 in 10 of either are INCONCLUSIVE.
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

import shadow
import weir

PARALLELISM = 4
CONFLICT, OTHER_NOTE, OTHER_ROUTE = 100, 1000, 2000  # one event in so many

# name: (the part of the events that it changes; None: a single one, what is found in their lines, by what it is replaced)
CHANGES = {
    "a number that is noise in 10%, in 3% of the records": (0.03, r'"tenth":\d+', '"tenth":4711'),
    "a number that is noise in 1%, in 1% of the records": (0.01, r'"hundredth":\d+', '"hundredth":4711'),
    "a number that is no noise, in one record": (None, '"zero":0', '"zero":1'),
    "a number that is noise in every record, in one by its type": (None, r'"luck":(\d+)', '"luck":"$1"'),
    "0.2% of the records are missing": (0.002, "^.*$", ""),
}


def is_conflict(n):
    return n % CONFLICT == 7


def write_input(folder, events):
    files = [[] for _ in range(PARALLELISM)]
    for n in range(events):
        line = shadow.line(n)
        files[n % PARALLELISM].append(line)
        if not is_conflict(n):
            continue
        other = line.replace('"price":', '"price":1')
        if n % OTHER_NOTE == 7:
            other = other.replace('"note":"', '"note":"another ')
        if n % OTHER_ROUTE == 7:
            priority = 1 if shadow.is_urgent(n) else 8
            other = other.replace(f'"priority":{n % 8}', f'"priority":{priority}')
        files[(n + 1) % PARALLELISM].append(other)
    for number, lines in enumerate(files):
        (folder / f"{number}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def every(part, events, choose):
    """One event in so many is changed: about this part of them, or a single one that has no duplicate."""
    if part is not None:
        return round(1 / part)
    while True:
        one_in = choose.randrange(events // 2, 4 * events)
        chosen = [n for n in range(events) if shadow.is_chosen(n, one_in)]
        if len(chosen) == 1 and not is_conflict(chosen[0]):
            return one_in


class Verdicts:
    def __init__(self, folder, events):
        self.folder, self.events = folder, events
        self.input = folder / "input"
        self.input.mkdir()
        write_input(self.input, events)
        (folder / "routes.yaml").write_text(shadow.ROUTES, encoding="utf-8")
        (folder / "rules.yaml").write_text("all: {key: [id]}\n", encoding="utf-8")

    def run(self, number, **settings):
        """The verdict on a candidate with these settings, and its reasons."""
        parameters = {"input": self.input, "out": self.folder / "out", "routes": self.folder / "routes.yaml", "id": "id", "time": "time",
                      "priority": "priority", **shadow.mutant(how="jitter")}
        report = self.folder / f"report-{number}"
        result = weir.command(*shadow.words(report, both=parameters, of_candidate=shadow.mutant(how="jitter", **settings),
                                            rules=self.folder / "rules.yaml", parallelism=PARALLELISM), timeout=300)
        if result.code not in shadow.VERDICTS:
            raise SystemExit(f"shadow_verdicts.py: run {number}: {result}")
        shutil.rmtree(report)
        return shadow.VERDICTS[result.code], result.report


def say(kind, verdicts, took_s=None):
    counts = ", ".join(f"{verdicts[name]} {name}" for name in shadow.VERDICTS.values())
    took = "" if took_s is None else f" ({took_s:.0f} s)"
    print(f"{kind}: {counts} of {sum(verdicts.values())}{took}", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=200, help="without a change, and with one")
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    os.environ["WEIR_PLUGIN_PATH"] = str(weir.TEST_PLUGINS)
    choose = random.Random(arguments.seed)
    unchanged, changed = collections.Counter(), collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        verdicts = Verdicts(pathlib.Path(folder), arguments.events)
        began = time.monotonic()
        for number in range(arguments.runs):
            verdict, report = verdicts.run(number)
            unchanged[verdict] += 1
            if verdict != "PASS":
                print(f"without a change: run {number}: {verdict}: {report['reasons']}", file=sys.stderr, flush=True)
        say("without a change", unchanged, time.monotonic() - began)
        began = time.monotonic()
        for number in range(arguments.runs):
            name = list(CHANGES)[number % len(CHANGES)]
            part, find, replace = CHANGES[name]
            one_in = every(part, arguments.events, choose)
            verdict, report = verdicts.run(number, every=one_in, find=find, replace=replace)
            changed[name][verdict] += 1
            if verdict != "FAIL":
                print(f"{name}: run {number}: {verdict}: {report['reasons']} {report['notes']}", file=sys.stderr, flush=True)
        for name, counts in changed.items():
            say(name, counts)
        total = sum(changed.values(), collections.Counter())
        say("with a change", total, time.monotonic() - began)
    wrong = [text for text, is_wrong in (
        ("too many FAIL without a change", 100 * unchanged["FAIL"] > arguments.runs),
        ("too many PASS with a change", 20 * total["PASS"] > arguments.runs),
        ("too many INCONCLUSIVE", 10 * max(unchanged["INCONCLUSIVE"], total["INCONCLUSIVE"]) > arguments.runs),
    ) if is_wrong]
    if wrong:
        raise SystemExit(f"shadow_verdicts.py: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
