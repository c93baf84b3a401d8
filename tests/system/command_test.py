#!/usr/bin/env python3
"""The `weir` command as scripts rely on it: exit codes, messages, what goes to stdout, what a data folder remembers."""

import json
import os
import pathlib
import re
import resource

import weir
from compare import lines_by_route

OPERATOR_MEMBERS = {"name", "kind", "records_in", "records_out", "records_dropped", "dead_letters"}
CHECKPOINT_MEMBERS = {"completed", "failed", "last_id", "last_duration_ms", "restored_from"}


def event(number):
    return f'{{"id":{number},"time":"2024-03-01T10:00:{number % 60:02d}Z","n":{number}}}\n'


class CommandCase(weir.Case):
    """A small input of `events` events, one a line."""

    events = 200

    def setUp(self):
        super().setUp()
        self.input = self.folder / "input"
        self.input.mkdir()
        (self.input / "a.jsonl").write_text("".join(map(event, range(self.events))), encoding="utf-8")
        self.parameters = {"input": self.input, "out": self.out, "id": "id", "time": "time"}

    def run_pipeline(self, *flags, parameters=None, **options):
        return weir.run(weir.PIPELINE, parameters or self.parameters, *flags, **{"data": self.data, **options})

    def with_parameters(self, **changed):
        return {**self.parameters, **changed}

    def without(self, name):
        return {key: value for key, value in self.parameters.items() if key != name}

    def tree(self, folder):
        """Names, sizes and times of all files below a folder."""
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns)
                for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}

    def assert_all_came_out(self, out=None, events=None):
        lines = lines_by_route(out or self.out)
        self.assertEqual(lines, {"warehouse": {event(n).strip().encode(): 1 for n in range(events or self.events)}})

    def suspended(self, **options):
        """Leaves an unfinished run behind, with two checkpoints and some output; its parameters."""
        parameters = self.with_parameters(rate=100)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms", **options) as running:
            self.assertTrue(running.wait_for_checkpoint(1), str(running.result()))
            self.assertTrue(running.wait_until("output", lambda: any(self.out.glob("warehouse/part-*.jsonl.zst"))))
            running.kill()
        return parameters


class Reports(CommandCase):
    def test_json_is_one_object_with_the_members_that_scripts_read(self):
        result = self.run_pipeline()
        self.assert_finished(result)
        self.assertEqual(len(result.stdout.strip().splitlines()), 1)
        report = result.report
        self.assertLessEqual({"job", "state", "elapsed_s", "operators", "checkpoints", "restarts"}, set(report))
        for operator in report["operators"]:
            self.assertLessEqual(OPERATOR_MEMBERS, set(operator))
        self.assertLessEqual(CHECKPOINT_MEMBERS, set(report["checkpoints"]))
        self.assertEqual([operator["name"] for operator in report["operators"]],
                         ["source", "rebatch", "dedup", "router", "files", "dead-letters"])
        self.assertEqual(result.operator("files")["records_in"], self.events)
        self.assertGreaterEqual(report["checkpoints"]["completed"], 1)
        self.assertIsNone(report["checkpoints"]["restored_from"])
        self.assertGreater(report["elapsed_s"], 0)
        self.assertEqual(report["restarts"], 0)
        self.assert_all_came_out()

    def test_text_is_a_table_on_stdout(self):
        result = weir.command(*weir.arguments(weir.PIPELINE, self.parameters, data=self.data))
        self.assert_code(result, weir.DONE)
        for text in ("FINISHED", "source", "dedup", "records in"):
            self.assertIn(text, result.stdout)

    def test_without_time_and_id_it_runs_on_arrival_and_whole_lines(self):
        with open(self.input / "a.jsonl", "a", encoding="utf-8") as file:
            file.write(event(3))
        result = self.run_pipeline(parameters={"input": self.input / "a.jsonl", "out": self.out})
        self.assert_finished(result)
        self.assertEqual(result.operator("dedup")["records_dropped"], 1)
        self.assert_all_came_out()


class Usage(CommandCase):
    def test_wrong_flags_are_64(self):
        job = str(weir.PIPELINE)
        for words in ([], ["fly"], ["run"], ["run", job, "--no-such-flag"], ["run", job, "-p", "0"], ["run", job, "-p", "many"],
                      ["run", job, "-o", "xml"], ["run", job, "-D", "input"], ["run", job, "-D", "=x"],
                      ["run", job, "-D", "input=a", "-D", "input=b"], ["run", job, "--checkpoint-interval", "soon"],
                      ["run", job, "--fresh", "--from", "x"], ["plan", job, "-o", "png"], ["run", job, "extra"]):
            with self.subTest(words=words):
                result = weir.command(weir.WEIR, *words, cwd=self.folder)
                self.assert_code(result, weir.USAGE)
                self.assertTrue(result.stderr.strip(), "it says what is wrong")
                self.assertEqual(result.stdout, "")

    def test_it_opens_as_many_files_as_the_system_allows(self):
        for number in range(self.events, self.events + 100):
            (self.input / f"{number}.jsonl").write_text(event(number), encoding="utf-8")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        result = self.run_pipeline(parallelism=2, popen={"preexec_fn": few})
        self.assert_finished(result)
        self.assertEqual(result.report["restarts"], 0, str(result))
        self.assert_all_came_out(events=self.events + 100)

    def test_help_and_version(self):
        job = str(weir.PIPELINE)
        for words, texts in (
                (["--help"], ["run", "plan"]),
                (["--version"], ["weir 0"]),
                (["run", "--help"], ["--checkpoint-interval", "--fresh"]),
                (["plan", "-h"], ["--output"]),
                (["run", job, "--help"], ["--checkpoint-interval", "input", "window", "24h", "routes"]),
                (["plan", job, "--help"], ["input", "window"])):
            with self.subTest(words=words):
                result = weir.command(weir.WEIR, *words)
                self.assert_code(result, weir.DONE)
                for text in texts:
                    self.assertIn(text, result.stdout)
                self.assertNotIn("test-encode-edges", result.stdout)

    def test_plan_in_all_its_forms(self):
        words = [weir.WEIR, "plan", weir.PIPELINE, "-p", "2"]
        for name, value in self.parameters.items():
            words += ["-D", f"{name}={value}"]
        text = weir.command(*words)
        self.assert_code(text, weir.DONE)
        for expected in ("source", "rebatch", "dedup", "router", "files", "dead-letters", "exactly once"):
            self.assertIn(expected, text.stdout)
        graph = weir.command(*words, "-o", "json")
        self.assert_code(graph, weir.DONE)
        stages = {stage["name"]: stage for stage in json.loads(graph.stdout)["stages"]}
        self.assertEqual(stages["dedup"]["parallelism"], 2)
        self.assertIn("exactly once", stages["files"]["guarantee"])
        edges = {(edge["from"], edge["to"]): edge for edge in json.loads(graph.stdout)["edges"]}
        self.assertEqual(edges["rebatch", "dedup"]["partitioning"], "keyed")
        dot = weir.command(*words, "-o", "dot")
        self.assert_code(dot, weir.DONE)
        self.assertRegex(dot.stdout, r'(?s)^digraph .*"rebatch" -> "dedup".*}\s*$')
        self.assertFalse(self.data.exists() or self.out.exists(), "a plan touches nothing")


class Configuration(CommandCase):
    def refused(self, *texts, parameters=None, code=weir.CONFIGURATION, **options):
        result = self.run_pipeline(parameters=parameters, **options)
        self.assert_code(result, code)
        self.assert_says(result, *texts)
        self.assertEqual(result.stdout, "", "nothing ran, so there is no report")
        return result

    def test_unknown_parameter_gets_a_suggestion(self):
        self.refused("'windwo'", "window", parameters=self.with_parameters(windwo="1h"))
        self.refused("'entirely-else'", "--help", parameters=self.with_parameters(**{"entirely-else": 1}))

    def test_every_wrong_parameter_is_told_at_once(self):
        self.refused("'out'", "'rate'", "'window'", "'inputt'", "did you mean 'input'",
                     parameters={"inputt": self.input, "rate": "fast", "window": "long"})

    def test_missing_parameters(self):
        self.refused("'input'", parameters=self.without("input"))
        self.refused("'out'", parameters=self.without("out"))

    def test_a_window_that_makes_no_sense(self):
        for window in ("0s", "-1h", "24"):
            with self.subTest(window=window):
                self.refused("window", parameters=self.with_parameters(window=window))

    def test_an_input_that_does_not_exist(self):
        self.refused(str(self.folder / "nowhere"), parameters=self.with_parameters(input=self.folder / "nowhere"))

    def test_a_folder_without_matching_files(self):
        folder = self.folder / "empty"
        folder.mkdir()
        self.refused(str(folder), ".jsonl", parameters=self.with_parameters(input=folder))
        (folder / "notes.txt").write_text("nothing", encoding="utf-8")
        self.refused(str(folder), ".jsonl", parameters=self.with_parameters(input=folder))

    def test_an_out_that_is_a_file(self):
        self.out.write_text("taken", encoding="utf-8")
        self.refused(str(self.out))

    def test_a_library_that_is_none(self):
        text = self.folder / "job.so"
        text.write_text("no library", encoding="utf-8")
        for path in (self.folder / "missing.so", text, "/lib/x86_64-linux-gnu/libz.so.1"):
            with self.subTest(library=str(path)):
                result = weir.run(path, self.parameters, data=self.data)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, str(path))

    def test_all_errors_of_a_rules_file_with_their_lines(self):
        rules = self.folder / "rules.yaml"
        rules.write_text("match: some\n"
                         "default: ../escape\n"
                         "rules:\n"
                         "  - name: one\n"
                         "    when: {tenent: x}\n"
                         "    to: alerts\n"
                         "  - name: two\n"
                         "    when: {priority: high}\n"
                         "  - name: three\n"
                         "    to: dead-letters\n", encoding="utf-8")
        result = self.refused(parameters=self.with_parameters(routes=rules))
        lines = sorted(map(int, re.findall(r"rules\.yaml:(\d+): ", result.stderr)))
        self.assertEqual(lines, [1, 2, 5, 7, 8, 10], str(result))
        self.assert_says(result, "did you mean 'tenant'")

    def test_a_rules_file_that_is_missing_or_no_yaml_or_huge(self):
        rules = self.folder / "rules.yaml"
        self.refused(str(rules), parameters=self.with_parameters(routes=rules))
        rules.write_text("rules: [}\n", encoding="utf-8")
        self.refused("rules.yaml:1", parameters=self.with_parameters(routes=rules))
        rules.write_text("rules:\n" + "  - {when: {type: x}, to: y}\n" * 60_000, encoding="utf-8")
        self.refused("rules.yaml", "bytes", parameters=self.with_parameters(routes=rules))
        nested = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        nested += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
        rules.write_text(nested, encoding="utf-8")
        self.refused("rules.yaml:", parameters=self.with_parameters(routes=rules))

    def test_a_job_never_reads_its_own_results(self):
        big, link, inner = self.folder / "big", self.folder / "link", self.input / "inner"
        (big / "warehouse").mkdir(parents=True)
        (big / "warehouse" / "a.jsonl").write_text(event(1), encoding="utf-8")
        link.symlink_to(self.input)
        inner.symlink_to(self.out)
        self.out.mkdir()
        aside = self.folder / "aside"
        aside.mkdir()
        (aside / "a.jsonl").symlink_to(big / "warehouse" / "a.jsonl")
        (aside / "b.jsonl").write_text(event(1), encoding="utf-8")
        for given, out in ((self.input, self.input), (self.input, self.input / "results"), (self.input, link / "results"),
                           (link, self.input / "results"), (big / "warehouse", big), (big / "warehouse", self.folder),
                           (self.input, self.out), (aside, big), (big / "dead-letters" / ".." / "warehouse", big)):
            with self.subTest(input=str(given), out=str(out)):
                before = [self.tree(folder) for folder in (self.input, self.out, big, aside)]
                self.refused("output folder", parameters={"input": given, "out": out})
                self.assertEqual([self.tree(folder) for folder in (self.input, self.out, big, aside)], before)
        inner.unlink()
        # A file beside the results is none of them.
        self.assert_finished(self.run_pipeline(parameters={"input": aside / "b.jsonl", "out": aside}))

    def test_no_permission_to_read_or_write(self):
        prefix = []
        if os.geteuid() == 0:
            prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            if weir.command(*prefix, weir.WEIR, "--version").code != weir.DONE:
                self.skipTest(f"root may read everything, and user 65534 cannot run {weir.WEIR}")
        self.folder.chmod(0o777)
        self.input.chmod(0o755)
        secret = self.input / "secret.jsonl"
        secret.write_text(event(1), encoding="utf-8")
        secret.chmod(0)
        self.refused(str(secret), "ermission denied", prefix=prefix)
        secret.unlink()
        self.input.chmod(0)
        self.refused(str(self.input), "ermission denied", prefix=prefix)
        self.input.chmod(0o755)
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        self.refused(str(closed), "ermission denied", parameters=self.with_parameters(out=closed / "out"), prefix=prefix)
        self.refused(str(closed), "ermission denied", data=closed / "data", prefix=prefix)


class DataFolder(CommandCase):
    def test_a_finished_run_is_reported_and_nothing_is_touched(self):
        first = self.run_pipeline()
        self.assert_finished(first)
        before = {**self.tree(self.out), **self.tree(self.data / "checkpoints"), **self.tree(self.data / "jobs")}
        again = self.run_pipeline()
        self.assert_finished(again)
        after = {**self.tree(self.out), **self.tree(self.data / "checkpoints"), **self.tree(self.data / "jobs")}
        self.assertEqual(before, after)
        self.assertEqual(again.report["operators"], first.report["operators"])
        self.assertEqual(again.report["job"], first.report["job"])

    def test_an_unfinished_run_goes_on_with_another_parallelism_and_interval(self):
        parameters = self.suspended(parallelism=2)
        result = self.run_pipeline(parameters=parameters, parallelism=3, checkpoint_interval="1s")
        self.assert_finished(result)
        self.assertGreaterEqual(result.report["checkpoints"]["restored_from"], 2)
        self.assert_all_came_out()

    def test_an_unfinished_run_of_other_parameters_is_refused_and_both_ways_are_named(self):
        self.suspended()
        result = self.run_pipeline(parameters=self.with_parameters(rate=60))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "--from", "--fresh", "rate")

    def test_from_a_checkpoint_with_other_parameters(self):
        self.suspended()
        checkpoint = weir.newest_checkpoint(self.data)
        result = self.run_pipeline("--from", checkpoint, parameters=self.with_parameters(rate=5000))
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], int(checkpoint.name[4:]))
        self.assert_all_came_out()

    def test_from_an_older_checkpoint_takes_back_what_was_committed_later(self):
        self.suspended()
        numbers = sorted(weir.completed_checkpoints(self.data))
        oldest = next(self.data.glob(f"checkpoints/*/chk-{numbers[0]}"))
        result = self.run_pipeline("--from", oldest, parameters=self.with_parameters(rate=5000))
        self.assert_finished(result)
        self.assert_all_came_out()

    def test_from_what_is_no_checkpoint(self):
        self.suspended()
        result = self.run_pipeline("--from", self.folder / "chk-9", parameters=self.with_parameters(rate=5000))
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, str(self.folder / "chk-9"))

    def start_over(self, parameters):
        committed = {path.name for path in self.out.glob("warehouse/part-*.jsonl.zst")}
        numbers = weir.completed_checkpoints(self.data)
        self.assertTrue(committed)
        result = self.run_pipeline("--fresh", parameters=parameters)
        self.assert_finished(result)
        self.assertIsNone(result.report["checkpoints"]["restored_from"])
        self.assertGreater(result.report["checkpoints"]["last_id"], max(numbers), "numbers are never used twice")
        self.assertLessEqual(committed, {path.name for path in self.out.glob("warehouse/.revoked/*")})
        self.assert_all_came_out()

    def test_fresh_moves_what_a_finished_run_committed_to_revoked(self):
        self.assert_finished(self.run_pipeline())
        self.start_over(self.parameters)

    def test_fresh_moves_what_an_unfinished_run_committed_to_revoked(self):
        self.start_over(self.suspended())

    def test_killed_on_the_way_back_it_does_not_go_on_from_what_was_taken_back(self):
        parameters = self.suspended()
        with weir.Running(weir.PIPELINE, parameters, "--fresh", data=self.data, checkpoint_interval="10m") as running:
            running.wait_until("revoked files", lambda: any(self.out.glob("warehouse/.revoked/part-*")))
            running.kill()
        result = self.run_pipeline(parameters=parameters)
        self.assert_finished(result)
        self.assertIsNone(result.report["checkpoints"]["restored_from"])
        self.assert_all_came_out()

    def test_another_out_cannot_take_back_what_was_committed_and_is_refused(self):
        parameters = self.suspended()
        before = self.tree(self.out)
        other = self.with_parameters(out=self.folder / "other")
        for flags in (["--fresh"], ["--from", weir.newest_checkpoint(self.data)]):
            with self.subTest(flags=flags):
                result = self.run_pipeline(*flags, parameters=other)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, str(self.out), "--data")
        result = self.run_pipeline(parameters=other)  # so neither way is named
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, str(self.out), "--data with another folder")
        self.assertNotIn("--fresh", result.stderr)
        self.assertNotIn("--from", result.stderr)
        self.assertEqual(self.tree(self.out), before)
        self.assert_finished(self.run_pipeline(parameters=parameters))
        self.assert_all_came_out()

    def test_fresh_may_take_another_out_while_nothing_is_committed(self):
        with weir.Running(weir.PIPELINE, self.with_parameters(rate=100), data=self.data) as running:
            running.wait_until("output", lambda: any(self.out.glob("warehouse/.pending/part-*")))
            running.kill()
        other = self.with_parameters(out=self.folder / "other")
        result = self.run_pipeline(parameters=other)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "--fresh", "nothing yet")
        self.assertNotIn("--from", result.stderr)
        self.assert_finished(self.run_pipeline("--fresh", parameters=other))
        self.assert_all_came_out(self.folder / "other")

    def test_a_run_goes_by_its_own_identity_first(self):
        first = self.run_pipeline()
        self.assert_finished(first)
        other = self.with_parameters(out=self.folder / "other", rate=100)
        with weir.Running(weir.PIPELINE, other, data=self.data, checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_for_checkpoint(2), str(running.result()))
            running.kill()
        self.assertEqual(self.run_pipeline().report["job"], first.report["job"])
        again = self.run_pipeline("--fresh")
        self.assert_finished(again)
        self.assertEqual(again.report["job"], first.report["job"])
        self.assert_all_came_out()
        self.assert_finished(self.run_pipeline(parameters=other))
        self.assert_all_came_out(self.folder / "other")

    def test_a_checkpoint_that_does_not_fit_is_65_and_changes_nothing(self):
        parameters = self.suspended()
        result = self.run_pipeline("--from", weir.newest_checkpoint(self.data), parameters=self.with_parameters(window="1h"))
        self.assert_code(result, 65)
        self.assert_says(result, "window", "dedup")
        # The run as it was goes on.
        self.assert_finished(self.run_pipeline(parameters=parameters))
        self.assert_all_came_out()

    def test_from_a_checkpoint_whose_results_were_taken_back_is_refused(self):
        parameters = self.suspended()
        numbers = sorted(weir.completed_checkpoints(self.data))
        newest = weir.newest_checkpoint(self.data)
        oldest = newest.parent / f"chk-{numbers[0]}"
        with weir.Running(weir.PIPELINE, parameters, "--from", oldest, data=self.data, checkpoint_interval="10m") as running:
            running.wait_until("revoked files", lambda: any(self.out.glob("warehouse/.revoked/part-*")))
            running.kill()
        result = self.run_pipeline("--from", newest, parameters=parameters)
        self.assert_code(result, 65)
        self.assert_says(result, "taken back")
        result = self.run_pipeline(parameters=parameters)
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], numbers[0])
        self.assert_all_came_out()

    def test_fresh_with_other_parameters(self):
        self.suspended()
        self.start_over(self.with_parameters(window="12h"))

    def test_another_identity_behind_a_finished_run_is_a_job_of_its_own(self):
        first = self.run_pipeline()
        other = self.with_parameters(out=self.folder / "other")
        second = self.run_pipeline(parameters=other)
        self.assert_finished(second)
        self.assertNotEqual(second.report["job"], first.report["job"])
        self.assert_all_came_out()
        self.assert_all_came_out(self.folder / "other")

    def test_an_out_with_another_jobs_files_is_refused(self):
        self.assert_finished(self.run_pipeline())
        before = self.tree(self.out)
        for data in (self.data, self.folder / "other-data"):
            with self.subTest(data=str(data)):
                result = self.run_pipeline(parameters=self.with_parameters(window="1h"), data=data)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, str(self.out))
        self.assertEqual(self.tree(self.out), before)

    def test_a_second_run_into_the_same_out_is_refused_while_the_first_one_lives(self):
        parameters = self.with_parameters(rate=100)
        link = self.folder / "link"
        link.symlink_to(self.out)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms", parallelism=2) as running:
            running.wait_until("output", lambda: any(self.out.glob("warehouse/.pending/part-*")))
            for out in (self.out, link, self.out / "dead-letters"):
                result = self.run_pipeline(parameters=self.with_parameters(out=out), data=self.folder / "other-data")
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, str(out), "another run", str(running.process.pid))
            running.kill()
        self.assert_finished(self.run_pipeline(parameters=parameters))  # the dead hold nothing
        self.assert_all_came_out()

    def test_a_second_process_on_the_same_data_folder_is_69(self):
        parameters = self.with_parameters(rate=100)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_for_checkpoint(0))
            result = self.run_pipeline(parameters=parameters)
            self.assert_code(result, weir.UNREACHABLE)
            self.assert_says(result, str(self.data))
            self.assertEqual(result.stdout, "")

    def test_a_damaged_checkpoint_is_never_loaded_and_an_older_one_is(self):
        parameters = self.suspended()
        numbers = sorted(weir.completed_checkpoints(self.data))
        self.assertGreaterEqual(len(numbers), 2)
        manifest = next(self.data.glob(f"checkpoints/*/chk-{numbers[-1]}/manifest.pb"))
        content = bytearray(manifest.read_bytes())
        content[len(content) // 2] ^= 1
        manifest.write_bytes(content)
        result = self.run_pipeline(parameters=parameters)
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], numbers[-2])
        self.assert_all_came_out()

    def test_without_any_sound_checkpoint_it_says_so(self):
        parameters = self.suspended()
        for manifest in self.data.glob("checkpoints/*/chk-*/manifest.pb"):
            manifest.write_bytes(manifest.read_bytes()[:-10])
        result = self.run_pipeline(parameters=parameters)
        self.assert_code(result, 65)
        self.assert_says(result, "--fresh")


if __name__ == "__main__":
    weir.main()
