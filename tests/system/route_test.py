#!/usr/bin/env python3
"""`weir route`: which rule an event takes, and why the others do not; and the same answer as the job gives."""

import json

import weir
from compare import dead_letters, lines_by_route

RULES = """rules:
  - name: late
    when: {type: departure, payload.delay: {min: 60}}
    to: alerts
  - name: hubs
    when: {tenant: [ATL, ORD]}
    to: [hubs, archive]
  - name: canary
    when: {id: {percent: 20}}
    to: canary
"""
FIELDS = ["--id", "id", "--type", "type", "--tenant", "tenant", "--priority", "priority", "--time", "time"]


class Route(weir.Case):
    def setUp(self):
        super().setUp()
        self.rules = self.folder / "rules.yaml"
        self.rules.write_text(RULES, encoding="utf-8")

    def route(self, event, *flags, **options):
        return weir.command(weir.WEIR, "route", "--rules", self.rules, "--event", event, *FIELDS, *flags, **options)

    def test_every_rule_is_told_with_the_first_condition_that_failed(self):
        result = self.route('{"id":"1","type":"departure","tenant":"ATL","delay":59}')
        self.assert_code(result, weir.DONE)
        lines = result.stdout.splitlines()
        self.assertRegex(lines[0], r"^   late +line 2 +line 3: payload\.delay: \{min: 60\}: it is 59$")
        self.assertRegex(lines[1], r"^-> hubs +line 5 +matches, to hubs, archive$")
        self.assertEqual(lines[-1], "route: hubs, archive")

    def test_json_and_lines_of_a_file_and_of_stdin(self):
        events = self.folder / "events"
        events.write_text('{"id":"1","tenant":"ORD"}\n\n{"id":2\n{"n":1}\n{"id":"x1"}\n', encoding="utf-8")
        result = self.route(f"@{events}", "-o", "json")
        self.assert_code(result, weir.DONE)
        told = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([[route["label"] for route in event["routes"]] for event in told[:3]], [["hubs", "archive"], [], []])
        self.assertIn("not JSON", told[1]["dead_letter"])
        self.assertIn("id", told[2]["dead_letter"])
        self.assertEqual([rule["taken"] for rule in told[0]["rules"]][:2], [False, True])
        self.assertIn("type: departure", told[0]["rules"][0]["failed"])
        with open(events, "rb") as stdin:
            piped = self.route("-", "-o", "json", stdin=stdin)
        self.assert_code(piped, weir.DONE)
        self.assertEqual(piped.stdout, result.stdout)

    def test_it_says_what_the_job_does(self):
        lines = [json.dumps({"id": f"e{n}", "tenant": ["ATL", "x"][n % 7 == 0], "type": ["departure", "arrival"][n % 2],
                             "delay": n % 90}) for n in range(400)]
        input_file = self.folder / "events.jsonl"
        input_file.write_text("\n".join(lines) + "\nno event\n", encoding="utf-8")
        result = weir.run(weir.PIPELINE, {"input": input_file, "out": self.out, "routes": self.rules, "id": "id", "type": "type",
                                          "tenant": "tenant"}, data=self.data)
        self.assert_finished(result)
        by_label = {}
        answer = self.route(f"@{input_file}", "-o", "json")
        for line, told in zip([*lines, "no event"], map(json.loads, answer.stdout.splitlines())):
            for route in told["routes"] or [{"label": "dead"}]:
                by_label.setdefault(route["label"], set()).add(line)
        found = {label: {line.decode() for line in of_label} for label, of_label in lines_by_route(self.out).items()}
        found["dead"] = {record.decode() for _, _, record in dead_letters(self.out)}
        self.assertEqual(found, by_label)
        self.assertGreater(len(by_label["canary"]), 2)

    def test_exit_codes(self):
        event = '{"id":1}'
        self.assert_code(self.route(f"@{self.folder}/missing"), weir.UNREACHABLE)
        self.assert_code(self.route(""), weir.USAGE)
        self.assert_code(weir.command(weir.WEIR, "route", "--event", event), weir.USAGE)
        self.rules.write_text("rules:\n  - {when: {type: {matches: '('}}, to: x}\n", encoding="utf-8")
        result = self.route(event)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "rules.yaml:2: type.matches")
        self.rules.unlink()
        result = self.route(event)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "rules.yaml")

    def test_any_port_may_be_named(self):
        self.rules.write_text("rules: [{to: x, port: urgent}]\n", encoding="utf-8")
        self.assertIn("route: x by port urgent", self.route('{"id":1}').stdout)


if __name__ == "__main__":
    weir.main()
