#!/usr/bin/env python3
"""Chaos on real processes: a cluster and a PostgreSQL server on this machine, jobs with keyed state and dedup whose results go to files
and to the server, and faults at random moments.

    chaos.py --minutes 3 [--seed N] [--only KIND]

Where namespaces may be made, each worker is behind a link of its own, with TLS and tokens, and links are cut, slow or lossy; where disks may
be mounted, that of the coordinator and the checkpoints is full now and then; and each process has a disk that is slow at times. Elsewhere it
says what it leaves out.

Rounds of about a minute: jobs are submitted, faults strike until they have ended, and then an account of its own says what is lost
and what is doubled. The last line is a JSON object with what was seen; exit code 1 if anything was lost or doubled, or a job failed: then
the folder with all logs, inputs and outputs stays.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import cluster as clusters
import postgres
import weir
from compare import committed_lines
from full_disk import FullDisk
from lasting_faults import LastingFaults
from links import Links
from secure_cluster import SecureCluster
from slow_disk import SlowDisks
from suspect import SUSPECT
from workload import Workload

ROWS = 5_000          # of the counting job, in a round
EVENTS = 20_000       # of the pipeline
ROUND_S = 50          # about what the jobs of a round take if nothing strikes
WORKERS, SLOTS = 3, 6
LINKS = 8             # more than workers: one that leaves may still be there when the next one comes
BREATH_S = 5          # at least, between the end of a fault that lasts and the next one of its kind: or there would be no progress


def say(text):
    print(text, file=sys.stderr, flush=True)


def link_of(worker):
    return int(worker.rsplit("-", 1)[1]) % LINKS


def if_permitted(what, make):
    """What make() makes, or None where this user or machine may not."""
    try:
        return make()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"chaos: without {what}: {getattr(error, 'stderr', None) or error}")
        return None


class Chaos:
    def __init__(self, folder, seed, only=None):
        self.folder = folder
        self.random = random.Random(seed)
        with contextlib.ExitStack() as ends:
            self.make_surroundings(ends)
            self.kinds = self.make_kinds(only)
            self.ends = ends.pop_all()
        self.faults = collections.Counter()
        self.kind = None  # that strikes
        self.jobs = {}    # id -> parallelisms that it may have

    def make_surroundings(self, ends):
        """What `ends` takes away again."""
        self.links = if_permitted("links that are cut, slow or lossy", lambda: Links(LINKS))
        self.disk = if_permitted("a disk that is full", lambda: FullDisk(self.folder / "cluster" / "coordinator"))
        for part in (self.links, self.disk):
            if part:
                ends.callback(part.close)
        self.disks = if_permitted("disks that are slow", lambda: SlowDisks(self.folder / "disks"))
        self.server = ends.enter_context(contextlib.closing(postgres.Server(self.links.host if self.links else "127.0.0.1")))
        self.server.start()
        self.cluster = ends.enter_context(self.make_cluster(self.folder / "cluster"))
        self.lasting = ends.enter_context(contextlib.closing(LastingFaults(BREATH_S)))

    def make_kinds(self, only):
        kinds = [
            (self.kill_executor, 6), (self.kill_worker, 3), (self.kill_two_workers, 1), (self.kill_coordinator, 3),
            (self.kill_coordinator_and_worker, 1), (self.kill_all, 1), (self.pause_executor, 3), (self.pause_worker, 1),
            (self.pause_coordinator, 1), (self.rescale, 3), (self.savepoint, 2), (self.leave, 1), (self.kill_postgres, 2)]
        if self.links:
            kinds += [(self.cut_link, 4), (self.slow_link, 3), (self.lossy_link, 3)]
        if self.disk:
            kinds.append((self.fill_disk, 2))
        if self.disks:
            kinds.append((self.slow_disk, 3))
        if only:
            kinds = [(kind, weight) for kind, weight in kinds if kind.__name__ == only]
            if not kinds:
                raise SystemExit(f"chaos: --only {only}: there is no such kind of fault, or not here")
        return kinds

    def make_cluster(self, folder):
        options = {"workers": WORKERS, "slots": SLOTS, "prefix": self.prefix}
        if not self.links:
            return clusters.Cluster(folder, **options)
        return SecureCluster(folder, addresses=[self.links.host, *self.links.addresses], host=self.links.host, **options)

    def prefix(self, name):
        words = self.disks.words(name) if self.disks else []
        return [*self.links.inside(link_of(name)), *words] if self.links and name != "coordinator" else words

    # Faults. Each leaves the cluster with all its processes running, or about to be.

    def executors(self):
        return [pid for pids in self.cluster.executors().values() for pid in pids]

    def kill_executor(self):
        pids = self.executors()
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(pids), signal.SIGKILL)
        return True

    def kill_worker(self, number=1):
        for name in self.random.sample(sorted(self.cluster.workers), number):
            self.cluster.kill_worker(name)
        time.sleep(self.random.uniform(0, 1))
        for _ in range(number):
            self.cluster.start_worker()
        return True

    def kill_two_workers(self):
        return self.kill_worker(2)

    def kill_coordinator(self):
        self.cluster.coordinator.kill()
        time.sleep(self.random.uniform(0, 2))
        self.cluster.start_coordinator()
        return True

    def kill_coordinator_and_worker(self):
        self.cluster.coordinator.kill()
        self.kill_worker()
        self.cluster.start_coordinator()
        return True

    def kill_all(self):
        self.cluster.coordinator.kill()
        self.kill_worker(WORKERS)
        self.cluster.start_coordinator()
        return True

    def kill_postgres(self):
        self.server.kill()
        time.sleep(self.random.uniform(0, 2))
        self.server.start()
        return True

    def pause(self, pid, seconds_max):
        with contextlib.suppress(ProcessLookupError):
            clusters.stop(pid)
            self.end_within(seconds_max, lambda: clusters.go_on(pid))
            return True
        return False

    def end_within(self, seconds_max, end, alone=True):
        """alone: it may keep commands waiting, so that meanwhile only executors are struck."""
        self.lasting.begin(self.kind, self.random.uniform(0.1, seconds_max), end, alone)

    def pause_executor(self):
        pids = self.executors()
        return bool(pids) and self.pause(self.random.choice(pids), 15)

    def pause_worker(self):
        return self.pause(self.random.choice(list(self.cluster.workers.values())).pid, 15)

    def pause_coordinator(self):
        return self.pause(self.cluster.coordinator.pid, 3)

    def running_job(self):
        running = [job for job in self.jobs if (self.cluster.status(job) or {}).get("state") == "RUNNING"]
        return self.random.choice(running) if running else None

    def rescale(self):
        job = self.running_job()
        return job is not None and self.cluster.command("rescale", job, "-p", self.random.choice(self.jobs[job])).code == weir.DONE

    def savepoint(self):
        job = self.running_job()
        return job is not None and self.cluster.command("savepoint", job).code == weir.DONE

    def leave(self):
        name = self.random.choice(sorted(self.cluster.workers))
        worker = self.cluster.workers.pop(name)
        worker.terminate()
        self.cluster.start_worker()
        return True

    def some_link(self):
        return link_of(self.random.choice(sorted(self.cluster.workers)))

    def cut_link(self):
        link = self.some_link()
        self.links.cut(link)
        self.end_within(15, lambda: self.links.mend(link))
        return True

    def slow_link(self):
        link, delay = self.some_link(), self.random.uniform(0.02, 0.5)
        self.links.set(link, delay_s=delay, jitter_s=delay)
        self.end_within(20, lambda: self.links.mend(link), alone=False)
        return True

    def lossy_link(self):
        link = self.some_link()
        self.links.set(link, loss=self.random.uniform(0.02, 0.3))
        self.end_within(20, lambda: self.links.mend(link), alone=False)
        return True

    def slow_disk(self):
        name = self.random.choice(["coordinator", *sorted(self.cluster.workers)])
        self.disks.set(name, 10 ** self.random.uniform(-2, 0))
        self.end_within(20, lambda: self.disks.set(name, 0), alone=False)
        return True

    def fill_disk(self):
        self.disk.fill()
        self.end_within(5, self.disk.free)
        return True

    # Rounds.

    def round(self, number):
        """What is wrong, a line each."""
        folder = self.folder / f"round-{number}"
        counting, pipeline, rows, table = folder / "counting", folder / "pipeline", folder / "rows", f"events_{number}"
        (counting / "input").mkdir(parents=True)
        for part in range(4):
            numbers = range(part, ROWS, 4)
            (counting / "input" / f"{part}.jsonl").write_text("".join(f'{{"n":{n}}}\n' for n in numbers), encoding="utf-8")
        pipeline.mkdir()
        self.server.sql(f"CREATE TABLE {table} {postgres.COLUMNS}")
        workload = Workload(EVENTS, seed=self.random.randrange(1 << 30))
        try:
            self.jobs = {
                self.cluster.submit(SUSPECT, {"input": counting / "input", "out": counting / "out", "rate": ROWS / ROUND_S},
                                    parallelism=4, checkpoint_interval="300ms"): (2, 3, 4, 5),
                self.cluster.submit(weir.PIPELINE, workload.parameters(pipeline / "out", rate=EVENTS / ROUND_S),
                                    parallelism=3, checkpoint_interval="300ms"): (1, 2, 3, 4),
                self.cluster.submit(weir.PIPELINE, workload.parameters(rows / "out", rate=EVENTS / ROUND_S, postgres_table=table,
                                                                       postgres=self.server.connection()),
                                    parallelism=2, checkpoint_interval="500ms"): (1, 2, 3),
            }
            self.strike_until_ended()
            wrong = []
            for job in self.jobs:
                status = self.cluster.wait_for_state(job, *clusters.ENDED, timeout=180)
                if status["state"] != "FINISHED":
                    wrong.append(f"{job} is {status['state']}: {status.get('failure')}")
            self.server.write_out(table, rows / "out")
            wrong += self.faults_of_counting(counting / "out")
            wrong += [f"files: {fault}" for fault in workload.faults(pipeline / "out").splitlines()]
            return wrong + [f"PostgreSQL: {fault}" for fault in workload.faults(rows / "out").splitlines()]
        finally:
            workload.remove()

    def strike_until_ended(self):
        deadline = time.monotonic() + 10 * ROUND_S
        while True:
            time.sleep(self.random.uniform(0.2, 4))
            states = [(self.cluster.status(job) or {"state": "?"})["state"] for job in self.jobs]
            if all(state in clusters.ENDED for state in states):
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"the jobs do not come to an end: {states}")
            self.strike()
        self.lasting.end_all()

    def strike(self):
        kinds = [(kind, weight) for kind, weight in self.kinds if self.lasting.may_begin(kind.__name__)]
        if not kinds:
            return
        [kind] = self.random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        under_way = self.lasting.under_way()
        if kind not in (self.kill_executor, self.pause_executor) and any(alone or other == kind.__name__ for other, alone in under_way):
            return
        self.kind = kind.__name__
        if kind():
            self.faults[self.kind] += 1

    @staticmethod
    def faults_of_counting(out):
        rows = [json.loads(line) for line in committed_lines(out / "counted")]
        numbers = collections.Counter(row["n"] for row in rows)
        wrong = []
        lost = [row for row in range(ROWS) if row not in numbers]
        doubled = [row for row, times in numbers.items() if times > 1]
        if lost:
            wrong.append(f"counting: {len(lost)} rows lost, such as {lost[:5]}")
        if doubled:
            wrong.append(f"counting: {len(doubled)} rows doubled, such as {doubled[:5]}")
        counts = collections.defaultdict(list)
        for row in rows:
            counts[row["key"]].append(row["count"])
        for key, found in counts.items():
            if sorted(found) != list(range(1, len(found) + 1)):
                wrong.append(f"counting: the state of key {key} was wrong")
        return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", help="one kind of fault alone, such as cut_link")
    flags = parser.parse_args()
    weir.need_binaries()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was made is taken away again
    say(f"chaos: seed {flags.seed}")
    started, rounds, wrong = time.monotonic(), 0, []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-chaos-"))
    chaos = Chaos(folder, flags.seed, flags.only)
    with chaos.ends:
        while time.monotonic() - started < flags.minutes * 60 and not wrong:
            try:
                wrong = chaos.round(rounds)
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                wrong = ["".join(traceback.format_exception(error))]
            rounds += 1
            if clusters.orphans():
                wrong.append(f"executors without a worker: {clusters.orphans()}")
            say(f"chaos: round {rounds}: {'exact' if not wrong else wrong}; faults so far: {dict(chaos.faults)}")
        if wrong:
            for log in sorted(chaos.cluster.folder.glob("*.log")):
                say(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
    if wrong:
        say(f"chaos: all logs, inputs and outputs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"seconds": round(time.monotonic() - started), "rounds": rounds, "rows": rounds * ROWS,
                      "events": 2 * rounds * EVENTS, "faults": dict(chaos.faults), "faults_total": sum(chaos.faults.values()),
                      "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
