#!/usr/bin/env python3
"""`weir check`, and that a restore does what it says: a job's rows and state change between a checkpoint and its restore."""

import pathlib
import signal
import tempfile

import ledger
import weir

ENTRIES, RATE = 1500, 1200
DOES_NOT_FIT = 65


class Check(weir.Case):
    """From one run of the ledger's first version, killed in the middle."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        temporary = tempfile.TemporaryDirectory(prefix="weir-check-")
        cls.addClassCleanup(temporary.cleanup)
        cls.base = pathlib.Path(temporary.name)
        ledger.run_until_killed(cls.base, ENTRIES, RATE, checkpoints=4)

    def setUp(self):
        super().setUp()
        ledger.copy(self.base, self.folder)
        self.checkpoint = ledger.newest(self.folder)

    def check(self, version, *flags):
        return ledger.check(self.checkpoint, version, "-o", "json", *flags)

    def restore(self, version, *flags, **options):
        return ledger.restore(self.folder, self.checkpoint, version, *flags, **options)

    def findings(self, result):
        """By stage and state: verdict, change, field. Whether there was output to commit is chance."""
        found = {}
        for finding in result.report["findings"]:
            if finding["state"] != "output":
                found.setdefault((finding["stage"], finding["state"]), set()).add(
                    (finding["verdict"], finding["change"], finding["field"]))
        return found

    def tree(self):
        """All but the lock, which says who held it last."""
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name != "lock"}

    UNCHANGED = {("fits", "none", "")}
    SAME = {("entries", "splits"): UNCHANGED, ("gather", "open batch"): UNCHANGED, ("once", ""): UNCHANGED,
            ("book", "totals"): UNCHANGED, ("book", "ids"): UNCHANGED, ("book", "ids.end"): UNCHANGED, ("book", "notes"): UNCHANGED,
            ("book", "last"): UNCHANGED, ("book", "weir.timers.event"): UNCHANGED, ("book", "weir.timers.processing"): UNCHANGED}

    def test_a_job_that_has_not_changed_fits(self):
        result = self.check(1)
        self.assert_code(result, weir.DONE)
        self.assertTrue(result.report["fits"])
        self.assertEqual(result.report["job"], "ledger")
        self.assertEqual(self.findings(result), self.SAME)

    def test_fields_that_come_go_and_change_their_names_are_told_and_restored(self):
        result = self.check(2)
        self.assert_code(result, weir.DONE)
        self.assertEqual(self.findings(result), {
            **self.SAME,
            ("gather", "open batch"): {("fits", "renamed", "open batch.remark"), ("fits", "added", "open batch.weight")},
            ("book", "totals"): {("fits", "added", "totals.origin"), ("fits", "renamed", "totals.entries"),
                                 ("fits", "made optional", "totals.amount"), ("fits", "removed", "totals.memo")},
            ("book", "last"): {("kept unread", "unread", "")},
            ("book", "flagged"): {("starts empty", "new", "")}})
        for parallelism in (1, 2):
            with self.subTest(parallelism):
                copy = self.folder / f"at-{parallelism}"
                ledger.copy(self.base, copy)
                result = ledger.restore(copy, ledger.newest(copy), 2, parallelism=parallelism)
                self.assert_finished(result)
                self.assertEqual(ledger.Booked(copy / "out").faults(ENTRIES, {"restored"}), "")

    def test_what_cannot_be_read_is_refused_by_stage_state_and_field_and_so_is_the_restore(self):
        result = self.check(3)
        self.assert_code(result, DOES_NOT_FIT)
        self.assertFalse(result.report["fits"])
        refused = {(stage, state): changes for (stage, state), changes in self.findings(result).items()
                   if any(verdict == "does not fit" for verdict, _, _ in changes)}
        incompatible = "does not fit", "incompatible"
        self.assertEqual(refused, {
            ("gather", "open batch"): {(*incompatible, "open batch.amount")},
            ("once", ""): {(*incompatible, ""), (*incompatible, "key")},
            ("book", ""): {(*incompatible, "key")},
            ("book", "totals"): {(*incompatible, "totals.amount")},
            ("book", "notes"): {(*incompatible, "notes")}})
        before = self.tree()
        restored = self.restore(3)
        self.assert_code(restored, DOES_NOT_FIT)
        self.assertEqual(restored.stdout, "", "nothing ran")
        self.assertEqual(self.tree(), before)
        # Word for word: one owner decides.
        self.assertIn(result.stderr.strip(), restored.stderr)
        self.assert_says(restored, "stage 'book', state 'totals': totals.amount: was int, is string",
                         "stage 'book': key: was string, is tuple<string,string>, and under another key nothing of its state",
                         "stage 'once': key: was string, is int",
                         "stage 'book', state 'notes': notes: was a map, is a value",
                         "stage 'gather', state 'open batch': open batch.amount: was int, is double",
                         "stage 'once': the checkpoint's ids were kept for a window of 24h of event time, the job asks for 48h of event time")

    def test_state_that_would_be_lost_is_lost_only_when_that_is_asked_for(self):
        # Stopped, so that all output of the checkpoint is committed: then a sink that is gone takes nothing along.
        with ledger.running(self.folder, RATE) as running:
            self.assertTrue(running.wait_for_checkpoint(max(weir.completed_checkpoints(self.folder / "data"))))
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        self.checkpoint = ledger.newest(self.folder)
        result = self.check(4)
        self.assert_code(result, DOES_NOT_FIT)
        self.assertEqual(self.findings(result)["once", ""], {("dropped", "gone", "")})
        self.assert_says(result, "stage 'once'", "--drop-state")
        before = self.tree()
        restored = self.restore(4)
        self.assert_code(restored, DOES_NOT_FIT)
        self.assertIn(result.stderr.strip(), restored.stderr)
        self.assertEqual(self.tree(), before)

        result = self.check(4, "--drop-state")
        self.assert_code(result, weir.DONE)
        self.assertTrue(result.report["fits"])
        self.assertEqual(self.findings(result)["once", ""], {("dropped", "gone", "")})
        restored = self.restore(4, "--drop-state")
        self.assert_finished(restored)
        self.assert_says(restored, "--drop-state: stage 'once'")
        # Every entry is there, though now some come twice.
        booked = ledger.Booked(self.folder / "out")
        self.assertEqual(set(booked.ids), set(range(ENTRIES)))

    def test_a_sink_that_writes_to_another_place_is_refused_and_so_is_the_restore(self):
        elsewhere = "/proc/self/cwd/elsewhere"
        result = weir.command(weir.WEIR, "check", self.checkpoint, ledger.library(1), "-D", f"input={ledger.INPUT}",
                              "-D", f"out={elsewhere}", "-o", "json")
        self.assert_code(result, weir.CONFIGURATION)
        self.assertFalse(result.report["fits"])
        moved = [finding for finding in result.report["findings"] if finding["change"] == "moved"]
        self.assertEqual([finding["verdict"] for finding in moved], ["does not fit"])
        before = self.tree()
        restored = weir.run(ledger.library(1), {"input": ledger.INPUT, "out": elsewhere}, data=self.folder / "data",
                            **{"from": self.checkpoint}, popen={"cwd": self.folder})
        self.assert_code(restored, weir.CONFIGURATION)
        self.assertEqual(self.tree(), before)
        self.assert_says(restored, moved[0]["text"])
        self.assert_says(result, moved[0]["text"] + ": keep the place")

    def test_text_for_people(self):
        result = ledger.check(self.checkpoint, 2)
        self.assert_code(result, weir.DONE)
        lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
        self.assertIn("book totals fits totals.entries: was 'count'", lines)
        self.assertIn("book last kept unread the job does not register it any more; its entries are carried along", lines)
        self.assertEqual(lines[-1], "It fits.")
        self.assertIn("It does not fit.", ledger.check(self.checkpoint, 3).stdout)

    def test_what_is_no_checkpoint_is_told(self):
        result = ledger.check(self.folder / "nowhere", 1)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, str(self.folder / "nowhere"))
        manifest = self.checkpoint / "manifest.pb"
        content = bytearray(manifest.read_bytes())
        content[len(content) // 2] ^= 1
        manifest.write_bytes(content)
        result = ledger.check(self.checkpoint, 1)
        self.assert_code(result, DOES_NOT_FIT)
        self.assert_says(result, "manifest.pb")
        self.assertEqual(result.stdout, "")

    def test_a_job_that_cannot_be_built_is_wrong_configuration(self):
        result = weir.command(weir.WEIR, "check", self.checkpoint, ledger.library(1))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "input", "out")


if __name__ == "__main__":
    weir.main()
