"""Tests with a table of events on a PostgreSQL server of their own."""

import postgres
from workload import WorkloadCase

TABLE = f"CREATE TABLE events {postgres.COLUMNS}"


class PostgresCase(WorkloadCase):
    """Tests that share a server, each with an empty table of its own."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = postgres.Server(**cls.settings)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.server.sql("DROP TABLE IF EXISTS events; DROP SCHEMA IF EXISTS weir CASCADE;" + TABLE)

    def parameters(self, **more):
        return self.workload.parameters(self.out, postgres=self.server.connection(), **more)

    def lines(self, lines):
        """The parameters of a run on these lines."""
        (self.folder / "input.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return {"id": "id", "time": "time", "input": self.folder / "input.jsonl", "out": self.out,
                "postgres": self.server.connection()}

    def assert_rows(self):
        self.server.write_out("events", self.out)
        self.assert_exact(self.out)
        self.assertEqual(self.server.number("SELECT count(*) FROM events WHERE route IS NULL"), 0)
        self.assertEqual(self.staging_tables(), 0)

    def staging_tables(self):
        return self.server.number("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'stage_')")
