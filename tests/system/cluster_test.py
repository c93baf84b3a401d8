#!/usr/bin/env python3
"""A coordinator and workers: jobs are exact whatever is killed, and what is asked of them is done.

cluster_test.py Pipeline (fast); Kills Requests Many (slow)
"""

import pathlib
import random
import re
import sys
import time

import weir
from cluster import ENDED, Cluster, wait_until
from suspect import SUSPECT, Counting, Numbers
from workload import Workload, WorkloadCase


class Pipeline(WorkloadCase):
    def test_the_main_job_on_three_workers(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = cluster.submit(weir.PIPELINE, self.workload.parameters(self.out), parallelism=3)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact(self.out)

    def test_the_main_job_with_a_kill_of_everything(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = cluster.submit(weir.PIPELINE, self.workload.parameters(self.out, rate=4000), parallelism=3,
                                 checkpoint_interval="200ms")
            newest = cluster.wait_for_checkpoint(job)
            for process in [cluster.coordinator, *cluster.workers.values()]:
                process.kill()
            cluster.workers.clear()
            cluster.start_coordinator()
            for _ in range(2):
                cluster.start_worker()
            cluster.wait_for_checkpoint(job, newest)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact(self.out)


class Kills(Counting, Numbers):
    def test_workers_killed_one_and_two_at_a_time(self):
        choose = random.Random(5)
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            newest = 0
            for number in (1, 2, 1):
                newest = cluster.wait_for_checkpoint(job, newest)
                at_work = [name for name, executors in cluster.executors().items() if executors]
                restarts = cluster.status(job)["restarts"]
                for name in choose.sample(sorted(at_work), number):
                    cluster.kill_worker(name)
                for _ in range(number):
                    cluster.start_worker()
                wait_until("it is started again", lambda: cluster.status(job)["restarts"] > restarts)
                newest = cluster.wait_for_checkpoint(job)  # what comes behind it is the new attempt's
            status = cluster.wait_for_state(job, "FINISHED")
            self.assertGreaterEqual(status["restarts"], 3)
            exceptions = cluster.get(f"/v1/jobs/{job}/exceptions")["exceptions"]
            self.assertIn("is lost", exceptions[0]["message"])
        self.assert_exact()

    def test_a_killed_coordinator_finds_the_attempt_running(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            newest = 0
            for _ in range(3):
                newest = cluster.wait_for_checkpoint(job, newest)
                before = cluster.executors()
                cluster.coordinator.kill()
                time.sleep(0.3)
                self.assertEqual(cluster.executors(), before)
                cluster.start_coordinator()
                newest = cluster.wait_for_checkpoint(job, newest)
                self.assertEqual(cluster.executors(), before, "the same processes go on")
            status = cluster.wait_for_state(job, "FINISHED")
            self.assertEqual(status["attempt"], 1)
        self.assert_exact()

    def test_a_coordinator_and_a_worker_killed_together(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            newest = cluster.wait_for_checkpoint(job)
            cluster.coordinator.kill()
            cluster.kill_worker(min(cluster.workers))
            cluster.start_worker()
            cluster.start_coordinator()
            cluster.wait_for_checkpoint(job, newest)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()

    def test_killed_executors(self):
        choose = random.Random(9)
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            newest = 0
            for _ in range(3):
                newest = cluster.wait_for_checkpoint(job, newest)
                # There are none between two attempts, and the checkpoint may be from before the kill.
                running = []

                def there(running=running):
                    running[:] = [pid for pids in cluster.executors().values() for pid in pids]
                    return running

                wait_until("executors", there)
                weir.command("kill", "-9", choose.choice(running))
            cluster.wait_for_state(job, "FINISHED")
            exceptions = cluster.get(f"/v1/jobs/{job}/exceptions")["exceptions"]
            self.assertIn("SIGKILL", exceptions[0]["message"])
        self.assert_exact()


class Requests(Counting, Numbers):
    def test_a_job_waits_for_slots_and_a_new_worker_is_used(self):
        with Cluster(self.folder / "cluster", workers=1, slots=2) as cluster:
            job = self.submit(cluster, parallelism=4, rate=0)
            cluster.wait_for_state(job, "WAITING_FOR_SLOTS")
            cluster.start_worker()
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()

    def test_rescaled_twice_while_it_runs(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster, parallelism=2)
            newest = 0
            for parallelism in (4, 3):
                newest = cluster.wait_for_checkpoint(job, newest)
                attempt = cluster.status(job)["attempt"]
                self.assert_code(cluster.command("rescale", job, "-p", parallelism), weir.DONE)
                began = time.monotonic()
                wait_until("the next attempt", lambda attempt=attempt: cluster.status(job)["attempt"] > attempt)
                cluster.wait_for_state(job, "RUNNING")
                print(f"to parallelism {parallelism}: {time.monotonic() - began:.2f} s", file=sys.stderr)
                wait_until("progress of all subtasks", lambda parallelism=parallelism: len(
                    cluster.status(job)["operators"][0]["subtasks"]) == parallelism)
            status = cluster.wait_for_state(job, "FINISHED")
            self.assertEqual(status["restarts"], 0)
            self.assertEqual(status["parallelism"], 3)
        self.assert_exact()

    def test_stopped_with_a_savepoint_and_submitted_from_it(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            cluster.wait_for_checkpoint(job)
            result = cluster.command("stop", job)
            self.assert_code(result, weir.DONE)
            savepoint = pathlib.Path(result.stdout.strip().splitlines()[-1])
            self.assertTrue((savepoint / "manifest.pb").exists(), result.stdout)
            cluster.wait_for_state(job, "SUSPENDED")
            again = cluster.submit(SUSPECT, self.parameters(rate=0), "--from", savepoint, parallelism=3)
            self.assertEqual(again, job)
            cluster.wait_for_state(job, "FINISHED")
            self.assertTrue((savepoint / "manifest.pb").exists())
        self.assert_exact()

    def test_a_savepoint_is_taken_while_it_runs(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            cluster.wait_for_checkpoint(job)
            result = cluster.command("savepoint", job)
            self.assert_code(result, weir.DONE)
            cluster.wait_for_state(job, "FINISHED")
            kinds = [each["kind"] for each in cluster.get(f"/v1/jobs/{job}/checkpoints")["checkpoints"]]
            self.assertIn("savepoint", kinds)
        self.assert_exact()

    def test_canceled(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            cluster.wait_for_checkpoint(job)
            self.assert_code(cluster.command("cancel", job), weir.DONE)
            cluster.wait_for_state(job, "CANCELED")
            wait_until("no executor", lambda: not any(cluster.executors().values()))

    def test_drained_the_sources_end_where_they_are(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster, rate=50)
            cluster.wait_for_checkpoint(job)
            self.assert_code(cluster.command("stop", job, "--drain"), weir.DONE)
            cluster.wait_for_state(job, "FINISHED")
            numbers = sorted(row for row, _, _ in self.counted())
            self.assertEqual(len(set(numbers)), len(numbers))
            self.assertLess(len(numbers), self.EVENTS)

    def test_a_worker_that_is_asked_to_leave_hands_over_what_it_runs(self):
        with Cluster(self.folder / "cluster", workers=2, slots=4) as cluster:
            job = self.submit(cluster)
            newest = cluster.wait_for_checkpoint(job)
            name = min(cluster.workers)
            worker = cluster.workers.pop(name)
            self.assertEqual(worker.terminate(), 0, worker.said())
            cluster.wait_for_checkpoint(job, newest)
            status = cluster.wait_for_state(job, "FINISHED")
            self.assertEqual(status["restarts"], 0)
        self.assert_exact()

    def test_a_crash_is_told_where_exceptions_are_and_ends_the_job_alone(self):
        other = self.folder / "other"
        with Cluster(self.folder / "cluster", slots=3) as cluster:
            fine = self.submit(cluster, parallelism=3)
            bad = cluster.submit(SUSPECT, {**self.parameters(), "out": other, "break": "plugin", "break-at": 300},
                                 parallelism=2, checkpoint_interval="10m")
            cluster.wait_for_state(bad, "FAILED")
            result = cluster.command("exceptions", bad)
            self.assert_code(result, weir.DONE)
            for text in ("SIGABRT", "touchy", "plugin 'upper' 1.2"):
                self.assertIn(text, result.stdout)
            cluster.wait_for_state(fine, "FINISHED")
            self.assertEqual(cluster.status(fine)["restarts"], 0)
        self.assert_exact()

    def test_alerts_and_documents_name_metrics_that_there_are(self):
        rules = (weir.ROOT / "packaging" / "prometheus" / "weir-rules.yml").read_text(encoding="utf-8")
        expressions = [line for line in rules.splitlines() if line.lstrip().startswith("expr:")]
        table = [line for line in (weir.ROOT / "docs" / "rest.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `weir_")]
        named = set(re.findall(r"\bweir_\w+", "\n".join(expressions + table)))
        self.assertEqual(len(expressions), rules.count("- alert:"))
        self.assertGreater(len(named), 15)
        with Cluster(self.folder / "cluster", workers=1) as cluster:
            cluster.submit(weir.PIPELINE, {"input": weir.FLIGHTS / "input", "out": self.out, "id": "id", "time": "time", "rate": 100},
                           parallelism=2)
            wait_until("a watermark, the last to come", lambda: "weir_watermark_lag_seconds{" in cluster.get_text("/metrics"))
            told = set(re.findall(r"^(weir_\w+)", cluster.get_text("/metrics"), re.MULTILINE))
        self.assertEqual(named - told, set())

    def test_what_is_wrong_is_told_before_anything_runs(self):
        with Cluster(self.folder / "cluster", workers=1) as cluster:
            nowhere = cluster.command("submit", SUSPECT, "-D", f"input={self.folder}/nowhere", "-D", f"out={self.out}")
            self.assert_code(nowhere, weir.CONFIGURATION)
            self.assertIn("nowhere", nowhere.stderr)
            self.assertEqual(cluster.get("/v1/jobs")["jobs"], [])


class Many(Counting, Numbers):
    """Ten jobs of two libraries side by side, one of which crashes again and again."""

    EVENTS = 3_000
    PIPELINE_EVENTS = 20_000

    def test_nine_are_exact_beside_one_that_crashes(self):
        workload = Workload(self.PIPELINE_EVENTS)
        self.addCleanup(workload.remove)
        with Cluster(self.folder / "cluster", workers=3, slots=8, memory="1GiB") as cluster:
            counting, pipelines = {}, {}
            started = time.monotonic()
            bad = cluster.submit(SUSPECT, {**self.parameters(), "out": self.folder / "bad", "rate": 500, "break": "segv",
                                           "break-at": 2_000}, parallelism=2, checkpoint_interval="10m")
            for number in range(5):
                out = self.folder / f"counting-{number}"
                job = cluster.submit(SUSPECT, {**self.parameters(rate=300), "out": out}, parallelism=2, checkpoint_interval="500ms")
                counting[job] = out
            for number in range(4):
                out = self.folder / f"pipeline-{number}"
                job = cluster.submit(weir.PIPELINE, workload.parameters(out, rate=2_000), parallelism=2,
                                     checkpoint_interval="500ms")
                pipelines[job] = out
            for job in [*counting, *pipelines]:
                self.assertEqual(cluster.wait_for_state(job, *ENDED)["state"], "FINISHED")
                self.assertEqual(cluster.status(job)["restarts"], 0, "a neighbour's crash is none of its business")
            seconds = time.monotonic() - started
            cluster.wait_for_state(bad, "FAILED")
            self.assertIn("SIGSEGV", cluster.status(bad)["failure"])
        for out in counting.values():
            self.assert_exact(out)
        for out in pipelines.values():
            faults = workload.faults(out)
            self.assertFalse(faults, faults)
        rows = len(counting) * self.EVENTS + len(pipelines) * self.PIPELINE_EVENTS
        print(f"nine jobs beside one that crashes: {rows / seconds:.0f} rows/s together, in {seconds:.1f} s", file=sys.stderr)


del Counting, Numbers, WorkloadCase

if __name__ == "__main__":
    weir.main()
