#!/usr/bin/env python3
"""Rules of a router that change while the job runs, with kills between: each event is routed by one version, once, and the versions
follow each other in the order of the input."""

import collections
import json
import random
import re
import signal
import sys
import time

import weir
from compare import committed_lines, lines_by_route, route_folders

EFFECT = re.compile(r"takes effect behind checkpoint (\d+)")
FILES = 3


def rules_of(version):
    """Two rules, whose labels must agree for each event, and a third that takes one event in four."""
    return ("match: all\n"
            "default: none\n"
            "rules:\n"
            f"  - {{name: one, to: v{version}}}\n"
            f"  - {{name: two, when: {{payload.n: {{min: 0}}}}, to: w{version}}}\n"
            f"  - {{name: some, when: {{id: {{percent: 25, salt: s}}}}, to: some}}\n")


class ReloadCase(weir.Case):
    def setUp(self):
        super().setUp()
        self.input, self.rules = self.folder / "input", self.folder / "rules.yaml"
        self.input.mkdir()
        self.version = 0
        self.rules.write_text(rules_of(0), encoding="utf-8")

    def write_input(self, events):
        """FILES files; n of an event is its place in its file."""
        self.events = events
        for name in range(FILES):
            with open(self.input / f"{name}.jsonl", "w", encoding="utf-8") as file:
                for n in range(name, events, FILES):
                    file.write(f'{{"id":"e{n}","n":{n},"file":{name}}}\n')

    def parameters(self, **more):
        return {"input": self.input, "out": self.out, "routes": self.rules, "id": "id", **more}

    def write_rules(self, text):
        """As one step."""
        fresh = self.folder / "rules.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.rules)

    def next_version(self):
        self.version += 1
        self.write_rules(rules_of(self.version))

    def check_routes(self):
        """Of every event two labels, of one version, and along each file the versions never go back. Returns the versions."""
        by_label = {}
        some = collections.Counter()
        for label, folder in route_folders(self.out).items():
            if label == "dead-letters":
                self.assertEqual(list(committed_lines(folder)), [])
                continue
            for line in committed_lines(folder):
                event = json.loads(line)
                if label == "some":
                    some[event["n"]] += 1
                    continue
                found = by_label.setdefault(event["n"], {})
                self.assertNotIn(label, found, f"event {event['n']} is twice in {label}")
                found[label] = True
        self.assertEqual(sorted(by_label), list(range(self.events)), "every event once")
        version_of = {}
        for n, labels in by_label.items():
            versions = {label[1:] for label in labels}
            self.assertEqual((sorted(label[0] for label in labels), len(versions)), (["v", "w"], 1), (n, labels))
            version_of[n] = int(versions.pop())
        for name in range(FILES):
            along = [version_of[n] for n in range(name, self.events, FILES)]
            self.assertEqual(along, sorted(along), f"the versions along file {name} go back")
        self.assertEqual(set(some.values()), {1})
        self.assertAlmostEqual(len(some) / self.events, 0.25, delta=0.05)
        return set(version_of.values())

    def reload_under_load(self, reloads, kill_every, events, rate, parallelisms, seed):
        """So many new versions, and a kill at a random moment of so many; then the run to its end."""
        self.write_input(events)
        parameters = self.parameters(rate=rate)
        options = {"data": self.data, "checkpoint_interval": f"{weir.INTERVAL_MS}ms"}
        choose = random.Random(seed)
        effects, kills = 0, 0
        while self.version < reloads:
            parallelism = parallelisms[kills % len(parallelisms)]
            with weir.Running(weir.PIPELINE, parameters, parallelism=parallelism, **options) as running:
                self.assertTrue(running.wait_until("a start", lambda: "attempt" in running.stderr()), str(running.result()))
                for turn in range(kill_every):
                    seen = len(EFFECT.findall(running.stderr()))
                    self.next_version()
                    if self.version % 4:  # the others are found by themselves
                        running.signal(signal.SIGHUP)
                    last = turn == kill_every - 1 or self.version == reloads
                    if last and kills % 2:  # anywhere between the file and the barrier that brings it
                        time.sleep(choose.uniform(0, 0.15))
                        break
                    self.assertTrue(running.wait_until(
                        f"version {self.version}", lambda: len(EFFECT.findall(running.stderr())) > seen), str(running.result()))
                    if last:  # between that barrier and the commits of its checkpoint
                        time.sleep(choose.uniform(0, 0.03))
                        break
                    # Events go by it until the next checkpoint at least.
                    self.assertTrue(running.wait_for_checkpoint(int(EFFECT.findall(running.stderr())[-1])), str(running.result()))
                self.assertIsNone(running.process.poll(), f"it ended too early: the rate is too high\n{running.result()}")
                running.kill()
                kills += 1
                effects += len(EFFECT.findall(running.stderr()))
        result = weir.run(weir.PIPELINE, parameters, parallelism=parallelisms[0], timeout=600, **options)
        self.assert_finished(result)
        effects += len(EFFECT.findall(result.stderr))
        versions = self.check_routes()
        print(f"{reloads} reloads, {kills} kills, {effects} changes took effect, {len(versions)} versions routed events: "
              f"{sorted(versions)}", file=sys.stderr)
        self.assertGreaterEqual(effects, reloads - kills)
        self.assertIn(reloads, versions)
        # A version that lived for less than a batch may have routed nothing; most did.
        self.assertGreater(len(versions), reloads // 2)
        return result


class Small(ReloadCase):
    def test_reloads_with_kills_between(self):
        self.reload_under_load(reloads=8, kill_every=3, events=100_000, rate=8_000, parallelisms=(2, 1), seed=4)

    def test_wrong_rules_and_a_missing_file_change_nothing(self):
        self.write_input(12_000)
        with weir.Running(weir.PIPELINE, self.parameters(rate=3_000), data=self.data, checkpoint_interval="500ms") as running:
            def says(text):
                return lambda: text in running.stderr()
            running.wait_until("a start", says("attempt"))
            self.write_rules("rules:\n  - {to: fine}\n  - {when: {tpye: x}, to: y}\n")
            running.signal(signal.SIGHUP)
            self.assertTrue(running.wait_until("an error", says("rules.yaml:3: unknown condition 'tpye'")), str(running.result()))
            self.write_rules("rules:\n  - {to: x, port: elsewhere}\n")
            self.assertTrue(running.wait_until("an error", says("the job declares no ports")), str(running.result()))
            self.rules.unlink()
            self.assertTrue(running.wait_until("an error", says("rules.yaml: No such file")), str(running.result()))
            self.version = 7
            self.write_rules(rules_of(7))
            self.assertTrue(running.wait_until("version 7", lambda: EFFECT.search(running.stderr())), str(running.result()))
            result = running.wait()
        self.assert_finished(result)
        self.assertEqual(self.check_routes(), {0, 7})
        counters = result.operator("router")["counters"]
        self.assertEqual((counters["reloads"], counters["reloads_refused"]), (1, 3))

    def wait_for_results(self, running):
        """Until some events have been routed and committed: the first checkpoints may come before any of them."""
        newest = 0
        while not any(self.out.glob("*/part-*")):
            self.assertTrue(running.wait_for_checkpoint(newest), str(running.result()))
            newest = max(weir.completed_checkpoints(self.data))

    def test_a_run_goes_on_though_its_rules_have_changed_but_not_with_wrong_ones(self):
        self.write_input(12_000)
        options = {"data": self.data, "checkpoint_interval": "200ms"}
        parameters = self.parameters(rate=4_000)
        with weir.Running(weir.PIPELINE, parameters, **options) as running:
            self.wait_for_results(running)
            running.kill()
        before = weir.completed_checkpoints(self.data)
        for text in ("rules: [{to: '!'}]\n", None):
            self.rules.unlink()
            if text:
                self.rules.write_text(text, encoding="utf-8")
            result = weir.run(weir.PIPELINE, parameters, **options)
            self.assert_code(result, weir.CONFIGURATION)
            self.assert_says(result, "rules.yaml")
            self.assertEqual(weir.completed_checkpoints(self.data), before)
        self.next_version()
        result = weir.run(weir.PIPELINE, parameters, **options)
        self.assert_finished(result)
        self.assertIsNotNone(result.report["checkpoints"]["restored_from"])
        self.assertEqual(self.check_routes(), {0, 1})

        # The finished run is what it was; with other rules it is another one, and these are its results.
        result = weir.run(weir.PIPELINE, parameters, **options)
        self.assert_finished(result)
        self.next_version()
        result = weir.run(weir.PIPELINE, parameters, **options)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, str(self.out))

    def test_a_checkpoint_that_is_started_from_brings_its_rules(self):
        self.write_input(12_000)
        options = {"data": self.data, "checkpoint_interval": "300ms"}
        with weir.Running(weir.PIPELINE, self.parameters(rate=4_000), **options) as running:
            self.wait_for_results(running)
            running.kill()
        checkpoint = weir.newest_checkpoint(self.data)
        self.next_version()
        result = weir.run(weir.PIPELINE, self.parameters(rate=5_000), "--from", checkpoint, **options)
        self.assert_finished(result)
        self.assertEqual(self.check_routes(), {0, 1})
        self.assertTrue(EFFECT.search(result.stderr), str(result))

    def test_hanging_up_ends_a_job_without_rules_and_reloads_one_with_them(self):
        self.write_input(12_000)
        with weir.Running(weir.PIPELINE, self.parameters(rate=1_000, routes=""), data=self.data) as running:
            running.wait_until("a start", lambda: "attempt" in running.stderr())
            running.signal(signal.SIGHUP)
            self.assertEqual(running.wait(30).code, -signal.SIGHUP)
        with weir.Running(weir.PIPELINE, self.parameters(rate=1_000), data=self.folder / "other") as running:
            running.wait_until("a start", lambda: "attempt" in running.stderr())
            running.signal(signal.SIGHUP)
            self.assertTrue(running.wait_until("an answer", lambda: "nothing has changed" in running.stderr()),
                            str(running.result()))


class Large(ReloadCase):
    def test_a_hundred_reloads_under_load_with_kills_between(self):
        self.reload_under_load(reloads=100, kill_every=5, events=1_200_000, rate=8_000, parallelisms=(2, 3, 1), seed=100)


if __name__ == "__main__":
    weir.main()
