"""A cluster of real processes on this machine: a coordinator and workers, to be killed and started again."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

import weir

ENDED = ("FINISHED", "FAILED", "CANCELED", "SUSPENDED")


class Process:
    """`weir coordinator` or `weir worker`; what it says goes to a file. prefix: words in front of the command, which it must execute."""

    def __init__(self, folder, name, *words, prefix=()):
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*prefix, str(weir.WEIR), *map(str, words)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def terminate(self, timeout=60):
        self.process.terminate()
        return self.process.wait(timeout)

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")


def children(pid):
    """Ids of the processes that one has started, such as the executors of a worker."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


class Cluster:
    """Its processes end with the `with` block. The coordinator is at `host`; `prefix` gives, by a process's name, the words in front of its
    command, such as those that put it into a namespace."""

    client_flags, context, headers = (), None, {}

    def __init__(self, folder, workers=3, slots=2, coordinator_flags=(), host="127.0.0.1", prefix=lambda name: (), **options):
        self.folder, self.host, self.prefix = folder, host, prefix
        self.coordinator_flags = coordinator_flags
        self.folder.mkdir(parents=True, exist_ok=True)
        self.slots, self.options = slots, options
        self.coordinator, self.workers = None, {}
        self.rest = self.rpc = None
        self.started = 0
        self.start_coordinator()
        for _ in range(workers):
            self.start_worker()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in [*self.workers.values(), self.coordinator]:
            process.kill()
        if error[0] is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")

    def start_coordinator(self):
        """On free ports the first time, and on the same ones again afterwards."""
        words = ["coordinator", "--data", self.folder / "coordinator", "--listen", self.rest or f"{self.host}:0",
                 "--rpc-listen", self.rpc or f"{self.host}:0", *self.coordinator_flags]
        said_before = len(self.coordinator.said()) if self.coordinator else 0
        self.coordinator = Process(self.folder, "coordinator", *words, prefix=self.prefix("coordinator"))

        def listening():
            assert self.coordinator.process.poll() is None, self.coordinator.said()
            return "workers join" in self.coordinator.said()[said_before:]

        wait_until("the coordinator listens", listening)
        if self.rest is None:
            self.rest, self.rpc = re.search(r"REST on \w+://([^\s,]+), workers join ([^\s\"]+)", self.coordinator.said()).groups()

    def start_worker(self):
        name = f"worker-{self.started}"
        self.started += 1
        self.workers[name] = Process(self.folder, name, "worker", "--join", self.rpc, "--slots", self.slots,
                                     "--data", self.folder / name, *self.worker_flags(), prefix=self.prefix(name))
        return name

    def worker_flags(self):
        return [word for name, value in self.options.items() for word in (f"--{name}", value)]

    def kill_worker(self, name):
        self.workers.pop(name).kill()

    def executors(self):
        """Ids of all executors, by worker."""
        return {name: children(process.pid) for name, process in self.workers.items()}

    def command(self, name, *words, timeout=60):
        return weir.command(weir.WEIR, name, *words, "--coordinator", self.rest, *self.client_flags, timeout=timeout)

    def submit(self, job, parameters, *flags, **options):
        words = [job]
        for name, value in parameters.items():
            words += ["-D", f"{name}={value}"]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", value]
        result = self.command("submit", *words, *flags)
        assert result.code == weir.DONE, str(result)
        return result.stdout.strip()

    def get_text(self, path):
        scheme = "http" if self.context is None else "https"
        request = urllib.request.Request(f"{scheme}://{self.rest}{path}", headers=self.headers)
        with urllib.request.urlopen(request, timeout=30, context=self.context) as answer:
            return answer.read().decode()

    def get(self, path):
        return json.loads(self.get_text(path))

    def status(self, job):
        """None while nobody answers."""
        try:
            return self.get(f"/v1/jobs/{job}")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def wait_for_state(self, job, *states, timeout=120):
        """The job in one of the states."""
        seen = []

        def there():
            seen[:] = [self.status(job)]
            return seen[0] is not None and seen[0]["state"] in states

        try:
            wait_until(f"{job} is one of {states}", there, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(seen[0], indent=1)}") from None
        return seen[0]

    def wait_for_checkpoint(self, job, newer_than=0, timeout=60):
        data = self.folder / "coordinator" / "checkpoints" / job
        found = []

        def there():
            found[:] = [max((int(path.parent.name[4:]) for path in data.glob("chk-*/manifest.pb")), default=0)]
            state = self.status(job)
            return found[0] > newer_than or (state is not None and state["state"] in ENDED)

        wait_until(f"a checkpoint of {job} after {newer_than}", there, timeout)
        return found[0]

    def wait_for_workers(self, number, timeout=30):
        wait_until(f"{number} workers", lambda: len(self.get("/v1/workers")["workers"]) == number, timeout)


def orphans():
    """Ids of executors whose worker is gone."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if parent == "1" and words[:2] == [os.fsencode(weir.WEIR), b"executor"]:
                found.append(int(folder.name))
    return found


def wait_until(what, condition, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.01)


def stop(pid):
    os.kill(pid, signal.SIGSTOP)


def go_on(pid):
    os.kill(pid, signal.SIGCONT)
