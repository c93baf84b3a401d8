#!/usr/bin/env python3
"""Chaos on real processes: a cluster and a PostgreSQL server on this machine, jobs with keyed state and dedup whose results go to files
and to the server, and faults at random moments.

    chaos.py --minutes 3 [--seed N] [--only KIND]

Where namespaces may be made, each worker is behind a link of its own, with TLS and tokens, and links are cut; where disks may be mounted,
that of the coordinator and the checkpoints is full now and then. Elsewhere it says what it leaves out.

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

import cluster as clusters
import postgres
import weir
from compare import committed_lines
from full_disk import FullDisk
from links import Links
from secure_cluster import SecureCluster
from suspect import SUSPECT
from workload import Workload

ROWS = 5_000          # of the counting job, in a round
EVENTS = 20_000       # of the pipeline
ROUND_S = 50          # about what the jobs of a round take if nothing strikes
WORKERS, SLOTS = 3, 6
LINKS = 8             # more than workers: one that leaves may still be there when the next one comes


def say(text):
    print(text, file=sys.stderr, flush=True)


class LinkedCluster(SecureCluster):
    """Each worker in a namespace, behind a link."""

    def __init__(self, folder, links, **options):
        self.links, self.host = links, links.host
        super().__init__(folder, addresses=[links.host, *links.addresses], **options)

    def place(self, number):
        return self.links.inside(number % LINKS)


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
        self.ends = contextlib.ExitStack()
        self.links = if_permitted("links that are cut", lambda: Links(LINKS))
        self.disk = if_permitted("a disk that is full", lambda: FullDisk(folder / "cluster" / "coordinator"))
        for part in (self.links, self.disk):
            if part:
                self.ends.callback(part.close)
        self.server = self.ends.enter_context(contextlib.closing(postgres.Server(self.links.host if self.links else "127.0.0.1")))
        self.server.start()
        self.cluster = self.ends.enter_context(self.make_cluster(folder / "cluster"))
        self.faults = collections.Counter()
        self.until = []    # (when it is over, what ends it)
        self.jobs = {}     # id -> parallelisms that it may have
        self.kinds = [
            (self.kill_executor, 6), (self.kill_worker, 3), (self.kill_two_workers, 1), (self.kill_coordinator, 3),
            (self.kill_coordinator_and_worker, 1), (self.kill_all, 1), (self.pause_executor, 3), (self.pause_worker, 1),
            (self.pause_coordinator, 1), (self.rescale, 3), (self.savepoint, 2), (self.leave, 1), (self.kill_postgres, 2)]
        if self.links:
            self.kinds.append((self.cut_link, 4))
        if self.disk:
            self.kinds.append((self.fill_disk, 2))
        if only:
            self.kinds = [(kind, weight) for kind, weight in self.kinds if kind.__name__ == only]

    def make_cluster(self, folder):
        options = {"workers": WORKERS, "slots": SLOTS}
        return LinkedCluster(folder, self.links, **options) if self.links else clusters.Cluster(folder, **options)

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

    def end_within(self, seconds_max, end):
        self.until.append((time.monotonic() + self.random.uniform(0.1, seconds_max), end))

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

    def cut_link(self):
        link = int(self.random.choice(sorted(self.cluster.workers)).rsplit("-", 1)[1]) % LINKS
        self.links.cut(link)
        self.end_within(15, lambda: self.links.mend(link))
        return True

    def fill_disk(self):
        self.disk.fill()
        self.end_within(5, self.disk.free)
        return True

    def end_faults(self, all_of_them=False):
        now = time.monotonic()
        for when, end in [each for each in self.until if all_of_them or each[0] <= now]:
            with contextlib.suppress(ProcessLookupError):
                end()
            self.until.remove((when, end))

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
            self.end_faults()
            states = [(self.cluster.status(job) or {"state": "?"})["state"] for job in self.jobs]
            if all(state in clusters.ENDED for state in states):
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"the jobs do not come to an end: {states}")
            [kind] = self.random.choices([kind for kind, _ in self.kinds], [weight for _, weight in self.kinds])
            if self.until and kind not in (self.kill_executor, self.pause_executor):
                continue  # one that is stopped would keep commands waiting
            if kind():
                self.faults[kind.__name__] += 1
        self.end_faults(all_of_them=True)

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
    say(f"chaos: seed {flags.seed}")
    started, rounds, wrong = time.monotonic(), 0, []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-chaos-"))
    chaos = Chaos(folder, flags.seed, flags.only)
    with chaos.ends:
        while time.monotonic() - started < flags.minutes * 60 and not wrong:
            try:
                wrong = chaos.round(rounds)
            except AssertionError as error:
                wrong = [str(error)]
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
