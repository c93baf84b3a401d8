"""Runs the `weir` command for the system tests: to its end, or in the background, to be stopped or killed.

Where the binaries are: WEIR_BUILD (a build folder), else build/ of this tree.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
WEIR = BUILD / "bin" / "weir"
PIPELINE = BUILD / "jobs" / "libevent_pipeline.so"
FLIGHTS = ROOT / "examples" / "flights"
TEST_PLUGINS = BUILD / "tests" / "plugins"

DONE, FAILED, USAGE, UNREACHABLE, CONFIGURATION, INTERRUPTED = 0, 1, 64, 69, 78, 130

# Of the flights and of generated events alike.
FIELDS = {"id": "id", "time": "time", "type": "type", "tenant": "tenant", "priority": "priority"}

RESTORED = re.compile(r"going on from checkpoint (\d+)")
COMPLETE = re.compile(r"chk-(\d+)/manifest\.pb$")

# Runs all jobs in so many processes of their own.
WORKERS = os.environ.get("WEIR_TEST_WORKERS")

# Between two checkpoints of a run that is killed.
INTERVAL_MS = 200


def library(name):
    return BUILD / "jobs" / f"lib{name}.so"


def arguments(job, parameters, *flags, **options):
    """The words of `weir run`: options by the name of their flag, parallelism=2, checkpoint_interval="200ms"."""
    words = [str(WEIR), "run", str(job)]
    for name, value in parameters.items():
        words += ["-D", f"{name}={value}"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if WORKERS and "workers" not in options:
        words += ["--workers", WORKERS]
    return [*words, *flags]


class Result:
    """How a command ended."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def report(self):
        """The one JSON object of -o json."""
        return json.loads(self.stdout)

    def operator(self, name):
        return next(operator for operator in self.report["operators"] if operator["name"] == name)

    def __str__(self):
        return f"exit code {self.code}\nstdout:\n{self.stdout[-4000:]}\nstderr:\n{self.stderr[-4000:]}"


def command(*words, timeout=60, stdin=subprocess.DEVNULL, **popen):
    """Runs a command to its end."""
    process = subprocess.run(list(map(str, words)), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=timeout, check=False, **popen)
    return Result(process.returncode, process.stdout.decode(), process.stderr.decode("utf-8", "replace"))


def run(job, parameters, *flags, timeout=120, prefix=(), popen=None, **options):
    """`weir run -o json` to its end. prefix: words in front of the command; popen: further arguments of Popen."""
    return command(*prefix, *arguments(job, parameters, "-o", "json", *flags, **options), timeout=timeout, **(popen or {}))


def completed_checkpoints(data):
    """Numbers of the complete checkpoints of a data folder; it may change meanwhile."""
    found = set()
    for path in pathlib.Path(data).glob("checkpoints/*/chk-*/manifest.pb"):
        found.add(int(COMPLETE.search(str(path)).group(1)))
    return found


def newest_checkpoint(data):
    """Folder of the newest complete checkpoint. The end of a run may leave the folder of a younger one that is not complete."""
    return max(pathlib.Path(data).glob("checkpoints/*/chk-*/manifest.pb"), key=lambda path: int(path.parent.name[4:])).parent


class Running:
    """A `weir run` in the background, in a process group of its own. Its end is the end of the `with` block at the latest."""

    def __init__(self, job, parameters, *flags, popen=None, **options):
        self.data = options["data"]
        self.files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
        self.process = subprocess.Popen(
            arguments(job, parameters, "-o", "json", *flags, **options), stdin=subprocess.DEVNULL,
            stdout=self.files[0], stderr=self.files[1], start_new_session=True, **(popen or {}))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.kill()
        for file in self.files:
            file.close()

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        """kill -9 of the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, timeout=120):
        self.process.wait(timeout)
        return self.result()

    def result(self):
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return Result(self.process.returncode, *texts)

    def stderr(self):
        return os.pread(self.files[1].fileno(), 1 << 20, 0).decode("utf-8", "replace")

    def restored_from(self):
        """The checkpoint that it said it goes on from, or None."""
        found = RESTORED.findall(self.stderr())
        return int(found[-1]) if found else None

    def wait_until(self, what, condition, timeout=60):
        """False if the process ended before the condition held; AssertionError if neither happens."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if condition():
                return True
            if ended:
                return False
            time.sleep(0.002)
        self.kill()
        raise AssertionError(f"{what}: not within {timeout} s\n{self.result()}")

    def wait_for_checkpoint(self, newer_than, timeout=60):
        """Waits for a complete checkpoint with a higher number."""
        return self.wait_until(f"a checkpoint after {newer_than}",
                               lambda: max(completed_checkpoints(self.data), default=0) > newer_than, timeout)


class Case(unittest.TestCase):
    """A test with a folder of its own, self.folder, that is removed afterwards."""

    maxDiff = 2000

    def setUp(self):
        super().setUp()
        # WEIR_TEST_KEEP=1 leaves the folders for a look.
        if os.environ.get("WEIR_TEST_KEEP"):
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"weir-{self.id().rsplit('.', 1)[-1]}-"))
            print(f"{self.id()}: {self.folder}", file=sys.stderr)
        else:
            temporary = tempfile.TemporaryDirectory(prefix="weir-test-")
            self.addCleanup(temporary.cleanup)
            self.folder = pathlib.Path(temporary.name)
        self.data, self.out = self.folder / "data", self.folder / "out"

    def find_test_plugins(self):
        """Until the test ends, plugins are looked for among those of the tests first."""
        patch = unittest.mock.patch.dict(os.environ, {"WEIR_PLUGIN_PATH": str(TEST_PLUGINS)})
        patch.start()
        self.addCleanup(patch.stop)

    def run_with_kills(self, job, parameters, kills, parallelisms, seed):
        """Kills so many times, all but every fifth after a new checkpoint and at a random moment then; then runs to the end."""
        choose = random.Random(seed)
        options = {"data": self.data, "checkpoint_interval": f"{INTERVAL_MS}ms"}
        restored, newest = [], 0
        for kill in range(kills):
            with Running(job, parameters, parallelism=parallelisms[kill % len(parallelisms)], **options) as running:
                if kill % 5 != 4:  # the others at any moment
                    going_on = running.wait_for_checkpoint(newest)
                    self.assertTrue(going_on, f"it ended before kill {kill + 1}: the rate is too high\n{running.result()}")
                time.sleep(choose.uniform(0, 1.5 * INTERVAL_MS / 1000))
                running.kill()
                restored.append(running.restored_from())
                newest = max(completed_checkpoints(self.data), default=0)
        result = run(job, parameters, parallelism=parallelisms[0], timeout=300, **options)
        self.assert_finished(result)
        restored.append(result.report["checkpoints"]["restored_from"])
        print(f"restored from {restored}", file=sys.stderr)
        # A kill came after a new checkpoint if the run behind it started from one that none before it did.
        after_new_one = len({checkpoint for checkpoint in restored if checkpoint})
        self.assertEqual(restored[-1], newest)
        self.assertGreaterEqual(after_new_one, kills - kills // 5, restored)
        return result

    def run_with_small_files(self, job, parameters, file_bytes_max, **options):
        """A run none of whose files may grow beyond so many bytes, until lift_file_limit(): a full disk that needs no rights."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, resource.RLIM_INFINITY))

        return Running(job, parameters, data=self.data, popen={"preexec_fn": limit}, **options)

    def wait_for_full_disk(self, running):
        self.assertTrue(running.wait_until("a message", lambda: "File too large" in running.stderr()), str(running.result()))

    @staticmethod
    def lift_file_limit(running):
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def assert_code(self, result, code):
        self.assertEqual(result.code, code, str(result))

    def assert_finished(self, result):
        self.assert_code(result, DONE)
        self.assertEqual(result.report["state"], "FINISHED", str(result))

    def assert_says(self, result, *texts):
        """The message on stderr has each of the texts."""
        for text in texts:
            self.assertIn(text, result.stderr, str(result))


def need_binaries():
    for path in (WEIR, PIPELINE):
        if not path.exists():
            sys.exit(f"{path} is missing: build it first, with scripts/build.sh")


def main():
    need_binaries()
    unittest.main(verbosity=2)
