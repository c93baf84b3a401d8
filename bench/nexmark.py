#!/usr/bin/env python3
"""The NEXMark jobs of examples/nexmark, beside a bare loop over the same generator that does the same work.

    bench/nexmark.py [--build build] [--folder /tmp] [--events N] [--state-events N] [--query q1]

Prints one JSON object a line for each query: events per CPU-second of all threads, of the process from its start to its end, engine and
limit alike. Results go nowhere. q18-updates puts out each bid that replaces another at once, q18 the last ones when all has been read.
Details go to stderr.
"""

import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import fail, measured  # noqa: E402
from state_benchmark import parser, run, show  # noqa: E402

QUERIES = ("q0", "q1", "q2", "q18-updates", "q18")


def engine(arguments, query, events):
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as folder:
        words = [f"query={query.split('-')[0]}", f"events={events}", f"updates={str(query.endswith('updates')).lower()}"]
        result = measured([os.path.join(arguments.build, "bin", "weir"), "run", os.path.join(arguments.build, "jobs", "libnexmark.so"),
                           *(word for value in words for word in ("-D", value)), "--data", folder, "-p", "1", "-o", "json"])
    report = json.loads(result["output"])
    result["rows"] = report["operators"][-1]["records_in"]
    print(query, f"{result['cpu_s']:.2f} CPU-s, {result['wall_s']:.2f} s, {result['rss_mib']:.0f} MiB", file=sys.stderr, flush=True)
    return result


def main():
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=20_000_000, help="of q0, q1 and q2")
    options.add_argument("--state-events", type=int, default=5_000_000, help="of q18")
    options.add_argument("--query", choices=QUERIES, help="only this one")
    arguments = options.parse_args()
    for query in [arguments.query] if arguments.query else QUERIES:
        events = arguments.state_events if query.startswith("q18") else arguments.events
        limit = run(arguments, "nexmark_limit", query.split("-")[0], events)
        result = engine(arguments, query, events)
        wanted = events * 46 // 50 if query == "q18-updates" else limit["rows"]
        if result["rows"] != wanted:
            fail(f"{query} put out {result['rows']} rows, not {wanted:.0f}")
        show(f"nexmark-{query}", events / result["cpu_s"], "events/s per core", 1e9 / limit["ns_per_event"])


if __name__ == "__main__":
    main()
