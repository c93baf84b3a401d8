#!/usr/bin/env python3
"""Every check finds the fault that is planted for it, and nothing in a tree that is in order."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

from compatibility_check import check_compatibility  # noqa: E402
from compile_check import check_headers_alone, check_snippets  # noqa: E402
from flights_check import check_flights  # noqa: E402
from include_check import check_includes  # noqa: E402
from link_check import check_links  # noqa: E402
from table_check import check_tables  # noqa: E402
from text_check import check_headers, check_lengths, check_marks  # noqa: E402
from tree import Tree  # noqa: E402

HEADER = "// What it is.\n#pragma once\n"


class CheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def plant(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def found(self, check, *arguments):
        return [str(fault) for fault in check(Tree(self.root), *arguments)]

    def assert_only(self, found, *parts):
        """Exactly one fault was found, and it says all of the parts."""
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])


class CompatibilityTest(CheckTest):
    def setUp(self):
        super().setUp()
        self.plant("jobs/library.h", "inline constexpr uint32_t kJobAbi = 3;\n")
        self.plant("state/store.cc", 'constexpr std::string_view kFormat = "id-store/1";\n')
        self.plant("cli/common.h", "enum ExitCode {\n  kDone = 0,\n  kUsage = 64,\n};\n")
        self.rows = ["| `kJobAbi` | `jobs/library.h` | 3 | never |", "| `id-store/1` | ids |", "| 0 | done |", "| 64 | wrong usage |"]

    def check(self, *rows):
        self.plant("docs/compatibility.md", "".join(f"{row}\n" for row in rows))
        return self.found(check_compatibility)

    def test_accepts_what_the_code_says(self):
        self.assertEqual(self.check(*self.rows), [])

    def test_finds_a_number_that_has_moved_on(self):
        self.plant("jobs/library.h", "inline constexpr uint32_t kJobAbi = 4;\n")
        self.assert_only(self.check(*self.rows), "docs/compatibility.md:1", "kJobAbi is 4", "and 3 here")

    def test_finds_a_number_that_is_nowhere(self):
        self.assert_only(self.check("| `kOther` | `jobs/library.h` | 3 | never |", *self.rows[1:]), "defines no kOther")
        self.assert_only(self.check("| `kJobAbi` | `jobs/gone.h` | 3 | never |", *self.rows[1:]), "no such file")
        self.assert_only(self.check(*self.rows[1:]), "no table of numbers")

    def test_finds_a_format_that_is_not_told_and_one_that_is_not_there(self):
        self.plant("state/store.cc", 'constexpr std::string_view kFormat = "id-store/2";\n')
        self.assertEqual(len(self.check(*self.rows)), 2)
        self.assert_only(self.check(*self.rows, "| `id-store/2` | ids |"), "docs/compatibility.md:2", "id-store/1", "no such")

    def test_finds_an_exit_code_that_is_not_told(self):
        self.assert_only(self.check(*self.rows[:3]), "cli/common.h", "exit code 64")


class IncludeTest(CheckTest):
    def include(self, source, target):
        self.plant(target, HEADER)
        self.plant(source, f'#include <vector>\n#include "{target}"\n')
        return self.found(check_includes)

    def test_accepts_what_points_down(self):
        for source in ("core/a.cc", "state/a.h", "jobs/a.h", "runtime/worker/a.h", "cli/a.cc", "tests/core/a.cc", "bench/a.cc"):
            self.assertEqual(self.include(source, "core/b.h"), [])
        self.assertEqual(self.include("testing/kit.h", "runtime/b.h"), [])
        self.assertEqual(self.include("tests/system/a.cc", "cli/b.h"), [])
        self.assertEqual(self.include("examples/flights/a.cc", "jobs/job.h"), [])

    def test_finds_an_arrow_that_points_up(self):
        self.assert_only(self.include("core/a.cc", "state/b.h"), "core/a.cc:2", "core/ must not include from state/", "above")

    def test_finds_an_arrow_between_rooms_that_stand_beside_each_other(self):
        self.assert_only(self.include("runtime/a.cc", "shadow/b.h"), "runtime/a.cc:2", "beside")

    def test_finds_a_room_that_includes_a_test(self):
        self.assert_only(self.include("cli/a.cc", "tests/support/b.h"), "cli/a.cc:2")

    def test_finds_an_example_that_includes_what_is_not_public(self):
        self.assert_only(self.include("examples/flights/a.cc", "runtime/b.h"), "examples/flights/a.cc:2", "not a public header")

    def test_finds_a_header_for_plugins_that_leans_on_something(self):
        self.plant("operators/plugin_table.h", HEADER + "#include <stdint.h>\n")
        self.assertEqual(self.include("operators/plugin.h", "operators/plugin_table.h"), [])
        self.assert_only(self.include("operators/plugin.h", "core/event.h"), "operators/plugin.h:2", "without Weir")
        self.plant("operators/plugin.h", "#include <absl/status/status.h>\n")
        self.assert_only(self.found(check_includes), "operators/plugin.h:1", "without Weir")

    def test_finds_an_arrow_through_a_generated_header(self):
        self.plant("state/manifest.proto", "")
        self.plant("core/a.cc", '#include "weir/state/manifest.pb.h"\n')
        self.assert_only(self.found(check_includes), "core/a.cc:1", "core/ must not include from state/")

    def test_finds_a_path_that_does_not_start_at_the_root(self):
        self.plant("core/b.h", HEADER)
        self.plant("core/a.cc", '#include "b.h"\n')
        self.assert_only(self.found(check_includes), "core/a.cc:1", "no such file")

    def test_lets_libraries_be_included_in_quotes(self):
        self.plant("core/a.cc", '#include "absl/status/status.h"\n')
        self.assertEqual(self.found(check_includes), [])

    def test_finds_a_header_that_is_not_there(self):
        self.plant("core/a.cc", '#include "core/gone.h"\n')
        self.assert_only(self.found(check_includes), "core/a.cc:1", "no such file")

    def test_finds_angle_brackets_around_a_header_of_the_project(self):
        self.plant("core/b.h", HEADER)
        self.plant("core/a.cc", "#include <core/b.h>\n")
        self.assert_only(self.found(check_includes), "core/a.cc:1", "quotes")

    def test_finds_a_file_outside_of_the_rooms(self):
        self.plant("utils/a.h", HEADER)
        self.assert_only(self.found(check_includes), "utils/a.h:1", "belongs to no room")

    def test_does_not_read_build_folders(self):
        self.plant("build/generated/a.h", "")
        self.plant("build-asan/generated/a.h", "")
        self.assertEqual(self.found(check_includes), [])


class TextTest(CheckTest):
    def test_accepts_files_at_the_limits(self):
        self.plant("core/a.cc", "int a;\n" * 500)
        self.plant("core/b.cc", "//" + "ä" * 98 + "\n")
        self.plant("core/c.cc", "// https://" + "a" * 100 + "\n")
        self.assertEqual(self.found(check_lengths), [])

    def test_finds_a_long_file(self):
        for name in ("a.cc", "a.h", "a.py", "a.sh"):
            self.plant(f"core/{name}", "\n" * 501)
        found = self.found(check_lengths)
        self.assertEqual(len(found), 4)
        self.assertIn("501 lines", found[0])

    def test_finds_a_long_line(self):
        self.plant("core/a.h", "\n//" + "a" * 99 + "\n")
        self.assert_only(self.found(check_lengths), "core/a.h:2", "101 columns")

    def test_finds_each_mark(self):
        for mark in ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"):
            self.plant("core/a.cc", f"int a;  // {mark}(me): later\n")
            self.assert_only(self.found(check_marks), "core/a.cc:1", mark)

    def test_finds_marks_in_documents_and_build_files_too(self):
        self.plant("docs/a.md", "TO" + "DO\n")
        self.plant("core/CMakeLists.txt", "# FIX" + "ME\n")
        self.assertEqual(len(self.found(check_marks)), 2)

    def test_a_template_of_mktemp_is_no_mark(self):
        self.plant("scripts/a.sh", "mktemp -d weir.XX" + "XXXX\n")
        self.assertEqual(self.found(check_marks), [])

    def test_finds_a_folder_of_ones_own_machine(self):
        self.plant("docs/a.md", "see /ho" + "me/me/notes\n")
        self.assert_only(self.found(check_marks), "docs/a.md:1", "own machine")

    def test_finds_a_header_without_guard(self):
        self.plant("core/a.h", "// What it is.\nint a();\n")
        self.assert_only(self.found(check_headers), "core/a.h:1", "#pragma once")

    def test_finds_a_header_without_banner(self):
        self.plant("core/a.h", "#pragma once\n#include <vector>\n// Late.\n")
        self.assert_only(self.found(check_headers), "core/a.h:1", "comment")

    def test_accepts_a_header_in_order(self):
        self.plant("core/a.h", HEADER)
        self.assertEqual(self.found(check_headers), [])


class LinkTest(CheckTest):
    def test_accepts_what_exists_and_what_is_elsewhere(self):
        self.plant("docs/b.md", "# A Title: `x`, and more\n")
        self.plant("core/b.h", HEADER)
        self.plant("README.md", "[b](docs/b.md#a-title-x-and-more) [w](https://example.com/x) `core/b.h:3` [here](#top)\n# Top\n")
        self.plant("docs/c.md", "[b](b.md) [r](../README.md)\n```\n[no](link.md)\n```\n")
        self.assertEqual(self.found(check_links), [])

    def test_finds_a_link_to_nowhere(self):
        self.plant("README.md", "\nSee [the docs](docs/none.md).\n")
        self.assert_only(self.found(check_links), "README.md:2", "docs/none.md")

    def test_finds_a_reference_to_nowhere(self):
        self.plant("README.md", "[docs]: docs/none.md\n")
        self.assert_only(self.found(check_links), "README.md:1", "docs/none.md")

    def test_finds_a_heading_that_is_not_there(self):
        self.plant("README.md", "# Weir\n[x](#wier)\n")
        self.assert_only(self.found(check_links), "README.md:2", "no such heading")

    def test_finds_a_path_that_is_no_longer_there(self):
        self.plant("docs/a.md", "It begins in `core/gone.cc`.\n")
        self.assert_only(self.found(check_links), "docs/a.md:1", "core/gone.cc")


class CompileTest(CheckTest):
    def setUp(self):
        super().setUp()
        self.build = self.root / "build"
        self.build.mkdir()
        self.plant("core/a.cc", "")
        self.plant("jobs/job.h", HEADER + "#define WEIR_JOB(name, builder) int job_##name = sizeof(&builder)\n")
        command = f"g++ -std=c++20 -I{self.root} -o a.o -c {self.root}/core/a.cc"
        entry = {"directory": str(self.build), "command": command, "file": f"{self.root}/core/a.cc"}
        (self.build / "compile_commands.json").write_text(json.dumps([entry]), encoding="utf-8")

    def test_accepts_headers_that_compile_alone(self):
        self.plant("core/a.h", HEADER + "#include <string>\ninline std::string A() { return {}; }\n")
        self.assertEqual(self.found(check_headers_alone, self.build), [])

    def test_finds_a_header_that_needs_another_one_before_it(self):
        self.plant("core/a.h", HEADER + "std::string A();\n")
        self.assert_only(self.found(check_headers_alone, self.build), "core/a.h:1", "std")

    def test_finds_a_header_that_breaks_when_included_twice(self):
        self.plant("core/a.h", "struct A {};\n")
        self.assert_only(self.found(check_headers_alone, self.build), "core/a.h:1", "redefinition")

    def test_sees_a_change_behind_a_header_that_passed(self):
        self.plant("core/a.h", HEADER + '#include "core/b.h"\ninline int A() { return b; }\n')
        self.plant("core/b.h", HEADER + "inline int b = 0;\n")
        self.assertEqual(self.found(check_headers_alone, self.build), [])
        self.plant("core/b.h", HEADER)
        later = (self.root / "core/b.h").stat().st_mtime_ns + 10**9
        os.utime(self.root / "core/b.h", ns=(later, later))
        self.assert_only(self.found(check_headers_alone, self.build), "core/a.h:1", "not declared")

    def test_leaves_to_the_build_what_a_source_includes_first_and_only_that(self):
        self.plant("core/a.h", HEADER + "std::string A();\n")
        self.plant("core/a.cc", '// Of a.h.\n#include "core/a.h"\n')
        self.assertEqual(self.found(check_headers_alone, self.build), [])
        self.plant("core/a.cc", '#include <string>\n#include "core/a.h"\n')
        self.assertEqual(len(self.found(check_headers_alone, self.build)), 1)
        self.plant("core/a.cc", '#define string int\n#include "core/a.h"\n')
        self.assertEqual(len(self.found(check_headers_alone, self.build)), 1)

    def test_compiles_snippets_that_are_files_or_jobs_and_no_others(self):
        self.plant("README.md", "# W\n```cpp\nvoid F();\nWEIR_JOB(f, F);\n```\n")
        self.plant("docs/a.md", "```cpp\n// file: a.cc\n#include <vector>\nstd::vector<int> v;\n```\n```cpp\nauto x = ...;\n```\n")
        self.assertEqual(self.found(check_snippets, self.build), [])

    def test_finds_a_job_that_does_not_compile_and_names_its_line(self):
        self.plant("docs/a.md", "# A\n\n```cpp\nvoid F();\nWEIR_JOB(f, G);\n```\n")
        self.assert_only(self.found(check_snippets, self.build), "docs/a.md:4", "docs/a.md:5", "G")

    def test_finds_a_file_that_does_not_compile(self):
        self.plant("docs/a.md", "```cpp\n// file: a.cc\nint a = b;\n```\n")
        self.assert_only(self.found(check_snippets, self.build), "docs/a.md:2", "docs/a.md:3")


class FlightsTest(CheckTest):
    README = "| `input/a.jsonl.zst` | 3 | of them 2 are distinct and 1 is a repeated line\n"

    def input(self, *lines):
        target = self.root / "examples/flights/input/a.jsonl.zst"
        target.parent.mkdir(parents=True)
        subprocess.run(["zstd", "-q", "-o", target, "-"], input="\n".join(lines).encode(), check=True)

    def test_accepts_true_figures(self):
        self.plant("examples/flights/README.md", self.README)
        self.input('{"id":"1"}', '{"id":"2"}', '{"id":"1"}')
        self.assertEqual(self.found(check_flights), [])

    def test_finds_a_wrong_figure(self):
        self.plant("examples/flights/README.md", self.README)
        self.input('{"id":"1"}', '{"id":"2"}', '{"id":"1"}', '{"id":"1"}')
        self.assertIn("4 events", self.found(check_flights)[0])

    def test_finds_a_repeated_event_that_is_not_the_same(self):
        self.plant("examples/flights/README.md", self.README)
        self.input('{"id":"1"}', '{"id":"2"}', '{"id":"1","x":1}')
        self.assert_only(self.found(check_flights), "differ")


class TableTest(CheckTest):
    def check(self, rows, methods="  auto Map(std::string_view name, Fn fn) {\n  StreamEnd To(std::string_view name) {\n"):
        self.plant("jobs/stream.h", f"class Stream {{\n public:\n{methods} private:\n  Stream<T> Hidden() {{\n}};\n")
        self.plant("docs/jobs.md", f"# Jobs\n\n| on a stream | does |\n|---|---|\n{rows}\n| a | b |\n")
        return self.found(check_tables)

    def test_accepts_a_table_with_every_method(self):
        self.assertEqual(self.check("| `Map(name, fn)` | maps |\n| `To(name, sink)` | ends |\n"), [])

    def test_finds_a_method_without_a_row(self):
        self.assert_only(self.check("| `Map(name, fn)` | maps |\n"), "jobs/stream.h:4", "To() has no row")

    def test_finds_a_row_without_a_method(self):
        rows = "| `Map(name, fn)` | maps |\n| `To(name, sink)` | ends |\n| `Hidden().Gone<U>(name)` | no more |\n"
        found = self.check(rows)
        self.assertEqual(len(found), 2, found)
        self.assertIn("docs/jobs.md:7", found[0])
        self.assertIn("Gone() is no method", found[1])

    def test_finds_a_table_that_is_gone(self):
        self.plant("jobs/stream.h", "class Stream {\n};\n")
        self.plant("docs/jobs.md", "# Jobs\n")
        self.assert_only(self.found(check_tables), "docs/jobs.md:1", "is missing")


if __name__ == "__main__":
    unittest.main()
