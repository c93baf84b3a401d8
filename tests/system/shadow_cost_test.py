#!/usr/bin/env python3
"""What `weir shadow` says of cost: a slower candidate is called slower, an equal one is not; and of these runs nothing is left."""

import json
import os
import pathlib
import signal

import shadow
import weir
from cluster import children
from compare import committed_lines, route_folders
from shadow import PASS, line, mutant

MEASURING = "measuring what each version costs"
CPU, RATE = "cpu_seconds_per_million_records", "records_per_second"
ALL = [RATE, CPU, "latency_p50_ms", "latency_p99_ms", "state_bytes", "output_bytes"]


def measuring(pid):
    """The process of a run that is measured, or None."""
    for child in children(pid):
        try:
            if b"measure" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return child
        except (FileNotFoundError, ProcessLookupError):
            pass
    return None


def committed(out):
    """Lines."""
    return sum(1 for folder in route_folders(out).values() for _ in committed_lines(folder))


def state_files(checkpoint):
    """The files that a checkpoint names, by their names, with their sizes."""
    manifest = (checkpoint / "manifest.pb").read_bytes()
    files = (checkpoint.parent / "files").iterdir()
    return {path.name: path.stat().st_size for path in files if path.name.encode() in manifest}


class Cost(shadow.Case):
    EVENTS = 40_000
    RUNS = 8

    def measured(self, **options):
        result = self.shadow(**{"cost_runs": self.RUNS, **options})
        self.assert_verdict(result, PASS)
        self.assertFalse((self.report / "work" / "cost").exists())
        return result

    def differences(self, result, runs=RUNS):
        performance = result.report["performance"]
        self.assertEqual([difference["name"] for difference in performance["differences"]], ALL)
        for version in ("baseline", "candidate"):
            self.assertEqual(list(performance[version]), ALL)
            for name, spread in performance[version].items():
                self.assertEqual(spread["runs"], runs)
                self.assertLessEqual(spread["min"], spread["median"])
                self.assertLessEqual(spread["median"], spread["max"])
                if name != "latency_p50_ms":
                    self.assertGreater(spread["min"], 0, f"{name} of {version}")
        for difference in performance["differences"]:
            before, after = (performance[version][difference["name"]]["median"] for version in ("baseline", "candidate"))
            if before:
                self.assertAlmostEqual(difference["change"], after / before - 1, places=6)
        return {difference["name"]: difference for difference in performance["differences"]}

    def test_a_slower_candidate(self):
        """A pattern that is looked for in vain costs several times what all else does."""
        slow = mutant(find="(a|b|c)+(d|e)*(nowhere)$", replace="")
        result = self.measured(of_candidate=slow)
        found = self.differences(result)
        self.assertTrue(found[CPU]["more_than_noise"], str(result))
        self.assertGreater(found[CPU]["change"], 1)
        self.assertLess(found[RATE]["change"], -0.4)
        # It writes the same, give or take a batch where a run ends before its input does.
        self.assertLess(abs(found["output_bytes"]["change"]), 0.1)
        self.assertFalse(found["output_bytes"]["more_than_noise"])
        page = (self.report / "report.html").read_text(encoding="utf-8")
        self.assertIn('<span class="worse">', page)
        self.assertIn(CPU, page)

        text = self.shadow_words(of_candidate=slow, cost_runs=3)
        text.remove("-o"), text.remove("json")
        table = weir.command(*text, timeout=120)
        self.assert_code(table, PASS)
        row = next(text for text in table.stdout.splitlines() if text.startswith(CPU))
        self.assertRegex(row, r"\+\d+\.\d%")
        self.assertNotIn("within noise", row)

    def test_an_equal_candidate(self):
        found = self.differences(self.measured())
        for name in (CPU, RATE, "state_bytes", "output_bytes"):
            self.assertFalse(found[name]["more_than_noise"], found)

    def test_more_state_and_more_output(self):
        """A window that is longer, and a line that is."""
        longer = mutant(find="^.", replace='{"more":"0123456789",')
        result = self.shadow(of_baseline={"window": "1m"}, of_candidate={"window": "96h", **longer}, rules="all: {ignore: more}",
                             cost_runs=3, parallelism=2)
        self.assert_verdict(result, PASS)
        found = self.differences(result, 3)
        for name in ("state_bytes", "output_bytes"):
            self.assertTrue(found[name]["more_than_noise"], found)
        self.assertGreater(found["state_bytes"]["change"], 1)
        # 20 bytes more in a line of 212 or so.
        self.assertAlmostEqual(found["output_bytes"]["change"], 0.094, delta=0.02)

    def test_from_a_checkpoint(self):
        """Each run begins with the checkpoint's state, and at its place in the input: it drops what the job has accepted before."""
        old, new, again = 40_000, 20_000, 2000
        written = self.folder / "written"
        parameters = self.parameters(out=written, window="96h", watch="100ms")
        with weir.Running(weir.PIPELINE, parameters, data=self.data, parallelism=2, checkpoint_interval="1s") as running:
            while committed(written) < old:
                newest = max(weir.completed_checkpoints(self.data), default=0)
                self.assertTrue(running.wait_for_checkpoint(newest), str(running.result()))
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        checkpoint = weir.newest_checkpoint(self.data)
        files = state_files(checkpoint)
        self.assertGreater(sum(files.values()), 16 * old, "an id is 16 bytes")
        with open(self.input / "b.jsonl", "w", encoding="utf-8") as file:
            file.writelines(line(n) + "\n" for n in (*range(old, old + new), *range(again)))

        result = self.shadow(both=self.parameters(window="96h"), cost_runs=3, parallelism=2, **{"from": checkpoint})
        self.assert_pass(result, new)
        self.assertFalse((self.report / "work" / "cost").exists())
        self.differences(result, 3)
        rest = sum(len(line(n)) + 1 for n in range(old, old + new))
        for version in ("baseline", "candidate"):
            measures = result.report["performance"][version]
            self.assertEqual((measures["output_bytes"]["min"], measures["output_bytes"]["max"]), (rest, rest))
            # The rest alone leaves about half of it.
            self.assertGreaterEqual(measures["state_bytes"]["min"], sum(files.values()))
        self.assertEqual(state_files(checkpoint), files, "it is only read")

    def test_so_many_records_as_were_compared(self):
        self.write_input(300_000)
        result = self.shadow(both=self.parameters(rate=20_000), records=5000, cost_runs=3)
        self.assert_pass(result, result.report["compared"])
        found = self.differences(result, 3)
        self.assertFalse(found["output_bytes"]["more_than_noise"], str(result))
        with open(self.input / "a.jsonl", "rb") as lines:
            read = sum(len(next(lines)) for _ in range(result.report["compared"]))
        # Fewer where the time for a run was too short.
        self.assertIn(result.report["performance"]["candidate"]["output_bytes"]["median"], range(read // 2, read + 1))

    def test_a_run_that_dies_costs_no_verdict(self):
        with shadow.Running(self.shadow_words(cost_runs=100), self.report) as running:
            running.wait_until("a run that is measured", lambda: measuring(running.process.pid))
            os.kill(measuring(running.process.pid), signal.SIGKILL)
            result = running.wait()
        self.assert_verdict(result, PASS)
        self.assertEqual(result.report["performance"]["differences"], [])
        self.assertTrue(any("ended by SIGKILL" in note for note in result.report["notes"]), str(result))

    def test_ctrl_c_ends_it_and_the_same_command_measures_again(self):
        with shadow.Running(self.shadow_words(cost_runs=100), self.report) as running:
            running.wait_until("a run that is measured", lambda: measuring(running.process.pid))
            running.signal_weir(signal.SIGINT)
            result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        report = json.loads((self.report / "report.json").read_text(encoding="utf-8"))
        self.assertEqual((report["verdict"], report["performance"]["differences"]), ("PASS", []))
        self.assertIn("what each version costs is not measured yet", report["notes"])
        self.differences(self.measured())


if __name__ == "__main__":
    weir.main()
