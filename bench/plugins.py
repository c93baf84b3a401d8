#!/usr/bin/env python3
"""The plugins benchmark: one plugin in the main job, in the process of `weir` and in one of its own.

    bench/plugins.py [--build build] [--events N] [--runs N]

The plugin changes a quarter of the events. It runs in-process, isolated, isolated with a crash on one event of 10,000, and isolated
with these and a hang on one of 100,000 (with a timeout of 100 ms). Figures are events per CPU-second of all threads of all processes,
the plugin's included; the limit of each is the in-process run. Walls are on stderr. A run counts only if every event came out, or is
a dead letter because of what it did.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import Pipeline, measured, require, say  # noqa: E402

CRASHES = {"plugin.load.crash_every": 10_000}
HANGS = {"plugin.load.hang_every": 100_000, "isolate_timeout": "100ms"}
VARIANTS = {
    "in-process": {},
    "isolated": {"isolate": "load"},
    "isolated-crashes": {"isolate": "load", **CRASHES},
    "isolated-crashes-and-hangs": {"isolate": "load", **CRASHES, **HANGS},
}


class Plugins(Pipeline):
    def run(self, variant, generated):
        folder = self.fresh("run")
        parameters = {"input": self.input, "out": f"{folder}/out", "id": "id", "time": "time", "type": "type", "tenant": "tenant",
                      "plugins": "load", **VARIANTS[variant]}
        command = [self.program("weir"), "run", os.path.join(self.build, "jobs", "libevent_pipeline.so"), "--data", f"{folder}/data",
                   "-o", "json"]
        for name, value in parameters.items():
            command += ["-D", f"{name}={value}"]
        result = measured(command)
        report = json.loads(result["output"])
        require(report["state"] == "FINISHED", f"{variant}: the job ended {report['state']}")
        operator = next(operator for operator in report["operators"] if operator["name"] == "plugin-load")
        lines = self.count_lines(f"{folder}/out")
        dead = operator["dead_letters"]
        require(operator["records_in"] == generated["distinct"], f"{variant}: {operator['records_in']} events came to the plugin")
        require(lines.get("warehouse", 0) + dead == generated["distinct"], f"{variant}: {lines} and {dead} dead letters")
        require(lines.get("dead-letters", 0) == dead, f"{variant}: {lines} and {dead} dead letters")
        counters = operator["counters"]
        bad = dict(crashes=counters.get("1/crashes", 0), hangs=counters.get("1/hangs", 0))
        require(bad["crashes"] + bad["hangs"] == 2 * dead, f"{variant}: {bad} and {dead} dead letters")
        shutil.rmtree(folder)
        return {**result, **bad, "dead": dead}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--build", default=os.path.join(here, "..", "build"))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    os.environ["WEIR_PLUGIN_PATH"] = os.path.join(build, "bench", "plugins")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        bench = Plugins(build, folder)
        generated = bench.generate(options.events)
        runs = {variant: [] for variant in VARIANTS}
        for _ in range(options.runs):
            for variant in VARIANTS:  # in turns, so that what else the machine does meets all of them
                runs[variant].append(bench.run(variant, generated))
        limit = None
        for variant, results in runs.items():
            cpu_s = statistics.median(result["cpu_s"] for result in results)
            wall_s = statistics.median(result["wall_s"] for result in results)
            value = generated["events"] / cpu_s
            limit = limit or value
            say(f"{variant}: {cpu_s:.2f} s of CPU, {wall_s:.2f} s, {results[0]['dead']} dead letters, "
                f"{results[0]['crashes']} crashes, {results[0]['hangs']} hangs")
            print(json.dumps({"name": f"plugins-{variant}", "value": round(value), "unit": "events/s per core",
                              "limit": round(limit), "ratio": round(value / limit, 3)}), flush=True)


if __name__ == "__main__":
    main()
