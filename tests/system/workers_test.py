#!/usr/bin/env python3
"""A job in several processes (--workers): exact whatever is killed, crashes told and counted, and no process left behind."""

import os
import pathlib
import random
import signal
import time

import weir
from suspect import CRASHES_MAX, SUSPECT, Numbers


def executors(parent):
    """The ids of the processes that run the job of a `weir run`, in the order of their start."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            words = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and words[1:2] == [b"executor"]:
            found.append(int(stat.parent.name))
    return sorted(found)


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class WorkersCase(Numbers):
    EVENTS = 600

    def assert_exact(self):
        """Each row once, each count of a key once; rows of a key come by several ways, so in any order."""
        rows = self.counted()
        self.assertEqual(sorted(n for n, _, _ in rows), list(range(self.EVENTS)))
        self.assertEqual(sorted((key, count) for _, key, count in rows),
                         [(key, count + 1) for key in range(10) for count in range(self.EVENTS // 10)])

    def running(self, parameters, **options):
        return weir.Running(SUSPECT, parameters, data=self.data, **{"parallelism": 4, "workers": 3, "checkpoint_interval": "50ms",
                                                                    **options})

    def wait_for_executors(self, running, number, other_than=()):
        found = []

        def there():
            found[:] = executors(running.process.pid)
            return len(found) == number and not set(found) & set(other_than)

        running.wait_until(f"{number} executors", there)
        return found

    def assert_gone(self, pids):
        deadline = time.monotonic() + 10
        while any(is_running(pid) for pid in pids):
            self.assertLess(time.monotonic(), deadline, f"still running: {[pid for pid in pids if is_running(pid)]}")
            time.sleep(0.01)


class Workers(WorkersCase):
    def test_any_number_of_them_gives_the_same(self):
        for parallelism, workers in ((1, 1), (2, 2), (4, 3), (3, 64)):
            with self.subTest(parallelism=parallelism, workers=workers):
                self.data, self.out = (self.folder / f"{what}-{parallelism}-{workers}" for what in ("data", "out"))
                result = weir.run(SUSPECT, self.parameters(), data=self.data, parallelism=parallelism, workers=workers)
                self.assert_finished(result)
                self.assert_exact()

    def test_the_subtasks_are_spread_over_so_many_processes(self):
        for parallelism, workers, wanted in ((4, 3, 3), (2, 5, 2)):
            with self.subTest(workers=workers):
                self.data, self.out = (self.folder / f"{what}-{workers}" for what in ("data", "out"))
                with self.running(self.parameters(rate=300), parallelism=parallelism, workers=workers) as running:
                    running.wait_for_checkpoint(2)
                    pids = executors(running.process.pid)
                    self.assertEqual(len(pids), wanted)
                    result = running.wait()
                self.assert_finished(result)
                self.assertGreater(result.report["memory"]["resident_bytes_max"], 1 << 20)
                self.assert_gone(pids)
                self.assert_exact()

    def test_killed_executors_cost_a_restart_each_and_no_row(self):
        choose = random.Random(7)
        with self.running(self.parameters(rate=150)) as running:
            killed = []
            for _ in range(6):
                pids = self.wait_for_executors(running, 3, killed)
                running.wait_for_checkpoint(max(weir.completed_checkpoints(self.data), default=0))
                killed += pids
                os.kill(choose.choice(pids), signal.SIGKILL)
            result = running.wait()
        self.assert_finished(result)
        self.assertEqual(result.report["restarts"], 6)
        self.assert_says(result, "was ended by SIGKILL")
        self.assert_exact()

    def test_all_of_them_killed_while_they_start(self):
        with self.running(self.parameters(rate=150)) as running:
            killed = []
            for _ in range(3):
                pids = self.wait_for_executors(running, 3, killed)
                killed += pids
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            result = running.wait()
        self.assert_finished(result)
        self.assert_exact()

    def test_killed_with_its_executors_it_goes_on_in_any_number_of_processes(self):
        for parallelism, workers in ((4, 3), (2, 2), (3, 0), (4, 2)):
            with self.running(self.parameters(rate=200), parallelism=parallelism, workers=workers) as running:
                running.wait_for_checkpoint(max(weir.completed_checkpoints(self.data), default=0))
                pids = executors(running.process.pid)
                self.assertEqual(len(pids), workers)
                os.kill(running.process.pid, signal.SIGKILL)
                running.process.wait()
            self.assert_gone(pids)
        result = weir.run(SUSPECT, self.parameters(rate=200), data=self.data, parallelism=2, workers=2)
        self.assert_finished(result)
        self.assertIsNotNone(result.report["checkpoints"]["restored_from"])
        self.assert_exact()

    def test_a_stop_suspends_and_leaves_no_process(self):
        with self.running(self.parameters(rate=150)) as running:
            running.wait_for_checkpoint(1)
            pids = executors(running.process.pid)
            running.signal(signal.SIGINT)
            result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        self.assertEqual(result.report["state"], "SUSPENDED")
        self.assert_gone(pids)
        self.assert_finished(weir.run(SUSPECT, self.parameters(rate=150), data=self.data, parallelism=4, workers=2))
        self.assert_exact()

    def test_a_crash_is_told_with_its_stage_and_comes_only_so_often(self):
        parameters = self.parameters(**{"break": "plugin", "break-at": 300})
        result = weir.run(SUSPECT, parameters, data=self.data, parallelism=4, workers=2, checkpoint_interval="10m",
                          prefix=["prlimit", "--core=0"])
        self.assert_code(result, weir.FAILED)
        self.assertEqual(result.report["state"], "FAILED")
        self.assertEqual(result.report["restarts"], CRASHES_MAX - 1)
        self.assert_says(result, f"crashed {CRASHES_MAX} times in a row", "SIGABRT", "stage 'touchy'", "plugin 'upper' 1.2",
                         "row 17")
        again = weir.run(SUSPECT, parameters, data=self.data, parallelism=4, workers=2)
        self.assert_code(again, weir.FAILED)
        self.assert_says(again, "is not started again by itself", "--fresh")

    def test_by_hand_it_is_refused(self):
        result = weir.command(weir.WEIR, "executor")
        self.assert_code(result, weir.USAGE)
        self.assert_says(result, "weir run --workers")


class Hanging(WorkersCase):
    def test_an_executor_that_hangs_is_lost_after_a_while(self):
        with self.running(self.parameters(rate=100)) as running:
            running.wait_for_checkpoint(1)
            os.kill(executors(running.process.pid)[-1], signal.SIGSTOP)
            result = running.wait()
        self.assert_finished(result)
        self.assertEqual(result.report["restarts"], 1)
        self.assert_exact()


del WorkersCase, Numbers

if __name__ == "__main__":
    weir.main()
