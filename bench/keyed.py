#!/usr/bin/env python3
"""Keyed state alone: a process operator that counts by key, beside a bare loop, on the same keys.

    bench/keyed.py [--build build] [--hot-keys N] [--all-keys N] [--text-bytes N] [--folder /tmp]

Prints one JSON object a line:
    keyed                   updates per CPU-second of all threads, of keys that fit the cache, checkpoints every 10 s included
    checkpoint-pause-keys   p99 of the time that a checkpoint holds the task's thread, with all keys in the state; the limit is what
                            it may be
Details go to stderr. It takes about three minutes. `--all-keys 5000000 --text-bytes 200` is 1 GiB of state; the limit keeps counts alone.
"""

import sys

sys.dont_write_bytecode = True  # leave nothing in the source tree
from state_benchmark import PAUSE_MS_MAX, parser, per_second, run, show  # noqa: E402


def main():
    options = parser(__doc__)
    options.add_argument("--hot-keys", type=int, default=1_000_000, help="that are updated; they fit the cache")
    options.add_argument("--all-keys", type=int, default=20_000_000, help="in the state when pauses are measured")
    options.add_argument("--text-bytes", type=int, default=0, help="of a text beside the count of each key")
    arguments = options.parse_args()

    # As in dedup.py.
    loops = [run(arguments, "keyed_limit", "FOLDER", arguments.hot_keys)]
    engine = run(arguments, "keyed_bench", "FOLDER", arguments.hot_keys, arguments.all_keys, arguments.text_bytes)
    loops.append(run(arguments, "keyed_limit", "FOLDER", arguments.hot_keys))

    show("keyed", per_second(engine["ns_per_update"]), "updates/s per core", per_second(min(sum(loop.values()) for loop in loops)))
    show("checkpoint-pause-keys", engine["pause_ms_p99"], "ms", PAUSE_MS_MAX)


if __name__ == "__main__":
    main()
