#!/usr/bin/env python3
"""Checkpoints that earlier versions of Weir wrote (tests/golden) restore: by the same job and by one whose state has changed, at the
parallelism they were written with and at another one, and nothing is lost or doubled."""

import json
import os

import ledger
import weir

GOLDEN = weir.ROOT / "tests" / "golden"


class Golden(weir.Case):
    def unpack(self, source, name):
        """A copy to work on, with the times of files that git does not keep, and what is told of it."""
        folder = self.folder / name
        ledger.copy(source, folder)
        about = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
        for path, modified in about["modified_ns"].items():
            os.utime(folder / path, ns=(modified, modified))
        return folder, about

    def test_every_one_restores(self):
        goldens = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
        self.assertTrue(goldens)
        for source in goldens:
            for version, parallelism, origins in ((1, 1, {"written by 1"}), (1, 3, {"written by 1"}), (2, 2, {"restored"})):
                name = f"{source.name}-{version}-{parallelism}"
                with self.subTest(name):
                    folder, about = self.unpack(source, name)
                    checkpoint = folder / about["checkpoint"]
                    self.assert_code(ledger.check(checkpoint, version), weir.DONE)
                    result = ledger.restore(folder, checkpoint, version, parallelism=parallelism)
                    self.assert_finished(result)
                    number = int(checkpoint.name.removeprefix("chk-"))
                    self.assertEqual(result.report["checkpoints"]["restored_from"], number)
                    booked = ledger.Booked(folder / "out")
                    self.assertEqual(booked.faults(about["entries"], origins), "")


if __name__ == "__main__":
    weir.main()
