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
