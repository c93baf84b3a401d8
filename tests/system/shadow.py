"""Runs `weir shadow` for the system tests, on an input of records whose every field a test can have changed."""

import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

import weir
from cluster import children

PASS, FAIL, INCONCLUSIVE = 0, 3, 4
VERDICTS = {PASS: "PASS", FAIL: "FAIL", INCONCLUSIVE: "INCONCLUSIVE"}

ROUTES = """\
default: warehouse
rules:
  - {when: {priority: {min: 6}}, to: alerts}
"""

# Prices have a fraction that rounds to no .000, so that a rounded one always differs.
LINE = ('{{"id":"r{n}","time":"2026-03-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z","type":"order","tenant":"t{tenant}",'
        '"priority":{priority},"price":{price:.3f},"qty":{qty},"note":"note {qty}","void":null,"zero":0,"empty":"",'
        '"at":{{"city":"c{tenant}","list":[{qty},"b","c"]}},"serial":{n}}}')


def line(n):
    return LINE.format(n=n, day=1 + n // 86400 % 28, hour=n // 3600 % 24, minute=n // 60 % 60, second=n % 60, tenant=n % 7,
                       priority=n % 8, price=1.25 + (n * 37 % 10007) / 7, qty=2 + n % 50)


def is_urgent(n):
    return n % 8 >= 6


def is_chosen(n, every):
    """Whether the plugin `mutant` changes record n."""
    value = 14695981039346656037
    for byte in f"r{n}".encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return value % every == 0


def words(report, *flags, baseline=weir.PIPELINE, candidate=weir.PIPELINE, both=None, of_baseline=None, of_candidate=None, cost_runs=0,
          **options):
    """The words of `weir shadow`: parameters by name, options by the name of their flag. Cost is not measured unless a test wants it."""
    command = [weir.WEIR, "shadow", "-o", "json", "--baseline", baseline, "--candidate", candidate, "--report", report,
               "--cost-runs", cost_runs]
    for flag, parameters in (("-D", both), ("--baseline-param", of_baseline), ("--candidate-param", of_candidate)):
        for name, value in (parameters or {}).items():
            command += [flag, f"{name}={value}"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", value]
    return list(map(str, [*command, *flags]))


def mutant(**settings):
    return {"plugins": "mutant", **{f"plugin.mutant.{name}": value for name, value in settings.items()}}


class Running(weir.Running):
    """A `weir shadow` in the background, in a process group of its own."""

    def __init__(self, command, report):
        self.data = report / "work" / "data"
        self.files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.files[0], stderr=self.files[1],
                                        start_new_session=True)

    def signal_weir(self, number):
        """The command alone, not its executors."""
        self.process.send_signal(number)

    def commands_of_children(self):
        commands = ""
        for pid in children(self.process.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                commands += pathlib.Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        return commands


class Case(weir.Case):
    EVENTS = 3000

    def setUp(self):
        super().setUp()
        self.find_test_plugins()
        self.report = self.folder / "report"
        self.input = self.folder / "input"
        self.input.mkdir()
        self.write_input(self.EVENTS)

    def write_input(self, events, name="a.jsonl"):
        with open(self.input / name, "w", encoding="utf-8") as file:
            file.writelines(line(n) + "\n" for n in range(events))

    def parameters(self, **changed):
        return {"input": self.input, "out": self.out, "id": "id", "time": "time", "type": "type", "tenant": "tenant",
                "priority": "priority", **changed}

    def rules(self, text):
        path = self.folder / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def shadow_words(self, *flags, rules=None, **options):
        if rules is not None:
            options["rules"] = self.rules(rules)
        return words(self.report, *flags, **{"both": self.parameters(), **options})

    def shadow(self, *flags, timeout=120, **options):
        return weir.command(*self.shadow_words(*flags, **options), timeout=timeout)

    def assert_verdict(self, result, code):
        self.assert_code(result, code)
        self.assertEqual(result.report["verdict"], VERDICTS[code], str(result))
        self.assertTrue(result.report["complete"])
        self.assertEqual(json.loads((self.report / "report.json").read_text(encoding="utf-8")), result.report)
        self.assertIn(VERDICTS[code], (self.report / "report.html").read_text(encoding="utf-8"))
        # A shadow writes nothing where the job would.
        self.assertFalse(self.out.exists())

    def assert_pass(self, result, records):
        """A PASS in which each record of the baseline had its like."""
        self.assert_verdict(result, PASS)
        self.assertEqual(result.report["reasons"], [])
        total = collections.Counter()
        for output in result.report["outputs"]:
            for name in ("compared", "matched", "mismatched", "missing", "extra", "unpaired"):
                total[name] += output[name]
        self.assertEqual(+total, {"compared": records, "matched": records}, str(result))

    @staticmethod
    def output(result, name):
        return next(output for output in result.report["outputs"] if output["name"] == name)

    def differing(self, result):
        """By output: the fields that differ, with how often and the change, and the counts that are not 0."""
        found = {}
        for output in result.report["outputs"]:
            differs = {field["path"]: (field["differs"], field["change"]) for field in output["fields"] if field["differs"]}
            for name in ("missing", "extra", "reordered", "unpaired"):
                if output[name]:
                    differs[name] = output[name]
            if differs:
                found[output["name"]] = differs
        return found


class Killed:
    """Runs that are killed; for a Case."""

    def killed(self, kills, seed, interval_s=0.1, **options):
        """The run after so many kill -9: of the whole group, and of a single executor before every third. Each comes after a new
        checkpoint, at a random moment."""
        choose = random.Random(seed)
        command = self.shadow_words(checkpoint_interval=f"{int(interval_s * 1000)}ms", **options)
        newest = 0
        for kill in range(kills):
            with Running(command, self.report) as running:
                self.assertTrue(running.wait_for_checkpoint(newest), f"it ended before kill {kill + 1}\n{running.result()}")
                time.sleep(choose.uniform(0, interval_s))
                if kill % 3 == 0:  # the command itself starts another attempt
                    os.kill(choose.choice(children(running.process.pid)), signal.SIGKILL)
                    self.assertTrue(running.wait_until("its end", lambda: "was ended by SIGKILL" in running.stderr()))
                    before = max(weir.completed_checkpoints(running.data), default=0)
                    self.assertTrue(running.wait_for_checkpoint(before), str(running.result()))
                running.kill()
                newest = max(weir.completed_checkpoints(running.data), default=0)
        with Running(command, self.report) as running:
            result = running.wait(1500)
            self.assertEqual(running.restored_from(), newest, str(result))
        return result
