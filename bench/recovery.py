#!/usr/bin/env python3
"""Recovery: from kill -9 of a worker until all tasks run again, and until the job has caught up, with so much state.

    bench/recovery.py [--state ids|keys] [--ids N] [--value-bytes 200] [--kills 10] [--rate 20000] [--build build] [--folder /tmp]

A cluster on this machine runs a job over a watched folder: the main job, whose state is N ids of deduplication, or one that keeps a value
for each of N keys. Then a file with events comes every half second, of new ids, or of keys that are in the state, each as likely as any
other; and workers are killed one after another. Prints one JSON object a line; the limit is what is not to be exceeded:
    recovery-running, recovery-keys-running      seconds until all tasks run again, median
    recovery-caught-up, recovery-keys-caught-up  seconds until every event written by then has passed the job, median
Details go to stderr.
"""

import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import require, say  # noqa: E402
from state_benchmark import parser, show  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

LINES_A_FILE = 1_000_000
RUNNING_MAX_S, CAUGHT_UP_MAX_S = 4, 10
PARALLELISM = 4


def write_ids(folder, first, ids):
    """A file with these ids, complete at once; `first` is how many there were before."""
    name = folder / f"{first:012}.jsonl"
    part = name.with_suffix(".part")
    with open(part, "w", encoding="ascii") as file:
        for begin in range(0, len(ids), 100_000):
            file.write("".join(f'{{"id":{n}}}\n' for n in ids[begin : begin + 100_000]))
    part.rename(name)


class Feeder(threading.Thread):
    """Writes a file with events every half second; `written` is the total. `old`: of ids that there are already."""

    def __init__(self, folder, first, rate, old):
        super().__init__(daemon=True)
        self.folder, self.first, self.written, self.number, self.old = folder, first, first, rate // 2, old
        self.choose = random.Random(2)
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.5):
            if self.old:
                ids = [self.choose.randrange(self.first) for _ in range(self.number)]
            else:
                ids = range(self.written, self.written + self.number)
            write_ids(self.folder, self.written, ids)
            self.written += self.number


def done_so_far(status):
    """Events that have passed the whole job; each of them comes out."""
    return next((op["live_records_in"] for op in status["operators"] if op["name"] == "files"), 0)


def state_bytes(folder):
    return sum(file.stat().st_size for file in (folder / "coordinator" / "checkpoints").glob("*/files/*"))


def main():
    options = parser(__doc__)
    options.add_argument("--state", choices=["ids", "keys"], default="ids")
    options.add_argument("--ids", type=int, help="or keys; by default so many that they take 1 GiB")
    options.add_argument("--value-bytes", type=int, default=200, help="of each key")
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--rate", type=int, default=20_000, help="new events a second")
    arguments = options.parse_args()
    keys = arguments.state == "keys"
    number = arguments.ids or (5_000_000 if keys else 40_000_000)
    os.environ["WEIR_BUILD"] = str(pathlib.Path(arguments.build).resolve())
    import cluster as clusters  # noqa: E402
    import weir  # noqa: E402

    choose = random.Random(1)
    running_s, caught_up_s = [], []
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as temporary:
        folder = pathlib.Path(temporary)
        events = folder / "input"
        events.mkdir()
        for first in range(0, number, LINES_A_FILE):
            write_ids(events, first, range(first, min(first + LINES_A_FILE, number)))
        library = weir.library("keyed_load") if keys else weir.PIPELINE
        parameters = {"bytes": arguments.value_bytes} if keys else {"id": "id"}
        with clusters.Cluster(folder / "cluster", workers=3, slots=PARALLELISM, memory="4GiB") as cluster:
            job = cluster.submit(library, {"input": events, "out": folder / "out", "watch": "100ms", **parameters},
                                 parallelism=PARALLELISM, checkpoint_interval="2s")
            cluster.wait_for_state(job, "RUNNING")
            clusters.wait_until("the state", lambda: done_so_far(cluster.status(job)) >= number, 1800)
            newest = cluster.wait_for_checkpoint(job, cluster.wait_for_checkpoint(job, 0), 120)
            say(f"{number:,} {arguments.state}, {state_bytes(cluster.folder) / (1 << 30):.2f} GiB in checkpoint {newest}")
            feeder = Feeder(events, number, arguments.rate, old=keys)
            feeder.start()
            for kill in range(arguments.kills):
                newest = cluster.wait_for_checkpoint(job, newest, 120)
                time.sleep(choose.uniform(0, 2))
                busy = [name for name, pids in cluster.executors().items() if pids]
                attempt = cluster.status(job)["attempt"]
                began = time.monotonic()
                cluster.kill_worker(choose.choice(busy))

                def runs(attempt=attempt):
                    status = cluster.status(job)
                    return status["attempt"] > attempt and status["state"] == "RUNNING"

                clusters.wait_until("all tasks run", runs, 120)
                running_s.append(time.monotonic() - began)
                written = feeder.written
                clusters.wait_until("caught up", lambda written=written: done_so_far(cluster.status(job)) >= written, 300)
                caught_up_s.append(time.monotonic() - began)
                say(f"kill {kill + 1}: runs after {running_s[-1]:.2f} s, caught up after {caught_up_s[-1]:.2f} s")
                cluster.start_worker()
            feeder.done.set()
            feeder.join()
            status = cluster.status(job)
            require(status["state"] == "RUNNING", f"the job is {json.dumps(status)}")
            require(cluster.command("cancel", job).code == 0, "the job cannot be canceled")
            cluster.wait_for_state(job, "CANCELED")
    name = "recovery-keys" if keys else "recovery"
    show(f"{name}-running", statistics.median(running_s), "s", RUNNING_MAX_S)
    show(f"{name}-caught-up", statistics.median(caught_up_s), "s", CAUGHT_UP_MAX_S)


if __name__ == "__main__":
    main()
