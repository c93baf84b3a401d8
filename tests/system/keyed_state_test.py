#!/usr/bin/env python3
"""Keyed state that is larger than the memory it may use: each update exactly once, under kills and at changing parallelism, against
counts of the input that python makes by itself; and the process's resident memory."""

import array
import random
import re
import subprocess
import sys
import time

import weir

VISITS = weir.library("visits")
PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
MIB = 1 << 20


class Visits:
    """Half of the keys come once (cold); each of the others once, and as often as all of these together at random."""

    def __init__(self, folder, keys, seed=1):
        self.keys = keys
        self.counts = array.array("I", bytes(4 * keys))
        choose = random.Random(seed).random
        # Every key once, in an order that jumps about: the step has no factor in common with the number of keys.
        step = next(n for n in range(keys * 5 // 8, keys * 2) if self.coprime(n, keys))
        hot = keys // 2
        files = [open(folder / f"{number}.jsonl", "w", encoding="ascii") for number in range(3)]
        key = 0
        for begin in range(0, keys, 10_000):
            lines = []
            for _ in range(min(10_000, keys - begin)):
                key = (key + step) % keys
                self.counts[key] += 1
                lines.append(f'{{"key":{key}}}')
                if key < hot:
                    again = int(choose() * hot)
                    self.counts[again] += 1
                    lines.append(f'{{"key":{again}}}')
            files[begin // 10_000 % 3].write("\n".join(lines) + "\n")
        for file in files:
            file.close()
        self.events = sum(self.counts)

    @staticmethod
    def coprime(a, b):
        while b:
            a, b = b, a % b
        return a == 1

    def faults(self, out, totals=False):
        """Of a key that came n times each count from 1 to n is there once, and with totals one total of n."""
        rows = array.array("I", bytes(4 * self.keys))
        sums = array.array("Q", bytes(8 * self.keys))
        found_totals = array.array("I", bytes(4 * self.keys))
        parts = sorted(map(str, out.glob("part-*.jsonl.zst")))
        with subprocess.Popen(["xargs", "-0", "zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write("\0".join(parts).encode())
            process.stdin.close()
            for line in process.stdout:
                # {"key":7,"count":3,"total":null}
                fields = re.findall(rb'"(\w+)":(-?\d+)', line)
                key = int(fields[0][1])
                if fields[1][0] == b"count":
                    rows[key] += 1
                    sums[key] += int(fields[1][1])
                else:
                    found_totals[key] += int(fields[1][1])
        faults = []
        for key, count in enumerate(self.counts):
            if (rows[key], sums[key], found_totals[key]) != (count, count * (count + 1) // 2, count if totals else 0):
                faults.append(f"key {key}: came {count} times, but {rows[key]} counts of {sums[key]} together, totals {found_totals[key]}")
                if len(faults) == 10:
                    break
        return "\n".join(faults)


class KeyedCase(weir.Case):
    keys = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.temporary = weir.tempfile.TemporaryDirectory(prefix="weir-visits-")
        cls.input = weir.pathlib.Path(cls.temporary.name)
        cls.visits = Visits(cls.input, cls.keys)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()
        super().tearDownClass()

    def parameters(self, **more):
        return {"input": self.input, "out": self.out, **more}

    def assert_exact(self, **how):
        faults = self.visits.faults(self.out, **how)
        self.assertFalse(faults, faults)

    def assert_memory(self, result, limit):
        peak = result.report["memory"]["resident_bytes_max"]
        print(f"{self.id()}: resident memory at most {peak / MIB:.0f} MiB of {limit / MIB:.0f} MiB, "
              f"{self.visits.events} events in {result.report['elapsed_s']:.1f} s", file=sys.stderr)
        self.assertGreater(peak, 0)
        self.assertLessEqual(peak, limit)


class Small(KeyedCase):
    keys = 100_000

    def test_each_update_is_counted_once_under_kills(self):
        parameters = self.parameters(rate=self.visits.events / 3, totals="true")
        self.run_with_kills(VISITS, parameters, kills=5, parallelisms=[2, 3, 1], seed=5)
        self.assert_exact(totals=True)

    def test_state_that_outgrows_the_disk_is_told_and_goes_on_once_there_is_room(self):
        # Between two checkpoints some 20,000 rows: compressed results of about 150 KB, but half a megabyte of state.
        with self.run_with_small_files(VISITS, self.parameters(rate=40_000), 256 << 10, checkpoint_interval="500ms") as running:
            self.wait_for_full_disk(running)
            self.assertIn(".keyed/", running.stderr())
            self.lift_file_limit(running)
            result = running.wait()
        self.assert_finished(result)
        self.assertGreaterEqual(result.report["restarts"], 1)
        self.assert_exact()

    def test_a_budget_that_is_too_small_is_refused_with_what_is_enough(self):
        result = weir.run(VISITS, self.parameters(), data=self.data, parallelism=2, memory="16MiB")
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "a memory budget of 16MiB is too small", "--memory")
        enough = re.search(r"at least (\w+)", result.stderr).group(1)
        result = weir.run(VISITS, self.parameters(), data=self.data, parallelism=2, memory=enough)
        self.assert_finished(result)
        self.assert_exact()


class Timers(KeyedCase):
    """Five million timers, which all fire when the input has ended, within 256 MiB."""

    keys = 5_000_000
    memory = 256 * MIB

    def test_they_are_state_and_take_no_more_memory_than_there_is(self):
        parameters = self.parameters(totals="true")
        result = weir.run(VISITS, parameters, data=self.data, memory="256MiB", checkpoint_interval="5s", timeout=600)
        self.assert_finished(result)
        self.assert_memory(result, self.memory)
        self.assert_exact(totals=True)


class Large(KeyedCase):
    """8 million keys, half of them cold, within 256 MiB."""

    keys = 8_000_000
    memory = 256 * MIB

    def test_straight(self):
        result = weir.run(VISITS, self.parameters(), data=self.data, memory="256MiB", timeout=900)
        self.assert_finished(result)
        self.assert_memory(result, self.memory)
        self.assert_exact()

    def test_ten_kills_and_a_resume_at_another_parallelism(self):
        options = {"data": self.data, "memory": "256MiB", "checkpoint_interval": "1s"}
        restored, peaks, newest = [], [], 0
        for kill in range(10):
            with weir.Running(VISITS, self.parameters(), parallelism=2, **options) as running:
                self.assertTrue(running.wait_for_checkpoint(newest, timeout=120), running.result())
                time.sleep(0.05 * kill)
                status = weir.pathlib.Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
                peaks.append(int(PEAK.search(status).group(1)) << 10)
                running.kill()
                restored.append(running.restored_from())
                newest = max(weir.completed_checkpoints(self.data))
        result = weir.run(VISITS, self.parameters(), parallelism=3, timeout=900, **options)
        self.assert_finished(result)
        restored.append(result.report["checkpoints"]["restored_from"])
        print(f"restored from {restored}; at most {max(peaks) / MIB:.0f} MiB resident before the kills", file=sys.stderr)
        self.assertEqual(restored[-1], newest)
        self.assertGreaterEqual(len({checkpoint for checkpoint in restored if checkpoint}), 8)
        self.assertLessEqual(max(peaks), self.memory)
        self.assert_memory(result, self.memory)
        self.assert_exact()


if __name__ == "__main__":
    weir.main()
