#!/usr/bin/env python3
"""Deduplication alone: the id store with 50 million ids, beside a bare loop and beside RocksDB, on the same ids.

    bench/dedup.py [--build build] [--ids N] [--folder /tmp]

Prints one JSON object a line:
    dedup                  new ids per CPU-second of all threads, checkpoints every 10 s included; the limit is the bare loop
    dedup-vs-rocksdb       the same beside a RocksDB that is asked with MultiGet and written with WriteBatch, without a WAL
    dedup-old-duplicates   rows per CPU-second where one id in ten repeats one that only the files hold; the limit is the bare
                           loop's table, which holds them all in memory
    checkpoint-pause-ids   p99 of the time that a checkpoint holds the task's thread; the limit is what it may be
Details go to stderr. It takes about two minutes, 3 GiB of memory and 6 GiB of disk.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PAUSE_MS_MAX = 20


def run(program, *arguments):
    result = json.loads(subprocess.run([program, *arguments], stdout=subprocess.PIPE, check=True).stdout)
    print(os.path.basename(program), arguments[0] if len(arguments) > 2 else "", json.dumps(result), file=sys.stderr, flush=True)
    return result


def show(name, value, unit, limit):
    digits = 3 if value < 1000 else None
    print(json.dumps({
        "name": name, "value": round(value, digits), "unit": unit, "limit": round(limit, digits), "ratio": round(value / limit, 3),
    }), flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"), help="the build folder")
    parser.add_argument("--ids", type=int, default=50_000_000, help="in the state")
    parser.add_argument("--folder", default=os.environ.get("TMPDIR", "/tmp"), help="where the files go, which are removed again")
    arguments = parser.parse_args()

    def program(name):
        return os.path.join(arguments.build, "bin", name)

    ids = str(arguments.ids)
    # The limit before and after, since what else the machine does meets all of them; its better run counts.
    loops = [run(program("dedup_limit"), "loop", arguments.folder, ids)]
    engine = run(program("dedup_bench"), arguments.folder, ids)
    loops.append(run(program("dedup_limit"), "loop", arguments.folder, ids))
    rocksdb = run(program("dedup_limit"), "rocksdb", arguments.folder, ids)

    def per_second(ns):
        return 1e9 / ns

    limit = per_second(min(sum(loop.values()) for loop in loops))
    probe = per_second(min(loop["hash and probe"] for loop in loops))
    new_ids = per_second(engine["ns_per_new_id"])
    show("dedup", new_ids, "ids/s per core", limit)
    show("dedup-vs-rocksdb", new_ids, "ids/s per core", per_second(rocksdb["ns_per_new_id"]))
    show("dedup-old-duplicates", per_second(engine["ns_per_row_with_old_duplicates"]), "ids/s per core", probe)
    show("checkpoint-pause-ids", engine["pause_ms_p99"], "ms", PAUSE_MS_MAX)


if __name__ == "__main__":
    main()
