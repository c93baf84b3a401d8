#!/usr/bin/env python3
"""Files that stay open across checkpoints, folders by time, compressions and the list of committed files: exact through kill -9,
at another parallelism, behind a way back, behind Ctrl-C and --fresh."""

import collections
import json
import pathlib
import re
import signal
import subprocess
from datetime import datetime, timedelta, timezone

import compare
import weir
from workload import WorkloadCase

EVENTS = 20_000
RATE = 7_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def committed(directory, job_and_stage):
    """What docs/file-sink.md says to do with a list of committed files; test_the_reader_of_the_documents compares the two."""
    files = sorted(pathlib.Path(directory, ".manifest").glob(f"{job_and_stage}.*.jsonl"))
    number = lambda path: int(path.name.removeprefix(job_and_stage + ".").split(".")[0])
    base = max((number(f) for f in files if f.name.endswith(".base.jsonl")), default=0)
    read = [f for f in files if number(f) > base or f.name.endswith(f".{base:010}.base.jsonl")]
    parts = {}
    for file in sorted(read, key=number):
        for entry in map(json.loads, file.read_text().splitlines()):
            if "part" in entry:
                parts[entry["part"]] = entry
            parts.pop(entry.get("revoked"), None)
    return parts


def hour_of(time):
    """The folder of an event's time, which is RFC 3339 in some way, or an epoch in seconds, milliseconds or microseconds; None
    where it is not usable, and the event goes by another one's."""
    if isinstance(time, str):
        if not time.startswith("2024"):
            return None
        at = datetime.fromisoformat(time.replace("Z", "+00:00"))
    elif time is None or isinstance(time, bool):
        return None
    else:
        at = EPOCH + timedelta(microseconds=time * (1_000_000 if time < 1e11 else 1000 if time < 1e14 else 1))
    at = at.astimezone(timezone.utc)
    return f"{at:%Y-%m-%d}", f"{at:%H}"


class FileSinkCase(WorkloadCase):
    events = EVENTS
    options = {"part_bytes": "1GiB", "manifest": "true"}

    def parameters(self, **more):
        return self.workload.parameters(self.out, **{**self.options, **more})

    def files(self, folder=None):
        """Committed files by their path below the folder, without those of dead letters where it is the output's."""
        folder = folder or self.out
        roots = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")] if folder == self.out else [folder]
        return {str(path.relative_to(folder)) for root in roots if root.name != compare.DEAD_LETTERS or folder != self.out
                for path in compare.committed_files(root)}

    def job(self):
        return next(self.data.glob("checkpoints/*/chk-*")).parent.name

    def assert_listed(self):
        """The lists hold the committed files, their sizes and rows."""
        for folder, stage in ((self.out, "files"), (self.out / compare.DEAD_LETTERS, "dead-letters")):
            listed = committed(folder, f"{self.job()}.{stage}")
            self.assertEqual(set(listed), self.files(folder))
            for path, entry in listed.items():
                self.assertEqual(entry["bytes"], (folder / path).stat().st_size, path)
                self.assertEqual(entry["rows"], sum(1 for _ in compare.read_lines(folder / path)), path)
                self.assertLessEqual(entry["min_time"], entry["max_time"])

    def assert_right(self):
        self.assert_exact(self.out)
        self.assert_listed()

    def run_until_killed(self, newer_than=0, checkpoints=3, **parameters):
        with weir.Running(weir.PIPELINE, self.parameters(rate=RATE, **parameters), data=self.data, parallelism=2,
                          checkpoint_interval="100ms") as running:
            for _ in range(checkpoints):
                self.assertTrue(running.wait_for_checkpoint(newer_than), str(running.result()))
                newer_than = max(weir.completed_checkpoints(self.data))
            running.kill()
        return newer_than

    def finish(self, *flags, parallelism=1, **parameters):
        result = weir.run(weir.PIPELINE, self.parameters(**parameters), *flags, data=self.data, parallelism=parallelism,
                          checkpoint_interval="100ms")
        self.assert_finished(result)
        return result


class Open(FileSinkCase):
    def test_many_checkpoints_make_few_files(self):
        result = weir.run(weir.PIPELINE, self.parameters(rate=RATE), data=self.data, parallelism=2, checkpoint_interval="20ms")
        self.assert_finished(result)
        self.assertGreater(result.report["checkpoints"]["completed"], 4)
        self.assert_right()
        self.assertLessEqual(len(self.files()), 2 * len(self.workload_routes()))

    def workload_routes(self):
        return [label for label in compare.route_folders(self.out) if label != compare.DEAD_LETTERS]

    def test_kills_each_resumed_at_another_parallelism(self):
        for compression, partition in (("zstd", "none"), ("gzip", "daily"), ("none", "day=%Y-%m-%d")):
            with self.subTest(compression=compression):
                self.tearDown()
                self.setUp()
                parameters = self.parameters(rate=RATE, compression=compression, partition=partition)
                result = self.run_with_kills(weir.PIPELINE, parameters, kills=3, parallelisms=(2, 3, 1), seed=len(compression))
                self.assert_right()
                self.assert_totals(result)

    def test_files_of_a_size_while_it_runs(self):
        with weir.Running(weir.PIPELINE, self.parameters(rate=RATE, part_bytes="64KiB", compression="none"), data=self.data,
                          checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_until("a committed file", lambda: any(self.out.glob("warehouse/part-*"))))
            self.assertTrue(all(path.stat().st_size >= 64 << 10 for path in self.out.glob("warehouse/part-*")))
            result = running.wait()
        self.assert_finished(result)
        self.assert_right()

    def test_files_of_an_age(self):
        with weir.Running(weir.PIPELINE, self.parameters(rate=RATE, part_bytes="0", part_time="300ms"), data=self.data,
                          checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_until("a committed file", lambda: any(self.out.glob("warehouse/part-*"))))
            result = running.wait()
        self.assert_finished(result)
        self.assert_right()

    def test_ctrl_c_leaves_nothing_unfinished(self):
        with weir.Running(weir.PIPELINE, self.parameters(rate=RATE), data=self.data, parallelism=2,
                          checkpoint_interval="100ms") as running:
            running.wait_for_checkpoint(1)
            self.assertEqual(self.files(), set(), "all are open")
            running.signal(signal.SIGINT)
            result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        self.assertEqual(result.report["state"], "SUSPENDED")
        self.assertEqual(compare.pending_files(self.out), [])
        self.assertNotEqual(self.files(), set())
        self.assert_listed()
        self.finish(parallelism=3, rate=RATE)
        self.assert_right()

    def test_fresh_starts_over(self):
        self.run_until_killed()
        self.assertNotEqual(compare.pending_files(self.out), [])
        result = self.finish("--fresh")
        self.assertIsNone(result.report["checkpoints"]["restored_from"])
        self.assert_right()


class Back(FileSinkCase):
    """To checkpoints at which files were open that have been written on, finished and committed since."""

    def test_from_each_checkpoint_that_is_left(self):
        for stopped in (False, True):
            for back in (1, 2):
                with self.subTest(stopped=stopped, back=back):
                    self.tearDown()
                    self.setUp()
                    self.go_back(stopped, back)

    def go_back(self, stopped, back):
        if stopped:
            # All that was open at the checkpoints before the last one is committed by it.
            with weir.Running(weir.PIPELINE, self.parameters(rate=RATE), data=self.data, checkpoint_interval="100ms") as running:
                running.wait_for_checkpoint(2)
                running.signal(signal.SIGINT)
                self.assert_code(running.wait(), weir.INTERRUPTED)
            self.assertNotEqual(self.files(), set())
        else:
            self.run_until_killed()
        before = self.files()
        number = sorted(weir.completed_checkpoints(self.data))[-1 - back]
        result = self.finish("--from", str(next(self.data.glob(f"checkpoints/*/chk-{number}"))), parallelism=3)
        self.assertEqual(result.report["checkpoints"]["restored_from"], number)
        self.assert_right()
        revoked = {re.sub(r"/\.revoked/", "/", str(path.relative_to(self.out))) for path in self.out.glob("*/.revoked/**/part-*")}
        self.assertLessEqual(before - self.files(), revoked, "nothing committed is deleted")

    def test_the_newest_rots(self):
        newest = self.run_until_killed()
        path = next(self.data.glob(f"checkpoints/*/chk-{newest}/manifest.pb"))
        path.write_bytes(path.read_bytes()[:100])
        result = self.finish(rate=RATE)
        self.assertLess(result.report["checkpoints"]["restored_from"], newest)
        self.assert_right()

    def test_an_open_file_that_somebody_deleted_halts_the_run_and_changes_nothing(self):
        self.run_until_killed()
        pending = compare.pending_files(self.out)
        warehouse = next(path for path in pending if path.parts[-3] == "warehouse")
        content = warehouse.read_bytes()
        warehouse.unlink()
        before = sorted(self.out.rglob("*"))
        result = weir.run(weir.PIPELINE, self.parameters(rate=RATE), data=self.data)
        self.assert_code(result, 65)
        self.assert_says(result, str(warehouse), "--fresh")
        self.assertEqual(sorted(self.out.rglob("*")), before)
        warehouse.write_bytes(content)
        self.finish(rate=RATE)
        self.assert_right()


class Formats(FileSinkCase):
    options = {"manifest": "true"}

    def test_the_usual_tools_and_weir_itself_read_what_it_writes(self):
        for compression, ending, tool in (("zstd", "zst", ["zstd", "-dcq"]), ("gzip", "gz", ["gzip", "-dc"]), ("none", "jsonl", ["cat"])):
            with self.subTest(compression=compression):
                self.tearDown()
                self.setUp()
                self.finish(compression=compression, parallelism=2)
                self.assert_right()
                files = sorted(self.out.glob(f"warehouse/part-*.{ending}"))
                self.assertTrue(files)
                lines = subprocess.run([*tool, *files], stdout=subprocess.PIPE, check=True).stdout.splitlines()
                again = self.folder / "again"
                parameters = {"input": self.out / "warehouse", "out": again}
                result = weir.run(weir.PIPELINE, parameters, data=self.folder / "data-again")
                self.assert_finished(result)
                self.assertEqual(compare.lines_by_route(again), {"warehouse": collections.Counter(lines)})

    def test_folders_hold_the_events_of_their_time(self):
        # One checkpoint: with a thousand folders each is slow.
        result = weir.run(weir.PIPELINE, self.parameters(partition="hourly"), data=self.data, parallelism=2)
        self.assert_finished(result)
        self.assert_right()
        folders = collections.Counter()
        for path in self.out.glob("warehouse/date=*/hour=*/part-*"):
            date, hour = (name.split("=")[1] for name in path.parts[-3:-1])
            folders[date, hour] += 1
            for line in compare.read_lines(path):
                self.assertIn(hour_of(json.loads(line).get("time")), ((date, hour), None))
        self.assertGreater(len(folders), 100)

    def test_a_list_is_begun_with_what_is_committed_and_removed_when_it_is_not_kept(self):
        self.run_until_killed(manifest="false")
        self.assertFalse((self.out / ".manifest").exists())
        newest = max(weir.completed_checkpoints(self.data))
        self.finish("--from", str(next(self.data.glob(f"checkpoints/*/chk-{newest}"))))
        self.assert_exact(self.out)
        listed = committed(self.out, f"{self.job()}.files")
        self.assertEqual(set(listed), self.files())

    def test_what_cannot_be_is_told_with_the_parameter_and_what_can(self):
        for name, value, *says in (("compression", "lz4", "zstd, gzip or none"), ("partition", "../x", "hourly"),
                                   ("partition", "hour=%H", "%Y"), ("part_bytes", "much", "part_bytes"),
                                   ("part_time", "1 fortnight", "part_time"), ("manifest", "perhaps", "manifest")):
            with self.subTest(name=name, value=value):
                result = weir.run(weir.PIPELINE, self.parameters(**{name: value}), data=self.data)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, name, *says)
                self.assertFalse(self.out.exists())

    def test_the_reader_of_the_documents(self):
        text = (weir.ROOT / "docs" / "file-sink.md").read_text(encoding="utf-8")
        reader = text.split("```python\n")[1].split("```")[0]
        self.finish(parallelism=2)
        scope = {}
        exec(reader, scope)  # what the page tells people to run
        name = f"{self.job()}.files"
        self.assertEqual(scope["committed"](self.out, name), committed(self.out, name))
        self.assertEqual(set(scope["committed"](self.out, name)), self.files())


if __name__ == "__main__":
    weir.main()
