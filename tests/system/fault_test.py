#!/usr/bin/env python3
"""Faults from outside: a disk that is full, Ctrl-C twice, a process that is killed while the disk is full."""

import contextlib
import os
import signal
import subprocess
import time

import weir
from workload import WorkloadCase

AT_ONCE_S = 5


class SmallDisk:
    """A file system of so many bytes on a folder."""

    def __init__(self, test, folder, size):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "weir-test", folder], check=False, capture_output=True).returncode == 0
        if not mounted:
            test.skipTest("a small file system needs root and the right to mount")
        test.addCleanup(subprocess.run, ["umount", "--lazy", folder], check=False)

    def grow(self):
        subprocess.run(["mount", "-o", "remount,size=512m", self.folder], check=True)


class FullDisk(WorkloadCase):
    """What is written needs 400 KB and more; the disk has less."""

    def full(self, running, folder):
        def told():
            stderr = running.stderr()
            return "No space left" in stderr and str(folder) in stderr

        self.assertTrue(running.wait_until("a message that names the disk", told) or told(), str(running.result()))

    def test_a_full_out_is_told_and_once_there_is_room_the_same_run_goes_on(self):
        disk = SmallDisk(self, self.out, "200k")
        with weir.Running(weir.PIPELINE, self.workload.parameters(self.out), data=self.data, parallelism=2) as running:
            self.full(running, self.out)
            disk.grow()
            result = running.wait()
        self.assert_finished(result)
        self.assertGreaterEqual(result.report["restarts"], 1)
        self.assert_exact(self.out)

    def assert_is_69(self, folder, out):
        """With a disk on the folder that has no room for another file or folder."""
        SmallDisk(self, folder, "64k,nr_inodes=1")
        result = weir.run(weir.PIPELINE, self.workload.parameters(out), data=self.data)
        self.assert_code(result, weir.UNREACHABLE)
        self.assert_says(result, "No space left", str(folder))

    def test_an_out_that_is_full_at_the_start_is_69(self):
        self.assert_is_69(self.out, self.out / "results")

    def test_a_data_folder_that_is_full_at_the_start_is_69(self):
        self.assert_is_69(self.data, self.out)

    def test_killed_on_a_full_out_and_run_again_with_room(self):
        disk = SmallDisk(self, self.out, "200k")
        parameters = self.workload.parameters(self.out, rate=20_000)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms") as running:
            self.full(running, self.out)
            running.kill()
        disk.grow()
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)
        self.assert_totals(result)

    def test_a_full_data_folder_fails_checkpoints_and_loses_nothing(self):
        disk = SmallDisk(self, self.data, "256k")
        # Slowly enough for the disk to fill before the input ends.
        parameters = self.workload.parameters(self.out, rate=4000)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms") as running:
            self.full(running, self.data)
            disk.grow()
            result = running.wait()
        if result.code == weir.FAILED:
            # It may have failed for good, where the job's own record did not fit.
            result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)


class SmallFiles(WorkloadCase):
    """The same without any rights: no file may grow beyond 16 KiB, and both results and state need larger ones."""

    def limited(self, parameters, **options):
        return self.run_with_small_files(weir.PIPELINE, parameters, 16 << 10, **options)

    def test_what_cannot_be_written_is_told_and_once_it_can_be_the_same_run_goes_on(self):
        with self.limited(self.workload.parameters(self.out), parallelism=2) as running:
            self.wait_for_full_disk(running)
            self.lift_file_limit(running)
            result = running.wait()
        self.assert_finished(result)
        self.assertGreaterEqual(result.report["restarts"], 1)
        self.assert_exact(self.out)

    def test_killed_while_it_cannot_write_and_run_again(self):
        parameters = self.workload.parameters(self.out, rate=20_000)
        with self.limited(parameters, checkpoint_interval="50ms") as running:
            self.wait_for_full_disk(running)
            running.kill()
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)
        self.assert_totals(result)


class Signals(WorkloadCase):
    events = 5000

    def test_ctrl_c_twice_ends_at_once_and_loses_nothing(self):
        parameters = self.workload.parameters(self.out, rate=3000)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="100ms") as running:
            self.assertTrue(running.wait_for_checkpoint(0))
            started = time.monotonic()
            running.signal(signal.SIGINT)
            running.wait_until("a word about stopping", lambda: "stopping" in running.stderr())
            with contextlib.suppress(ProcessLookupError):
                running.signal(signal.SIGINT)
            result = running.wait()
            self.assertLess(time.monotonic() - started, AT_ONCE_S)
        self.assert_code(result, weir.INTERRUPTED)
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)

    def test_ctrl_c_while_it_starts(self):
        parameters = self.workload.parameters(self.out)
        for _ in range(5):
            with weir.Running(weir.PIPELINE, parameters, data=self.data) as running:
                running.wait_until("its first words", lambda: "attempt" in running.stderr())
                with contextlib.suppress(ProcessLookupError):
                    running.signal(signal.SIGINT)
                result = running.wait()
            self.assertIn(result.code, (weir.INTERRUPTED, weir.DONE), str(result))
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)

    def test_sigterm_stops_with_a_checkpoint(self):
        parameters = self.workload.parameters(self.out, rate=3000)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="10s") as running:
            running.wait_until("its first words", lambda: "attempt" in running.stderr())
            running.signal(signal.SIGTERM)
            result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        self.assertEqual(result.report["state"], "SUSPENDED")
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assert_finished(result)
        self.assert_exact(self.out)


if __name__ == "__main__":
    weir.main()
