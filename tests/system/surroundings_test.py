#!/usr/bin/env python3
"""What surrounds a run of the `weir` command: where its output goes, odd names, flags at the edge of sense."""

import os
import pathlib

import weir
from command_test import CommandCase


class Surroundings(CommandCase):
    def test_a_result_that_cannot_be_written_is_an_error(self):
        for words in (["plan", weir.PIPELINE, "-o", "json"], ["run", weir.PIPELINE, "-o", "json", "--data", self.data],
                      ["run", weir.PIPELINE, "--data", self.data]):
            for name, value in self.parameters.items():
                words += ["-D", f"{name}={value}"]
            with self.subTest(words=words):
                result = weir.command("sh", "-c", 'exec "$0" "$@" > /dev/full', weir.WEIR, *words)
                self.assert_code(result, weir.UNREACHABLE)
                self.assert_says(result, "standard output")
        self.assert_all_came_out()

    def test_interval_0_means_only_the_last_checkpoint(self):
        result = self.run_pipeline(checkpoint_interval="0s")
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["completed"], 1)
        self.assertRegex(weir.command(weir.WEIR, "run", "--help").stdout, r"\b0s")

    def test_a_list_of_nothing_but_commas_is_refused(self):
        for fields in (",", ",,"):
            result = self.run_pipeline(parameters=self.with_parameters(id=fields))
            self.assert_code(result, weir.CONFIGURATION)
            self.assert_says(result, "'id'", "comma")

    def test_a_path_that_is_not_utf8(self):
        odd = pathlib.Path(os.fsdecode(os.fsencode(self.folder) + b"/in-\xff"))
        self.input.rename(odd)
        result = self.run_pipeline(parameters=self.with_parameters(input=odd))
        self.assert_finished(result)
        self.assertNotIn("ERROR", result.stderr)
        self.assert_all_came_out()

    def test_a_data_folder_that_is_none_is_78(self):
        file = self.folder / "file"
        file.write_text("", encoding="utf-8")
        for data in ("", file, file / "below"):
            with self.subTest(data=str(data)):
                result = self.run_pipeline(data=data)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, "--data")


if __name__ == "__main__":
    weir.main()
