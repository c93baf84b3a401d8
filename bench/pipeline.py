#!/usr/bin/env python3
"""The pipeline benchmark: the main job on generated events, beside a bare loop that does the same work.

    bench/pipeline.py [--build build] [--events N] [--runs N] [--keep FOLDER] [--profile]

Both read the same files in the same run, in turns, so that what else the machine does meets both. The yardstick is CPU-seconds of
all threads of the process (user and system, from its start to its end), of the engine and of the limit alike; the medians count.
The result is one JSON object on stdout; everything else goes to stderr.
"""

import argparse
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # leave nothing in the source tree
import pipeline_profile  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROUTES = os.path.join(HERE, "pipeline_routes.yaml")

# What another bare loop did, on other events of 300 bytes, on one core of a machine of 2, in nanoseconds per event: says roughly how
# far this machine, now, is from that one.
REFERENCE_NS = {
    "validate, four fields": 180,
    "hash and probe": 24,
    "route and copy": 11,
    "compress": 265,
    "sort ids": 72,
    "write sorted files": 160,
}


def say(text=""):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    say(f"pipeline benchmark: {text}")
    sys.exit(1)


def require(condition, text):
    if not condition:
        fail(text)


def measured(command):
    """Runs the command; its stdout, CPU-seconds, wall seconds and largest resident set in MiB."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            fail(f"exit code {process.returncode} of {' '.join(command)}\n{err.read().decode(errors='replace')}")
        return {
            "output": out.read().decode(),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "sys_s": usage.ru_stime,
            "wall_s": wall_s,
            "rss_mib": usage.ru_maxrss / 1024,
        }


class Pipeline:
    def __init__(self, build, folder):
        self.build = build
        self.folder = folder
        self.input = os.path.join(folder, "input")

    def program(self, name):
        return os.path.join(self.build, "bin", name)

    def fresh(self, name):
        path = os.path.join(self.folder, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def generate(self, events):
        self.fresh("input")
        result = measured([self.program("generate_events"), self.input, str(events)])
        return json.loads(result["output"])

    def run_limit(self):
        out = self.fresh("limit")
        result = measured([self.program("pipeline_limit"), self.input, out])
        shutil.rmtree(out)
        return result | json.loads(result["output"])

    def engine_command(self):
        run = self.fresh("engine")
        return [
            self.program("weir"), "run", os.path.join(self.build, "jobs", "libevent_pipeline.so"),
            "-D", f"input={self.input}", "-D", f"out={run}/out", "-D", "id=id", "-D", "time=time", "-D", "type=type",
            "-D", "tenant=tenant", "-D", f"routes={ROUTES}", "--data", f"{run}/data",
            "--checkpoint-interval", "10s", "-p", "1", "-o", "json",
        ]  # fmt: skip

    def run_engine(self):
        result = measured(self.engine_command())
        result |= json.loads(result["output"])
        result["routes"] = self.count_lines(os.path.join(self.folder, "engine", "out"))
        shutil.rmtree(os.path.join(self.folder, "engine"))
        return result

    def count_lines(self, out):
        counts = {}
        for route in os.listdir(out):
            parts = glob.glob(os.path.join(glob.escape(out), route, "part-*.jsonl.zst"))
            if not parts:
                continue
            zstd = subprocess.Popen(["zstd", "-dcq", *parts], stdout=subprocess.PIPE)
            counts[route] = int(subprocess.run(["wc", "-l"], stdin=zstd.stdout, stdout=subprocess.PIPE, check=True).stdout)
            zstd.stdout.close()
            require(zstd.wait() == 0, f"the files of {route} cannot be decompressed")
        return counts


def check_limit(limit, generated):
    require(limit["events"] == generated["events"], f"the limit read {limit['events']} of {generated['events']} events")
    passed = sum(limit["routes"].values())
    require(passed == generated["distinct"], f"the limit passed {passed} events, {generated['distinct']} are distinct")


def check_engine(engine, limit, generated):
    require(engine["state"] == "FINISHED", f"the job ended {engine['state']}")
    operators = {operator["name"]: operator for operator in engine["operators"]}
    source = operators["source"]["records_out"]
    require(source == generated["events"], f"the engine read {source} of {generated['events']} events")
    passed = operators["dedup"]["records_out"]
    require(passed == generated["distinct"], f"dedup passed {passed} events, {generated['distinct']} are distinct")
    require(engine["routes"] == limit["routes"], f"the engine wrote {engine['routes']}, the limit {limit['routes']}")


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def print_limit(limits, events):
    say()
    say("the limit, in CPU nanoseconds per event (median of the runs):")
    say(f"  {'step':<24}{'now':>8}{'reference':>12}")
    of_reference = 0
    for step in limits[0]["ns_per_event"]:
        ns = statistics.median(run["ns_per_event"][step] for run in limits)
        reference = REFERENCE_NS.get(step)
        of_reference += ns if reference else 0
        say(f"  {step:<24}{ns:>8.0f}{reference or '-':>12}")
    reference = sum(REFERENCE_NS.values())
    say(f"  {'process':<24}{median(limits, 'cpu_s') / events * 1e9:>8.0f}")
    say(f"  the steps that have a reference: {of_reference:.0f} ns, reference {reference} ns: "
        f"this machine, now, reaches {reference / of_reference:.0%} of it")  # fmt: skip


def print_runs(name, runs, events):
    say()
    for run in runs:
        say(f"{name}: {events / run['cpu_s']:,.0f} events per CPU-second; {run['cpu_s']:.2f} CPU-s (system {run['sys_s']:.2f}), "
            f"{run['wall_s']:.2f} s, {run['rss_mib']:.0f} MiB")  # fmt: skip


def run(arguments, folder):
    pipeline = Pipeline(os.path.abspath(arguments.build), folder)
    generated = pipeline.generate(arguments.events)
    events = generated["events"]
    say(f"{events:,} events, {generated['bytes'] / events:.0f} bytes each, {generated['distinct']:,} distinct")
    if arguments.profile:
        pipeline_profile.profile(pipeline, events)
        return

    limits, engines = [], []
    for number in range(1, arguments.runs + 1):
        say(f"round {number} of {arguments.runs}: limit, engine")
        limits.append(pipeline.run_limit())
        check_limit(limits[-1], generated)
        engines.append(pipeline.run_engine())
        check_engine(engines[-1], limits[-1], generated)
    print_limit(limits, events)
    print_runs("limit ", limits, events)
    print_runs("engine", engines, events)
    limit = events / median(limits, "cpu_s")
    value = events / median(engines, "cpu_s")
    rounds = ", ".join(f"{limit['cpu_s'] / engine['cpu_s']:.2f}" for limit, engine in zip(limits, engines))
    say()
    say(f"ratios of the rounds: {rounds}")
    say(f"the engine's output is right; it needs {1e9 / value:.0f} ns per event, the limit {1e9 / limit:.0f} ns")
    print(json.dumps({
        "name": "pipeline", "value": round(value), "unit": "events/s per core",
        "limit": round(limit), "ratio": round(value / limit, 3),
    }))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"), help="the build folder")
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3, help="of the limit and of the engine, in turns")
    parser.add_argument("--profile", action="store_true", help="instead: where one run of the engine spends its time")
    parser.add_argument("--keep", metavar="FOLDER", help="work here and leave it; else in a temporary folder")
    arguments = parser.parse_args()
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
        run(arguments, arguments.keep)
        return
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        run(arguments, folder)


if __name__ == "__main__":
    main()
