#!/usr/bin/env python3
"""`weir shadow`: each planted change is found in the right field, as often as it is there; what is harmless is none; and it is exact
through kill -9."""

import json
import os
import shutil
import signal
import time

import shadow
import weir
from shadow import FAIL, INCONCLUSIVE, PASS, is_chosen, is_urgent, line, mutant

KEY = "outputs: {warehouse: {key: [id]}, alerts: {key: [id]}}"
# With the records' own key, and as whole records.
RULES = {"key": KEY, "whole": None}


class Planted(shadow.Case):
    """A candidate that changes some records: how often it does is known, since the plugin chooses by a hash of the id."""

    # name: (settings of the plugin, path, change)
    FIELDS = {
        "a value": ({"find": '"qty":', "replace": '"qty":1'}, "qty", "value"),
        "a rounded number": ({"find": r'"price":(\d+)\.\d+', "replace": '"price":$1.0'}, "price", "value"),
        "an integer became a number": ({"find": r'"qty":(\d+)', "replace": '"qty":$1.0'}, "qty", "type"),
        "a number became a text": ({"find": r'"qty":(\d+)', "replace": '"qty":"$1"'}, "qty", "type"),
        "an added field": ({"find": "^.", "replace": '{"more":1,'}, "more", "added"),
        "a removed field": ({"find": r'"qty":\d+,', "replace": ""}, "qty", "removed"),
        "a value within": ({"find": '"city":"c', "replace": '"city":"d'}, "at.city", "value"),
        "a reordered list": ({"find": r'\["?(\d+)"?,"b","c"\]', "replace": '["b",$1,"c"]'}, "at.list", "order"),
        "null for a text": ({"find": r'"note":"[^"]*"', "replace": '"note":null'}, "note", "null"),
        "null is missing": ({"find": '"void":null,', "replace": ""}, "void", "removed"),
        "0 for null": ({"find": '"void":null', "replace": '"void":0'}, "void", "null"),
        "null for 0": ({"find": '"zero":0', "replace": '"zero":null'}, "zero", "null"),
        "null for an empty text": ({"find": '"empty":""', "replace": '"empty":null'}, "empty", "null"),
        "an empty text is missing": ({"find": '"empty":"",', "replace": ""}, "empty", "removed"),
        "a time zone west": ({"find": '("time":"[^"]*)Z', "replace": "$1+02:00"}, "time", "value"),
        "a time zone east": ({"find": '("time":"[^"]*)Z', "replace": "$1-11:00"}, "time", "value"),
        "two days back": ({"how": "late", "find": '"serial":', "replace": '"serial":1'}, "serial", "value"),
    }
    EVERY = 10

    def chosen(self, every=EVERY, urgent=None, events=None):
        return sum(is_chosen(n, every) and urgent in (None, is_urgent(n)) for n in range(events or self.EVENTS))

    def candidate(self, every=EVERY, **settings):
        return mutant(every=every, **settings)

    def test_a_changed_field(self):
        count = self.chosen()
        self.assertGreater(count, 100)
        for number, (name, (settings, path, change)) in enumerate(self.FIELDS.items()):
            for rules in RULES:
                with self.subTest(name, rules=rules):
                    result = self.shadow(of_candidate=self.candidate(**settings), rules=RULES[rules], parallelism=1 + number % 3)
                    self.assert_verdict(result, FAIL)
                    self.assertEqual(self.differing(result), {"warehouse": {path: (count, change)}})
                    output = self.output(result, "warehouse")
                    self.assertEqual((output["matched"], output["mismatched"]), (self.EVENTS - count, count))
                    self.assertEqual([(field["finding"], field["noise"]) for field in output["fields"]], [("changed", 0)])
                    self.assertEqual(len(output["fields"][0]["samples"]), 3)

    def test_dropped_records(self):
        count = self.chosen()
        for name, rules in RULES.items():
            with self.subTest(name):
                result = self.shadow(of_candidate=self.candidate(how="drop"), rules=rules)
                self.assert_verdict(result, FAIL)
                self.assertEqual(self.differing(result), {"warehouse": {"missing": count}})

    def test_doubled_records(self):
        count = self.chosen()
        for name, rules in RULES.items():
            with self.subTest(name):
                result = self.shadow(of_candidate=self.candidate(how="double"), rules=rules, parallelism=2)
                self.assert_verdict(result, FAIL)
                self.assertEqual(self.differing(result), {"warehouse": {"extra": count}})

    def test_a_swapped_route(self):
        (self.folder / "routes.yaml").write_text(shadow.ROUTES, encoding="utf-8")
        count = self.chosen(urgent=False)
        for name, rules in RULES.items():
            with self.subTest(name):
                result = self.shadow(both=self.parameters(routes=self.folder / "routes.yaml"),
                                     of_candidate=self.candidate(how="urgent"), rules=rules)
                self.assert_verdict(result, FAIL)
                self.assertEqual(self.differing(result), {"warehouse": {"missing": count}, "alerts": {"extra": count}})
                # Routes are outputs, and so their sink is none.
                self.assertEqual({output["name"] for output in result.report["outputs"]}, {"warehouse", "alerts", "dead-letters"})

    def test_other_routes(self):
        """The rules of the router are the candidate's own; its new output is one that the baseline has not."""
        for name, text in (("old", shadow.ROUTES), ("new", shadow.ROUTES.replace("alerts", "urgent"))):
            (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        count = sum(map(is_urgent, range(self.EVENTS)))
        result = self.shadow(of_baseline={"routes": self.folder / "old.yaml"}, of_candidate={"routes": self.folder / "new.yaml"})
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"alerts": {"missing": count}, "urgent": {"extra": count}})

    def test_rows_that_fail(self):
        count = self.chosen()
        result = self.shadow(of_candidate=self.candidate(how="fail"), rules=KEY)
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"warehouse": {"missing": count}, "dead-letters": {"extra": count}})

    def test_one_of_a_hundred_thousand(self):
        events = 100_000
        self.write_input(events)
        every = next(every for every in range(50_000, 200_000) if self.chosen(every, events=events) == 1)
        for name, rules in RULES.items():
            with self.subTest(name):
                result = self.shadow(of_candidate=self.candidate(every=every, find='"zero":0', replace='"zero":1'), rules=rules)
                self.assert_verdict(result, FAIL)
                self.assertEqual(self.differing(result), {"warehouse": {"zero": (1, "value")}})
                self.assertEqual(self.output(result, "warehouse")["matched"], events - 1)

    def test_every_record_differs(self):
        """Whole records that all differ, and are too many to be paired: it asks for a key; and with one tells the field."""
        self.write_input(12_000)
        candidate = self.candidate(every=1, find='"zero":0', replace='"zero":1')
        result = self.shadow(of_candidate=candidate)
        self.assertIn(result.code, (FAIL, INCONCLUSIVE), str(result))
        self.assertTrue(any("'key' in the rules" in reason for reason in result.report["reasons"]), str(result))
        result = self.shadow(of_candidate=candidate, rules=KEY)
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"warehouse": {"zero": (12_000, "value")}})

    def test_a_change_beside_noise(self):
        count = self.chosen()
        candidate = self.candidate(how="noise", find='"zero":0', replace='"zero":1')
        result = self.shadow(of_baseline=mutant(how="noise"), of_candidate=candidate, rules=KEY)
        self.assert_verdict(result, FAIL)
        fields = {field["path"]: field for field in self.output(result, "warehouse")["fields"]}
        self.assertEqual((fields["zero"]["differs"], fields["zero"]["finding"]), (count, "changed"))
        self.assertEqual([path for path, field in fields.items() if field["finding"] == "changed"], ["zero"])


class Harmless(shadow.Case):
    def test_the_order_of_fields_and_white_space(self):
        candidate = mutant(find=r'\{("id":"[^"]*"),("time":"[^"]*")', replace="{ $2\t, $1 ")
        for rules in (KEY, None):
            self.assert_pass(self.shadow(of_candidate=candidate, rules=rules), self.EVENTS)

    def test_ignored_fields(self):
        candidate = mutant(find='"city":"c', replace='"city":"other ')
        for rules in ("all: {ignore: [at.city]}", "all: {key: [id], ignore: [at.city]}"):
            self.assert_pass(self.shadow(of_candidate=candidate, rules=rules), self.EVENTS)

    def test_within_tolerance(self):
        candidate = mutant(find=r'("price":\d+\.\d+)', replace="$011")
        for rules in ("all: {key: [id], numbers: {absolute: 0.001}}", "all: {numbers: {relative: 1e-3}}"):
            result = self.shadow(of_candidate=candidate, rules=rules)
            self.assert_pass(result, self.EVENTS)
        result = self.shadow(of_candidate=candidate, rules="all: {key: [id], numbers: {absolute: 0.00001}}")
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"warehouse": {"price": (self.EVENTS, "value")}})

    def test_times_within(self):
        candidate = mutant(find=r'("time":"[^"]*)Z"', replace='$1.5Z"')
        self.assert_pass(self.shadow(of_candidate=candidate, rules="all: {key: [id], times: {within: 1s}}"), self.EVENTS)
        result = self.shadow(of_candidate=candidate, rules="all: {key: [id], times: {within: 100ms}}")
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"warehouse": {"time": (self.EVENTS, "value")}})

    def test_unordered_lists_and_text(self):
        candidate = mutant(find=r'"note":"note (\d+)"(.*)"list":\[(\d+),"b","c"\]', replace='"note":" NOTE  $1"$2"list":["c",$3,"b"]')
        rules = "all: {unordered: [at.list], fields: {note: {text: [case, space]}}}"
        self.assert_pass(self.shadow(of_candidate=candidate, rules=rules), self.EVENTS)

    def test_known_differences(self):
        candidate = mutant(find='"zero":0', replace='"zero":1')
        rules = "all: {key: [id]}\nknown: [{output: warehouse, field: zero, reason: counted now, until: 2999-12-31}]"
        result = self.shadow(of_candidate=candidate, rules=rules)
        self.assert_verdict(result, PASS)
        self.assertEqual(self.output(result, "warehouse")["fields"][0]["known"], "counted now")
        result = self.shadow(of_candidate=candidate, rules=rules.replace("2999", "2020"))
        self.assert_verdict(result, FAIL)
        self.assertTrue(any("ended on 2020-12-31" in note for note in result.report["notes"]), str(result))

    def test_random_and_clock_fields(self):
        for parallelism in (1, 3):
            noise = mutant(how="noise")
            result = self.shadow(of_baseline=noise, of_candidate=noise, rules=KEY, parallelism=parallelism)
            self.assert_verdict(result, PASS)
            fields = {field["path"]: field for field in self.output(result, "warehouse")["fields"]}
            self.assertGreater(fields["luck"]["noise"], self.EVENTS - 10)
            self.assertLessEqual(set(fields), {"luck", "now"})
        # Whole records that never meet again: no verdict without a key.
        self.write_input(5000)
        result = self.shadow(of_baseline=noise, of_candidate=noise)
        self.assert_verdict(result, INCONCLUSIVE)
        self.assertIn("'key' in the rules", result.stdout)

    def test_batch_boundaries_and_parallelism(self):
        """Candidate and baseline read the same in files of other sizes: they share no source."""
        other = self.folder / "other"
        other.mkdir()
        lines = [line(n) + "\n" for n in range(self.EVENTS)]
        for number in range(7):
            (other / f"{number}.jsonl").write_text("".join(lines[number::7]), encoding="utf-8")
        for parallelism in (1, 4):
            self.assert_pass(self.shadow(of_candidate={"input": other}, parallelism=parallelism), self.EVENTS)

    def test_keys_that_come_again_and_again(self):
        """Over weeks, so that what waits for one record is due while the versions are busy with the next of its key."""
        with open(self.input / "a.jsonl", "w", encoding="utf-8") as file:
            file.writelines(f'{{"id":"r{n}","time":{1_790_000_000 + 600 * n},"tenant":"t{n % 7}","v":{n}}}\n' for n in range(10_000))
        for parallelism in (1, 4):
            self.assert_pass(self.shadow(rules="all: {key: [tenant]}", parallelism=parallelism), 10_000)

    def test_isolated_plugins(self):
        candidate = {**mutant(find="$.", replace=""), "isolate": "mutant"}
        self.assert_pass(self.shadow(of_candidate=candidate, parallelism=2), self.EVENTS)


class Same(shadow.Killed, shadow.Case):
    """The same library on both sides, with kill -9 in between."""

    def test_the_flights(self):
        flights = {**weir.FIELDS, "input": weir.FLIGHTS / "input", "out": self.out}
        for parallelism in (1, 4):
            result = self.shadow(both={**flights, "routes": weir.FLIGHTS / "rules.yaml"}, parallelism=parallelism)
            self.assert_pass(result, 20_000)
            self.assertGreater(self.output(result, "hubs")["matched"], 1000)

    def test_killed_at_parallelism_1(self):
        self.write_input(6000)
        self.assert_pass(self.killed(5, 1, both=self.parameters(rate=1000)), 6000)

    def test_killed_at_parallelism_4(self):
        self.write_input(6000)
        self.assert_pass(self.killed(3, 2, both=self.parameters(rate=1000), parallelism=4, rules=KEY), 6000)

    def test_killed_with_a_change(self):
        """Counts are exact where attempts have written some of the results and died."""
        self.write_input(6000)
        count = sum(is_chosen(n, 10) for n in range(6000))
        for rules in (KEY, None):
            result = self.killed(3, 3, both=self.parameters(rate=1500), rules=rules,
                                 of_candidate=mutant(every=10, find='"zero":0', replace='"zero":1'))
            self.assert_verdict(result, FAIL)
            self.assertEqual(self.differing(result), {"warehouse": {"zero": (count, "value")}})
            shutil.rmtree(self.report)

    def test_ctrl_c_suspends_and_the_same_command_goes_on(self):
        self.write_input(6000)
        options = {"both": self.parameters(rate=2000), "rules": KEY, "checkpoint_interval": "100ms"}
        with shadow.Running(self.shadow_words(**options), self.report) as running:
            running.wait_for_checkpoint(1)
            running.signal_weir(signal.SIGINT)
            result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        self.assertFalse((self.report / "report.json").exists())
        with shadow.Running(self.shadow_words(**options), self.report) as running:
            result = running.wait()
            self.assertIsNotNone(running.restored_from())
        self.assert_pass(result, 6000)

    def test_other_versions_start_over(self):
        self.write_input(6000)
        with shadow.Running(self.shadow_words(both=self.parameters(rate=1000), checkpoint_interval="100ms"), self.report) as running:
            running.wait_for_checkpoint(1)
            running.kill()
        self.write_input(2000)
        self.assert_pass(self.shadow(), 2000)


class Ends(shadow.Case):
    """A source without an end in sight."""

    RATE = 2000

    def setUp(self):
        super().setUp()
        self.write_input(200_000)

    def test_after_so_many_records(self):
        for parallelism in (1, 3):
            began = time.monotonic()
            result = self.shadow(both=self.parameters(rate=self.RATE), records=3000, parallelism=parallelism)
            compared = result.report["compared"]
            self.assert_pass(result, compared)
            self.assertGreaterEqual(compared, 3000)
            self.assertLess(compared, 3000 + 20 * self.RATE)
            self.assertLess(time.monotonic() - began, 40)

    def test_after_so_long(self):
        began = time.monotonic()
        result = self.shadow(both=self.parameters(rate=self.RATE), **{"for": "3s"})
        self.assert_pass(result, result.report["compared"])
        self.assertGreater(result.report["compared"], 1000)
        self.assertLess(time.monotonic() - began, 40)

    def test_it_reports_as_it_goes(self):
        """Long before the end a change stands in the report, which says that it is not the whole."""
        words = self.shadow_words(both=self.parameters(rate=self.RATE), patience="5m", checkpoint_interval="300ms",
                                  of_candidate=mutant(every=10, find='"qty":', replace='"qty":1'), **{"for": "100s"})
        path = self.report / "report.json"
        with shadow.Running(words, self.report) as running:
            self.assertTrue(running.wait_until("a report", lambda: path.exists() and json.loads(path.read_text())["verdict"] == "FAIL"),
                            str(running.result()))
            report = json.loads(path.read_text())
            running.signal_weir(signal.SIGINT)
            result = running.wait(60)
        self.assertEqual(result.code, weir.INTERRUPTED, str(result))
        self.assert_says(result, "so far:", "FAIL: warehouse: qty")
        self.assertFalse(report["complete"])
        (output,) = [output for output in report["outputs"] if output["name"] == "warehouse"]
        self.assertEqual([field["path"] for field in output["fields"]], ["qty"])
        self.assertGreater(output["compared"], 0)
        self.assertIn("it still runs", (self.report / "report.html").read_text(encoding="utf-8"))
        self.assertIn("--patience 5m", report["run"]["command"])


class Wrong(shadow.Case):
    """What cannot be run, or ends before there is a verdict: told, with what was wrong and where."""

    def wrong(self, code, *texts, **options):
        result = self.shadow(**options)
        self.assert_code(result, code)
        self.assert_says(result, *texts)
        self.assertEqual(result.stdout, "")
        return result

    def test_libraries(self):
        self.wrong(weir.CONFIGURATION, "no-such.so", candidate=self.folder / "no-such.so")
        (self.folder / "text.so").write_text("no library", encoding="utf-8")
        self.wrong(weir.CONFIGURATION, "text.so", candidate=self.folder / "text.so")
        self.wrong(weir.CONFIGURATION, "no-such.so", baseline=self.folder / "no-such.so")

    def test_parameters(self):
        self.wrong(weir.CONFIGURATION, "windw", of_candidate={"windw": "1h"})
        self.wrong(weir.CONFIGURATION, "window", of_candidate={"window": "soon"})
        self.wrong(weir.CONFIGURATION, "every", of_candidate=mutant(every=0))
        self.wrong(weir.CONFIGURATION, "no-such-input", of_candidate={"input": self.folder / "no-such-input"})
        self.wrong(weir.USAGE, "--for", **{"for": "soon"})
        self.wrong(weir.USAGE, "--for", **{"for": "0s"})
        self.wrong(weir.USAGE, "--records", records=-1)
        self.wrong(weir.USAGE, "--memory", memory="much")

    def test_rules(self):
        rules = "all:\n  ignor: [x]\noutputs:\n  warehouse:\n    key: ['a[*]']\nknown:\n  - {field: x}\n"
        self.wrong(weir.CONFIGURATION, "rules.yaml:2: ", "did you mean 'ignore'", "rules.yaml:5: ", "rules.yaml:7: ", "'reason'",
                   rules=rules)
        result = weir.command(*shadow.words(self.report, both=self.parameters(), rules=self.folder / "none.yaml"))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "none.yaml")

    def test_an_early_end_of_sources_that_are_not_shared(self):
        other = self.folder / "other"
        shutil.copytree(self.input, other)
        for early in ({"records": 100}, {"for": "1s"}):
            self.wrong(weir.CONFIGURATION, "source 'source'", "read for themselves", of_candidate={"input": other}, **early)
        self.assert_pass(self.shadow(of_candidate={"input": other}), self.EVENTS)

    def test_a_row_that_crashes_the_candidate(self):
        result = self.wrong(weir.FAILED, "candidate-plugin-mutant", "SIGABRT", of_candidate=mutant(every=1000, how="crash"))
        self.assertFalse((self.report / "report.json").exists(), str(result))

    def test_an_input_that_is_empty(self):
        self.write_input(0)
        result = self.shadow()
        self.assert_verdict(result, INCONCLUSIVE)
        self.assertIn("0 records were compared", result.report["reasons"][0])

    def test_few_records(self):
        self.write_input(100)
        result = self.shadow()
        self.assert_verdict(result, INCONCLUSIVE)
        self.assert_pass(self.shadow(rules="all: {minimum: 100}"), 100)

    def test_another_source(self):
        """Other input is another output."""
        other = self.folder / "other"
        other.mkdir()
        (other / "a.jsonl").write_text("".join(line(n) + "\n" for n in range(1000, 4000)), encoding="utf-8")
        result = self.shadow(of_candidate={"input": other}, rules=KEY)
        self.assert_verdict(result, FAIL)
        self.assertEqual(self.differing(result), {"warehouse": {"missing": 1000, "extra": 1000}})

    def test_a_folder_of_somebody_else(self):
        """What is no shadow's stays as it is."""
        own = self.report / "work" / "rules.yaml"
        own.parent.mkdir(parents=True)
        own.write_text("all: {}", encoding="utf-8")
        self.wrong(weir.CONFIGURATION, str(own.parent), "--report")
        self.assertEqual(own.read_text(encoding="utf-8"), "all: {}")

    def test_killed_while_it_makes_room(self):
        """The same command again removes what an earlier run has left, whatever part of it is still there."""
        self.assert_pass(self.shadow(), self.EVENTS)
        work = self.report / "work"
        (self.report / "removing-work").write_bytes(b"")
        for name in ("done", "baseline.version"):
            (work / name).unlink()
        shutil.rmtree(work / "data")
        self.assert_pass(self.shadow(), self.EVENTS)
        self.assertFalse((self.report / "removing-work").exists())

    def test_no_verdict_of_an_earlier_run(self):
        self.assert_pass(self.shadow(), self.EVENTS)
        self.wrong(weir.FAILED, "SIGABRT", of_candidate=mutant(every=1000, how="crash"))
        self.assertFalse((self.report / "report.json").exists())
        self.assertFalse((self.report / "report.html").exists())

    def test_a_mistake_removes_no_verdict(self):
        self.assert_pass(self.shadow(), self.EVENTS)
        before = (self.report / "report.json").read_bytes()
        self.wrong(weir.CONFIGURATION, "rules.yaml:1: ", rules="all: {ignor: [x]}\n")
        self.wrong(weir.CONFIGURATION, "windw", of_candidate={"windw": "1h"})
        self.assertEqual((self.report / "report.json").read_bytes(), before)

    def test_a_builder_that_never_ends(self):
        fifo = self.folder / "routes.yaml"
        os.mkfifo(fifo)
        with shadow.Running(self.shadow_words(of_candidate={"routes": fifo}), self.report) as running:
            # Whoever opens the pipe waits for somebody to write, and nobody does.
            running.wait_until("the candidate is loaded", lambda: str(fifo) in running.commands_of_children())
            running.signal_weir(signal.SIGINT)
            result = running.wait(30)
        self.assertEqual(result.code, weir.INTERRUPTED, str(result))

    def test_a_report_folder_that_is_in_use(self):
        with shadow.Running(self.shadow_words(both=self.parameters(rate=500)), self.report) as running:
            running.wait_until("rows", lambda: "RUNNING" in running.stderr())
            self.wrong(weir.UNREACHABLE, str(self.report), "--report")
            running.signal_weir(signal.SIGTERM)
            running.wait()
        self.assert_pass(self.shadow(), self.EVENTS)


if __name__ == "__main__":
    weir.main()
