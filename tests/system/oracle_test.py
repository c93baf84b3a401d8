#!/usr/bin/env python3
"""The judge is judged: the oracle on inputs small enough to count by hand, the comparison on outputs with a planted fault."""

import pathlib
import subprocess
import tempfile
import unittest

import compare
import generate
import oracle
from workload import Workload

HOUR = "2024-03-{:02d}T{:02d}:30:00.000Z"


def event(event_id, hour, **more):
    members = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'{{"id":{event_id},"time":"{HOUR.format(1 + hour // 24, hour % 24)}"{members}}}'


class Oracle(unittest.TestCase):
    def expect(self, *files):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "input").mkdir()
            for number, lines in enumerate(files):
                (pathlib.Path(folder) / "input" / f"{number}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            return oracle.expect(folder)

    def test_eight_slices_are_a_duplicate_and_nine_are_not(self):
        for hours, accepted in ((0, 1), (3, 1), (24, 1), (26, 1), (27, 2)):
            with self.subTest(hours=hours):
                # From 00:30: 24 to 26 hours later are 8 slices of 3 hours, 27 are 9.
                expected = self.expect([event('"x"', 0)], [event('"x"', hours)])
                self.assertEqual(expected.counts["accepted"], accepted)

    def test_what_depends_on_the_order_is_refused(self):
        with self.assertRaisesRegex(RuntimeError, "order"):
            self.expect([event('"x"', 0), event('"x"', 24), event('"x"', 48)])

    def test_what_could_be_late_is_refused(self):
        with self.assertRaisesRegex(RuntimeError, "late"):
            self.expect([event('"x"', 27), event('"y"', 0)])

    def test_a_number_and_its_text_are_one_id(self):
        expected = self.expect([event('"7"', 0), event("7", 0), event('"\\u0037"', 1)])
        self.assertEqual((expected.counts["accepted"], expected.counts["duplicates"]), (1, 2))

    def test_dead_and_blank_lines(self):
        expected = self.expect(["", "{}", "[]", '{"id":null}', event('"x"', 0)[:-1], event('"x"', 0, n="NaN"), event('"x"', 0)])
        self.assertEqual((expected.counts["blank"], expected.counts["dead"], expected.counts["accepted"]), (1, 5, 1))

    def test_routes(self):
        self.assertEqual(oracle.routes({"priority": 6}), {"alerts"})
        self.assertEqual(oracle.routes({"priority": 5}), {"warehouse"})
        self.assertEqual(oracle.routes({"type": "order", "priority": 7, "body": {"amount": 950}}), {"alerts", "orders", "audit"})
        self.assertEqual(oracle.routes({"tenant": "t04", "body": {"region": "eu", "mark": None}}), {"eu", "audit"})


class GeneratorAndComparison(unittest.TestCase):
    """An output that is right, made from the input by the oracle's own words, and then spoilt."""

    @classmethod
    def setUpClass(cls):
        cls.workload = Workload(5000)

    @classmethod
    def tearDownClass(cls):
        cls.workload.remove()

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.out = pathlib.Path(temporary.name)
        self.lines = {}
        accepted = {}
        for path in sorted((self.workload.folder / "input").iterdir()):
            for line in filter(None, oracle.read_lines(path)):
                self.decide(line, accepted)

    def decide(self, line, accepted):
        """A pipeline that reads one line after the other."""
        try:
            event = oracle.parse(line)
        except ValueError:
            record = f'"record":{compare.json.dumps(line.decode())}' if oracle_utf8(line) else \
                f'"record_base64":"{compare.base64.b64encode(line).decode()}"'
            self.lines.setdefault("dead-letters", []).append(f'{{"operator":"source","error":"bad",{record}}}'.encode())
            return
        time = oracle.time_us(event.get("time"), {})
        slices = accepted.setdefault(event["id"], [])
        if time is not None:
            slice_ = time // oracle.SLICE_US
            if any(abs(slice_ - other) <= oracle.REACH for other in slices):
                return
            slices.append(slice_)
        for label in oracle.routes(event):
            self.lines.setdefault(label, []).append(line)

    def write(self):
        for label, lines in self.lines.items():
            folder = self.out / label
            folder.mkdir()
            for part, some in enumerate((lines[::2], lines[1::2])):
                subprocess.run(["zstd", "-qo", folder / f"part-{part}.jsonl.zst"], input=b"".join(line + b"\n" for line in some), check=True)

    def faults(self):
        self.write()
        return self.workload.faults(self.out)

    def test_the_input_has_what_it_should(self):
        counts = self.workload.counts
        self.assertEqual(counts["lines"] + counts["blank"], 5000)
        self.assertTrue(0.08 < counts["duplicates"] / 5000 < 0.12, counts)
        self.assertGreater(counts["dead"], 0)

    def test_the_same_seed_makes_the_same_input(self):
        with tempfile.TemporaryDirectory() as again:
            generate.generate(again, 5000)
            for path in sorted((self.workload.folder / "input").iterdir()):
                self.assertEqual((pathlib.Path(again) / "input" / path.name).read_bytes(), path.read_bytes())

    def test_a_right_output_is_exact(self):
        self.assertEqual(self.faults(), "")

    def test_a_missing_line_is_found_and_shown(self):
        gone = self.lines["warehouse"].pop(100)
        faults = self.faults()
        self.assertIn("warehouse: 1 lines missing, 0 extra", faults)
        self.assertIn(gone.decode()[:60], faults)

    def test_a_line_that_came_out_twice_is_found(self):
        twice = self.lines["alerts"][5]
        self.lines["alerts"].append(twice)
        faults = self.faults()
        self.assertIn("alerts: 0 lines missing, 1 extra", faults)
        self.assertIn(twice.decode()[:60], faults)

    def test_a_line_on_another_route_is_found(self):
        self.lines["elsewhere"] = [self.lines["warehouse"].pop()]
        faults = self.faults()
        self.assertIn("warehouse: 1 lines missing", faults)
        self.assertIn("elsewhere: 0 lines missing, 1 extra", faults)

    def test_a_lost_dead_letter_and_a_changed_byte_are_found(self):
        self.lines["dead-letters"].pop()
        self.lines["audit"][0] = self.lines["audit"][0].replace(b'"type"', b'"Type"', 1)
        faults = self.faults()
        self.assertIn("dead-letters: 1 lines missing", faults)
        self.assertIn("audit: 1 lines missing, 1 extra", faults)

    def test_files_that_are_not_committed_do_not_count_and_do_not_pass(self):
        (self.out / "stray").mkdir()
        (self.out / "stray" / "part-1.jsonl.zst.tmp").write_bytes(b"")
        self.assertIn("neither a committed file", self.faults())

    def test_both_of_two_events_that_are_duplicates_are_found(self):
        # The oracle accepts either line of such a pair, and not both.
        other = next(iter(oracle_variants(self.workload)))
        self.lines["warehouse"].append(other)
        self.assertIn("1 extra", self.faults())


def oracle_utf8(line):
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def oracle_variants(workload):
    """Lines of the input that stand for another line."""
    with open(workload.expected_file, "rb") as file:
        same_as = compare.pickle.load(file)["same_as"]
    for path in sorted((workload.folder / "input").iterdir()):
        yield from (line for line in oracle.read_lines(path) if oracle.fingerprint(line) in same_as)


if __name__ == "__main__":
    unittest.main(verbosity=2)
