"""The figures that examples/flights/README.md states are those of the files."""

import json
import re
import subprocess

from tree import Fault

README = "examples/flights/README.md"
INPUT = "examples/flights/input/"


def check_flights(tree):
    faults, total, distinct = [], 0, {}
    text = tree.text(README)
    for path in tree.ending(".jsonl.zst"):
        if not path.startswith(INPUT):
            continue
        lines = subprocess.run(["zstd", "-dcq", tree.root / path], check=True, stdout=subprocess.PIPE).stdout.splitlines()
        total += len(lines)
        for line in lines:
            if distinct.setdefault(json.loads(line)["id"], line) != line:
                faults.append(Fault(path, 1, f"two events of one id differ: {line.decode()}"))
        if not re.search(rf"`{re.escape(path.removeprefix('examples/flights/'))}` \| {len(lines):,} \|", text):
            faults.append(Fault(README, 1, f"does not say that {path} has {len(lines):,} events"))
    for figure, what in ((total, "events"), (len(distinct), "distinct events"), (total - len(distinct), "repeated lines")):
        if not re.search(rf"(?<![\d,]){figure:,}(?![\d,])", text):
            faults.append(Fault(README, 1, f"does not state the number of {what}, {figure:,}"))
    return faults
