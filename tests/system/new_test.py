#!/usr/bin/env python3
"""`weir new`: what it makes, and that it never touches what is there. install_test.py builds what it makes."""

import json

import weir


class New(weir.Case):
    def new(self, *words):
        return weir.command(weir.WEIR, "new", *words, cwd=self.folder)

    def files(self):
        return {path.relative_to(self.folder).as_posix(): path.read_text(encoding="utf-8")
                for path in self.folder.rglob("*") if path.is_file()}

    def test_a_project_has_the_name_wherever_the_template_has_a_placeholder(self):
        for kind in ("job", "plugin"):
            with self.subTest(kind):
                result = self.new(kind, f"my_{kind}2", "-o", "json")
                self.assert_code(result, weir.DONE)
                self.assertEqual(result.report, {"kind": kind, "folder": str(self.folder / f"my_{kind}2")})
        files = self.files()
        for name in ("CMakeLists.txt", "README.md", ".gitignore", "my_job2.h", "my_job2.cc", "my_job2_test.cc"):
            self.assertIn(f"my_job2/{name}", files)
        self.assertIn("WEIR_JOB(my_job2, ", files["my_job2/my_job2.cc"])
        self.assertIn("WEIR_PLUGIN(my_plugin2, ", files["my_plugin2/my_plugin2.cc"])
        for path, text in files.items():
            self.assertNotIn("@NAME@", path + text)
            self.assertFalse(path.endswith(".in"), path)
        # Lines of input are copied as they are.
        for line in files["my_plugin2/input/events.jsonl"].splitlines():
            json.loads(line)

    def test_what_exists_is_refused_and_untouched(self):
        (self.folder / "taken").mkdir()
        (self.folder / "taken" / "mine").write_text("mine", encoding="utf-8")
        (self.folder / "file").write_text("mine", encoding="utf-8")
        (self.folder / "dangling").symlink_to("nowhere")
        before = self.files()
        for name in ("taken", "file", "dangling"):
            with self.subTest(name):
                result = self.new("job", name)
                self.assert_code(result, weir.CONFIGURATION)
                self.assert_says(result, name, "exists already")
        self.assertEqual(self.files(), before)
        self.assertFalse((self.folder / "nowhere").exists())

    def test_a_name_that_cannot_be_one_is_wrong_usage(self):
        for name in ("", "Upper", "1st", "../up", "a/b", "a-b", "a b", "ä", "x" * 49):
            with self.subTest(name):
                result = self.new("plugin", name)
                self.assert_code(result, weir.USAGE)
                self.assert_says(result, f"NAME '{name}'")
        self.assert_code(self.new("sink", "name"), weir.USAGE)
        self.assert_code(self.new("job"), weir.USAGE)
        self.assertEqual(self.files(), {})

    def test_nothing_is_left_of_one_that_failed_half_way(self):
        # As on a full disk; python3 ignores SIGXFSZ, and what it starts without restore_signals does, too.
        result = weir.command("prlimit", "--fsize=1000", weir.WEIR, "new", "job", "mine", cwd=self.folder, restore_signals=False)
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "cannot make the project", "mine/")
        self.assertFalse((self.folder / "mine").exists())
        self.assert_code(self.new("job", "mine"), weir.DONE)

    def test_a_folder_that_cannot_be_written_to_is_named(self):
        (self.folder / "file").write_text("", encoding="utf-8")
        result = weir.command("sh", "-c", f"cd /proc && exec {weir.WEIR} new job name")
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "/proc/name")


class ReadyMade(weir.Case):
    """A job library that is named instead of a path."""

    def test_a_name_finds_the_library_beside_the_command(self):
        result = weir.command(weir.WEIR, "plan", "event_pipeline", "-D", "input=/in", "-D", f"out={self.out}", "-o", "json")
        self.assert_code(result, weir.DONE)
        self.assertEqual(result.report["job"], "event_pipeline")

    def test_a_name_that_is_none_says_where_was_looked(self):
        result = weir.command(weir.WEIR, "plan", "no_such_job")
        self.assert_code(result, weir.CONFIGURATION)
        self.assert_says(result, "no_such_job", str(weir.BUILD / "jobs"), "lib/weir/jobs")


if __name__ == "__main__":
    weir.main()
