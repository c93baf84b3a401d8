"""The job of numbered rows (jobs/suspect.cc), for the tests that break it."""

import json

import weir
from compare import committed_lines

SUSPECT = weir.library("suspect")
CRASHES_MAX = 3  # limits::kCrashesMax


class Numbers(weir.Case):
    """A test with an input of so many numbered rows."""

    EVENTS = 400

    def setUp(self):
        super().setUp()
        self.input = self.folder / "input"
        self.input.mkdir()
        (self.input / "a.jsonl").write_text("".join(f'{{"n":{number}}}\n' for number in range(self.EVENTS)), encoding="utf-8")

    def parameters(self, **changed):
        return {"input": self.input, "out": self.out, **changed}

    def counted(self):
        """What the job has committed: number, key, and how many rows of the key had come."""
        rows = [json.loads(line) for line in committed_lines(self.out / "counted")]
        return [(row["n"], row["key"], row["count"]) for row in rows]


class Counting:
    """The job of numbered rows on a cluster."""

    EVENTS = 600

    def submit(self, cluster, parallelism=4, rate=50, **changed):
        return cluster.submit(SUSPECT, self.parameters(rate=rate, **changed), parallelism=parallelism,
                              checkpoint_interval="100ms")

    def assert_exact(self, out=None):
        """Each row once, each count of a key once; rows of a key come by several ways, so in any order."""
        rows = [json.loads(line) for line in committed_lines((out or self.out) / "counted")]
        self.assertEqual(sorted(row["n"] for row in rows), list(range(self.EVENTS)))
        self.assertEqual(sorted((row["key"], row["count"]) for row in rows),
                         [(key, count + 1) for key in range(10) for count in range(self.EVENTS // 10)])
