#!/usr/bin/env python3
"""Input that is right, and odd: keys that come twice, numbers beyond 64 bits, times of all zones and ages, ids of a megabyte; and a wall
clock that jumps. Through the whole pipeline: each event comes out as its contract says, and nothing is lost."""

import os
import struct
import time

import weir
from bad_input_test import BadInput, event
from compare import dead_letters, lines_by_route

TIME = '"time":"2024-03-01T10:00:00Z"'

RULES = """\
match: first
rules:
  - {when: {tenant: first}, to: first}
  - {when: {tenant: second}, to: second}
default: warehouse
"""


class Values(BadInput):
    def test_of_keys_that_come_twice_the_first_counts(self):
        rules = self.folder / "rules.yaml"
        rules.write_text(RULES, encoding="utf-8")
        lines = [
            f'{{"id":"1",{TIME},"tenant":"first","tenant":"second"}}',
            f'{{"id":"2","tenant":"second",{TIME},"tenant":"first","x":{{"a":1,"a":2}}}}',
            f'{{"id":"3",{TIME},"time":"no time","tenant":"first"}}',
            f'{{"id":"4","time":"no time",{TIME}}}',  # unusable
            f'{{"id":"5","id":"1",{TIME}}}',
            f'{{"id":"1","id":"6",{TIME}}}',  # a duplicate
            f'{{"id":null,"id":"7",{TIME}}}',  # no id
        ]
        self.write("a.jsonl", [line.encode() for line in lines])
        result = self.run_pipeline(routes=rules)
        routes = {route: sorted(found.elements()) for route, found in lines_by_route(self.out).items()}
        self.assertEqual(routes, {"first": [lines[0].encode(), lines[2].encode()], "second": [lines[1].encode()],
                                  "warehouse": [lines[3].encode(), lines[4].encode()]})
        self.assert_dead([lines[6].encode()])
        self.assertEqual(result.operator("source")["unusable_times"], 1)
        self.assertEqual(result.operator("dedup")["records_dropped"], 1)

    def test_numbers_beyond_64_bits(self):
        ids = [2**64 - 1, 2**64, 2**64 + 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**30 + 1, "1e400", "1e401", "-1e400", "1.0", "1",
               "0", "0.1000000000000000055511151231257827", "0.1"]
        out = [f'{{"id":{n},{TIME},"priority":{n}}}' for n in ids]
        again = [f'{{"{TIME[1:]},"id":"{n}"}}' for n in ids] + [f'{{"id":-0,{TIME}}}']  # which is 0
        unusable = [f'{{"id":"t{n}","time":{n}}}' for n in (2**63, 2**64, 10**30, "1e300", "1e999", "-1e999")]
        self.write("a.jsonl", [line.encode() for line in (*out, *again, *unusable)])
        result = self.run_pipeline()
        self.assert_out([line.encode() for line in (*out, *unusable)])
        self.assert_dead([])
        self.assertEqual(result.operator("dedup")["records_dropped"], len(again))
        self.assertEqual(result.operator("source")["unusable_times"], len(unusable))

    def test_ids_of_a_megabyte(self):
        long = "x" * (1 << 20)
        lines = [f'{{"id":"{long}{n}",{TIME}}}'.encode() for n in range(8)]
        again = [f'{{"n":1,"id":"{long}{n}",{TIME}}}'.encode() for n in range(8)]
        escaped = f'{{"id":"{long[:-6]}{chr(92)}u0078xxxxx0",{TIME}}}'.encode()  # the first one, written otherwise
        self.write("a.jsonl", [*lines, *again, escaped])
        result = self.run_pipeline(parallelism=2)
        self.assert_out(lines)
        self.assertEqual(result.operator("dedup")["records_dropped"], 9)
        self.assert_dead([])


class Times(BadInput):
    """from_time shows which time an event was read to have."""

    def times(self, texts):
        return [f'{{"id":"{n}","time":{text if text[0] in "-0123456789" else chr(34) + text[1:] + chr(34)}}}'.encode()
                for n, text in enumerate(texts)]

    def test_zones_and_leap_seconds(self):
        moment = "2016-12-31T23:59:59.999999Z"
        same = ["=2016-12-31T23:59:59.999999Z", "=2016-12-31t23:59:59.999999z", "=2016-12-31 23:59:59.999999999Z",
                "=2017-01-01T05:29:59.999999+05:30", "=2016-12-31T11:59:59.999999-12:00", "=2017-01-01T23:58:59.999999+23:59",
                "=2016-12-31T23:59:59.999999-00:00", "=2016-12-31T23:59:60Z", "=2016-12-31T23:59:60.5Z", "=2017-01-01T05:29:60+05:30",
                "=2016-12-31T15:59:60.25-08:00", "1483228799999999"]
        later = ["=2017-01-01T00:00:00Z", "=2017-01-01T00:00:00.000000-00:01", "1483228800", "1483228800000", "1483228800.5"]
        earlier = ["=2016-12-31T23:59:59.999998Z", "=2016-12-31T23:59:59Z", "=2017-01-01T00:59:59.5+01:00", "1483228799", "1483228799999",
                   "1483228799.9"]
        self.write("a.jsonl", self.times([*earlier, *same, *later]))
        result = self.run_pipeline(from_time=moment)
        self.assert_out(self.times([*earlier, *same, *later])[len(earlier):])
        self.assert_dead([])
        self.assertEqual(result.operator("source")["unusable_times"], 0)
        self.assertEqual(result.operator("source")["records_dropped"], len(earlier))

    def test_times_that_are_none(self):
        none = ["=2016-12-31T24:00:00Z", "=2016-12-31T23:60:00Z", "=2016-12-31T23:59:61Z", "=2016-12-31T23:59:59+24:00",
                "=2016-12-31T23:59:59", "=2016-12-31", "=2015-02-29T00:00:00Z", "=1900-02-29T00:00:00Z", "=2016-13-01T00:00:00Z",
                "=2016-12-31T23:59:59.Z", "=+2016-12-31T23:59:59Z", "=12016-12-31T23:59:59Z", "=2016-12-31T23:59:59 Z"]
        lines = [b'{"id":"good","time":"2016-01-01T00:00:00Z"}', *self.times(none)]
        self.write("a.jsonl", lines)
        result = self.run_pipeline()
        self.assert_out(lines)
        self.assertEqual(result.operator("source")["unusable_times"], len(none))

    def test_dates_before_1970(self):
        early = ["=0001-01-01T00:00:00Z", "=1582-10-10T00:00:00Z", "=1899-12-31T23:59:59Z", "=1900-03-01T00:00:00Z", "-1000000.5", "-0.5",
                 "=1969-12-31T23:59:59.999999Z", "=1970-01-01T00:59:59.999999+01:00", "0", "=2024-02-29T00:00:00Z"]
        lines = self.times(early)
        # Of an id the window counts there as anywhere: an hour later it is a duplicate, two days later it is not.
        again = [b'{"id":"w","time":"1900-03-01T00:00:00Z"}', b'{"id":"w","time":"1900-03-01T01:00:00Z"}', b'{"id":"w","time":"1900-03-03T00:00:00Z"}']
        self.write("a.jsonl", [*lines[:4], *again, *lines[4:]])
        result = self.run_pipeline()
        self.assert_out([*lines, again[0], again[2]])
        self.assert_dead([])
        self.assertEqual(result.operator("source")["unusable_times"], 0)
        self.out, self.data = self.folder / "out-2", self.folder / "data-2"
        self.run_pipeline(from_time="1969-12-31T23:59:59.999999Z")
        self.assert_out(lines[6:])

    def test_dates_after_2262(self):
        # Where nanoseconds in 64 bits end; all are further ahead than a clock can be wrong, so they count as unusable.
        late = ["=2262-04-11T23:47:16.854775807Z", "=2262-04-11T23:47:16.854775808Z", "=2300-01-01T00:00:00Z", "=9999-12-31T23:59:60.999Z",
                "=9999-12-31T23:59:59-23:59", "9223372036854775", "9223372036854775807", "253402300800000000"]
        lines = [event(1), *self.times(late), event(2)]
        self.write("a.jsonl", lines)
        result = self.run_pipeline()
        self.assert_out(lines)
        self.assert_dead([])
        self.assertEqual(result.operator("source")["unusable_times"], len(late))


class JumpingClock(BadInput):
    """Events without a time of their own have that of their arrival, by a wall clock that jumps further than the window is long."""

    def shift(self, seconds):
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("=q", seconds))

    def test_nothing_is_late_and_nothing_comes_twice(self):
        lines = [event(n) for n in range(3000)]
        self.write("a.jsonl", lines)
        self.clock = self.folder / "clock"
        self.clock.write_bytes(bytes(8))
        preload = {**os.environ, "LD_PRELOAD": str(weir.BUILD / "tests" / "libclock_shift.so"), "CLOCK_SHIFT": str(self.clock)}
        parameters = {"input": self.input, "out": self.out, "id": "id", "window": "1h", "rate": 1000}
        options = {"data": self.data, "checkpoint_interval": "200ms", "popen": {"env": preload}}
        day = 24 * 3600
        with weir.Running(weir.PIPELINE, parameters, **options) as running:
            for checkpoint, shift in ((0, 2 * day), (2, -2 * day)):
                self.assertTrue(running.wait_for_checkpoint(checkpoint), str(running.result()))
                self.shift(shift)
            self.assertTrue(running.wait_for_checkpoint(4), str(running.result()))
            running.kill()
        started = time.monotonic()
        result = weir.run(weir.PIPELINE, parameters, **options)
        self.assert_finished(result)
        self.assertLess(time.monotonic() - started, 60)
        self.assertIsNotNone(result.report["checkpoints"]["restored_from"])
        self.assert_out(lines)
        self.assertEqual(list(dead_letters(self.out)), [])
        self.assertEqual(result.operator("dedup")["records_dropped"], 0)


if __name__ == "__main__":
    weir.main()
