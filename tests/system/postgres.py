#!/usr/bin/env python3
"""A PostgreSQL server of a test's own: on loopback unless told otherwise, on a free port, in a temporary folder.

    postgres.py     starts one, prints its connection string, and does what the lines of its input say: kill, start, stop; each is
                    answered by a line. It ends, with the server, where its input does.
"""

import contextlib
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time

BINARIES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
USER = "weir"


# Of the events of a workload (workload.py), by the columns of the main job.
COLUMNS = "(id text NOT NULL, tenant text, type text, route text, time timestamptz NOT NULL, payload text NOT NULL)"
ROUTES = ("warehouse", "alerts", "orders", "audit", "eu")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_somebody():
    """The words in front of a command of the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return [], None
    account = pwd.getpwnam("nobody")
    return (["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"], account)


class Server:
    """Runs between start() and stop(); kill() is a crash, after which start() recovers."""

    def __init__(self, host="127.0.0.1", **settings):
        self.host = host  # an address of this machine, for clients elsewhere; commands of its own use loopback
        self.temporary = tempfile.TemporaryDirectory(prefix="weir-postgres-")
        self.folder = pathlib.Path(self.temporary.name)
        self.prefix, account = as_somebody()
        if account:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.cluster = self.folder / "cluster"
        self.port = free_port()
        # What is committed without waiting for the disk stays in the server's memory for long, and is lost when it is killed. fsync
        # itself is what a crash of the machine needs, and no test crashes that.
        self.settings = {"listen_addresses": ",".join(sorted({"127.0.0.1", host})), "port": self.port,
                         "unix_socket_directories": "", "max_connections": 60, "log_min_messages": "warning", "fsync": "off", "synchronous_commit": "off", "wal_writer_delay": "10s",
                         "wal_writer_flush_after": "1GB", **settings}
        self.process = None
        self._run("initdb", "-D", self.cluster, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        if host != "127.0.0.1":
            with open(self.cluster / "pg_hba.conf", "a", encoding="utf-8") as rules:
                rules.write("host all all samenet trust\n")

    def _run(self, name, *words):
        subprocess.run([*self.prefix, str(BINARIES[-1].parent / name), *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, cwd=self.folder)

    def start(self):
        words = [*self.prefix, str(BINARIES[-1]), "-D", str(self.cluster)]
        for name, value in self.settings.items():
            words += ["-c", f"{name}={value}"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 60
        while self._psql("SELECT 1", "postgres").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text()[-4000:])
            time.sleep(0.02)

    def pids(self):
        """The postmaster's and those of its children."""
        found = [self.process.pid]
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found

    def kill(self):
        """kill -9 of the postmaster and all its processes at once: what was not written is lost."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a fast shutdown
            self.process.wait(60)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
        self.temporary.cleanup()

    def _psql(self, sql, database):
        return subprocess.run([str(BINARIES[-1].parent / "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                               "-p", str(self.port), "-U", USER, "-d", database, "-c", sql], check=False, capture_output=True)

    def sql(self, sql, database="postgres", separator="|"):
        """The rows, as lists of texts; with separator None as the texts that psql writes."""
        done = self._psql(sql, database)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        lines = done.stdout.decode().split("\n")[:-1]
        return [line.split(separator) for line in lines if line] if separator else lines

    def number(self, sql):
        return int(self.sql(sql)[0][0])

    def write_out(self, table, out):
        """The events of a table as files, beside those that a job wrote, for who compares files."""
        for route in ROUTES:
            rows = self.sql(f"SELECT payload FROM {table} WHERE route = '{route}'", separator=None)
            if not rows:
                continue
            (out / route).mkdir(parents=True, exist_ok=True)
            (out / route / "part-of-the-table.jsonl").write_text("".join(row + "\n" for row in rows), encoding="utf-8")

    def connection(self, **more):
        words = {"host": self.host, "port": self.port, "dbname": "postgres", "user": USER, "sslmode": "disable", **more}
        return " ".join(f"{name}={value}" for name, value in words.items())


def serve():
    server = Server()
    try:
        server.start()
        print(server.connection(), flush=True)
        for line in sys.stdin:
            {"kill": server.kill, "start": server.start, "stop": server.stop}[line.strip()]()
            print("done", flush=True)
    finally:
        server.close()


if __name__ == "__main__":
    serve()
