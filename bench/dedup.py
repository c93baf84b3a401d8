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

import sys

sys.dont_write_bytecode = True  # leave nothing in the source tree
from state_benchmark import PAUSE_MS_MAX, parser, per_second, run, show  # noqa: E402


def main():
    options = parser(__doc__)
    options.add_argument("--ids", type=int, default=50_000_000, help="in the state")
    arguments = options.parse_args()

    # The limit before and after the engine: what else the machine does may meet one of them, and the better one counts.
    loops = [run(arguments, "dedup_limit", "loop", "FOLDER", arguments.ids)]
    engine = run(arguments, "dedup_bench", "FOLDER", arguments.ids)
    loops.append(run(arguments, "dedup_limit", "loop", "FOLDER", arguments.ids))
    rocksdb = run(arguments, "dedup_limit", "rocksdb", "FOLDER", arguments.ids)

    limit = per_second(min(sum(loop.values()) for loop in loops))
    probe = per_second(min(loop["hash and probe"] for loop in loops))
    new_ids = per_second(engine["ns_per_new_id"])
    show("dedup", new_ids, "ids/s per core", limit)
    show("dedup-vs-rocksdb", new_ids, "ids/s per core", per_second(rocksdb["ns_per_new_id"]))
    show("dedup-old-duplicates", per_second(engine["ns_per_row_with_old_duplicates"]), "ids/s per core", probe)
    show("checkpoint-pause-ids", engine["pause_ms_p99"], "ms", PAUSE_MS_MAX)


if __name__ == "__main__":
    main()
