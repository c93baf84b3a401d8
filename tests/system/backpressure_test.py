#!/usr/bin/env python3
"""A sink that crawls while the source could run at full speed: memory stays within the budget, checkpoints are committed
meanwhile, nothing is lost or doubled, and the job ends soon after the sink is fast again.

The sink is a PostgreSQL server behind a link of so many bytes a second.
"""

import contextlib
import sys
import time

import weir
from cluster import Cluster, children, wait_until
from postgres_case import PostgresCase
from slow_link import SlowLink

CRAWL_S = 40
CRAWL_BYTES_PER_SECOND = 400_000
MEMORY_MIB = 192
# A commit waits for the block that is under way, a mebibyte of one of two subtasks, and for little else.
COMMIT_MAX_S = 15


def resident_mib(pid):
    """0 for a process that is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0


class Crawling(PostgresCase):
    events = 300_000

    def setUp(self):
        super().setUp()
        self.link = SlowLink(self.server.port)
        self.addCleanup(self.link.close)
        self.link.bytes_per_second = CRAWL_BYTES_PER_SECOND
        self.peak = {}

    def parameters(self, **more):
        return self.workload.parameters(self.out, postgres=self.server.connection(port=self.link.port), **more)

    def committed(self):
        """The newest checkpoint whose rows are in the table."""
        if self.server.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'weir' AND tablename = 'ledger'") == 0:
            return 0
        return self.server.number("SELECT coalesce(max(checkpoint), 0) FROM weir.ledger")

    def crawl(self, pids, data):
        """Looks on while the sink crawls, and until a checkpoint has been committed."""
        begun, complete_since, waits = time.monotonic(), {}, {}
        while time.monotonic() < begun + CRAWL_S or not waits:
            self.assertLess(time.monotonic(), begun + 10 * CRAWL_S, "no checkpoint was committed")
            now, committed = time.monotonic(), self.committed()
            for checkpoint in weir.completed_checkpoints(data):
                complete_since.setdefault(checkpoint, now)
                if checkpoint <= committed:
                    waits.setdefault(checkpoint, now - complete_since[checkpoint])
                else:
                    self.assertLess(now - complete_since[checkpoint], COMMIT_MAX_S, f"checkpoint {checkpoint} is complete, not committed")
            for pid in pids():
                self.peak[pid] = max(self.peak.get(pid, 0), resident_mib(pid))
            time.sleep(0.2)  # between two samples
        rows = self.server.number("SELECT count(*) FROM events")
        self.assertLess(rows, self.workload.counts["written"], "the sink was too fast to press back")
        print(f"{rows} rows came through; until a checkpoint's rows were there: {waits}", file=sys.stderr)
        self.link.bytes_per_second = None

    def assert_within_budget(self):
        print(f"resident at most, MiB: { {pid: round(peak) for pid, peak in self.peak.items()} }", file=sys.stderr)
        self.assertGreaterEqual(len(self.peak), 3)
        self.assertLess(max(self.peak.values()), MEMORY_MIB)

    def test_on_two_workers_of_a_cluster(self):
        with Cluster(self.folder / "cluster", workers=2, slots=1, memory=f"{MEMORY_MIB}MiB") as cluster:
            cluster.wait_for_workers(2)
            job = cluster.submit(weir.PIPELINE, self.parameters(), parallelism=2, checkpoint_interval="1s")

            def pids():
                workers = [worker.pid for worker in cluster.workers.values()]
                return [cluster.coordinator.pid, *workers, *(child for worker in workers for child in children(worker))]

            def presses():
                source = next(iter((cluster.status(job) or {}).get("operators", [])), {})
                return source.get("backpressured", 0) > 0.9

            wait_until("the source waits for room", presses)
            self.crawl(pids, self.folder / "cluster" / "coordinator")
            status = cluster.wait_for_state(job, "FINISHED", timeout=60)
            self.assertEqual((status["restarts"], status["checkpoints"]["failed"]), (0, 0))
        self.assert_within_budget()
        self.assert_rows()

    def test_of_a_run_in_two_processes(self):
        with weir.Running(weir.PIPELINE, self.parameters(), data=self.data, parallelism=2, workers=2, memory=f"{MEMORY_MIB}MiB",
                          checkpoint_interval="1s") as running:
            self.crawl(lambda: [running.process.pid, *children(running.process.pid)], self.data)
            result = running.wait(60)
        self.assert_finished(result)
        self.assertEqual((result.report["restarts"], result.report["checkpoints"]["failed"]), (0, 0))
        self.assert_within_budget()
        self.assert_rows()


del PostgresCase

if __name__ == "__main__":
    weir.main()
