#!/usr/bin/env python3
"""Every event that is distinct within the window comes out exactly once: at any parallelism, and through kill -9.

exactly_once_test.py Small, exactly_once_test.py Large (2 million events)
"""

import weir
from workload import WorkloadCase


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
        result = self.run_with_kills(weir.PIPELINE, self.workload.parameters(self.out, rate=rate), kills, parallelisms, seed)
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
        self.killed(rate=120_000, kills=10, parallelisms=(2, 4, 1), seed=11)


if __name__ == "__main__":
    weir.main()
