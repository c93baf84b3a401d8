#!/usr/bin/env python3
"""Events in a table of a real PostgreSQL server, each exactly once, whatever is killed: the job, its workers, the server.

What is in the table is written out as files and compared with the oracle, as the files of other tests are.
"""

import contextlib
import os
import random
import signal
import time

import compare
import postgres
import weir
from cluster import Cluster
from postgres_case import PostgresCase
from workers_test import executors
from workload import WorkloadCase


class Straight(PostgresCase):
    def test_every_event_is_in_the_table_once(self):
        for parallelism, options in ((1, {}), (2, {"checkpoint_interval": "50ms"}), (3, {"workers": 2})):
            with self.subTest(parallelism=parallelism, **options):
                self.setUp()
                result = weir.run(weir.PIPELINE, self.parameters(), data=self.data, parallelism=parallelism, **options)
                self.assert_finished(result)
                self.assert_rows()
                self.assertEqual(result.operator("postgres")["records_in"], self.workload.counts["written"])

    def test_some_routes_go_to_the_table_and_the_others_to_files(self):
        result = weir.run(weir.PIPELINE, self.parameters(postgres_routes="orders,eu"), data=self.data, parallelism=2)
        self.assert_finished(result)
        self.assertEqual(self.server.sql("SELECT DISTINCT route FROM events ORDER BY 1"), [["eu"], ["orders"]])
        self.assertFalse((self.out / "orders").exists())
        self.assertTrue((self.out / "alerts").exists())
        self.assert_rows()

    def test_events_that_the_server_refuses_are_dead_letters(self):
        """jsonb takes no text with a NUL in it, which is JSON all the same."""
        lines = [f'{{"id": "{number}", "time": {number + 1}, "text": "{chr(92)}u0000"}}' if number % 97 == 5 else
                 f'{{"id": "{number}", "time": {number + 1}}}' for number in range(5000)]
        self.server.sql("ALTER TABLE events ALTER COLUMN payload TYPE jsonb USING NULL")
        result = weir.run(weir.PIPELINE, self.lines(lines), data=self.data, parallelism=3, checkpoint_interval="50ms")
        self.assert_finished(result)
        bad = [line.encode() for number, line in enumerate(lines) if number % 97 == 5]
        letters = list(compare.dead_letters(self.out))
        self.assertEqual(sorted(record for _, _, record in letters), sorted(bad))
        for operator, error, _ in letters:
            self.assertEqual(operator, "postgres")
            self.assertIn("unsupported Unicode escape sequence", error)
        self.assertEqual(self.server.number("SELECT count(DISTINCT id) FROM events"), len(lines) - len(bad))
        self.assertEqual(self.server.number("SELECT count(*) FROM events"), len(lines) - len(bad))

    def test_the_ledger_keeps_what_the_newest_checkpoint_needs(self):
        result = weir.run(weir.PIPELINE, self.parameters(rate=8000), data=self.data, checkpoint_interval="50ms")
        self.assert_finished(result)
        self.assertGreater(result.report["checkpoints"]["completed"], 3)
        self.assertEqual(self.server.number("SELECT count(DISTINCT checkpoint) FROM weir.ledger"), 1)
        self.assertEqual(self.server.number("SELECT cleared_to FROM weir.sinks"),
                         self.server.number("SELECT max(checkpoint) FROM weir.ledger"))


class Killed(PostgresCase):
    def test_kills_of_the_job_at_many_moments(self):
        result = self.run_with_kills(weir.PIPELINE, self.parameters(rate=4000), 8, (1, 3, 2), seed=5)
        self.assert_rows()
        self.assertEqual(result.operator("postgres")["records_in"], self.workload.counts["written"])

    def test_kills_of_workers(self):
        choose = random.Random(3)
        with weir.Running(weir.PIPELINE, self.parameters(rate=5000), data=self.data, parallelism=2, workers=2,
                          checkpoint_interval="100ms") as running:
            killed = set()
            for _ in range(5):
                newest = max(weir.completed_checkpoints(self.data), default=0)
                running.wait_for_checkpoint(newest)
                running.wait_until("other executors", lambda: set(executors(running.process.pid)) - killed)
                time.sleep(choose.uniform(0, 0.15))  # any moment between two checkpoints
                with contextlib.suppress(IndexError, ProcessLookupError):
                    victim = choose.choice(executors(running.process.pid))
                    killed.add(victim)
                    os.kill(victim, signal.SIGKILL)
            result = running.wait()
        self.assert_finished(result)
        self.assertGreater(result.report["restarts"], 0)
        self.assert_rows()


class ServerKilled(PostgresCase):
    def test_crashes_of_the_server_cost_restarts_and_no_row(self):
        self.crash(lambda: self.server.kill(), workers=0)

    def test_restarts_of_the_server(self):
        self.crash(lambda: self.server.stop(), workers=2)

    def crash(self, end, workers):
        choose = random.Random(11)
        with weir.Running(weir.PIPELINE, self.parameters(rate=5000), data=self.data, parallelism=2, workers=workers,
                          checkpoint_interval="100ms") as running:
            for _ in range(5):
                newest = max(weir.completed_checkpoints(self.data), default=0)
                running.wait_for_checkpoint(newest)
                time.sleep(choose.uniform(0, 0.15))  # any moment between two checkpoints
                end()
                time.sleep(choose.uniform(0, 0.3))
                self.server.start()
            result = running.wait()
        self.assert_finished(result)
        self.assertGreater(result.report["restarts"], 0)
        self.assert_rows()


class InCluster(PostgresCase):
    def test_coordinator_workers_and_server_are_killed(self):
        choose = random.Random(2)
        with Cluster(self.folder / "cluster") as cluster:
            job = cluster.submit(weir.PIPELINE, self.parameters(rate=3000), parallelism=3, checkpoint_interval="200ms")
            newest = 0
            for victim in ("worker", "coordinator", "server", "all"):
                newest = cluster.wait_for_checkpoint(job, newest)
                time.sleep(choose.uniform(0, 0.2))  # any moment between two checkpoints
                if victim in ("coordinator", "all"):
                    cluster.coordinator.kill()
                if victim == "server":
                    self.server.kill()
                    self.server.start()
                for name in {"worker": sorted(cluster.workers)[:1], "all": sorted(cluster.workers)}.get(victim, ()):
                    cluster.kill_worker(name)
                    cluster.start_worker()
                if victim in ("coordinator", "all"):
                    cluster.start_coordinator()
            cluster.wait_for_state(job, "FINISHED")
        self.assert_rows()

    def test_stopped_with_a_savepoint_and_submitted_from_it_rescaled(self):
        with Cluster(self.folder / "cluster") as cluster:
            job = cluster.submit(weir.PIPELINE, self.parameters(rate=4000), parallelism=2, checkpoint_interval="200ms")
            cluster.wait_for_checkpoint(job)
            stopped = cluster.command("stop", job)
            self.assert_code(stopped, weir.DONE)
            savepoint = stopped.stdout.strip().splitlines()[-1]
            cluster.wait_for_state(job, "SUSPENDED")
            self.assertEqual(cluster.submit(weir.PIPELINE, self.parameters(rate=4000), "--from", savepoint, parallelism=5), job)
            newest = cluster.wait_for_checkpoint(job)
            cluster.kill_worker(sorted(cluster.workers)[0])
            cluster.start_worker()
            cluster.wait_for_checkpoint(job, newest)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_rows()


class Away(PostgresCase):
    """A server that takes no connection for a while, and a table that is locked."""

    def test_out_of_connections(self):
        self.server.sql("CREATE USER guest; GRANT INSERT ON events TO guest; CREATE SCHEMA weir AUTHORIZATION guest")
        self.addCleanup(self.server.sql, "DROP OWNED BY guest; DROP USER guest")
        parameters = {**self.parameters(rate=5000), "postgres": self.server.connection(user="guest")}
        with weir.Running(weir.PIPELINE, parameters, data=self.data, parallelism=2, checkpoint_interval="100ms") as running:
            running.wait_for_checkpoint(2)
            self.server.sql("ALTER USER guest CONNECTION LIMIT 1;"
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
            running.wait_until("a refusal", lambda: "too many connections for role" in running.stderr())
            self.server.sql("ALTER USER guest CONNECTION LIMIT -1")
            result = running.wait()
        self.assert_finished(result)
        self.assert_rows()

    def test_a_table_that_is_locked_holds_the_job_up_and_loses_nothing(self):
        with weir.Running(weir.PIPELINE, self.parameters(rate=10_000), data=self.data, parallelism=2,
                          checkpoint_interval="100ms") as running:
            running.wait_for_checkpoint(2)
            self.server.sql("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT")
            result = running.wait()
        self.assert_finished(result)
        self.assertEqual(result.report["restarts"], 0)
        self.assert_rows()


class Back(PostgresCase):
    """Rows cannot be taken back: a run goes back behind them only where that is accepted."""

    def test_from_an_older_checkpoint(self):
        lines = [f'{{"id": "{number}", "time": {number + 1}}}' for number in range(20_000)]
        parameters = {**self.lines(lines), "rate": 8000}
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="100ms") as running:
            running.wait_for_checkpoint(4)
            running.kill()
        older = min(weir.completed_checkpoints(self.data))
        folder = next(self.data.glob(f"checkpoints/*/chk-{older}"))
        refused = weir.run(weir.PIPELINE, parameters, data=self.data, **{"from": folder})
        self.assert_code(refused, 65)
        self.assert_says(refused, "'postgres'", "--accept-duplicates")
        result = weir.run(weir.PIPELINE, parameters, "--accept-duplicates", data=self.data, **{"from": folder})
        self.assert_finished(result)
        # Some rows twice, none missing.
        self.assertEqual(self.server.number("SELECT count(DISTINCT id) FROM events"), len(lines))
        self.assertGreater(self.server.number("SELECT count(*) FROM events"), len(lines))

    def test_a_savepoint_that_is_started_again(self):
        """The newest checkpoint under another attempt and parallelism: it commits again what is committed, and goes on."""
        parameters = self.parameters(rate=8000)
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="100ms") as running:
            running.wait_for_checkpoint(3)
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        for parallelism in (3, 2):
            newest = next(self.data.glob(f"checkpoints/*/chk-{max(weir.completed_checkpoints(self.data))}"))
            with weir.Running(weir.PIPELINE, parameters, data=self.data, parallelism=parallelism, checkpoint_interval="1h",
                              **{"from": newest}) as running:
                running.wait_until("rows", lambda: self.staging_tables() > 0)
                running.kill()
        self.assert_finished(weir.run(weir.PIPELINE, parameters, data=self.data))
        self.assert_rows()


class WorkloadOfOne(PostgresCase):
    events = 1


class Wrong(WorkloadOfOne):
    """Told before any row is read."""

    def refused(self, code, *texts, environment=None, **more):
        result = weir.run(weir.PIPELINE, {**self.parameters(), **more}, data=self.data,
                          popen={"env": {**os.environ, **(environment or {})}})
        self.assert_code(result, code)
        self.assert_says(result, *texts)
        self.assertEqual(weir.completed_checkpoints(self.data), set())
        return result

    def test_an_unreachable_server(self):
        self.refused(weir.UNREACHABLE, "stage 'postgres'", "Connection refused",
                     postgres=self.server.connection(port=postgres.free_port()))

    def test_no_such_table_database_or_user(self):
        self.refused(weir.CONFIGURATION, "no table 'nowhere'", postgres_table="nowhere")
        self.refused(weir.CONFIGURATION, "nowhere", postgres=self.server.connection(dbname="nowhere"))
        self.refused(weir.CONFIGURATION, "nobody", postgres=self.server.connection(user="nobody"))

    def test_columns_that_do_not_fit(self):
        self.refused(weir.CONFIGURATION, "no column 'when'", "'time' must not be null", postgres_columns="id,when=time,payload")
        self.refused(weir.CONFIGURATION, "'body' names no field", postgres_columns="body")
        self.server.sql("ALTER TABLE events ALTER COLUMN time TYPE int USING 0")
        self.refused(weir.CONFIGURATION, "column 'time' is integer, and the job writes times")

    def test_a_table_that_cannot_be_exact(self):
        self.server.sql("CREATE UNLOGGED TABLE loose (LIKE events); CREATE VIEW seen AS SELECT * FROM events;"
                        "CREATE TABLE parts (LIKE events) PARTITION BY LIST (route)")
        self.addCleanup(self.server.sql, "DROP TABLE loose, parts; DROP VIEW seen")
        self.refused(weir.CONFIGURATION, "UNLOGGED", postgres_table="loose")
        self.refused(weir.CONFIGURATION, "view", postgres_table="seen")
        self.refused(weir.CONFIGURATION, "default partition", postgres_table="parts")

    def test_missing_rights(self):
        self.server.sql("CREATE USER guest")
        self.addCleanup(self.server.sql, "DROP OWNED BY guest; DROP USER guest")
        guest = self.server.connection(user="guest")
        self.refused(weir.CONFIGURATION, "GRANT INSERT ON public.events", postgres=guest)
        self.server.sql("GRANT INSERT ON events TO guest")
        self.refused(weir.CONFIGURATION, 'CREATE SCHEMA "weir" AUTHORIZATION "guest"', postgres=guest)
        self.server.sql("CREATE SCHEMA weir AUTHORIZATION guest")
        result = weir.run(weir.PIPELINE, {**self.parameters(), "postgres": guest}, data=self.data)
        self.assert_finished(result)

    def test_a_password_is_refused_and_never_shown(self):
        for connection in (self.server.connection(password="geheim"), "postgresql://weir:geheim@127.0.0.1/postgres",
                           "password=geheim host="):
            result = self.refused(weir.CONFIGURATION, "parameter 'postgres'", postgres=connection)
            self.assertNotIn("geheim", result.stderr + result.stdout)


class Passwords(WorkloadOfOne):
    """A server that wants one, and gets it from the environment."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.sql("ALTER USER weir PASSWORD 'geheim'")
        cls.server.stop()
        (cls.server.cluster / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        with unittest_environment(PGPASSWORD="geheim"):
            cls.server.start()

    def setUp(self):
        self.enterContextCompatible(unittest_environment(PGPASSWORD="geheim"))
        super().setUp()

    def enterContextCompatible(self, context):
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def test_it_leaves_no_trace(self):
        file = self.folder / "passwords"
        file.write_text("127.0.0.1:*:*:weir:geheim\n", encoding="utf-8")
        file.chmod(0o600)
        result = weir.run(weir.PIPELINE, self.parameters(), data=self.data, parallelism=2, workers=2,
                          popen={"env": {**without("PGPASSWORD"), "PGPASSFILE": str(file)}})
        self.assert_finished(result)
        self.assert_rows()
        self.assertNotIn("geheim", result.stdout + result.stderr)
        for path in self.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"geheim", path.read_bytes(), path)
        plan = weir.command(weir.WEIR, "plan", weir.PIPELINE, "-o", "json",
                            *[f"-D{name}={value}" for name, value in self.parameters().items()])
        self.assertNotIn("geheim", plan.stdout + plan.stderr)

    def test_without_it_or_with_another_the_configuration_is_wrong(self):
        for environment in (without("PGPASSWORD"), {**os.environ, "PGPASSWORD": "other"}):
            result = weir.run(weir.PIPELINE, self.parameters(), data=self.data, popen={"env": environment})
            self.assert_code(result, weir.CONFIGURATION)
            self.assert_says(result, "password")


def without(name):
    return {key: value for key, value in os.environ.items() if key != name}


@contextlib.contextmanager
def unittest_environment(**values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


del PostgresCase, WorkloadOfOne, WorkloadCase

if __name__ == "__main__":
    weir.main()
