#!/usr/bin/env python3
"""What a cluster says of its jobs, and that a job that crashes, leaks, sleeps or spins leaves its neighbours alone.

neighbours_test.py Logs (fast); Stalls Crashes Leaks (slow)
"""

import json
import pathlib
import re
import time

import weir
from cluster import Cluster, go_on, stop, wait_until
from suspect import SUSPECT, Numbers

LOG_BYTES_MAX, LOG_FILES_MAX = 8 << 20, 3  # limits::kExecutorLogBytesMax, kExecutorLogFilesMax


class JsonCluster(Cluster):
    """Coordinator and workers write their logs as JSON."""

    def __init__(self, folder, **options):
        super().__init__(folder, coordinator_flags=("--log-format", "json"), **{"log-format": "json", **options})

    def lines(self, *processes):
        return [json.loads(line) for process in processes or (self.coordinator, *self.workers.values())
                for line in process.said().splitlines()]

    def lines_of(self, job, **fields):
        return [line for line in self.lines() if line.get("job") == job and fields.items() <= line.items()]


class Neighbours(Numbers):
    def submit(self, cluster, name="out", parallelism=2, **changed):
        return cluster.submit(SUSPECT, {**self.parameters(**changed), "out": self.folder / name}, parallelism=parallelism,
                              checkpoint_interval="100ms")

    def assert_exact(self, name="out"):
        self.out = self.folder / name
        self.assertEqual(sorted(number for number, _, _ in self.counted()), list(range(self.EVENTS)))


class Logs(Neighbours):
    def test_each_line_is_an_object_that_says_where_it_belongs(self):
        with JsonCluster(self.folder / "cluster", workers=2) as cluster:
            job = self.submit(cluster, rate=300)
            cluster.wait_for_checkpoint(job)
            cluster.kill_worker(next(name for name, executors in cluster.executors().items() if executors))
            cluster.wait_for_state(job, "FINISHED")
            wait_until("a worker tells the end", lambda: cluster.lines_of(job, attempt=2, executor=0))
            for line in cluster.lines():
                self.assertIn(line["level"], ("info", "warning", "error"))
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
                self.assertTrue(line["message"])
            self.assertTrue(cluster.lines_of(job, attempt=1, level="warning"), "the attempt failed")
            self.assertTrue(cluster.lines_of(job, attempt=2, level="info"), "and went on")

    def test_text_is_for_people(self):
        with Cluster(self.folder / "cluster", workers=1) as cluster:
            job = self.submit(cluster)
            cluster.wait_for_state(job, "FINISHED")
            self.assertRegex(cluster.coordinator.said(), rf"(?m)^\S+T\S+Z info job={job} attempt=1: FINISHED$")

    def test_no_secret_of_a_parameter(self):
        with Cluster(self.folder / "cluster", workers=1) as cluster:
            job = self.submit(cluster, policy="fail", token="hunter2hunter2", **{"break-at": 200})
            cluster.wait_for_state(job, "FAILED")
            said = cluster.coordinator.said()
            self.assertIn("broken: throw with ***", said)
            self.assertNotIn("hunter2hunter2", said)

    def test_why_it_does_not_start_is_told_in_the_same_form(self):
        words = (weir.WEIR, "worker", "--join", "127.0.0.1:1", "--data", self.folder / "worker", "--memory", "much")
        result = weir.command(*words, "--log-format", "json")
        self.assert_code(result, weir.USAGE)
        line = json.loads(result.stderr)
        self.assertEqual(line["level"], "error")
        self.assertIn("--memory", line["message"])
        result = weir.command(*words)  # as every command does
        self.assert_code(result, weir.USAGE)
        self.assertRegex(result.stderr, r"\Aweir: --memory: ")

    def test_a_run_says_its_lines_as_objects_too(self):
        result = weir.run(SUSPECT, self.parameters(policy="fail", token="hunter2hunter2", **{"break-at": 200}), "--log-format",
                          "json", data=self.data)
        self.assert_code(result, weir.FAILED)
        lines = [json.loads(line) for line in result.stderr.splitlines()]
        self.assertEqual({line["level"] for line in lines}, {"info", "error"})
        self.assertEqual({line["job"] for line in lines[:-1]}, {json.loads(result.stdout)["job"]})
        self.assertIn("the job failed", lines[-1]["message"])
        self.assertIn("broken: throw with ***", result.stderr)
        self.assertNotIn("hunter2hunter2", result.stderr)

    def test_what_an_executor_writes_takes_no_more_room_than_it_may(self):
        with Cluster(self.folder / "cluster", workers=1) as cluster:
            until = self.folder / "go-on"
            job = self.submit(cluster, parallelism=1, until=until, **{"break": "chatter", "break-at": 200, "stall-at": 201})
            files = self.folder / "cluster" / "worker-0" / "executors" / f"{job}-1-0"

            def sizes():
                return {path.name: path.stat().st_size for path in files.glob("log*")}

            wait_until("it stands still", lambda: any(op.get("stalled_seconds", 0) > 0 for op in cluster.status(job)["operators"]))
            wait_until("the newest file has made room", lambda: sizes().get("log", 1 << 30) <= LOG_BYTES_MAX)
            self.assertIn("log.1", sizes())
            self.assertLessEqual(len(sizes()), LOG_FILES_MAX)
            self.assertLessEqual(max(sizes().values()), LOG_BYTES_MAX)
            until.touch()
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()


class Stalls(Neighbours):
    def touchy(self, cluster, job):
        return next(operator for operator in cluster.status(job)["operators"] if operator["name"] == "touchy")

    def test_who_sleeps_or_spins_is_named_and_its_neighbour_notices_nothing(self):
        for how in ("sleep", "spin"):
            with self.subTest(how=how), JsonCluster(self.folder / how, workers=1, slots=4) as cluster:
                until = self.folder / how / "go-on"
                job = self.submit(cluster, how, rate=200, until=until, **{"break": how, "break-at": 150})
                neighbour = self.submit(cluster, f"beside-{how}", rate=200)

                def warnings():
                    return cluster.lines_of(job, operator="touchy", level="warning")

                wait_until("the stall is told", warnings)
                wait_until("the status tells it", lambda: self.touchy(cluster, job).get("stalled_seconds", 0) > 0.1)
                self.assertRegex(cluster.command("status", job).stdout,
                                 r"(?m)^stalled +touchy \(subtask [01]\) has held its slot for \d+\.\ds in one call$")
                cluster.wait_for_state(neighbour, "FINISHED")
                metrics = weir.command("curl", "-s", f"http://{cluster.rest}/metrics").stdout
                shown = dict(re.findall(r'(?m)^(weir_stall\w+)\{[^}]*operator="touchy"[^}]*\} ([0-9.]*[1-9]\S*)$', metrics))
                self.assertEqual(shown.get("weir_stalls_total"), "1")
                self.assertGreater(float(shown.get("weir_stalled_seconds", 0)), 0.1)
                until.touch()
                wait_until("the end of the stall is told", lambda: "has given slot" in warnings()[-1]["message"])
                wait_until("the status tells it", lambda: self.touchy(cluster, job).get("stalled_seconds", 0) == 0)
                self.assertEqual(self.touchy(cluster, job)["stalls"], 1)
                cluster.wait_for_state(job, "FINISHED")
                told = warnings()
                self.assertLess(len(told), 6, "at 0.1 s, 1 s, 10 s, ... and behind it")
                for line in told[:-1]:
                    self.assertIn("has held slot", line["message"])
                for line in told:
                    self.assertEqual((line["attempt"], line["executor"]), (1, 0))
                    self.assertIn(line["subtask"], (0, 1))
                self.assertEqual(cluster.lines_of(neighbour, operator="touchy", level="warning"), [])
                self.assertEqual(cluster.status(neighbour).get("restarts", 0), 0)
            self.assert_exact(how)
            self.assert_exact(f"beside-{how}")

    def test_a_run_on_this_machine_names_it_too(self):
        for workers in (0, 1):
            until, out = self.folder / f"go-on-{workers}", self.folder / f"out-{workers}"
            parameters = self.parameters(out=out, until=until, rate=100, **{"break": "sleep", "break-at": 150})
            with weir.Running(SUSPECT, parameters, data=self.folder / f"data-{workers}", workers=workers) as running:
                self.assertTrue(running.wait_until("the stall is told", lambda: re.search(
                    r"(?m)^weir: stage 'touchy' \(subtask 0\): has held slot 0 for \d+ ms in one call", running.stderr())))
                until.touch()
                result = running.wait()
            self.assert_code(result, weir.DONE)
            self.assertIn("weir: stage 'touchy' (subtask 0): has given slot 0 back, after ", result.stderr)
            self.assert_exact(f"out-{workers}")

    def test_a_process_that_was_stopped_did_not_stall(self):
        with JsonCluster(self.folder / "cluster", workers=1) as cluster:
            job = self.submit(cluster, rate=150)
            newest = 0
            for _ in range(3):
                newest = cluster.wait_for_checkpoint(job, newest)
                (pid,) = next(iter(cluster.executors().values()))
                stop(pid)
                time.sleep(0.5)  # longer than a call may take
                go_on(pid)
            cluster.wait_for_state(job, "FINISHED")
            self.assertEqual([line for line in cluster.lines_of(job) if "has held" in line["message"]], [])
        self.assert_exact()


class Crashes(Neighbours):
    def test_a_job_that_crashes_fails_alone(self):
        with JsonCluster(self.folder / "cluster", workers=1, slots=4) as cluster:
            crashing = self.submit(cluster, "crash", rate=400, **{"break": "segv", "break-at": 200})
            neighbour = self.submit(cluster, "beside", rate=100)
            cluster.wait_for_state(crashing, "FAILED")
            told = cluster.command("exceptions", crashing).stdout
            self.assertIn("SIGSEGV", told)
            self.assertIn("in stage 'touchy'", told)
            self.assertTrue(cluster.lines_of(crashing, level="error"))
            cluster.wait_for_state(neighbour, "FINISHED")
            self.assertEqual(cluster.status(neighbour).get("restarts", 0), 0)
            self.assertEqual([line for line in cluster.lines_of(neighbour) if line["level"] != "info"], [])
        self.assert_exact("beside")


class Leaks(Neighbours):
    def test_a_job_that_leaks_is_ended_and_its_neighbour_notices_nothing(self):
        with JsonCluster(self.folder / "cluster", workers=1, slots=4, memory="512MiB",
                         **{"memory-limit": "1200MiB"}) as cluster:
            leaking = self.submit(cluster, "leak", rate=400, **{"break": "leak", "break-at": 200})
            neighbour = self.submit(cluster, "beside", rate=100)

            def exceptions():
                return cluster.get(f"/v1/jobs/{leaking}/exceptions").get("exceptions", [])

            wait_until("it was ended twice", lambda: len(exceptions()) >= 2)
            for exception in exceptions():
                self.assertRegex(exception["message"],
                                 r"process \d+ was ended by its worker: it held \S+ of memory, its limit is 600MiB")
            cluster.wait_for_state(neighbour, "FINISHED")
            self.assertEqual(cluster.status(neighbour).get("restarts", 0), 0)
            self.assertTrue(cluster.lines_of(leaking, level="warning", executor=0))
            self.assertEqual(len(cluster.workers), 1)
            self.assertIsNone(cluster.workers["worker-0"].process.poll())
            cluster.command("cancel", leaking)
        self.assert_exact("beside")

    def test_executors_go_first_where_the_machine_has_no_memory_left(self):
        def score(pid):
            return int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())

        with Cluster(self.folder / "cluster", workers=1) as cluster:
            job = self.submit(cluster, rate=100)
            cluster.wait_for_checkpoint(job)
            (worker,) = cluster.workers.values()
            (executor,) = cluster.executors()["worker-0"]
            self.assertEqual(score(executor), min(1000, score(worker.pid) + 300))

    def test_a_worker_on_which_no_job_could_run_does_not_start(self):
        for memory in ("1KiB", "127MiB"):
            result = weir.command(weir.WEIR, "worker", "--join", "127.0.0.1:1", "--memory", memory,
                                  "--data", self.folder / "worker", timeout=30)
            self.assert_code(result, weir.USAGE)
            self.assertIn(f"--memory: {memory} is less than any job can run in: give at least 128MiB", result.stderr)

    def test_a_limit_can_be_switched_off_and_must_be_one(self):
        for flag, message in (("0", "above 0"), ("plenty", "plenty")):
            result = weir.command(weir.WEIR, "worker", "--join", "127.0.0.1:1", "--memory-limit", flag,
                                  "--data", self.folder / "worker")
            self.assert_code(result, weir.USAGE)
            self.assertIn(message, result.stderr)
        with Cluster(self.folder / "cluster", workers=1, **{"memory-limit": "off"}) as cluster:
            cluster.wait_for_state(self.submit(cluster), "FINISHED")
        self.assert_exact()


del Neighbours, Numbers

if __name__ == "__main__":
    weir.main()
