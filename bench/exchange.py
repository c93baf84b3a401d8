#!/usr/bin/env python3
"""What a wide exchange costs: the main job at -p 64, where each of 64 subtasks sends to each of 64, beside the same job at -p 2.

    bench/exchange.py [--build build] [--events N] [--runs N]

Same files, same run, in turns; once in one process and once in two (--workers 2). The yardstick is CPU-seconds of all threads of all
processes; the medians count. Prints one JSON object for each, with the events per core at -p 2 as the limit. Details go to stderr.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import HERE, Pipeline, measured, median, require, say  # noqa: E402

WIDE, NARROW = 64, 2
MEMORY = "8GiB"  # of a process: 64 subtasks of all stages need 4


def run(pipeline, generated, parallelism, workers):
    folder = pipeline.fresh("exchange")
    result = measured([
        pipeline.program("weir"), "run", os.path.join(pipeline.build, "jobs", "libevent_pipeline.so"),
        "-D", f"input={pipeline.input}", "-D", f"out={folder}/out", "-D", "id=id", "-D", "time=time",
        "--data", f"{folder}/data", "--memory", MEMORY, "--checkpoint-interval", "10s",
        "-p", str(parallelism), "--workers", str(workers), "-o", "json",
    ])  # fmt: skip
    report = json.loads(result["output"])
    require(report["state"] == "FINISHED", f"the job ended {report['state']}")
    lines = pipeline.count_lines(os.path.join(folder, "out")).get("warehouse", 0)
    require(lines == generated["distinct"], f"{lines} lines came out, {generated['distinct']} are distinct")
    say(f"-p {parallelism} --workers {workers}: {generated['events'] / result['cpu_s']:,.0f} events per CPU-second; "
        f"{result['cpu_s']:.2f} CPU-s (system {result['sys_s']:.2f}), {result['wall_s']:.2f} s")  # fmt: skip
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"), help="the build folder")
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3, help="of each, in turns")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        pipeline = Pipeline(os.path.abspath(arguments.build), folder)
        generated = pipeline.generate(arguments.events)
        for workers, name in ((0, "exchange-64"), (2, "exchange-64-two-processes")):
            wide, narrow = [], []
            for _ in range(arguments.runs):
                narrow.append(run(pipeline, generated, NARROW, workers))
                wide.append(run(pipeline, generated, WIDE, workers))
            value, limit = (generated["events"] / median(runs, "cpu_s") for runs in (wide, narrow))
            slower = statistics.median(run["wall_s"] for run in wide) / statistics.median(run["wall_s"] for run in narrow)
            say(f"{name}: {slower:.2f} times as long by the wall clock")
            print(json.dumps({
                "name": name, "value": round(value), "unit": "events/s per core", "limit": round(limit), "ratio": round(value / limit, 3),
            }))  # fmt: skip


if __name__ == "__main__":
    main()
