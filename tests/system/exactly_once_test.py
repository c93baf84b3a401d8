#!/usr/bin/env python3
"""Every event that is distinct within the window comes out exactly once: at any parallelism, and through kill -9.

exactly_once_test.py Small, exactly_once_test.py Large (2 million events)
"""

import random
import sys
import time

import weir
from workload import WorkloadCase

INTERVAL_MS = 200


class Scenarios:
    """What Small and Large do alike."""

    def straight(self, parallelism, *flags, **options):
        result = weir.run(weir.PIPELINE, self.workload.parameters(self.out), *flags, data=self.data, parallelism=parallelism,
                          timeout=300, **options)
        self.assert_finished(result)
        self.assert_exact(self.out)
        self.assert_totals(result)
        self.assertIsNone(result.report["checkpoints"]["restored_from"])
        self.assertEqual(result.report["restarts"], 0)

    def killed(self, rate, kills, parallelisms, seed):
        """Kills so many times, all but every fifth after a new checkpoint and at a random moment then; then runs to the end."""
        choose = random.Random(seed)
        parameters = self.workload.parameters(self.out, rate=rate)
        restored, newest = [], 0
        for kill in range(kills):
            options = {"data": self.data, "parallelism": parallelisms[kill % len(parallelisms)],
                       "checkpoint_interval": f"{INTERVAL_MS}ms"}
            with weir.Running(weir.PIPELINE, parameters, **options) as running:
                if kill % 5 != 4:  # the others at any moment
                    going_on = running.wait_for_checkpoint(newest)
                    self.assertTrue(going_on, f"it ended before kill {kill + 1}: the rate is too high\n{running.result()}")
                time.sleep(choose.uniform(0, 1.5 * INTERVAL_MS / 1000))
                running.kill()
                restored.append(running.restored_from())
                newest = max(weir.completed_checkpoints(self.data), default=0)
        result = weir.run(weir.PIPELINE, parameters, data=self.data, parallelism=parallelisms[0],
                          checkpoint_interval=f"{INTERVAL_MS}ms", timeout=300)
        self.assert_finished(result)
        restored.append(result.report["checkpoints"]["restored_from"])
        print(f"restored from {restored}", file=sys.stderr)
        # A kill came after a new checkpoint if the run behind it started from one that none before it did.
        after_new_one = len({checkpoint for checkpoint in restored if checkpoint})
        self.assertEqual(restored[-1], newest)
        self.assertGreaterEqual(after_new_one, kills - kills // 5, restored)
        self.assert_exact(self.out)
        self.assert_totals(result)


class Small(Scenarios, WorkloadCase):
    def test_straight_at_parallelism_1(self):
        self.straight(1)

    def test_straight_at_parallelism_4_with_many_checkpoints(self):
        self.straight(4, checkpoint_interval="20ms")

    def test_every_edge_through_its_codec(self):
        self.straight(1, "--test-encode-edges")

    def test_every_edge_through_its_codec_at_parallelism_3(self):
        self.straight(3, "--test-encode-edges", checkpoint_interval="50ms")

    def test_three_kills_each_resumed_at_another_parallelism(self):
        self.killed(rate=7000, kills=3, parallelisms=(1, 3, 2), seed=7)


class Large(Scenarios, WorkloadCase):
    events = 2_000_000

    def test_straight_at_parallelism_1(self):
        self.straight(1)

    def test_straight_at_parallelism_2_with_checkpoints(self):
        self.straight(2, checkpoint_interval="500ms")

    def test_straight_at_parallelism_4(self):
        self.straight(4)

    def test_ten_kills(self):
        self.killed(rate=120_000, kills=10, parallelisms=(2,), seed=11)


if __name__ == "__main__":
    weir.main()
