#!/usr/bin/env python3
"""Golden jobs: what a job writes is the same whether it runs straight, or is stopped twice and resumed at another parallelism."""

import collections
import json
import shutil
import signal

import oracle
import weir
from compare import lines_by_route

INPUT = weir.FLIGHTS / "input"
DISTINCT, LINES = 20_000, 20_676
# Events a second: so slow that there is time for two stops.
RATE = 4000


def flights():
    """The lines of each file of the flights, by name."""
    return {path.name.removesuffix(".zst"): list(oracle.read_lines(path)) for path in sorted(INPUT.iterdir())}


class GoldenCase(weir.Case):
    def stopped_and_resumed(self, job, parameters):
        """Stops with Ctrl-C at parallelism 2 and at 3, each after a checkpoint, and ends at 1."""
        newest = 0
        for parallelism in (2, 3):
            with weir.Running(job, parameters, data=self.data, parallelism=parallelism, checkpoint_interval="100ms") as running:
                self.assertTrue(running.wait_for_checkpoint(newest), f"it ended too soon\n{running.result()}")
                running.signal(signal.SIGINT)
                result = running.wait()
            self.assert_code(result, weir.INTERRUPTED)
            self.assertEqual(result.report["state"], "SUSPENDED", str(result))
            self.assertEqual(result.report["checkpoints"]["restored_from"], newest or None)
            newest = max(weir.completed_checkpoints(self.data))
            self.assertEqual(result.report["checkpoints"]["last_id"], newest)
        result = weir.run(job, parameters, data=self.data, parallelism=1)
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], newest)
        return result

    def one_checkpoint_twice(self, job, parameters, check):
        """Stops at parallelism 2; from that one checkpoint it ends at 3, and, on a copy of all there was, at 1. check(result, out)."""
        with weir.Running(job, parameters, data=self.data, parallelism=2, checkpoint_interval="100ms") as running:
            self.assertTrue(running.wait_for_checkpoint(0), f"it ended too soon\n{running.result()}")
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        stopped = max(weir.completed_checkpoints(self.data))
        for folder in (self.data, self.out):
            shutil.copytree(folder, self.folder / f"copy-{folder.name}")
        for parallelism in (3, 1):
            result = weir.run(job, parameters, data=self.data, parallelism=parallelism)
            self.assert_finished(result)
            self.assertEqual(result.report["checkpoints"]["restored_from"], stopped)
            check(result, self.out)
            if parallelism == 3:
                for folder in (self.data, self.out):
                    shutil.rmtree(folder)
                    (self.folder / f"copy-{folder.name}").rename(folder)

    def straight(self, job, parameters):
        result = weir.run(job, parameters, data=self.folder / "straight-data", parallelism=1)
        self.assert_finished(result)
        return result

    def assert_same_operators(self, one, other):
        def totals(result):
            members = ("name", "kind", "records_in", "records_out", "records_dropped", "dead_letters", "counters", "tenants")
            return [{member: operator.get(member) for member in members} for operator in result.report["operators"]]

        self.assertEqual(totals(one), totals(other))


class EventPipeline(GoldenCase):
    def parameters(self, out, **more):
        # With slices of 30 hours: three months in five seconds are so many slices that checkpoints with the usual ones take long.
        return {**weir.FIELDS, "input": INPUT, "routes": weir.FLIGHTS / "rules.yaml", "out": out, "window": "240h", **more}

    def test_the_flights_come_out_once_each_wherever_it_stops(self):
        straight = self.straight(weir.PIPELINE, self.parameters(self.folder / "straight"))
        resumed = self.stopped_and_resumed(weir.PIPELINE, self.parameters(self.out, rate=RATE))

        expected = lines_by_route(self.folder / "straight")
        self.assertEqual(lines_by_route(self.out), expected)
        self.assertGreater(len(expected), 2, "the rules make several routes")
        distinct = collections.Counter({line: 1 for lines in flights().values() for line in lines})
        self.assertEqual(len(distinct), DISTINCT)
        self.assertEqual(collections.Counter(set().union(*expected.values())), distinct)
        self.assert_same_operators(straight, resumed)
        self.assertEqual(straight.operator("dedup")["records_dropped"], LINES - DISTINCT)
        self.assertEqual(straight.operator("dedup")["counters"], {"duplicates": LINES - DISTINCT, "late": 0, "unique": DISTINCT})
        self.assertEqual(resumed.operator("dedup")["tenants"], self.tenants())

    def tenants(self):
        """What the report must say of each tenant, the busiest first."""
        lines = [line for some in flights().values() for line in some]
        unique = collections.Counter(json.loads(line)["tenant"] for line in set(lines))
        counts = collections.Counter(json.loads(line)["tenant"] for line in lines)
        rows = [{"tenant": name, "unique": unique[name], "duplicates": count - unique[name], "late": 0} for name, count in counts.items()]
        return sorted(rows, key=lambda row: (-counts[row["tenant"]], row["tenant"]))

    def test_one_checkpoint_at_two_other_parallelisms(self):
        straight = self.straight(weir.PIPELINE, self.parameters(self.folder / "straight"))
        expected = lines_by_route(self.folder / "straight")

        def check(result, out):
            self.assertEqual(lines_by_route(out), expected)
            self.assert_same_operators(straight, result)

        self.one_checkpoint_twice(weir.PIPELINE, self.parameters(self.out, rate=RATE), check)


class Flights(GoldenCase):
    """The example's own job keeps a count and a mean for each airport. In which order an airport's departures reach it is chance at
    more than one subtask, and so are the means on the way; the counts and the last mean are not."""

    def setUp(self):
        super().setUp()
        self.job = weir.library("flights")
        departures = [json.loads(line) for line in {line for lines in flights().values() for line in lines}]
        delays = {}
        for departure in departures:
            delays.setdefault(departure["origin"], []).append(departure["delay"])
        self.counts = {(airport, count) for airport, some in delays.items() for count in range(1, len(some) + 1)}
        self.means = {airport: sum(some) / len(some) for airport, some in delays.items()}
        self.assertEqual(len(self.counts), DISTINCT)

    def assert_right(self, out):
        # This sink does not divide its output by route.
        rows = [json.loads(line) for path in sorted(out.glob("part-*.jsonl.zst")) for line in oracle.read_lines(path)]
        self.assertEqual(collections.Counter((row["origin"], row["departures"]) for row in rows), collections.Counter(self.counts))
        last = {}
        for row in sorted(rows, key=lambda row: row["departures"]):
            last[row["origin"]] = row["mean_delay"]
        self.assertEqual(last, self.means)

    def test_counts_and_means_survive_stops(self):
        straight = self.straight(self.job, {"input": INPUT, "out": self.folder / "straight"})
        self.assert_right(self.folder / "straight")
        resumed = self.stopped_and_resumed(self.job, {"input": INPUT, "out": self.out, "rate": RATE})
        self.assert_right(self.out)
        self.assert_same_operators(straight, resumed)

    def test_one_checkpoint_at_two_other_parallelisms(self):
        self.one_checkpoint_twice(self.job, {"input": INPUT, "out": self.out, "rate": RATE},
                                  lambda result, out: self.assert_right(out))


if __name__ == "__main__":
    weir.main()
