#!/usr/bin/env python3
"""The commands and flags of docs/compatibility.md are those that `weir` has."""

import re

import weir

ROW = re.compile(r"^\| `weir (\w+)` \| (.*) \|$", re.MULTILINE)
COMMAND = re.compile(r"^  (\w+)  +\w", re.MULTILINE)
FLAG = re.compile(r"^  (-[\w-]+)(?:,--[\w-]+)*", re.MULTILINE)


class Commands(weir.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        text = (weir.ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
        cls.told = {command: set(re.findall(r"`(-[\w-]+)`", flags)) for command, flags in ROW.findall(text)}

    def help(self, *words):
        result = weir.command(weir.WEIR, *words, "--help")
        self.assert_code(result, weir.DONE)
        return result.stdout

    def test_every_command_is_told(self):
        commands = set(COMMAND.findall(self.help().split("Subcommands:")[1]))
        self.assertEqual(commands, set(self.told))

    def test_every_flag_is_told(self):
        for command, flags in self.told.items():
            with self.subTest(command):
                self.assertEqual(set(FLAG.findall(self.help(command))) - {"-h"}, flags)


if __name__ == "__main__":
    weir.main()
