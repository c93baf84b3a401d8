#!/usr/bin/env python3
"""Deduplication alone: ids judged by the id store, beside a bare table of ids, in CPU-seconds of the task's thread.

    bench/dedup.py [--build build]

Runs dedup_bench, whose details go to stderr, with 5 million ids in the state, and prints one JSON object a line: `dedup`, where all
ids are new, and `dedup-old-duplicates`, where 10% repeat ids that have long gone from memory and are read from the files. The
table of the limit holds all ids in memory and keeps nothing.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINE = {
    "dedup": "BM_Accept/ids:5000000/duplicates_pct:0/",
    "dedup-old-duplicates": "BM_Accept/ids:5000000/duplicates_pct:10/",
}
LIMIT = "BM_BareTable/"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"), help="the build folder")
    arguments = parser.parse_args()
    text = subprocess.run(
        [os.path.join(arguments.build, "bin", "dedup_bench"), "--benchmark_format=json"], stdout=subprocess.PIPE, check=True
    ).stdout
    runs = json.loads(text)["benchmarks"]
    for run in runs:
        counters = {key: round(run[key], 1) for key in ("ns_mean", "ns_p10", "ns_p50", "ns_p99", "bytes_per_id") if key in run}
        if "per_id" in run:
            counters["ns_per_id"] = round(run["per_id"] * 1e9, 1)
        print(run["name"], counters, file=sys.stderr)

    def ids_per_second(prefix):
        return 1e9 / next(run["ns_mean"] for run in runs if run["name"].startswith(prefix))

    limit = ids_per_second(LIMIT)
    for name, prefix in ENGINE.items():
        value = ids_per_second(prefix)
        print(json.dumps({
            "name": name, "value": round(value), "unit": "ids/s per core",
            "limit": round(limit), "ratio": round(value / limit, 3),
        }))  # fmt: skip


if __name__ == "__main__":
    main()
