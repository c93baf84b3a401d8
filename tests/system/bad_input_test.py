#!/usr/bin/env python3
"""Bad input through the whole pipeline: what is good comes out once, what is not becomes a dead letter that says why; nothing is lost.

bad_input_test.py Lines Files, bad_input_test.py Huge
"""

import collections
import gzip
import json
import re
import subprocess

import weir
from compare import committed_lines, dead_letters, lines_by_route

HEAD_BYTES = 64 << 10
LONG_LINE_BYTES = 200 << 20
LINE_BYTES_MAX = 128 << 20

OUT, DEAD, SKIPPED = "out", "dead", "skipped"
GOOD_TIME = '"time":"2024-03-01T10:00:00Z"'
DIGITS_40 = "1234567890" * 4

# (name, line, what becomes of it, a pattern of the error)
LINES = [
    ("good", f'{{"id":"a1",{GOOD_TIME}}}', OUT, None),
    ("not JSON", "hello world", DEAD, ""),
    ("truncated JSON", f'{{"id":"a2",{GOOD_TIME},"x":{{"y":1', DEAD, ""),
    ("truncated in a text", f'{{"id":"a3",{GOOD_TIME},"x":"un', DEAD, ""),
    ("broken behind the fields that are read", f'{{"id":"a4",{GOOD_TIME},"x":[1,2,,3]}}', DEAD, ""),
    ("a comma too many", f'{{"id":"a5",{GOOD_TIME},}}', DEAD, ""),
    ("two objects", f'{{"id":"a6",{GOOD_TIME}}}{{"id":"a7"}}', DEAD, ""),
    ("an array", '["id","a8"]', DEAD, "object"),
    ("a text", '"id"', DEAD, "object"),
    ("a number", "42", DEAD, "object"),
    ("null", "null", DEAD, "object"),
    ("NaN", f'{{"id":"a9",{GOOD_TIME},"x":NaN}}', DEAD, ""),
    ("a number with a leading zero", f'{{"id":"a10",{GOOD_TIME},"x":007}}', DEAD, ""),
    ("a bare control character", f'{{"id":"a11",{GOOD_TIME},"x":"a\tb"}}', DEAD, ""),
    ("an unknown escape", f'{{"id":"a12",{GOOD_TIME},"x":"\\q"}}', DEAD, ""),
    ("a zero byte", f'{{"id":"a13",{GOOD_TIME},"x":"\0"}}', DEAD, ""),
    ("a single quote", f"{{'id':'a14',{GOOD_TIME}}}", DEAD, ""),
    ("nested 10,000 deep", f'{{"id":"b1",{GOOD_TIME},"x":{"[" * 9_999}{"]" * 9_999}}}', OUT, None),
    ("nested 16,384 deep", f'{{"id":"b2",{GOOD_TIME},"x":{"[" * 16_383}{"]" * 16_383}}}', OUT, None),
    ("nested deeper than the limit", f'{{"id":"b3",{GOOD_TIME},"x":{"[" * 17_000}{"]" * 17_000}}}', DEAD, "16,?384|deep"),
    ("nested 10,000 deep and broken", f'{{"id":"b4",{GOOD_TIME},"x":{"[" * 9_999}}}', DEAD, ""),
    ("objects 5,000 deep", f'{{"id":"b5",{GOOD_TIME},"x":' + '{"k":' * 4_999 + "1" + "}" * 5_000, OUT, None),
    ("a number of 40 digits", f'{{"id":"c1",{GOOD_TIME},"x":{DIGITS_40}}}', OUT, None),
    ("a negative number of 40 digits with a fraction", f'{{"id":"c2",{GOOD_TIME},"x":-{DIGITS_40}.5e+3}}', OUT, None),
    ("a number of 5,000 digits", f'{{"id":"c3",{GOOD_TIME},"x":{"7" * 5_000}}}', OUT, None),
    ("a number beyond every double", f'{{"id":"c4",{GOOD_TIME},"x":1e999}}', OUT, None),
    ("40 digits and broken", f'{{"id":"c5",{GOOD_TIME},"x":{DIGITS_40}x}}', DEAD, ""),
    ("an id of 40 digits", f'{{"id":{DIGITS_40},{GOOD_TIME}}}', OUT, None),
    ("an id of 40 other digits", f'{{"id":{DIGITS_40[:-1]}1,{GOOD_TIME}}}', OUT, None),
    ("no id", f'{{{GOOD_TIME},"n":1}}', DEAD, "id.*missing"),
    ("an id inside of something else", f'{{"x":{{"id":"d1"}},{GOOD_TIME}}}', DEAD, "id.*missing"),
    ("id null", f'{{"id":null,{GOOD_TIME}}}', DEAD, "id.*null"),
    ("id true", f'{{"id":true,{GOOD_TIME}}}', DEAD, "id.*true"),
    ("id an array", f'{{"id":["d2"],{GOOD_TIME}}}', DEAD, "id.*array"),
    ("id an object", f'{{"id":{{}},{GOOD_TIME}}}', DEAD, "id.*object"),
    ("id a number", f'{{"id":77,{GOOD_TIME}}}', OUT, None),
    ("id the same number as a text", f'{{"id":"77",{GOOD_TIME},"n":2}}', SKIPPED, None),
    ("id written with escapes", f'{{"id":"\\u0061\\u0031",{GOOD_TIME}}}', SKIPPED, None),
    ("the key id written with escapes", f'{{"\\u0069d":"d3",{GOOD_TIME}}}', OUT, None),
    ("id twice, the first counts", f'{{"id":"d4","id":"a1",{GOOD_TIME}}}', OUT, None),
    ("id with a zero character", f'{{"id":"d5\\u0000x",{GOOD_TIME}}}', OUT, None),
    ("id with another end behind a zero character", f'{{"id":"d5\\u0000y",{GOOD_TIME}}}', OUT, None),
    ("half of a surrogate pair", f'{{"id":"s1",{GOOD_TIME},"x":"\\ud800"}}', OUT, None),
    ("an id that is half of a surrogate pair", f'{{"id":"\\ud800",{GOOD_TIME},"type":"\\udc00","tenant":"\\udfff"}}', OUT, None),
    ("an id that is another half", f'{{"id":"\\ud801",{GOOD_TIME}}}', OUT, None),
    ("the first of them again", f'{{"id":"\\uD800",{GOOD_TIME}}}', SKIPPED, None),
    ("no time", '{"id":"t1"}', OUT, None),
    ("time a text that is none", '{"id":"t2","time":"tomorrow"}', OUT, None),
    ("time true", '{"id":"t3","time":true}', OUT, None),
    ("time null", '{"id":"t4","time":null}', OUT, None),
    ("time an object", '{"id":"t5","time":{"a":1}}', OUT, None),
    ("30 February", '{"id":"t6","time":"2024-02-30T00:00:00Z"}', OUT, None),
    ("time in 2099", '{"id":"t7","time":"2099-01-01T00:00:00Z"}', OUT, None),
    ("time in 2099 as a number", '{"id":"t8","time":4070908800000}', OUT, None),
    ("time of 40 digits", f'{{"id":"t9","time":{DIGITS_40}}}', OUT, None),
    ("priority no integer", f'{{"id":"p1",{GOOD_TIME},"priority":"high"}}', OUT, None),
    ("tenant no text", f'{{"id":"p2",{GOOD_TIME},"tenant":{{"a":1}}}}', OUT, None),
    ("blank", "", SKIPPED, None),
    ("white space", "  \t ", SKIPPED, None),
    ("white space around", f'  {{ "id" : "w1", {GOOD_TIME} }}\t', OUT, None),
    ("a carriage return at the end", f'{{"id":"w2",{GOOD_TIME}}}\r', OUT, None),
    ("empty object", "{}", DEAD, "id.*missing"),
    ("a long text", f'{{"id":"l1",{GOOD_TIME},"x":"{"y" * 3_000_000}"}}', OUT, None),
]
UNUSABLE_TIMES = 9

BYTES = [
    ("invalid UTF-8 in a text", b'{"id":"u1","x":"\xff\xfe"}'),
    ("invalid UTF-8 in the id", b'{"id":"u2\xc3"}'),
    ("an overlong form", b'{"id":"u3","x":"\xc0\xaf"}'),
    ("half of a surrogate pair in UTF-8", b'{"id":"u4","x":"\xed\xa0\x80"}'),
    ("binary data", bytes(range(1, 10)) + bytes(range(11, 256))),
]


def lines_of(*what):
    return [line.encode() for _, line, becomes, _ in LINES if becomes in what]


def event(number, seconds=0):
    return f'{{"id":"e{number}","time":"2024-03-01T10:{seconds // 60 % 60:02d}:{seconds % 60:02d}Z"}}'.encode()


class BadInput(weir.Case):
    def setUp(self):
        super().setUp()
        self.input = self.folder / "input"
        self.input.mkdir()

    def write(self, name, lines, end=b"\n"):
        """Writes lines to a file, compressed by the ending of its name; the compressed bytes."""
        content = b"\n".join(lines) + (end if lines else b"")
        path = self.input / name
        if name.endswith(".gz"):
            content = gzip.compress(content, 1)
        elif name.endswith(".zst"):
            content = subprocess.run(["zstd", "-qc"], input=content, stdout=subprocess.PIPE, check=True).stdout
        path.write_bytes(content)
        return content

    def run_pipeline(self, parallelism=1, **parameters):
        result = weir.run(weir.PIPELINE, {**weir.FIELDS, "input": self.input, "out": self.out, **parameters},
                          data=self.data, parallelism=parallelism)
        self.assert_finished(result)
        self.assertEqual(result.report["restarts"], 0, str(result))
        self.letters = list(dead_letters(self.out))
        return result

    def assert_out(self, lines):
        expected = collections.Counter(lines)
        found = lines_by_route(self.out).get("warehouse", collections.Counter())
        for what, lines in (("missing", expected - found), ("extra", found - expected)):
            self.assertFalse(lines, f"{what}: {[line[:100] for line in lines]}")

    def assert_dead(self, records):
        found = collections.Counter(record for _, _, record in self.letters)
        expected = collections.Counter(records)
        for what, lines in (("missing", expected - found), ("extra", found - expected)):
            self.assertFalse(lines, f"{what} dead letters: {[line[:100] for line in lines]}")

    def error_of(self, record):
        return next((stage, error) for stage, error, dead in self.letters if dead == record)


class Lines(BadInput):
    def check(self, name, parallelism):
        self.write(name, [line.encode() for _, line, _, _ in LINES])
        result = self.run_pipeline(parallelism)
        self.assert_out(lines_of(OUT))
        self.assert_dead(lines_of(DEAD))
        for number, (what, line, becomes, pattern) in enumerate(LINES, start=1):
            if becomes == DEAD:
                with self.subTest(what=what):
                    stage, error = self.error_of(line.encode())
                    self.assertEqual(stage, "source")
                    self.assertRegex(error, pattern or ".")
                    self.assertRegex(error, rf"{re.escape(name)}, line {number} at byte \d+")
        self.assertEqual(result.operator("source")["dead_letters"], len(lines_of(DEAD)))
        self.assertEqual(result.operator("dead-letters")["records_in"], len(lines_of(DEAD)))
        self.assertEqual(result.operator("source")["unusable_times"], UNUSABLE_TIMES)

    def test_every_kind_of_line(self):
        self.check("a.jsonl", 1)

    def test_every_kind_of_line_compressed_and_at_parallelism_2(self):
        self.check("a.jsonl.zst", 2)

    def test_bytes_that_are_not_utf8_are_kept_in_base64(self):
        self.write("a.jsonl", [event(1), *(line for _, line in BYTES), event(2)])
        self.run_pipeline()
        self.assert_out([event(1), event(2)])
        self.assert_dead([line for _, line in BYTES])
        for path in (self.out / "dead-letters").glob("part-*"):
            for line in subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout.splitlines():
                self.assertIn("record_base64", json.loads(line.decode("utf-8")))

    def test_ids_of_several_fields(self):
        lines = [b'{"a":"x","b":1,"n":1}', b'{"a":"x","b":"1","n":2}', b'{"a":"x,1","b":"","n":3}', b'{"a":"x","b":",1","n":4}',
                 b'{"a":"x","n":5}', b'{"b":1,"a":"x","n":6}']
        self.write("a.jsonl", lines)
        self.run_pipeline(id="a,b", time="")
        self.assert_out([lines[0], lines[2], lines[3]])
        self.assert_dead([lines[4]])

    def test_an_event_below_the_floor_is_late_and_not_lost(self):
        hours = [f'{{"id":"h{n}","time":"2024-03-{1 + n // 24:02d}T{n % 24:02d}:00:00Z"}}'.encode() for n in range(24 * 5)]
        fill = [f'{{"id":"f{n}","time":"2024-03-05T23:00:00Z"}}'.encode() for n in range(20_000)]
        late = b'{"id":"late","time":"2024-03-01T00:00:00Z"}'
        again = hours[0]
        just = b'{"id":"just","time":"2024-03-04T21:00:00Z"}'  # 8 slices before the last one
        not_just = b'{"id":"not-just","time":"2024-03-04T20:59:59Z"}'
        self.write("a.jsonl", [*hours, *fill, late, again, just, not_just])
        result = self.run_pipeline()
        self.assert_out([*hours, *fill, just])
        self.assert_dead([late, again, not_just])
        for record in (late, again, not_just):
            stage, error = self.error_of(record)
            self.assertEqual(stage, "dedup")
            self.assertIn("late", error)
        self.assertEqual(result.operator("dedup")["dead_letters"], 3)
        self.assertEqual(result.operator("dedup")["records_dropped"], 0)

    def test_an_event_in_2099_makes_nothing_late(self):
        future = b'{"id":"future","time":"2099-01-01T00:00:00Z"}'
        lines = [event(n, n) for n in range(3000)]
        self.write("a.jsonl", [lines[0], future, *lines[1:]])
        self.write("b.jsonl", [future])
        result = self.run_pipeline()
        self.assert_dead([])
        # Its two lines have different times, that of the line before and that of arrival, so they may both come out.
        found = lines_by_route(self.out)["warehouse"]
        self.assertIn(found.pop(future), (1, 2))
        self.assertEqual(found, collections.Counter(lines))
        self.assertEqual(result.operator("source")["unusable_times"], 2)


class Files(BadInput):
    def test_empty_files_of_all_kinds(self):
        for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst"):
            (self.input / name).write_bytes(b"")
        self.write("d.jsonl", [event(1)])
        self.write("e.jsonl.zst", [])
        self.write("f.jsonl.gz", [])
        self.run_pipeline(2)
        self.assert_out([event(1)])
        self.assert_dead([])

    def test_only_an_empty_file(self):
        self.write("a.jsonl", [])
        result = self.run_pipeline()
        self.assert_out([])
        self.assertEqual(result.operator("source")["records_out"], 0)

    def test_a_last_line_without_its_line_feed(self):
        self.write("a.jsonl", [event(1), event(2)], end=b"")
        self.write("b.jsonl.gz", [event(3), event(4)], end=b"")
        self.write("c.jsonl.zst", [event(5), b'{"id":'], end=b"")
        self.run_pipeline()
        self.assert_out([event(n) for n in range(1, 6)])
        self.assert_dead([b'{"id":'])

    def test_several_members_and_frames_in_one_file(self):
        for name in ("a.jsonl.gz", "b.jsonl.zst"):
            content = b"".join(self.write(name, [event(f"{name}{n}"), event(f"{name}{n}x")]) for n in range(5))
            (self.input / name).write_bytes(content)
        self.run_pipeline()
        self.assert_out([event(f"{name}{n}{x}") for name in ("a.jsonl.gz", "b.jsonl.zst") for n in range(5) for x in ("", "x")])

    def truncated(self, name, damage):
        lines = [event(f"{name}-{n * n * 7919}", n) for n in range(40_000)]
        content = self.write(name, lines)
        (self.input / name).write_bytes(content[: len(content) * 2 // 3])
        self.write("good.jsonl", [event(1), event(2)])
        result = self.run_pipeline()
        found = lines_by_route(self.out)["warehouse"]
        whole = [line for line in lines if line in found]
        self.assertGreater(len(whole), 10_000)
        self.assertEqual(whole, lines[: len(whole)])
        self.assert_out([*whole, event(1), event(2)])
        self.assertEqual(len(self.letters), 1)
        stage, error, record = self.letters[0]
        self.assertEqual(stage, "source")
        self.assertIn(name, error)
        self.assertIn(damage, error)
        self.assertTrue(lines[len(whole)].startswith(record), record[:200])
        self.assertEqual(result.operator("source")["dead_letters"], 1)

    def test_a_truncated_gz_file_gives_what_it_has(self):
        self.truncated("a.jsonl.gz", "gzip")

    def test_a_truncated_zst_file_gives_what_it_has(self):
        self.truncated("a.jsonl.zst", "zstd")

    def test_compressed_files_with_a_flipped_bit_and_files_of_another_kind(self):
        content = bytearray(self.write("a.jsonl.gz", [event(n * n * 7919, n) for n in range(20_000)]))
        content[len(content) // 2] ^= 4
        (self.input / "a.jsonl.gz").write_bytes(content)
        (self.input / "b.jsonl.zst").write_bytes(b"this is no zstd file")
        (self.input / "c.jsonl.gz").write_bytes(b"this is no gzip file")
        self.write("d.jsonl", [event("d")])
        self.run_pipeline()
        self.assertIn(event("d"), lines_by_route(self.out)["warehouse"])
        for name in ("a.jsonl.gz", "b.jsonl.zst", "c.jsonl.gz"):
            self.assertTrue([error for _, error, _ in self.letters if name in error], f"{name}: {self.letters}")

    def test_a_file_that_changed_underneath_is_an_error(self):
        self.write("a.jsonl", [event(n, n) for n in range(500)])
        parameters = {**weir.FIELDS, "input": self.input, "out": self.out, "rate": 500}
        with weir.Running(weir.PIPELINE, parameters, data=self.data, checkpoint_interval="50ms") as running:
            self.assertTrue(running.wait_for_checkpoint(1))
            running.kill()
        self.write("a.jsonl", [event(n, n) for n in range(1000, 1400)])
        result = weir.run(weir.PIPELINE, parameters, data=self.data)
        self.assertNotEqual(result.code, weir.DONE, str(result))
        self.assert_says(result, "a.jsonl", "change")


class Huge(BadInput):
    def too_long(self, parallelism, name):
        long_line = b'{"id":"long","x":"' + b"y" * LONG_LINE_BYTES + b'"}'
        self.write(name, [event(1), long_line, event(2)])
        self.run_pipeline(parallelism)
        self.assert_out([event(1), event(2)])
        self.assert_dead([long_line[:HEAD_BYTES]])
        stage, error, _ = self.letters[0]
        self.assertEqual(stage, "source")
        for text in (name, f"byte {len(event(1)) + 1}:", str(len(long_line)), str(LINE_BYTES_MAX)):
            self.assertIn(text, error)

    def test_a_line_of_200_mb(self):
        self.too_long(1, "a.jsonl")

    def test_a_compressed_line_of_200_mb(self):
        self.too_long(2, "a.jsonl.zst")

    def test_a_line_of_100_mb_comes_out(self):
        line = b'{"id":"long","x":"' + b"y" * (100 << 20) + b'"}'
        self.write("a.jsonl", [event(1), line, event(2)])
        self.run_pipeline()
        self.assert_out([event(1), line, event(2)])


class Policies(weir.Case):
    """Rows that an operator's code refuses, in a job with state behind it: counted, and without a trace in state and output."""

    events, bad, refused_every = 200, 55, 7

    def run_job(self, policy, **more):
        folder = self.folder / "input"
        folder.mkdir(exist_ok=True)
        (folder / "a.jsonl").write_text("".join(f'{{"n":{number}}}\n' for number in range(self.events)), encoding="utf-8")
        return weir.run(weir.library("suspect"), {"input": folder, "out": self.out, "policy": policy, "break-at": self.bad,
                                                  "fail-every": self.refused_every, **more}, data=self.data)

    def good(self):
        counts = {}
        for number in range(self.events):
            if number != self.bad and number % self.refused_every:
                counts[number % 10] = counts.get(number % 10, 0) + 1
                yield number, number % 10, counts[number % 10]

    def test_dead_letters_and_drops_are_counted_where_they_belong(self):
        refused = len(range(0, self.events, self.refused_every))
        for policy, member, other in (("dead-letter", "dead_letters", "records_dropped"),
                                      ("drop", "records_dropped", "dead_letters")):
            with self.subTest(policy=policy):
                self.data, self.out = self.folder / f"data-{policy}", self.folder / f"out-{policy}"
                result = self.run_job(policy)
                self.assert_finished(result)
                for stage, number in (("touchy", 1), ("count", refused)):
                    self.assertEqual(result.operator(stage)[member], number)
                    self.assertEqual(result.operator(stage)[other], 0)
                self.assertEqual(result.operator("count")["records_out"], self.events - 1 - refused)
                rows = [json.loads(line) for line in committed_lines(self.out / "counted")]
                self.assertEqual(sorted((row["n"], row["key"], row["count"]) for row in rows), sorted(self.good()))
                letters = list(dead_letters(self.out))
                self.assertEqual(len(letters), 1 + refused if policy == "dead-letter" else 0)
                if letters:
                    self.assertIn(("touchy", "broken: throw", b'{"n":%d}' % self.bad), letters)

    def test_fail_ends_the_job_at_once_and_names_stage_error_and_row(self):
        result = self.run_job("fail", **{"fail-every": 0})
        self.assert_code(result, weir.FAILED)
        self.assertEqual(result.report["state"], "FAILED")
        self.assertEqual(result.report["restarts"], 0)
        for text in ("stage 'touchy'", "broken: throw", f'{{"n":{self.bad}}}'):
            self.assertIn(text, result.report["error"])
            self.assert_says(result, text)
        self.assertEqual(list(self.out.glob("*/part-*")), [])

if __name__ == "__main__":
    weir.main()
