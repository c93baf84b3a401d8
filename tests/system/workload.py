"""A generated input with what it must become: made once for the tests of a class, in a folder that goes with them."""

import pathlib
import pickle
import tempfile

import compare
import generate
import oracle
import weir


class Workload:
    def __init__(self, events, seed=1):
        self.temporary = tempfile.TemporaryDirectory(prefix="weir-workload-")
        self.folder = pathlib.Path(self.temporary.name)
        generate.generate(self.folder, events, seed)
        expected = oracle.expect(self.folder)
        self.counts = expected.counts
        self.expected_file = self.folder / "expected"
        with open(self.expected_file, "wb") as file:
            pickle.dump(vars(expected), file)

    def parameters(self, out, **more):
        return {**weir.FIELDS, "input": self.folder / "input", "routes": self.folder / "rules.yaml", "out": out, **more}

    def faults(self, out):
        """What is wrong with an output; empty if nothing is."""
        return "\n".join(compare.compare(self.folder, self.expected_file, out))

    def remove(self):
        self.temporary.cleanup()


class WorkloadCase(weir.Case):
    """Tests that share one workload of `events` events."""

    events = 20_000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.workload = Workload(cls.events)

    @classmethod
    def tearDownClass(cls):
        cls.workload.remove()
        super().tearDownClass()

    def assert_exact(self, out):
        faults = self.workload.faults(out)
        self.assertFalse(faults, faults)

    def assert_totals(self, result):
        """The counts of the report are the job's totals, however often it was killed."""
        counts = self.workload.counts
        found = {
            "source out": result.operator("source")["records_out"],
            "source dead letters": result.operator("source")["dead_letters"],
            "dedup dropped": result.operator("dedup")["records_dropped"],
            "dedup dead letters": result.operator("dedup")["dead_letters"],
            "router in": result.operator("router")["records_in"],
            "files in": result.operator("files")["records_in"],
        }
        self.assertEqual(found, {
            "source out": counts["accepted"] + counts["duplicates"],
            "source dead letters": counts["dead"],
            "dedup dropped": counts["duplicates"],
            "dedup dead letters": 0,
            "router in": counts["accepted"],
            "files in": counts["written"],
        })
