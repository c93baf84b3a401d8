#!/usr/bin/env python3
"""Deduplication alone: ids judged by the id store, beside a bare table of ids, in CPU-seconds of the task's thread.

    bench/dedup.py [--build build]

Runs dedup_bench, which has the details (on stderr), and prints one JSON object: 5 million ids in the state, 10% duplicates.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINE = "BM_Accept/ids:5000000/duplicates_pct:10/"
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
    ns = {prefix: next(run["ns_mean"] for run in runs if run["name"].startswith(prefix)) for prefix in (ENGINE, LIMIT)}
    value, limit = 1e9 / ns[ENGINE], 1e9 / ns[LIMIT]
    print(json.dumps({
        "name": "dedup", "value": round(value), "unit": "ids/s per core",
        "limit": round(limit), "ratio": round(value / limit, 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
