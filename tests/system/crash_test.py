#!/usr/bin/env python3
"""Operators' code that crashes the process: the stage is named, crashes are counted, after so many the run halts, and the mended job
goes on exactly. A kill -9 is no crash."""

import os
import re
import signal

import weir
from suspect import CRASHES_MAX, SUSPECT, Numbers


class CrashCase(Numbers):
    def run_job(self, *flags, parameters, **options):
        # No core dumps of crashes that are wanted.
        return weir.run(SUSPECT, parameters, *flags, prefix=["prlimit", "--core=0"], **{"data": self.data, **options})

    def assert_exact(self):
        self.assertEqual(sorted(self.counted()), [(number, number % 10, number // 10 + 1) for number in range(self.EVENTS)])

    def crash_files(self):
        return list(self.data.glob("jobs/*/crash"))

    def assert_crashes(self, result, number, *texts):
        self.assert_code(result, -number)
        self.assert_says(result, "crashed: signal", f"({signal.Signals(number).name})", "a suspect, not a proof", *texts)
        self.assertEqual(len(self.crash_files()), 1)


class Crash(CrashCase):
    def test_each_kind_is_told_with_its_stage_and_ends_by_its_signal(self):
        for how, number in (("segv", signal.SIGSEGV), ("abort", signal.SIGABRT), ("fpe", signal.SIGFPE),
                            ("overflow", signal.SIGSEGV)):
            with self.subTest(how=how):
                data = self.folder / how
                result = weir.run(SUSPECT, self.parameters(out=self.folder / f"out-{how}", **{"break": how, "break-at": 7}), data=data,
                                  prefix=["prlimit", "--core=0"], parallelism=2)
                self.assert_code(result, -number)
                self.assert_says(result, f"({number.name}) in stage 'touchy' (subtask ", "row not known")
                self.assertEqual(len(list(data.glob("jobs/*/crash"))), 1)

    def test_a_plugin_and_the_row_that_it_published(self):
        result = self.run_job(parameters=self.parameters(**{"break": "plugin", "break-at": 300}))
        self.assert_crashes(result, signal.SIGABRT, "in stage 'touchy' (subtask 0), plugin 'upper' 1.2, at row 17 of its batch")

    def test_a_plugin_of_the_main_job(self):
        lines = [f'{{"id":{number},"kind":"{"crash" if number == 300 else "keep"}"}}\n' for number in range(self.EVENTS)]
        (self.input / "a.jsonl").write_text("".join(lines), encoding="utf-8")
        self.find_test_plugins()
        result = weir.run(weir.PIPELINE, self.parameters(id="id", type="kind", plugins="unruly"), data=self.data, parallelism=1,
                          prefix=["prlimit", "--core=0"])
        self.assert_crashes(result, signal.SIGABRT, "(subtask 0), plugin unruly ", " of its batch")
        self.assertLessEqual(int(re.search(r"at row (\d+) of its batch", result.stderr).group(1)), 300)

    def test_after_so_many_it_halts_and_only_mended_it_goes_on_exactly(self):
        # Slowly enough for checkpoints in front of the row.
        parameters = self.parameters(rate=150, **{"break": "plugin", "break-at": 300})
        for crash in range(CRASHES_MAX):
            result = self.run_job(parameters=parameters, checkpoint_interval="20ms" if crash == 0 else "10m")
            self.assert_crashes(result, signal.SIGABRT, "stage 'touchy'")
            if crash > 0:
                self.assert_says(result, f"crashed ({crash} in a row")
        for _ in range(2):
            result = self.run_job(parameters=parameters)
            self.assert_code(result, weir.FAILED)
            self.assert_says(result, f"crashed {CRASHES_MAX} times in a row", "stage 'touchy'", "plugin 'upper' 1.2",
                             "row 17", "--from", "--fresh")
            self.assertEqual(result.stdout, "", "nothing ran")
        newest = weir.newest_checkpoint(self.data)
        self.assert_says(result, str(newest))
        # Still broken: it may try on purpose, and is counted anew.
        result = self.run_job("--from", newest, parameters=parameters, checkpoint_interval="10m")
        self.assert_crashes(result, signal.SIGABRT)
        mended = self.parameters()
        result = self.run_job(parameters=mended)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "--from", "--fresh")
        result = self.run_job("--from", newest, parameters=mended)
        self.assert_code(result, weir.DONE)
        self.assertEqual(result.report["checkpoints"]["restored_from"], int(newest.name[4:]))
        self.assertEqual(self.crash_files(), [])
        self.assert_exact()

    def test_without_a_checkpoint_fresh_is_the_way_on(self):
        parameters = self.parameters(**{"break": "segv", "break-at": 5})
        for _ in range(CRASHES_MAX):
            self.assert_crashes(self.run_job(parameters=parameters), signal.SIGSEGV)
        result = self.run_job(parameters=parameters)
        self.assert_code(result, weir.FAILED)
        self.assert_says(result, "no checkpoint yet", "--fresh")
        self.assertNotIn("--from", result.stderr)
        self.assert_code(self.run_job("--fresh", parameters=self.parameters()), weir.DONE)
        self.assert_exact()

    def test_a_checkpoint_between_them_ends_the_row(self):
        # Slowly enough for a checkpoint, also on a busy machine.
        parameters = self.parameters(rate=250, **{"break": "abort", "break-at": 399})
        for interval in ("10m", "10m", "20ms", "10m"):
            result = self.run_job(parameters=parameters, checkpoint_interval=interval)
            self.assert_crashes(result, signal.SIGABRT)
        self.assert_says(result, "crashed (1 in a row")

    def test_a_kill_is_no_crash(self):
        for number in (signal.SIGKILL, signal.SIGSEGV):  # from another process
            with self.subTest(signal=number.name):
                self.data, self.out = self.folder / number.name, self.folder / f"out-{number.name}"
                parameters = self.parameters(rate=2000)
                for _ in range(CRASHES_MAX + 1):
                    with weir.Running(SUSPECT, parameters, data=self.data, checkpoint_interval="10m") as running:
                        running.wait_until("rows", lambda: "attempt" in running.stderr())
                        os.kill(running.process.pid, number)
                        result = running.wait()
                    self.assert_code(result, -number)
                    self.assertEqual(self.crash_files(), [])
                self.assert_code(self.run_job(parameters=parameters), weir.DONE)
                self.assert_exact()

    def test_killed_from_inside_is_no_crash_either(self):
        parameters = self.parameters(**{"break": "kill", "break-at": 5})
        for _ in range(CRASHES_MAX + 1):
            self.assert_code(self.run_job(parameters=parameters), -signal.SIGKILL)


del CrashCase, Numbers

if __name__ == "__main__":
    weir.main()
