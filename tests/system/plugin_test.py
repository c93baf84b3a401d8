#!/usr/bin/env python3
"""Plugins: those of the flights through the whole pipeline, exact through kill -9, and those that are wrong or go wrong."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess

import oracle
import weir
from compare import dead_letters, lines_by_route
from weir import TEST_PLUGINS

PLUGINS = weir.BUILD / "plugins"


def flight_lines():
    """Those of the flights, each once."""
    return {line for path in (weir.FLIGHTS / "input").iterdir() for line in oracle.read_lines(path)}


class Straight:
    """Runs without a kill, for cases that say which parameters they have and what is right."""

    def test_straight_at_parallelism_1(self):
        self.assert_right(weir.run(weir.PIPELINE, self.parameters(), data=self.data))

    def test_straight_at_parallelism_2_through_codecs(self):
        self.assert_right(weir.run(weir.PIPELINE, self.parameters(), "--test-encode-edges", data=self.data, parallelism=2,
                                   checkpoint_interval="50ms"))


class Flights(Straight, weir.Case):
    """skip_short, delay_class and delay_alert, against what they are said to do, done here once more."""

    MILES, LATE, MINUTES = 300, 10, 90

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lines = flight_lines()
        cls.expected = collections.defaultdict(collections.Counter)
        cls.skipped = cls.alerts = 0
        for line in lines:
            flight = json.loads(line)
            if flight["distance"] < cls.MILES:
                cls.skipped += 1
                continue
            words = "very late" if flight["delay"] >= 60 else "late" if flight["delay"] >= cls.LATE else "on time"
            changed = b'{"delay_class":"%s",' % words.encode() + line[1:]
            cls.expected[cls.route_of(flight)][changed] += 1
            if flight["delay"] >= cls.MINUTES:
                cls.alerts += 1
                alert = b'{"id":"alert-%s","type":"alert","priority":9,"tenant":"%s","departure":%s}' % (
                    flight["id"].encode(), flight["tenant"].encode(), changed)
                cls.expected["alerts"][alert] += 1
        if not (cls.skipped > 1000 and cls.alerts > 100 and len(lines) == 20_000):
            raise AssertionError("the settings of this test make it say little")

    @staticmethod
    def route_of(flight):
        """By examples/flights/rules.yaml."""
        if flight["priority"] >= 2:
            return "alerts"
        if flight["tenant"] in ("ATL", "DFW", "LAX", "ORD"):
            return "hubs"
        return "long-haul" if flight["distance"] >= 2000 else "warehouse"

    def parameters(self, **more):
        # The window is that of golden_test.py, for its reason.
        return {**weir.FIELDS, "input": weir.FLIGHTS / "input", "routes": weir.FLIGHTS / "rules.yaml", "out": self.out,
                "window": "240h", "plugins": "skip_short,delay_class,delay_alert", "plugin.skip_short.miles": self.MILES,
                "plugin.delay_class.late": self.LATE, "plugin.delay_alert.minutes": self.MINUTES, **more}

    def assert_right(self, result):
        self.assert_finished(result)
        self.assertEqual(lines_by_route(self.out), self.expected)
        self.assertEqual(list(dead_letters(self.out)), [])
        kept = 20_000 - self.skipped
        found = {name: (operator["records_in"], operator["records_out"], operator["records_dropped"])
                 for name in ("plugin-skip_short", "plugin-delay_class", "plugin-delay_alert")
                 for operator in [result.operator(name)]}
        self.assertEqual(found, {"plugin-skip_short": (20_000, kept, self.skipped), "plugin-delay_class": (kept, kept, 0),
                                 "plugin-delay_alert": (kept, kept + self.alerts, 0)})
        self.assertEqual(result.operator("plugin-skip_short")["kind"], "plugin")

    def test_five_kills_at_parallelism_1_and_2(self):
        self.assert_right(self.run_with_kills(weir.PIPELINE, self.parameters(rate=4000), 5, (2, 1), seed=5))

    def test_an_event_that_a_plugin_of_the_example_cannot_take(self):
        folder = self.folder / "input"
        folder.mkdir()
        good = b' { "id" : "1", "distance" : 1e400, "del\\u0061y":17, "delay": 99, "x":[[{}],"\\""] } '
        bad = b'{"id":"2","delay":"late"}'
        (folder / "a.jsonl").write_bytes(good + b"\n" + bad + b"\n{}\n")
        result = weir.run(weir.PIPELINE, self.parameters(input=folder, id="", routes=""), data=self.data)
        self.assert_finished(result)
        expected = b'{"delay_class":"late",' + good[2:]
        self.assertEqual(lines_by_route(self.out), {"warehouse": {expected: 1}})
        error = "plugin delay_class 1.0.0: the departure has no delay"
        self.assertCountEqual(dead_letters(self.out), [("plugin-delay_class", error, bad), ("plugin-delay_class", error, b"{}")])

    def test_plugins_need_nothing_of_weir(self):
        for name in ("skip_short", "delay_class", "delay_alert"):
            needed = weir.command("readelf", "--dynamic", PLUGINS / f"lib{name}.so")
            self.assert_code(needed, weir.DONE)
            self.assertIn("libstdc++", needed.stdout)
            self.assertNotIn("libweir", needed.stdout)
            symbols = subprocess.run(["nm", "--dynamic", "--defined-only", PLUGINS / f"lib{name}.so"], check=True,
                                     stdout=subprocess.PIPE, text=True).stdout
            self.assertIn("weir_plugin_entry", symbols)
            self.assertNotRegex(symbols, "rapidjson|absl")


class Keeping(Straight, weir.Case):
    """late_count: the state, the side output and the counters of a plugin, against counts made here."""

    EVERY, MINUTES = 20, 15

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lines = flight_lines()
        flights = [json.loads(line) for line in lines]
        cls.late = collections.Counter(flight["tenant"] for flight in flights if flight["delay"] >= cls.MINUTES)
        cls.on_time = collections.Counter(line for line in lines if json.loads(line)["delay"] < cls.MINUTES)
        cls.alerts = collections.Counter(
            b'{"id":"%s-%d","type":"late","tenant":"%s","late":%d}' % (tenant.encode(), late, tenant.encode(), late)
            for tenant, count in cls.late.items() for late in range(cls.EVERY, count + 1, cls.EVERY))
        if not (len(cls.late) > 100 and len(cls.alerts) > 50 and len(cls.on_time) > 10_000):
            raise AssertionError("the settings of this test make it say little")

    def parameters(self, **more):
        # The plugin behind late_count changes all that passes it: alerts must not.
        return {**weir.FIELDS, "input": weir.FLIGHTS / "input", "out": self.out, "window": "240h",
                "plugins": "late_count,delay_class", "plugin.late_count.every": self.EVERY,
                "plugin.late_count.minutes": self.MINUTES, **more}

    def assert_right(self, result):
        self.assert_finished(result)
        routes = lines_by_route(self.out)
        self.assertEqual(set(routes), {"warehouse", "late_count-alerts"})
        self.assertEqual(routes["late_count-alerts"], self.alerts)
        seen = collections.defaultdict(list)
        kept = collections.Counter()
        for line, copies in routes["warehouse"].items():
            self.assertEqual(copies, 1)
            flight = json.loads(line)
            if "late" in flight:
                seen[flight["tenant"]].append(flight["late"])
            else:
                kept[b"{" + line.split(b",", 1)[1]] += 1  # without what delay_class wrote
        # Each airport's late departures have the numbers from 1 on, each once.
        self.assertEqual({tenant: sorted(numbers) for tenant, numbers in seen.items()},
                         {tenant: list(range(1, count + 1)) for tenant, count in self.late.items()})
        self.assertEqual(kept, self.on_time)
        self.assertEqual(list(dead_letters(self.out)), [])

        operator = result.operator("plugin-late_count")
        self.assertEqual(operator["component"], "late_count 1.0.0")
        late, alerts = sum(self.late.values()), sum(self.alerts.values())
        self.assertEqual((operator["records_in"], operator["records_out"]), (20_000, 20_000 + alerts))
        counters = {name: count for name, count in operator["counters"].items() if name.startswith("1.0.0/")}
        self.assertGreater(counters.pop("1.0.0/micros"), 0)
        counters.pop("1.0.0/batches-over-budget")
        self.assertEqual(counters, {"1.0.0/in": 20_000, "1.0.0/kept": 20_000 - late, "1.0.0/changed": late, "1.0.0/dropped": 0,
                                    "1.0.0/failed": 0, "1.0.0/emitted": 20_000 + alerts,
                                    "1.0.0/count.airports": len(self.late)})

    def test_five_kills_at_parallelism_2(self):
        self.assert_right(self.run_with_kills(weir.PIPELINE, self.parameters(rate=4000), 5, (2,), seed=7))

    def test_five_kills_and_as_many_changes_of_parallelism(self):
        self.assert_right(self.run_with_kills(weir.PIPELINE, self.parameters(rate=4000), 5, (2, 1, 3), seed=8))


class PluginCase(weir.Case):
    """Events that tell the plugin `unruly` what to do by `act`, and what to emit by `emit`."""

    def setUp(self):
        super().setUp()
        self.find_test_plugins()
        self.input = self.folder / "input"
        self.input.mkdir()
        self.parameters = {"input": self.input, "out": self.out, "id": "id", "type": "act", "tenant": "emit",
                           "plugins": "unruly"}

    def write(self, *acts):
        """Writes an event for each (act, what to emit); their lines."""
        lines = [json.dumps({"id": number, "act": act, "emit": emit}) for number, (act, emit) in enumerate(acts)]
        (self.input / "a.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return [line.encode() for line in lines]

    def with_parameters(self, **changed):
        return {**self.parameters, **changed}

    def run_pipeline(self, *flags, parameters=None, **options):
        return weir.run(weir.PIPELINE, parameters or self.parameters, *flags, **{"data": self.data, **options})


class GoingWrong(PluginCase):
    ACTS = [("keep", ""), ("throw", ""), ("emit", '{"id":"new","x":1}'), ("throw-int", ""), ("emit", "rubbish"), ("drop", ""),
            ("emit", '{"x":\n1}'), ("emit-then-throw", ""), ("emit", '{"a":1}{"b":2}'), ("endless", ""), ("many", ""),
            ("fail", ""), ("swallow", ""), ("emit", "[1]"), ("late", ""), ("no-time", ""), ("far-future", ""),
            ("fields", "")]
    LEFT = {2: [b'{"id":"new","x":1}'], 5: [], 10: [b'{"id":%d,"type":"one of many"}' % i for i in range(3)]}
    ERRORS = {1: "cannot read 1", 3: "threw something that is no std::exception", 4: "not JSON", 6: "line feed",
              7: "at the last moment", 8: "not JSON", 9: "more than 65536 events", 11: "no such airport", 12: "not JSON",
              13: "an array"}

    def assert_right(self, lines, copies=1):
        expected = collections.Counter()
        failed = collections.Counter()
        for number, line in enumerate(lines):
            act = number % len(self.ACTS)
            if act in self.ERRORS:
                failed[line] += copies
            else:
                expected.update(self.LEFT.get(act, [line]))
        self.assertEqual(lines_by_route(self.out), {"warehouse": expected})
        letters = list(dead_letters(self.out))
        self.assertEqual(collections.Counter(record for _, _, record in letters), failed)
        by_line = {line: number % len(self.ACTS) for number, line in enumerate(lines)}
        for operator, error, record in letters:
            self.assertEqual(operator, "plugin-unruly")
            self.assertTrue(error.startswith("plugin unruly 2.1.0: "), error)
            if by_line[record] != 1:
                self.assertIn(self.ERRORS[by_line[record]], error)
            else:
                self.assertIn(f"cannot read {json.loads(record)['id']}", error)

    def test_rows_that_fail_are_dead_letters_and_leave_nothing_else(self):
        lines = self.write(*self.ACTS)
        for parallelism in (1, 2):
            with self.subTest(parallelism=parallelism):
                self.out = self.folder / f"out-{parallelism}"
                result = self.run_pipeline(parameters=self.with_parameters(out=self.out), parallelism=parallelism,
                                           data=self.folder / f"data-{parallelism}")
                self.assert_finished(result)
                self.assert_right(lines)
                operator = result.operator("plugin-unruly")
                self.assertEqual((operator["records_in"], operator["records_dropped"], operator["dead_letters"]),
                                 (len(lines), 1, len(self.ERRORS)))

    def test_the_same_through_kills(self):
        # Without `endless`, which takes long.
        acts = [act if act[0] != "endless" else ("fail", "") for act in self.ACTS]
        lines = self.write(*(acts * 300))
        self.ERRORS = {**self.ERRORS, 9: "no such airport"}
        self.run_with_kills(weir.PIPELINE, self.with_parameters(rate=1000), 4, (1, 2), seed=3)
        self.assert_right(lines)

    def test_a_plugin_that_breaks_the_rules_of_the_table(self):
        acts = ["keep", "null-output", "null-payload", "unknown-code", "throws-out", "keep"]
        lines = self.write(*((act, "") for act in acts))
        result = self.run_pipeline(parameters=self.with_parameters(plugins="raw"))
        self.assert_finished(result)
        self.assertEqual(lines_by_route(self.out), {"warehouse": {lines[0]: 1, lines[5]: 1}})
        self.assertCountEqual(dead_letters(self.out), [
            ("plugin-raw", "plugin raw 1: emitted an event at a null pointer", lines[1]),
            ("plugin-raw", "plugin raw 1: emitted a line at a null pointer", lines[2]),
            ("plugin-raw", "plugin raw 1: returned the unknown code 77", lines[3]),
            ("plugin-raw", "plugin raw 1: let an exception out: over the boundary", lines[4])])


    def test_a_plugin_that_takes_longer_than_its_budget_is_counted_and_told(self):
        lines = self.write(("keep", ""), ("slow", ""), ("keep", ""))
        result = self.run_pipeline(parameters=self.with_parameters(plugin_budget="10ms"))
        self.assert_finished(result)
        self.assertEqual(lines_by_route(self.out), {"warehouse": {line: 1 for line in lines}})
        counters = result.operator("plugin-unruly")["counters"]
        self.assertEqual(counters["2.1.0/batches-over-budget"], 1)
        self.assertGreaterEqual(counters["2.1.0/micros"], 20_000)
        self.assertRegex(result.stderr, r"weir: stage 'plugin-unruly' \(subtask 0\): plugin unruly 2\.1\.0 took longer than its "
                                        r"budget of 10ms for a batch \(1 so far, the worst [1-9]\d+\.\d ms\)")

    def test_state_goes_on_with_other_settings_but_not_as_another_type(self):
        acts = [("count", ""), ("read", "")]
        self.write(*acts)
        stateful = self.with_parameters(plugins="stateful", **{"plugin.stateful.key": "type"})
        self.assert_finished(self.run_pipeline(parameters=stateful))
        checkpoint = weir.newest_checkpoint(self.data)
        as_integer = {**stateful, "plugin.stateful.mean": "integer"}
        result = self.run_pipeline("--from", checkpoint, parameters=as_integer)
        self.assert_code(result, 65)
        self.assert_says(result, "plugin-stateful", "state 'mean'")
        self.assert_finished(self.run_pipeline("--from", checkpoint, parameters={**stateful, "plugin.stateful.ttl_minutes": 60}))

    def test_a_crash_names_the_plugin_and_the_row(self):
        self.write(("keep", ""), ("throw", ""), ("crash", ""), ("keep", ""))
        result = self.run_pipeline(prefix=["prlimit", "--core=0"])
        # The process of an executor is not that of the command, which tries again.
        self.assert_code(result, weir.FAILED if weir.WORKERS else -signal.SIGABRT)
        self.assert_says(result, "in stage 'plugin-unruly' (subtask 0), plugin unruly 2.1.0, at row 2 of its batch")


class Configuration(PluginCase):
    def setUp(self):
        super().setUp()
        self.write(("keep", ""))

    def refused(self, *texts, **changed):
        result = self.run_pipeline(parameters=self.with_parameters(**changed))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, *texts)
        self.assertEqual(result.stdout, "")
        self.assertFalse(self.data.exists() or self.out.exists(), "nothing is written")
        return result

    def test_a_missing_plugin_lists_where_it_was_looked_for(self):
        more = self.folder / "more"
        os.environ["WEIR_PLUGIN_PATH"] = f"{TEST_PLUGINS}::{more}"
        self.refused("'absent'", "libabsent.so", str(TEST_PLUGINS), str(more), str(PLUGINS), str(weir.BUILD / "lib/weir/plugins"),
                     plugins="unruly,absent")

    def test_what_cannot_be_loaded(self):
        for name, text in (("misnamed", "somebody_else"), ("other_abi", "another version of Weir (plugin ABI 3); this one has plugin ABI 2"),
                           ("old_abi", "another version of Weir (plugin ABI 1); this one has plugin ABI 2"),
                           ("other_sizes", "built with other headers than this Weir"), ("no_entry", "no WEIR_PLUGIN"),
                           ("null_table", "no WEIR_PLUGIN"), ("nameless", "no name"), ("versionless", "no version")):
            with self.subTest(name=name):
                self.refused(f"{TEST_PLUGINS}/lib{name}.so", text, plugins=name)

    def test_files_that_are_no_libraries(self):
        os.environ["WEIR_PLUGIN_PATH"] = str(self.folder)
        whole = (TEST_PLUGINS / "libunruly.so").read_bytes()
        for name, content in (("text", b"no library"), ("empty", b""), ("cut", whole[:4000])):
            with self.subTest(name=name):
                (self.folder / f"lib{name}.so").write_bytes(content)
                self.refused(str(self.folder / f"lib{name}.so"), "no shared library", plugins=name)
        (self.folder / "libfolder.so").mkdir()
        self.refused(str(self.folder / "libfolder.so"), plugins="folder")

    def test_names_that_are_none(self):
        shutil.copy(TEST_PLUGINS / "libunruly.so", self.folder / "libunruly.so")
        for name in ("../plugins/unruly", "/etc/x", ".", "..", "a.b", "a b", "x" * 49):
            with self.subTest(name=name):
                self.refused(f"'{name}'", "no name of a plugin", plugins=name)
        self.refused("parameter 'plugin_budget' = '0s': must be positive", plugin_budget="0s")
        self.refused("'unruly' is named twice", plugins="unruly,fussy,unruly")

    def test_settings(self):
        self.refused("plugin unruly 2.1.0", "'many' = 'lots' is not an integer", **{"plugin.unruly.many": "lots"})
        self.refused("unknown setting 'meny'", "many", **{"plugin.unruly.meny": 4})
        self.refused("setting 'text' is missing", plugins="fussy")
        self.refused("'even' = '3' must be even", "unknown setting 'x.y'", plugins="fussy",
                     **{"plugin.fussy.text": "", "plugin.fussy.even": 3, "plugin.fussy.x.y": 1})

    def test_settings_of_nobody(self):
        for name in ("plugin.fussy.text", "plugin.unruly", "plugin.unruly.", "plugin.", "plugin.unrul.many"):
            with self.subTest(name=name):
                self.refused(f"unknown parameter '{name}'", "plugin.NAME.KEY", **{name: 1})

    def test_help_and_plan(self):
        text = weir.command(weir.WEIR, "run", weir.PIPELINE, "--help")
        self.assertRegex(text.stdout, r"(?m)^  plugins +list ")
        self.assertIn("plugin.NAME.KEY", text.stdout)
        words = [weir.WEIR, "plan", weir.PIPELINE, "-D", "plugin.fussy.text=a b"]
        for name, value in self.with_parameters(plugins="unruly,fussy").items():
            words += ["-D", f"{name}={value}"]
        text = weir.command(*words)
        self.assert_code(text, weir.DONE)
        self.assertRegex(text.stdout, r"(?m)^plugin-unruly +plugin +1 +dedup +dead-letter")
        self.assertRegex(text.stdout, r"(?m)^plugin-fussy +plugin +1 +plugin-unruly +dead-letter")
        stages = {stage["name"]: stage for stage in json.loads(weir.command(*words, "-o", "json").stdout)["stages"]}
        sha256 = weir.command("sha256sum", TEST_PLUGINS / "libfussy.so").stdout.split()[0]
        for part in ("name=fussy", "version=0.1", f"sha256={sha256}", '{"text":"a b"}'):
            self.assertIn(part, stages["plugin-fussy"]["options"])

    def test_plan_shows_what_a_plugin_is_and_where_its_outputs_go(self):
        words = [weir.WEIR, "plan", weir.PIPELINE]
        for name, value in self.with_parameters(plugins="stateful,unruly").items():
            words += ["-D", f"{name}={value}"]
        text = weir.command(*words)
        self.assert_code(text, weir.DONE)
        self.assertRegex(text.stdout, r"(?m)^plugin-stateful +plugin +1 +dedup \(keyed\) +dead-letter")
        self.assertRegex(text.stdout, r"(?m)^files +files +1 +router, plugin-stateful \(alerts\), plugin-stateful \(copies\) ")
        self.assertRegex(text.stdout, r"(?m)^  plugin-stateful +stateful 3\.0, with keyed state$")
        self.assertRegex(text.stdout, r"(?m)^  plugin-unruly +unruly 2\.1\.0$")
        stage = next(stage for stage in json.loads(weir.command(*words, "-o", "json").stdout)["stages"]
                     if stage["name"] == "plugin-stateful")
        self.assertEqual(stage["component"], "stateful 3.0")
        self.assertIn("key=tenant states=[seen:integer,mean:number,text:bytes] outputs=[alerts,copies]", stage["options"])

    def test_the_folders_are_searched_in_order(self):
        first, second = self.folder / "first", self.folder / "second"
        first.mkdir()
        second.mkdir()
        shutil.copy(TEST_PLUGINS / "libunruly.so", second / "libunruly.so")
        os.environ["WEIR_PLUGIN_PATH"] = f"{first}:{second}"
        self.assert_finished(self.run_pipeline())
        (first / "libunruly.so").write_text("not this one", encoding="utf-8")
        result = self.run_pipeline(data=self.folder / "other", parameters=self.with_parameters(out=self.folder / "other-out"))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, str(first / "libunruly.so"))


class Identity(PluginCase):
    def setUp(self):
        super().setUp()
        self.write(*[("keep", "")] * 200)
        self.place = self.folder / "plugins"
        self.place.mkdir()
        shutil.copy(TEST_PLUGINS / "libunruly.so", self.place / "libunruly.so")
        os.environ["WEIR_PLUGIN_PATH"] = str(self.place)
        self.parameters["rate"] = 100
        with weir.Running(weir.PIPELINE, self.parameters, data=self.data, checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_for_checkpoint(1), str(running.result()))
            running.kill()

    def refused(self, *texts, **changed):
        result = self.run_pipeline(parameters=self.with_parameters(**changed))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "--from", "--fresh", *texts)

    def test_other_bytes_are_another_identity(self):
        with open(self.place / "libunruly.so", "ab") as file:
            file.write(b"\0")  # as good a library as before
        self.refused("plugin unruly")
        checkpoint = weir.newest_checkpoint(self.data)
        self.assert_finished(self.run_pipeline("--from", checkpoint))
        self.assertEqual(sum(lines_by_route(self.out)["warehouse"].values()), 200)

    def test_other_settings_or_plugins_are_another_identity(self):
        self.refused("plugin.unruly.many", **{"plugin.unruly.many": 4})
        self.refused("plugins", plugins="")

    def test_the_same_bytes_elsewhere_are_the_same_run(self):
        elsewhere = self.folder / "elsewhere"
        self.place.rename(elsewhere)
        os.environ["WEIR_PLUGIN_PATH"] = str(pathlib.Path(os.path.relpath(elsewhere)))
        result = self.run_pipeline()
        self.assert_finished(result)
        self.assertGreaterEqual(result.report["checkpoints"]["restored_from"], 2)
        self.assertEqual(sum(lines_by_route(self.out)["warehouse"].values()), 200)


if __name__ == "__main__":
    weir.main()
