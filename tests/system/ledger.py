"""The ledger (jobs/ledger.cc), whose versions stand for a job that changes: its input, runs of it, and what must come out."""

import collections
import json
import shutil

import weir
from oracle import read_lines

# Of the process that runs a ledger: absolute, as a job's paths are, and yet within a folder that may be copied to another place.
INPUT, OUT = "/proc/self/cwd/input", "/proc/self/cwd/out"
ACCOUNTS, NOTES = "abcdefg", ("rent", "food", "fun")


def library(version):
    return weir.library(f"ledger{version}")


def entries(count):
    """Every tenth entry is there twice."""
    for number in range(count):
        minute = number // 60 % 60
        line = {"id": number, "time": f"2026-03-01T10:{minute:02d}:{number % 60:02d}Z", "account": ACCOUNTS[number * 5 % 7],
                "amount": number % 13 - 3, "note": NOTES[number % 3]}
        yield line
        if number % 10 == 9:
            yield line


def write_input(folder, count):
    (folder / "input").mkdir(parents=True)
    text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries(count))
    (folder / "input" / "entries.jsonl").write_text(text, encoding="utf-8")


def running(folder, rate):
    """Version 1 on the input of a folder, in the background."""
    return weir.Running(library(1), {"input": INPUT, "out": OUT, "rate": rate}, data=folder / "data", checkpoint_interval="100ms",
                        popen={"cwd": folder})


def run_until_killed(folder, count, rate, checkpoints):
    """Version 1 in a new folder, killed when it has so many checkpoints."""
    write_input(folder, count)
    with running(folder, rate) as run:
        if not run.wait_for_checkpoint(checkpoints):
            raise AssertionError(f"it ended before: the rate is too high\n{run.result()}")
        run.kill()


def newest(folder):
    """The folder of its newest checkpoint."""
    numbers = weir.completed_checkpoints(folder / "data")
    return next((folder / "data").glob(f"checkpoints/*/chk-{max(numbers)}"))


def check(checkpoint, version, *flags):
    return weir.command(weir.WEIR, "check", checkpoint, library(version), "-D", f"input={INPUT}", "-D", f"out={OUT}", *flags)


def restore(folder, checkpoint, version, *flags, **options):
    """Runs a version to the end, in `folder`, from a checkpoint that is there."""
    return weir.run(library(version), {"input": INPUT, "out": OUT}, *flags, data=folder / "data", **{"from": checkpoint},
                    popen={"cwd": folder}, **options)


def copy(source, target):
    """With the times of its files, which a source compares."""
    shutil.copytree(source, target, dirs_exist_ok=True)


class Booked:
    """What a ledger of any version put out."""

    def __init__(self, out):
        self.ids = collections.Counter()
        self.accounts = {}
        for path in sorted(out.glob("part-*.jsonl.zst")):
            for line in map(json.loads, read_lines(path)):
                if line["id"] is not None:
                    self.ids[line["id"]] += 1
                elif line["account"] in self.accounts:
                    raise AssertionError(f"two lines for one account: {line}")
                else:
                    self.accounts[line["account"]] = line

    def faults(self, count, origins):
        """Against the entries, read once more; `origins`: what an account may say of where its totals come from."""
        expected = {account: {"entries": 0, "amount": 0, "notes": collections.Counter(), "ids": []} for account in ACCOUNTS}
        for entry in entries(count):
            account = expected[entry["account"]]
            if entry["id"] in account["ids"]:
                continue
            account["entries"] += 1
            account["amount"] += entry["amount"]
            account["notes"][entry["note"]] += 1
            account["ids"].append(entry["id"])
        faults = [f"entry {number} came out {self.ids[number]} times" for number in range(count) if self.ids[number] != 1]
        faults += [f"entry {number} is none" for number in self.ids if not 0 <= number < count]
        for account, wanted in expected.items():
            found = self.accounts.get(account, {})
            # In memory and in files lists keep their order; between sources there is none.
            shown = {key: sorted(found.get(key, ())) if key == "ids" else found.get(key) for key in wanted}
            if shown != {**wanted, "notes": dict(wanted["notes"])}:
                faults.append(f"account {account}: {shown}, wanted {wanted}")
            elif found["origin"] not in origins:
                faults.append(f"account {account}: its origin is {found['origin']}")
        return "\n".join(faults[:10])
