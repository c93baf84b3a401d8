#!/usr/bin/env python3
"""The main job into a table of a PostgreSQL server, beside a bare COPY of the same rows into a table like it.

    bench/postgres.py [--build build] [--events N] [--folder /tmp]

The server is a fresh one with its own defaults, so that commits wait for the disk, and runs on the same machine. Prints one JSON object:
    postgres  rows in the table per second, from start to end of the run; the limit is psql's COPY from a file
Details go to stderr.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # leave nothing in the source tree
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "system"))
import postgres  # noqa: E402
from pipeline import measured, require, say  # noqa: E402
from state_benchmark import parser, show  # noqa: E402

COLUMNS = "id text, tenant text, type text, route text, time timestamptz, payload text"


def run(arguments, server, folder):
    """Rows per second of the job."""
    words = {"input": f"{folder}/input", "out": f"{folder}/out", "id": "id", "time": "time", "type": "type", "tenant": "tenant",
             "postgres": server.connection()}
    job = os.path.join(arguments.build, "jobs", "libevent_pipeline.so")
    result = measured([os.path.join(arguments.build, "bin", "weir"), "run", job, "--data", f"{folder}/data", "-p", "1", "-o", "json",
                       "--checkpoint-interval", "5s", *(f"-D{name}={value}" for name, value in words.items())])
    require(json.loads(result["output"])["state"] == "FINISHED", "the job did not finish")
    rows = server.number("SELECT count(*) FROM events")
    require(rows == server.number("SELECT count(DISTINCT id) FROM events"), "an id is there twice")
    say(f"weir: {rows:,} rows in {result['wall_s']:.1f} s, {result['cpu_s']:.1f} CPU-s of its own, {result['rss_mib']:.0f} MiB")
    return rows / result["wall_s"]


def copy(server, folder):
    """Rows per second of a bare COPY."""
    rows = f"{folder}/rows"
    server.sql(f"\\copy events TO '{rows}'")
    server.sql(f"CREATE TABLE bare ({COLUMNS}); CHECKPOINT")
    started = time.monotonic()
    server.sql(f"\\copy bare FROM '{rows}'")
    wall_s = time.monotonic() - started
    count = server.number("SELECT count(*) FROM bare")
    say(f"COPY: {count:,} rows in {wall_s:.1f} s")
    return count / wall_s


def main():
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=500_000, help="lines of input, of about 300 bytes")
    arguments = options.parse_args()
    defaults = {"fsync": "on", "synchronous_commit": "on", "wal_writer_delay": "200ms", "wal_writer_flush_after": "1MB"}
    server = postgres.Server(**defaults)
    try:
        server.start()
        server.sql(f"CREATE TABLE events ({COLUMNS})")
        with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as folder:
            os.mkdir(f"{folder}/input")
            generate = os.path.join(arguments.build, "bin", "generate_events")
            subprocess.run([generate, f"{folder}/input", str(arguments.events)], check=True, stdout=subprocess.DEVNULL)
            value = run(arguments, server, folder)
            show("postgres", value, "rows/s", copy(server, folder))
    finally:
        server.close()


if __name__ == "__main__":
    main()
