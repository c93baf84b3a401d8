#!/usr/bin/env python3
"""`weir shadow --baseline JOB`: a shadow of a job that runs in a cluster, which takes no notice."""

import contextlib
import pathlib

import shadow
import weir
from cluster import ENDED, Cluster, wait_until
from compare import committed_lines
from shadow import FAIL, PASS, is_chosen, line, mutant

OLD, NEW = 2000, 3000  # records in front of the checkpoint, and behind it


class RunningJob(shadow.Case):
    EVENTS = OLD

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.cluster = stack.enter_context(Cluster(self.folder / "cluster", workers=2))
        self.job = self.cluster.submit(weir.PIPELINE, self.parameters(watch="100ms"), parallelism=2, checkpoint_interval="1h")

    def take_savepoint(self):
        result = self.cluster.command("savepoint", self.job)
        self.assertEqual(result.code, weir.DONE, str(result))

    def records_read(self):
        status = self.cluster.status(self.job)
        return sum(op["live_records_out"] for op in status["operators"] if op["kind"] == "source")

    def leave_new_records(self):
        """A checkpoint behind the old records; then new ones, with all the old ones once more."""
        wait_until("the old records are read", lambda: self.records_read() >= OLD)
        self.take_savepoint()
        self.write_input(OLD + NEW, name="b.jsonl")

    def shadow_of_job(self, *flags, records=OLD + NEW, **options):
        return self.shadow(*flags, *self.cluster.client_flags, baseline=self.job, both={}, records=records,
                           coordinator=self.cluster.rest, **options)

    def assert_verdict(self, result, code):
        self.assert_code(result, code)
        self.assertEqual(result.report["verdict"], shadow.VERDICTS[code], str(result))

    def leases(self):
        return list((self.folder / "cluster/coordinator/checkpoints" / self.job / "leases").glob("*"))

    def assert_untouched(self):
        """Production has written every record once and nothing else, in one attempt, and holds nothing for the shadow any more."""
        self.assertEqual(self.leases(), [])
        wait_until("all records are read", lambda: self.records_read() >= 2 * OLD + NEW)
        result = self.cluster.command("stop", self.job)
        self.assertEqual(result.code, weir.DONE, str(result))
        status = self.cluster.wait_for_state(self.job, *ENDED)
        self.assertEqual((status["state"], status["attempt"]), ("SUSPENDED", 1))
        self.assertEqual(sorted(committed_lines(self.out / "warehouse")), sorted(line(n).encode() for n in range(OLD + NEW)))

    def test_the_same_library_begins_where_the_job_is(self):
        self.leave_new_records()
        result = self.shadow_of_job(candidate=weir.PIPELINE, parallelism=2)
        self.assert_verdict(result, PASS)
        output = self.output(result, "warehouse")
        self.assertEqual((output["compared"], output["matched"]), (NEW, NEW), "what the job had accepted before is a duplicate")
        self.assert_untouched()

    def test_a_changed_candidate_is_found(self):
        self.leave_new_records()
        result = self.shadow_of_job(of_candidate=mutant(every=10, find='"qty":', replace='"qty":1'))
        self.assert_verdict(result, FAIL)
        chosen = sum(is_chosen(n, 10) for n in range(OLD, OLD + NEW))
        self.assertEqual(self.differing(result), {"warehouse": {"qty": (chosen, "value")}}, str(result))
        self.assert_untouched()

    def test_the_checkpoint_stays_while_it_is_read(self):
        """The job takes more checkpoints than it keeps, and the shadow is killed and begun again."""
        self.leave_new_records()
        words = self.shadow_words(baseline=self.job, both={}, coordinator=self.cluster.rest, checkpoint_interval="100ms", **{"for": "20s"})
        with shadow.Running(words, self.report) as running:
            self.assertTrue(running.wait_for_checkpoint(0), str(running.result()))
            leased = pathlib.Path((self.report / "work/from").read_text(encoding="utf-8"))
            for _ in range(4):
                self.take_savepoint()
            self.assertTrue((leased / "manifest.pb").exists())
            running.kill()
        with shadow.Running(words, self.report) as running:
            wait_until("it goes on", lambda: running.restored_from() is not None)
            self.assertEqual(pathlib.Path((self.report / "work/from").read_text(encoding="utf-8")), leased)
            result = running.wait(120)
        self.assert_verdict(result, PASS)
        self.assertEqual(self.output(result, "warehouse")["compared"], NEW)
        # The lease of the one that was killed ends by itself.
        self.assertEqual(len(self.leases()), 1)
        for lease in self.leases():
            lease.unlink()
        self.take_savepoint()
        wait_until("the checkpoint is removed", lambda: not leased.exists())
        self.assert_untouched()

    def test_what_cannot_be(self):
        wrong = self.job[:-1] + ("0" if self.job[-1] != "0" else "1")
        result = self.shadow(baseline=wrong, both={}, coordinator=self.cluster.rest)
        self.assert_says(result, f"there is no job '{wrong}'")
        self.assertEqual(result.code, weir.CONFIGURATION, str(result))
        result = self.shadow_of_job()
        self.assert_says(result, "has no complete checkpoint yet")
        result = self.shadow(baseline=self.job, both={}, coordinator="127.0.0.1:1")
        self.assert_says(result, "no coordinator can be asked at 127.0.0.1:1")
        self.assertEqual(result.code, weir.UNREACHABLE, str(result))
        result = self.shadow_of_job(**{"from": "/nowhere/chk-1"})
        self.assert_says(result, "--from: a shadow of a job begins with its last checkpoint")
        self.assertEqual(result.code, weir.USAGE, str(result))


if __name__ == "__main__":
    weir.main()
