#!/usr/bin/env python3
"""Deduplication in little memory: the main job with far more live ids than `--memory` has room for.

    bench/memory.py [--build build] [--ids N] [--small N] [--memory 256MiB] [--folder /tmp]

Reads events of which one in ten repeats an id from old slices, first with few ids, which fit, then with many, which do not, and checks
every line that comes out. Prints one JSON object a line:
    dedup-little-memory    events per CPU-second with many ids; the limit is what the same job does with few
    dedup-resident-memory  the most that the process held with many ids, in MiB; the limit is the budget
Details go to stderr. It takes about ten minutes and 8 GiB of disk.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import measured, require, say  # noqa: E402
from state_benchmark import parser, show  # noqa: E402

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def run(arguments, ids):
    """Events per CPU-second, and the report, of a job over so many ids whose output is right."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as folder:
        program = os.path.join(arguments.build, "bin", "repeats")
        source = os.path.join(folder, "events.jsonl")
        generated = json.loads(measured([program, "generate", str(ids), source])["output"])
        result = measured([
            os.path.join(arguments.build, "bin", "weir"), "run", os.path.join(arguments.build, "jobs", "libevent_pipeline.so"),
            "-D", f"input={source}", "-D", f"out={folder}/out", "-D", "id=id", "-D", "time=time", "--data", f"{folder}/data",
            "--memory", arguments.memory, "--checkpoint-interval", "10s", "-p", "1", "-o", "json",
        ])  # fmt: skip
        report = json.loads(result["output"])
        require(report["state"] == "FINISHED", f"the job ended {report['state']}")
        parts = glob.glob(os.path.join(glob.escape(folder), "out", "warehouse", "part-*.jsonl.zst"))
        zstd = subprocess.Popen(["zstd", "-dcq", *parts], stdout=subprocess.PIPE)
        check = subprocess.run([program, "check", str(ids)], stdin=zstd.stdout, stdout=subprocess.PIPE)
        zstd.stdout.close()
        require(zstd.wait() == 0, "the output cannot be decompressed")
        require(check.returncode == 0, f"wrong output: {check.stdout.decode()}")
        dead = [o["dead_letters"] for o in report["operators"]]
        require(not any(dead), f"dead letters: {dead}")
    per_second = generated["lines"] / result["cpu_s"]
    say(f"{ids:,} ids, {generated['repeats']:,} repeats, {arguments.memory}: {per_second:,.0f} events per CPU-second, "
        f"{result['cpu_s']:.1f} CPU-s (system {result['sys_s']:.1f}), {result['wall_s']:.1f} s, {result['rss_mib']:.0f} MiB resident "
        f"at most; every id came out exactly once")  # fmt: skip
    return per_second, report


def size(text):
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    raise argparse.ArgumentTypeError(f"'{text}' is no size: 256MiB")


def main():
    options = parser(__doc__)
    options.add_argument("--ids", type=int, default=50_000_000, help="that do not fit")
    options.add_argument("--small", type=int, default=5_000_000, help="that fit")
    options.add_argument("--memory", default="256MiB", help="the budget")
    arguments = options.parse_args()
    budget = size(arguments.memory)
    few, _ = run(arguments, arguments.small)
    many, report = run(arguments, arguments.ids)
    show("dedup-little-memory", many, "events/s per core", few)
    show("dedup-resident-memory", report["memory"]["resident_bytes_max"] / (1 << 20), "MiB", budget / (1 << 20))


if __name__ == "__main__":
    main()
