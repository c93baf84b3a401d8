#!/usr/bin/env python3
"""`weir shadow` of two builds of a library that no process can have side by side: they share a constant that differs, or register two
.proto files of one name. Only what differs is found; and of each against itself, nothing."""

import signal
import sys

import shadow
import weir
from shadow import FAIL

FARES, OTHER_FARES, FEES, OTHER_FEES = (weir.library(name) for name in ("fares1", "fares2", "fees1", "fees2"))

# t0 has a fee of its own; that of all others is what the version's tariff.proto says.
ZONES = 'zone { tenant: "t0" fee: 4 }\n' + "".join(f'zone {{ tenant: "t{n}" }}\n' for n in range(1, 7))

# Loads libraries one after the other, and tells of each what it has, or sees, as the factor of priority 7. libweir first, as in `weir`.
LOAD = r"""
import ctypes, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
for library in map(ctypes.CDLL, sys.argv[2:]):
    if hasattr(library, "_ZN4Rush7factorsE"):
        print(ctypes.POINTER(ctypes.c_double).in_dll(library, "_ZN4Rush7factorsE")[7], flush=True)
"""


def load_in_one_process(*libraries):
    return weir.command(sys.executable, "-B", "-c", LOAD, weir.BUILD / "lib" / "libweir.so", *libraries)


class Builds(shadow.Case):
    def compared(self, baseline, candidate, **options):
        both = {"input": self.input, "out": self.out}
        if baseline in (FEES, OTHER_FEES):
            both["tariff"] = self.folder / "tariff.txt"
            both["tariff"].write_text(ZONES, encoding="utf-8")
        return self.shadow(baseline=baseline, candidate=candidate, rules="all: {key: [id]}", both=both, **options)

    def assert_found(self, versions, output, field, count):
        """Both ways round, and nothing if each is compared with itself."""
        for baseline, candidate, parallelism in ((*versions, 1), (*versions, 3), (*reversed(versions), 2)):
            result = self.compared(baseline, candidate, parallelism=parallelism)
            self.assert_verdict(result, FAIL)
            self.assertEqual(self.differing(result), {output: {field: (count, "value")}}, str(result))
            records = self.output(result, output)
            self.assertEqual((records["compared"], records["matched"], records["mismatched"]), (self.EVENTS, self.EVENTS - count, count))
        for version in versions:
            self.assert_pass(self.compared(version, version, parallelism=2), self.EVENTS)

    def test_a_constant_behind_an_inline_static(self):
        # They are what they claim to be: in one process both see the constant of the one that came first.
        self.assertEqual(load_in_one_process(FARES).stdout, "1.5\n")
        self.assertEqual(load_in_one_process(OTHER_FARES).stdout, "2.5\n")
        self.assertEqual(load_in_one_process(FARES, OTHER_FARES).stdout, "1.5\n1.5\n")
        self.assert_found((FARES, OTHER_FARES), "fares", "fare", sum(n % 8 == 7 for n in range(self.EVENTS)))

    def test_a_proto_of_the_same_name(self):
        for library in (FEES, OTHER_FEES):
            self.assertEqual(load_in_one_process(library).code, 0)
        both = load_in_one_process(FEES, OTHER_FEES)
        self.assertEqual(both.code, -signal.SIGABRT, str(both))
        self.assert_says(both, "tariff.proto")
        self.assert_found((FEES, OTHER_FEES), "fees", "fee", sum(n % 7 != 0 for n in range(self.EVENTS)))


if __name__ == "__main__":
    weir.main()
