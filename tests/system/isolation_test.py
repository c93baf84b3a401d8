#!/usr/bin/env python3
"""Isolated plugins in whole jobs: events that crash, hang and leak, exact, also through kills of `weir` and of the processes from
outside; nothing is left behind when `weir` is gone."""

import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import threading
import time

import weir
from compare import dead_letters, lines_by_route


def children_of(pid):
    """Of all threads of a process."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text().split()]
        except OSError:
            pass  # it has ended
    return found


def is_there(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class IsolationCase(weir.Case):
    def setUp(self):
        super().setUp()
        self.find_test_plugins()
        self.input = self.folder / "input"
        self.input.mkdir()
        self.parameters = {"input": self.input, "out": self.out, "id": "id", "type": "act", "tenant": "tenant", "plugins": "rogue",
                           "isolate": "rogue", "isolate_timeout": "300ms", "isolate_memory": "64MiB"}

    def write(self, count, acts, tenants=10):
        """Events that are kept, and each `every`-th one that does `act`; their lines."""
        lines = []
        for number in range(count):
            act = next((act for act, every in acts.items() if number % every == every // 2), "keep")
            lines.append(json.dumps({"id": number, "act": act, "tenant": f"t{number % tenants}"}).encode())
        (self.input / "a.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        return lines

    def assert_same(self, found, expected):
        """As assertEqual, which takes for ever to say how large collections differ."""
        if found != expected:
            extra = list((collections.Counter(found) - collections.Counter(expected)).items())
            missing = list((collections.Counter(expected) - collections.Counter(found)).items())
            self.fail(f"{len(extra)} too many: {extra[:5]}; {len(missing)} missing: {missing[:5]}")

    def assert_exact(self, lines, guilty):
        """The events whose act is among `guilty` (to what the error says of it), and no others, are dead letters."""
        kept, failed = collections.Counter(), {}
        for line in lines:
            act = json.loads(line)["act"]
            if act in guilty:
                failed[line] = guilty[act]
            else:
                kept[line] += 1
        routes = lines_by_route(self.out)
        self.assertEqual(list(routes), ["warehouse"])
        self.assert_same(routes["warehouse"], kept)
        letters = list(dead_letters(self.out))
        self.assert_same(sorted(record for _, _, record in letters), sorted(failed))
        for operator, error, record in letters:
            self.assertEqual(operator, "plugin-rogue")
            self.assertTrue(error.startswith("plugin rogue 1.0: "), error)
            self.assertIn(failed[record], error)

    GUILTY = {"segv": "SIGSEGV", "hang": "took longer than 300ms", "exit": "exited with code 3"}


class Exact(IsolationCase):
    def test_crashes_hangs_and_a_leak(self):
        self.parameters["plugin.rogue.leak"] = 8  # MiB
        lines = self.write(40_000, {"segv": 2_000, "hang": 20_000, "leak": 70})
        for parallelism in (1, 2):
            with self.subTest(parallelism=parallelism):
                self.out = self.folder / f"out-{parallelism}"
                result = weir.run(weir.PIPELINE, {**self.parameters, "out": self.out}, data=self.folder / f"data-{parallelism}",
                                  parallelism=parallelism)
                self.assert_finished(result)
                self.assert_exact(lines, self.GUILTY)
                self.assertEqual(result.report["restarts"], 0)
                counters = result.operator("plugin-rogue")["counters"]
                self.assertEqual((counters["1.0/crashes"], counters["1.0/hangs"]), (2 * 20, 2 * 2))
                self.assertGreater(counters["1.0/memory-ends"], 0)
                self.assert_says(result, "plugin rogue 1.0, isolated: its process was ended by SIGSEGV")

    def test_the_same_through_kills_of_weir(self):
        lines = self.write(6_000, {"segv": 500, "hang": 3_000})
        self.run_with_kills(weir.PIPELINE, {**self.parameters, "rate": 2_000}, 3, (1, 2), seed=5)
        self.assert_exact(lines, self.GUILTY)

    def test_the_same_through_kills_of_the_processes(self):
        lines = self.write(20_000, {"segv": 1_000})
        chance = random.Random(7)
        with weir.Running(weir.PIPELINE, {**self.parameters, "rate": 5_000, "isolate_timeout": "10s"}, data=self.data,
                          parallelism=2) as running:
            stop = threading.Event()

            def kill_some():
                while not stop.wait(0.05):
                    keepers = children_of(running.process.pid)
                    victims = keepers if chance.random() < 0.1 else [host for keeper in keepers for host in children_of(keeper)]
                    with contextlib.suppress(ProcessLookupError):  # it may have ended since
                        if victims:
                            os.kill(chance.choice(victims), signal.SIGKILL)
                            self.killed += 1

            self.killed = 0
            killer = threading.Thread(target=kill_some)
            killer.start()
            running.wait()
            stop.set()
            killer.join()
            self.assert_finished(running.result())
        self.assertGreater(self.killed, 10)
        self.assert_exact(lines, self.GUILTY)

    def test_state_is_right(self):
        lines = self.write(20_000, {"segv": 1_000, "exit": 3_000}, tenants=7)
        result = weir.run(weir.PIPELINE, {**self.parameters, "plugin.rogue.tally": "true"}, data=self.data, parallelism=2)
        self.assert_finished(result)
        # The events of a tenant are numbered without a gap, in whichever order the two readers sent them.
        ids, numbers = collections.defaultdict(list), collections.defaultdict(list)
        for line in lines_by_route(self.out)["warehouse"].elements():
            event = json.loads(line)
            tenant = f"t{int(event['id']) % 7}"
            ids[tenant].append(int(event["id"]))
            numbers[tenant].append(event["n"])
        good = [event["id"] for event in map(json.loads, lines) if event["act"] not in self.GUILTY]
        for tenant in range(7):
            expected = [number for number in good if number % 7 == tenant]
            self.assert_same(sorted(ids[f"t{tenant}"]), expected)
            self.assert_same(sorted(numbers[f"t{tenant}"]), list(range(1, len(expected) + 1)))


class Surroundings(IsolationCase):
    def start(self, **more):
        self.write(5_000, {})
        return weir.Running(weir.PIPELINE, {**self.parameters, "rate": 500, "isolate_timeout": "100s", **more}, data=self.data,
                            parallelism=2, checkpoint_interval="100ms")

    def processes_of(self, running):
        def all_there():
            keepers = children_of(running.process.pid)
            return [pid for keeper in keepers for pid in (keeper, *children_of(keeper))]

        running.wait_until("two keepers and their hosts", lambda: len(all_there()) == 4)
        return all_there()

    def assert_gone(self, pids):
        deadline = time.monotonic() + 30
        while any(is_there(pid) for pid in pids):
            self.assertLess(time.monotonic(), deadline, "processes are left")
            threading.Event().wait(0.01)

    def test_nothing_is_left_when_weir_is_killed(self):
        with self.start() as running:
            pids = self.processes_of(running)
            running.kill()
        self.assert_gone(pids)

    def test_nothing_is_left_when_weir_is_killed_while_a_plugin_hangs(self):
        self.write(100, {"hang": 100})
        with weir.Running(weir.PIPELINE, {**self.parameters, "isolate_timeout": "100s"}, data=self.data) as running:
            running.wait_until("a host", lambda: any(children_of(keeper) for keeper in children_of(running.process.pid)))
            pids = [pid for keeper in children_of(running.process.pid) for pid in (keeper, *children_of(keeper))]
            running.kill()
        self.assert_gone(pids)

    def test_ctrl_c_stops_with_a_checkpoint(self):
        with self.start() as running:
            pids = self.processes_of(running)
            self.assertTrue(running.wait_for_checkpoint(1))
            running.signal(signal.SIGINT)
            running.wait()
            self.assert_code(running.result(), weir.INTERRUPTED)
        self.assert_gone(pids)

    def test_a_crash_while_it_is_set_up_is_a_wrong_configuration(self):
        self.write(10, {})
        result = weir.run(weir.PIPELINE, {**self.parameters, "plugin.rogue.set-up": "crash"}, data=self.data)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "plugin rogue: its process was ended by SIGABRT (Aborted) while it was set up")

    def test_the_plan_says_that_it_is_isolated(self):
        self.write(10, {})
        words = [weir.WEIR, "plan", weir.PIPELINE]
        for name, value in self.parameters.items():
            words += ["-D", f"{name}={value}"]
        self.assertRegex(weir.command(*words).stdout, r"plugin-rogue +rogue 1\.0, isolated")

    def test_only_plugins_can_be_isolated(self):
        self.write(10, {})
        result = weir.run(weir.PIPELINE, {**self.parameters, "isolate": "rouge"}, data=self.data)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "'rouge' is none of the plugins")

    def test_what_it_prints_is_passed_on_and_bounded(self):
        self.write(100, {"print": 10})
        result = weir.run(weir.PIPELINE, self.parameters, data=self.data)
        self.assert_finished(result)
        self.assertIn("plugin rogue 1.0: printed by 55\n", result.stderr)
        self.write(100, {"flood": 30})
        result = weir.run(weir.PIPELINE, self.parameters, "--fresh", data=self.data)
        self.assert_finished(result)
        self.assertIn("plugin rogue 1.0: line 0 of many\n", result.stderr)
        self.assertRegex(result.stderr, r"plugin rogue 1\.0: \(\d+ lines that are not shown\)\n")
        self.assertLess(len(result.stderr), 2_000_000)


if __name__ == "__main__":
    weir.main()
