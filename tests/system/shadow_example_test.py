#!/usr/bin/env python3
"""docs/shadow.md does what it says: its commands run as they are written, and show what it shows; so does its recipe for CI."""

import os
import re
import subprocess
import tempfile
import unittest

import shadow
import weir

DOCUMENT = weir.ROOT / "docs" / "shadow.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BUILD_COMMAND = "scripts/build.sh"


def section(title):
    """The blocks of a section of the document: (language, text)."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin = text.index(f"\n## {title}\n")
    end = text.find("\n## ", begin + 1)
    return BLOCK.findall(text[begin:end])


class Documented(unittest.TestCase):
    def setUp(self):
        super().setUp()
        temporary = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(temporary.cleanup)
        # The project's folder after a build, wherever that is.
        self.project = os.path.join(temporary.name, "project")
        self.temporary = os.path.join(temporary.name, "tmp")
        for folder in (self.project, self.temporary):
            os.mkdir(folder)
        for name, place in (("build", weir.BUILD), ("examples", weir.ROOT / "examples")):
            os.symlink(place, os.path.join(self.project, name))

    def bash(self, command):
        """A block, pasted into a shell; /tmp is the test's own."""
        command = command.replace("/tmp/", self.temporary + "/")
        result = subprocess.run(["bash", "-c", command], cwd=self.project, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=300, check=False)
        return weir.Result(result.returncode, result.stdout, result.stderr)

    # How many words of a line are the same in every run: what a clock or the machine's speed is behind is another one each time.
    SAME_WORDS = (("board ", 3), ("shown_at ", 1), ("records_per_second ", 1), ("cpu_", 1), ("latency_", 1), ("state_bytes ", 1),
                  ("output_bytes ", 1))

    def lines(self, text):
        lines = []
        for line in text.replace(self.temporary + "/", "/tmp/").splitlines():
            words = line.split()
            same = next((count for begin, count in self.SAME_WORDS if line.startswith(begin)), len(words))
            lines.append(" ".join(words[:same]))
        return [line for line in lines if line]

    def test_the_walk_through(self):
        blocks = [text for _, text in section("Try it")]
        commands, outputs = blocks[0::2], blocks[1::2]
        self.assertEqual((len(commands), len(outputs)), (3, 3))
        for command, output, code in zip(commands, outputs, (shadow.FAIL, shadow.PASS, shadow.PASS)):
            self.assertTrue(command.startswith("build/bin/weir shadow "), command)
            with self.subTest(command):
                result = self.bash(command)
                self.assertEqual(result.code, code, str(result))
                self.assertEqual(self.lines(result.stdout), self.lines(output), result.stdout)
        # The last one is faster, and by far.
        rate = next(row for row in result.stdout.splitlines() if row.startswith("records_per_second"))
        self.assertRegex(rate, r" \+\d+\.\d%$", result.stdout)

    def test_the_recipe_for_ci(self):
        blocks = section("In CI")
        script = next(text for language, text in blocks if language == "bash")
        prepare, call = (text for language, text in blocks if not language)
        with open(os.path.join(self.project, "ci-shadow.sh"), "w", encoding="utf-8") as file:
            file.write(script)
        # What is built is built.
        self.assertTrue(prepare.startswith(BUILD_COMMAND + "\n"))
        prepared = self.bash(prepare.removeprefix(BUILD_COMMAND + "\n"))
        self.assertEqual(prepared.code, 0, str(prepared))
        passed = self.bash(call)
        self.assertEqual(passed.code, shadow.PASS, str(passed))
        self.assertIn("PASS: release it", passed.stdout)
        failed = self.bash(call.replace("libboard_faster", "libboard_off_by_one"))
        self.assertEqual(failed.code, shadow.FAIL, str(failed))
        self.assertIn("FAIL: see /tmp/shadow/ci/report.html".replace("/tmp/", self.temporary + "/"), failed.stdout)
        missing = self.bash(call.replace("libboard_faster", "libboard_missing"))
        self.assertEqual(missing.code, weir.CONFIGURATION, str(missing))
        self.assertIn("no verdict", missing.stdout)


if __name__ == "__main__":
    weir.main()
