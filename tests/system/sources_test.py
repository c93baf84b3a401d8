#!/usr/bin/env python3
"""What the main job reads, when and from where: a folder that is watched, replays, files that change meanwhile, very many files.

sources_test.py Watch Replay Changing ManyFiles, sources_test.py HundredThousandFiles
"""

import collections
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time

import weir
from compare import dead_letters, lines_by_route


def event(number, minute=0):
    return f'{{"id":"e{number}","time":"2024-03-01T{minute // 60 % 24:02d}:{minute % 60:02d}:00Z"}}'.encode()


def content(name, lines):
    plain = b"".join(line + b"\n" for line in lines)
    if name.endswith(".gz"):
        return gzip.compress(plain, 1)
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-qc"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    return plain


class SourcesCase(weir.Case):
    def setUp(self):
        super().setUp()
        self.input = self.folder / "input"
        self.input.mkdir()
        self.expected = []

    def write(self, name, lines):
        """As a good writer does: under a name that does not count, then renamed."""
        path = self.input / name
        path.parent.mkdir(exist_ok=True)
        hidden = path.with_name("." + path.name)
        hidden.write_bytes(content(name, lines))
        hidden.rename(path)
        self.expected += lines

    def parameters(self, **more):
        return {**weir.FIELDS, "input": self.input, "out": self.out, **more}

    def found(self):
        return lines_by_route(self.out).get("warehouse", collections.Counter())

    def assert_out(self, expected=None):
        expected, found = collections.Counter(self.expected if expected is None else expected), self.found()
        for what, lines in (("missing", expected - found), ("extra", found - expected)):
            if lines:
                self.fail(f"{sum(lines.values())} {what}: {list(lines)[:3]}")


class Watch(SourcesCase):
    def start(self, parallelism=1, watch="200ms"):
        return weir.Running(weir.PIPELINE, self.parameters(watch=watch), data=self.data, parallelism=parallelism,
                            checkpoint_interval="200ms")

    def wait_for_all(self, running):
        there = running.wait_until("all lines", lambda: sum(self.found().values()) >= len(self.expected))
        self.assertTrue(there, str(running.result()))
        self.assert_out()

    def stop(self, running):
        running.signal(signal.SIGINT)
        result = running.wait()
        self.assert_code(result, weir.INTERRUPTED)
        self.assertEqual(result.report["state"], "SUSPENDED")

    def test_what_comes_is_read_until_it_is_stopped_and_after_kills(self):
        number = 0
        for turn, parallelism in enumerate((2, 1, 4)):
            if turn > 0:  # what was read may go; what comes while nothing runs is found
                os.remove(self.input / f"{turn - 1}.jsonl")
                self.write(f"meanwhile-{turn}.jsonl", [event(f"m{turn}", turn)])
            with self.start(parallelism) as running:
                for name in (f"{turn}.jsonl", f"sub/{turn}.jsonl.gz", f"{turn}.jsonl.zst"):
                    self.write(name, [event(number + n, number + n) for n in range(5)])
                    number += 5
                    self.wait_for_all(running)
                running.kill()
        with self.start() as running:
            self.write("last.jsonl", [event(number, number)])
            self.wait_for_all(running)
            self.stop(running)
        self.assert_out()

    def test_a_file_that_is_written_slowly_is_read_when_it_is_complete(self):
        with self.start(watch="1s") as running:
            with open(self.input / "slow.jsonl", "wb", buffering=0) as file:
                for n in range(12):
                    line = event(n, n)
                    file.write(line[:20])
                    time.sleep(0.1)  # a writer that takes its time is what is tested
                    file.write(line[20:] + b"\n")
                    self.expected.append(line)
            self.wait_for_all(running)
            self.stop(running)
        self.assertEqual(list(dead_letters(self.out)), [])

    def test_a_file_that_grows_after_it_was_taken_ends_the_job_by_name(self):
        self.write("a.jsonl", [event(1)])
        with self.start() as running:
            self.wait_for_all(running)
            with open(self.input / "a.jsonl", "ab") as file:
                file.write(event(2) + b"\n")
            result = running.wait()
        self.assert_code(result, weir.FAILED)
        self.assert_says(result, "a.jsonl", "has changed since the job began to read it")
        # Once the file is away, the same command goes on.
        os.remove(self.input / "a.jsonl")
        with self.start() as running:
            self.write("b.jsonl", [event(3)])
            self.wait_for_all(running)
            self.stop(running)

    def test_only_a_folder_can_be_watched(self):
        self.write("a.jsonl", [event(1)])
        result = weir.run(weir.PIPELINE, self.parameters(input=self.input / "a.jsonl", watch="1s"), data=self.data)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "only a folder can be watched")


class Replay(SourcesCase):
    def setUp(self):
        super().setUp()
        self.files = {}
        for number, name in enumerate(("a.jsonl", "b.jsonl.zst", "c.jsonl.gz")):
            self.files[name] = [event(f"{name}-{n}", number * 100 + n) for n in range(100)]
            self.write(name, self.files[name])

    def replay(self, **parameters):
        result = weir.run(weir.PIPELINE, self.parameters(**parameters), data=self.data, parallelism=2)
        self.assert_finished(result)
        return result

    def test_from_a_time(self):
        for text in ("2024-03-01T02:30:00Z", "2024-03-01T03:30:00+01:00", "1709260200", "1709260200000"):
            with self.subTest(time=text):
                self.out, self.data = self.folder / f"out-{text}", self.folder / f"data-{text}"
                result = self.replay(from_time=text)
                self.assert_out([*self.files["b.jsonl.zst"][50:], *self.files["c.jsonl.gz"]])
                self.assertEqual(result.operator("source")["records_dropped"], 150)

    def test_from_a_position(self):
        line = len(self.files["b.jsonl.zst"][0]) + 1
        for offset, first in ((0, 0), (line, 1), (line + 1, 2), (40 * line - 1, 40)):
            with self.subTest(offset=offset):
                self.out, self.data = self.folder / f"out-{offset}", self.folder / f"data-{offset}"
                self.replay(from_position=f"b.jsonl.zst:{offset}")
                lines = self.files["b.jsonl.zst"]
                starts = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
                expected = [line for start, line in zip(starts, lines) if start >= offset]
                self.assertLessEqual(len(expected), 100 - first)
                self.assert_out([*expected, *self.files["c.jsonl.gz"]])

    def test_what_is_wrong_is_said(self):
        for parameters, text in (({"from_time": "yesterday"}, "'yesterday' is no time"),
                                 ({"from_time": "2024-03-01T00:00:00Z", "time": ""}, "needs the field of the event's time"),
                                 ({"from_position": "b.jsonl"}, "is no FILE:OFFSET"), ({"from_position": "b.jsonl:-1"}, "is no FILE:OFFSET"),
                                 ({"from_position": "b.jsonl:99999999999999999999"}, "is no FILE:OFFSET"), ({"watch": "-1s"}, "watch")):
            with self.subTest(**parameters):
                result = weir.run(weir.PIPELINE, self.parameters(**parameters), data=self.data)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, text)
        result = weir.run(weir.PIPELINE, self.parameters(from_position="none.jsonl:0"), data=self.data)
        self.assert_code(result, weir.FAILED)
        self.assert_says(result, "there is no file 'none.jsonl'", "to start from")


class Changing(SourcesCase):
    """A file that changes while it is read: the job ends and names it; put back, it costs nothing."""

    def change(self, how, says):
        for name in ("a.jsonl", "b.jsonl", "c.jsonl.zst"):
            self.write(name, [event(f"{name}-{n}", n // 4) for n in range(1000)])
        path, away = self.input / "b.jsonl", self.folder / "b.away"
        parameters = self.parameters(rate=1500)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="200ms") as running:
            running.wait_for_checkpoint(0)
            path.rename(away)
            before = os.stat(away)
            how(path, away.read_bytes())
            result = running.wait()
        self.assert_code(result, weir.FAILED)
        self.assertEqual(result.report["restarts"], 0)
        self.assert_says(result, str(path), says, "--fresh")
        away.replace(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assert_finished(weir.run(weir.PIPELINE, parameters, data=self.data))
        self.assert_out()
        self.assertEqual(list(dead_letters(self.out)), [])

    def test_it_grows(self):
        self.change(lambda path, old: path.write_bytes(old + event("more") + b"\n"), "bytes and has")

    def test_it_shrinks(self):
        self.change(lambda path, old: path.write_bytes(old[:-30]), "bytes and has")

    def test_it_is_replaced(self):
        self.change(lambda path, old: path.write_bytes(old.replace(b"e", b"f")), "it was last modified at")

    def test_it_vanishes(self):
        self.change(lambda path, old: None, "it is gone")


class ManyFiles(SourcesCase):
    files, handles, parallelism = 3_000, 400, 2

    def test_a_folder_of_very_many_files(self):
        for n in range(self.files):
            folder = self.input / f"{n % 100:02d}"
            folder.mkdir(exist_ok=True)
            line = event(n, n * 1440 // self.files)
            (folder / f"{n}.jsonl").write_bytes(line + b"\n")
            self.expected.append(line)
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.handles, self.handles))  # noqa: E731
        started = time.monotonic()
        with weir.Running(weir.PIPELINE, self.parameters(), data=self.data, parallelism=self.parallelism, popen={"preexec_fn": limit},
                          checkpoint_interval="1s") as running:
            running.wait_for_checkpoint(0, timeout=300)
            first_s = time.monotonic() - started
            result = running.wait(timeout=600)
        self.assert_finished(result)
        self.assert_out()
        report = result.report
        print(json.dumps({"files": self.files, "handles_max": self.handles, "first_checkpoint_s": round(first_s, 2),
                          "elapsed_s": report["elapsed_s"], "resident_mib_max": report["memory"]["resident_bytes_max"] >> 20}),
              file=sys.stderr)
        self.assertLess(report["memory"]["resident_bytes_max"], (150 << 20) + 3000 * self.files)


class HundredThousandFiles(ManyFiles):
    files = 100_000


if __name__ == "__main__":
    weir.main()
