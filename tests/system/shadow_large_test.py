#!/usr/bin/env python3
"""`weir shadow` on two million events of every kind, killed in between; and within 512 MiB for each process: on two million records, or as
many as WEIR_TEST_RECORDS says (20,000,000 are more than fit into memory, and take a quarter of an hour)."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import generate
import shadow
import weir

MIB = 1 << 20


def resident_bytes(pid):
    """Of a process; 0 if it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:")), 0)


class Large(shadow.Killed, shadow.Case):
    EVENTS = 0
    ALL = 2_000_000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.events = tempfile.TemporaryDirectory(prefix="weir-test-")
        cls.addClassCleanup(cls.events.cleanup)
        generate.generate(cls.events.name, cls.ALL)

    def events_of(self, **changed):
        folder = pathlib.Path(self.events.name)
        return {**weir.FIELDS, "input": folder / "input", "out": self.out, "routes": folder / "rules.yaml", **changed}

    def assert_all_matched(self, result):
        self.assert_verdict(result, shadow.PASS)
        for output in result.report["outputs"]:
            self.assertEqual(output["matched"], output["compared"], output["name"])
            self.assertEqual(output["missing"] + output["extra"] + output["unpaired"] + output["mismatched"], 0)
        self.assertGreater(self.output(result, "warehouse")["matched"], self.ALL // 4)
        self.assertGreater(self.output(result, "dead-letters")["matched"], self.ALL // 2000)

    def test_at_parallelism_1(self):
        """Killed or not, each record once."""
        undisturbed = self.shadow(both=self.events_of(), timeout=1500)
        self.assert_all_matched(undisturbed)
        shutil.rmtree(self.report)
        killed = self.killed(4, 1, interval_s=1, both=self.events_of())
        self.assert_all_matched(killed)
        counts = [{output["name"]: output["compared"] for output in result.report["outputs"]} for result in (undisturbed, killed)]
        self.assertEqual(*counts)

    def test_at_parallelism_4(self):
        """Which of two events with one id comes first is chance here, and differs between the baselines, too."""
        rules = "all: {key: [id]}"
        result = self.killed(4, 2, interval_s=1, both=self.events_of(), parallelism=4, rules=rules)
        self.assert_verdict(result, shadow.PASS)
        self.assertGreater(self.output(result, "warehouse")["matched"], self.ALL // 4)


class Memory(shadow.Case):

    EVENTS = 0
    RECORDS = int(os.environ.get("WEIR_TEST_RECORDS", 2_000_000))
    LIMIT = 512 * MIB

    def test_within_its_budget(self):
        with open(self.input / "a.jsonl", "w", encoding="utf-8", buffering=1 << 20) as file:
            for begin in range(0, self.RECORDS, 10_000):
                file.write("".join(
                    f'{{"id":"r{n}","time":{1_790_000_000 + n // 500},"tenant":"t{n % 7}","amount":{n * 7919 % 100_003 / 8}}}\n'
                    for n in range(begin, begin + 10_000)))
        most = {}
        began = time.monotonic()
        words = self.shadow_words(both={"input": self.input, "out": self.out, "id": "id", "time": "time", "tenant": "tenant"},
                                  memory="512MiB", rules="all: {key: [id]}")
        with shadow.Running(words, self.report) as running:
            def sample():
                for pid in [running.process.pid, *shadow.children(running.process.pid)]:
                    most[pid] = max(most.get(pid, 0), resident_bytes(pid))
                time.sleep(0.2)
                return running.process.poll() is not None

            running.wait_until("the end", sample, timeout=3000)
            result = running.wait()
        took = time.monotonic() - began
        print(f"{self.RECORDS} records in {took:.0f} s; resident at most {sorted(size // MIB for size in most.values())} MiB",
              file=sys.stderr)
        self.assert_pass(result, self.RECORDS)
        self.assertGreaterEqual(len(most), 5)
        self.assertLess(max(most.values()), self.LIMIT)


if __name__ == "__main__":
    weir.main()
