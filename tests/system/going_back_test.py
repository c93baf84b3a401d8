#!/usr/bin/env python3
"""Going back safely: checkpoints that rot after their files were committed, sinks that cannot take anything back, folders whose
files somebody deleted, and kills on the way back. After all of them the output is exact, or the run halts and has changed nothing."""

import collections
import json
import pathlib
import shutil
import signal
import tempfile

import weir
from compare import committed_lines, lines_by_route

EVENTS = 500
RATE = 500
INTERVAL = "120ms"  # longer than rebatch holds rows back, so that every checkpoint commits some
DOES_NOT_FIT = 65


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 3])


def committed_by(out, number):
    """Names of the files that a checkpoint has committed."""
    return {path.name for path in out.glob(f"*/part-*.c{number}.*.jsonl.zst")}


class Killed(weir.Case):
    """Tests that start from one run, killed in the middle, when the files of its newest checkpoint had been committed."""

    job = None
    extra = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.temporary = tempfile.TemporaryDirectory(prefix="weir-going-back-")
        cls.base = pathlib.Path(cls.temporary.name)
        cls.shared, cls.copy = cls.base / "run", cls.base / "copy"
        (cls.shared / "input").mkdir(parents=True)
        (cls.shared / "input" / "a.jsonl").write_text("".join(f"{line}\n" for line in cls.lines()), encoding="utf-8")
        for _ in range(10):
            if cls.run_and_kill():
                break
            for folder in ("data", "out"):
                shutil.rmtree(cls.shared / folder)
        else:
            raise AssertionError("never killed between a commit and the next checkpoint")
        shutil.copytree(cls.shared, cls.copy)

    @classmethod
    def run_and_kill(cls):
        """Whether each of the three newest checkpoints has committed files."""
        out, data = cls.shared / "out", cls.shared / "data"
        with weir.Running(cls.job, cls.parameters(), data=data, checkpoint_interval=INTERVAL) as running:
            running.wait_until("a commit", lambda: any(committed_by(out, n) for n in range(4, 9)))
            running.kill()
        newest = sorted(weir.completed_checkpoints(data))[-3:]
        return len(newest) == 3 and all(committed_by(out, number) for number in newest)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()
        super().tearDownClass()

    @classmethod
    def parameters(cls, **changed):
        return {"input": cls.shared / "input", "out": cls.shared / "out", "rate": RATE, **cls.extra, **changed}

    def setUp(self):
        super().setUp()
        shutil.rmtree(self.shared)
        shutil.copytree(self.copy, self.shared)
        self.data, self.out = self.shared / "data", self.shared / "out"
        self.numbers = sorted(weir.completed_checkpoints(self.data))
        self.assertGreaterEqual(len(self.numbers), 3)

    def go_on(self, *flags, parameters=None, **options):
        return weir.run(self.job, parameters or self.parameters(), *flags, **{"data": self.data, "checkpoint_interval": INTERVAL,
                                                                            **options})

    def checkpoint(self, number):
        return next(self.data.glob(f"checkpoints/*/chk-{number}"))

    def manifest(self, number):
        return self.checkpoint(number) / "manifest.pb"

    def own_file(self, *numbers):
        """A state file of these checkpoints and of no other: their manifests name it by its content."""
        folder = next(self.copy.glob("data/checkpoints/*"))
        listed = {number: (folder / f"chk-{number}" / "manifest.pb").read_bytes() for number in self.numbers}
        for path in sorted(self.data.glob("checkpoints/*/files/*")):
            owners = {number for number, bytes_ in listed.items() if path.name.encode() in bytes_}
            if owners == set(numbers):
                return path
        raise AssertionError(f"no state file belongs to {numbers} alone")

    def revoked(self):
        return {path.name for path in self.out.glob("*/.revoked/part-*")}

    def tree(self):
        """Content of everything that a halt must leave alone."""
        folders = [self.out, self.data / "checkpoints", self.data / "jobs"]
        return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}

    def assert_halts(self, result, *texts, before):
        self.assert_code(result, DOES_NOT_FIT)
        self.assert_says(result, *texts)
        self.assertEqual(result.stdout, "", "nothing ran")
        self.assertEqual(self.tree(), before)

    def assert_went_back(self, result, number, *texts):
        """It went on from checkpoint `number`, said so, took back what came later, and the output is exact."""
        later = {name for n in self.numbers if n > number for name in self.was_committed[n]}
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], number or None, str(result))
        self.assert_says(result, *texts)
        self.assertTrue(later, "the checkpoints that rot have committed something")
        self.assertLessEqual(later, self.revoked())
        self.assert_exact()

    def remember(self):
        self.was_committed = {number: committed_by(self.out, number) for number in self.numbers}


class Pipeline(Killed):
    """The main job, whose sinks revoke."""

    job = weir.PIPELINE
    extra = {"id": "id", "time": "time"}

    @classmethod
    def lines(cls):
        # Every seventh comes twice.
        for number in range(EVENTS):
            for _ in range(2 if number % 7 == 0 else 1):
                yield f'{{"id":{number},"time":"2024-03-01T10:{number // 60 % 60:02d}:{number % 60:02d}Z"}}'

    def setUp(self):
        super().setUp()
        self.remember()

    def assert_exact(self):
        expected = collections.Counter(line.encode() for line in set(self.lines()))
        self.assertEqual(lines_by_route(self.out), {"warehouse": expected})

    # The ways in which a checkpoint rots, by what a message must name.
    def rot(self, way, number):
        if way == "a bit of a state file":
            flip_bit(path := self.own_file(number))
        elif way == "a state file is missing":
            (path := self.own_file(number)).unlink()
        elif way == "a torn state file":
            cut(path := self.own_file(number))
        elif way == "a torn manifest":
            cut(path := self.manifest(number))
        elif way == "an empty manifest":
            (path := self.manifest(number)).write_bytes(b"")
        elif way == "a bit of the manifest":
            flip_bit(path := self.manifest(number))
        elif way == "another's manifest":
            path = self.manifest(number)
            path.write_bytes(self.manifest(self.numbers[0]).read_bytes())
        elif way == "the manifest is missing":
            (path := self.manifest(number)).unlink()
            path = path.parent
        else:
            shutil.rmtree(path := self.checkpoint(number))
        return str(path.parent.name if "state file" in way else path)

    WAYS = ("a bit of a state file", "a state file is missing", "a torn state file", "a torn manifest", "an empty manifest",
            "a bit of the manifest", "another's manifest", "the manifest is missing", "the folder is missing")

    def test_the_newest_rots_after_its_files_were_committed(self):
        for way in self.WAYS:
            with self.subTest(way=way):
                self.setUp()
                newest = self.numbers[-1]
                where = self.rot(way, newest)
                result = self.go_on()
                self.assert_went_back(result, self.numbers[-2], where, f"checkpoint {newest}",
                                      f"going back to checkpoint {self.numbers[-2]}", "taken back")

    def test_the_two_newest_rot(self):
        for ways in (("a bit of a state file", "a torn manifest"), ("the folder is missing", "a state file is missing"),
                     ("a bit of the manifest", "a bit of the manifest")):
            with self.subTest(ways=ways):
                self.setUp()
                for way, number in zip(ways, self.numbers[-2:]):
                    self.rot(way, number)
                self.assert_went_back(self.go_on(), self.numbers[-3], f"checkpoint {self.numbers[-1]}")

    def test_all_rot_then_it_halts_and_fresh_starts_over(self):
        for way in ("a bit of the manifest", "a torn manifest", "a state file is missing", "no checkpoints folder"):
            with self.subTest(way=way):
                self.setUp()
                if way == "no checkpoints folder":
                    shutil.rmtree(self.data / "checkpoints")
                elif "state file" in way:
                    for path in self.data.glob("checkpoints/*/files/*"):
                        path.unlink()
                else:
                    for number in self.numbers:
                        self.rot(way, number)
                before = self.tree()
                self.assert_halts(self.go_on(), f"checkpoint {self.numbers[-1]}", "--fresh", before=before)
                self.assert_went_back(self.go_on("--fresh"), 0, "taken back")

    def test_a_rotten_checkpoint_that_is_named_is_refused(self):
        newest = self.numbers[-1]
        where = self.rot("a bit of a state file", newest)
        before = self.tree()
        self.assert_halts(self.go_on("--from", self.checkpoint(newest)), where, before=before)
        self.assert_went_back(self.go_on("--from", self.checkpoint(self.numbers[-3])), self.numbers[-3])

    def test_it_rots_again_after_it_went_back(self):
        """The checkpoints behind the way back are good to go back to as well."""
        self.rot("a bit of the manifest", self.numbers[-1])
        with weir.Running(self.job, self.parameters(), data=self.data, checkpoint_interval=INTERVAL) as running:
            self.assertTrue(running.wait_for_checkpoint(self.numbers[-1]))
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        numbers = sorted(weir.completed_checkpoints(self.data))
        self.assertNotIn(self.numbers[-1], numbers, "what it has gone back behind is of no use")
        self.assertGreaterEqual(len(numbers), 2)
        flip_bit(self.manifest(numbers[-1]))
        result = self.go_on()
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], numbers[-2])
        self.assert_exact()

    def test_an_older_copy_of_the_data_folder_takes_back_what_it_does_not_know(self):
        """Who puts a backup of the data folder back beside newer results gets no row twice."""
        with weir.Running(self.job, self.parameters(), data=self.data, checkpoint_interval=INTERVAL) as running:
            self.assertTrue(running.wait_for_checkpoint(self.numbers[-1] + 2))
            running.signal(signal.SIGINT)
            self.assert_code(running.wait(), weir.INTERRUPTED)
        shutil.rmtree(self.data)
        shutil.copytree(self.copy / "data", self.data)
        result = self.go_on()
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], self.numbers[-1])
        self.assert_says(result, "taken back")
        self.assertTrue(self.revoked())
        self.assert_exact()

    def test_a_record_that_rots_halts_the_run(self):
        for harm in (flip_bit, cut):
            with self.subTest(harm=harm.__name__):
                self.setUp()
                record = next(self.data.glob("jobs/*/job.pb"))
                harm(record)
                before = self.tree()
                self.assert_halts(self.go_on(), str(record), before=before)

    def test_no_work_folder(self):
        shutil.rmtree(self.data / "work", ignore_errors=True)
        self.assert_finished(self.go_on())
        self.assert_exact()

    def test_no_revoked_folder(self):
        """Whoever clears .revoked/ away loses nothing, before or between two ways back."""
        for number in (self.numbers[-1], self.numbers[-2]):
            self.rot("a bit of the manifest", number)
            with weir.Running(self.job, self.parameters(), data=self.data, checkpoint_interval="10m") as running:
                self.assertTrue(running.wait_until("revoked", self.revoked))
                running.kill()
            for folder in self.out.glob("*/.revoked"):
                shutil.rmtree(folder)
        self.assert_finished(self.go_on())
        self.assert_exact()

    def test_committed_files_that_somebody_deleted(self):
        """The newest checkpoint's are missed, and told at once; older ones are whose they are."""
        newest = self.numbers[-1]
        harms = {
            "the newest": lambda: [path.unlink() for path in self.out.glob(f"*/part-*.c{newest}.*")],
            "a whole route": lambda: shutil.rmtree(self.out / "warehouse"),
            "all": lambda: shutil.rmtree(self.out),
        }
        for what, harm in harms.items():
            with self.subTest(what=what):
                self.setUp()
                harm()
                result = self.go_on()
                self.assert_code(result, DOES_NOT_FIT)
                self.assertEqual(result.report["restarts"], 0, "trying again brings nothing back")
                self.assert_says(result, f"output of checkpoint {newest} is missing", "--fresh", "--from")
                if what == "the newest":
                    result = self.go_on("--from", self.checkpoint(self.numbers[-2]))
                else:
                    result = self.go_on("--fresh")
                self.assert_finished(result)
                self.assert_exact()

    def test_committed_files_of_older_checkpoints_are_whose_they_are(self):
        """Consumers may take them: only what the restored checkpoint committed is looked for."""
        gone = set()
        for number in self.numbers[:-1]:
            for path in self.out.glob(f"warehouse/part-*.c{number}.*"):
                gone.update(committed_lines_of(path))
                path.unlink()
        self.assertTrue(gone)
        self.assert_finished(self.go_on())
        lines = lines_by_route(self.out)["warehouse"]
        self.assertEqual(set(lines), {line.encode() for line in self.lines()} - gone)
        self.assertEqual(set(lines.values()), {1})

    def test_pending_files_that_somebody_deleted(self):
        """The checkpoint is complete, its files are not committed yet: killed between the two."""
        newest = self.numbers[-1]
        for path in list(self.out.glob(f"warehouse/part-*.c{newest}.*")):
            pending = path.parent / ".pending"
            pending.mkdir(exist_ok=True)
            path.rename(pending / (path.name.replace(f".c{newest}.", ".") + ".pending"))
        result = self.go_on("--from", self.checkpoint(newest))
        self.assert_finished(result)
        self.assert_exact()
        self.setUp()
        for path in list(self.out.glob(f"warehouse/part-*.c{newest}.*")):
            path.unlink()
        shutil.rmtree(self.out / "warehouse" / ".pending", ignore_errors=True)
        result = self.go_on()
        self.assert_code(result, DOES_NOT_FIT)
        self.assert_says(result, ".pending")
        self.assert_finished(self.go_on("--from", self.checkpoint(self.numbers[-2])))
        self.assert_exact()

    def test_killed_at_many_moments_on_the_way_back(self):
        moments = {
            "as it starts": lambda running: True,
            "the attempt": lambda running: "attempt" in running.stderr(),
            "it says so": lambda running: "taken back" in running.stderr(),
            "the first revoked file": lambda running: any(self.out.glob("*/.revoked/part-*")),
            "the first new file": lambda running: any(self.out.glob("*/.pending/part-*")),
            "the next checkpoint": lambda running: max(weir.completed_checkpoints(self.data)) > self.numbers[-1],
        }
        for flags in ([], ["--fresh"]):
            for what, condition in moments.items():
                with self.subTest(flags=flags, moment=what):
                    self.setUp()
                    self.rot("a bit of the manifest", self.numbers[-1])
                    for _ in range(2):
                        with weir.Running(self.job, self.parameters(), *flags, data=self.data,
                                          checkpoint_interval=INTERVAL) as running:
                            running.wait_until(what, lambda: condition(running))
                            running.kill()
                    result = self.go_on()
                    self.assert_finished(result)
                    self.assert_exact()


def committed_lines_of(path):
    """The lines of one committed file."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        return list(committed_lines(pathlib.Path(folder)))


class Numbers(Killed):
    """Numbered rows, counted by key: the output tells whether the counts, too, went back."""

    job = weir.library("suspect")

    @classmethod
    def lines(cls):
        return [f'{{"n":{number}}}' for number in range(EVENTS)]

    def setUp(self):
        super().setUp()
        self.remember()

    def rows(self):
        return [json.loads(line) for line in committed_lines(self.out / "counted")]

    @staticmethod
    def expected():
        return sorted((number, number % 10, number // 10 + 1) for number in range(EVENTS))

    def assert_exact(self):
        self.assertEqual(sorted((row["n"], row["key"], row["count"]) for row in self.rows()), self.expected())

    def assert_duplicates_only(self):
        """Nothing is missing; what comes again is the same row."""
        self.assertEqual(sorted({(row["n"], row["key"], row["count"]) for row in self.rows()}), self.expected())
        self.assertGreater(len(self.rows()), EVENTS)


class Revocable(Numbers):
    def test_the_counts_go_back_too(self):
        flip_bit(self.manifest(self.numbers[-1]))
        self.assert_went_back(self.go_on(), self.numbers[-2])


class Irrevocable(Numbers):
    """A sink that cannot take back: nothing comes twice unless somebody accepts it by the name of the flag."""

    extra = {"can-revoke": "false"}

    def test_rotten_it_halts_and_goes_on_where_duplicates_are_accepted(self):
        for rotten in (1, 2):
            with self.subTest(rotten=rotten):
                self.setUp()
                bad = self.numbers[-rotten:]
                for number in bad:
                    flip_bit(self.manifest(number))
                before = self.tree()
                self.assert_halts(self.go_on(), "--accept-duplicates", "'files'", *(f"checkpoint {n}: " for n in bad), "manifest.pb",
                                  before=before)
                result = self.go_on("--accept-duplicates")
                self.assert_finished(result)
                self.assertEqual(result.report["checkpoints"]["restored_from"], self.numbers[-rotten - 1])
                self.assert_says(result, "'files'", "come out again")
                self.assert_duplicates_only()

    def test_all_rotten(self):
        for number in self.numbers:
            cut(self.manifest(number))
        before = self.tree()
        self.assert_halts(self.go_on(), "--fresh --accept-duplicates", before=before)
        self.assert_halts(self.go_on("--accept-duplicates"), "--fresh --accept-duplicates", before=before)
        self.assert_halts(self.go_on("--fresh"), "--accept-duplicates", "'files'", before=before)
        self.assert_finished(self.go_on("--fresh", "--accept-duplicates"))
        self.assert_duplicates_only()

    def test_on_purpose(self):
        before = self.tree()
        older = self.checkpoint(self.numbers[-2])
        for flags in (["--fresh"], ["--from", older]):
            with self.subTest(flags=flags):
                self.assert_halts(self.go_on(*flags), "--accept-duplicates", "'files'", before=before)
        result = self.go_on("--from", older, "--accept-duplicates")
        self.assert_finished(result)
        self.assert_says(result, "'files'", "come out again")
        self.assert_duplicates_only()

    def test_from_the_newest_nothing_comes_again(self):
        """Another version of the job, for example: nothing needs to be taken back."""
        result = self.go_on("--from", self.checkpoint(self.numbers[-1]), parameters=self.parameters(rate=0))
        self.assert_finished(result)
        self.assert_exact()

    def test_killed_on_the_way_back_it_need_not_be_accepted_again(self):
        flip_bit(self.manifest(self.numbers[-1]))
        with weir.Running(self.job, self.parameters(), "--accept-duplicates", data=self.data, checkpoint_interval="10m") as running:
            self.assertTrue(running.wait_until("the way back in the record", lambda: "taken back" in running.stderr()))
            running.kill()
        result = self.go_on()
        self.assert_finished(result)
        self.assertEqual(result.report["checkpoints"]["restored_from"], self.numbers[-2])
        self.assert_duplicates_only()

    def test_a_program_takes_the_files_away_as_they_appear(self):
        """A restart does not miss them. Without the folder of pending files it cannot tell, and says so."""
        taken = []
        for path in self.out.glob("counted/part-*"):
            taken += committed_lines_of(path)
            path.unlink()
        self.assert_finished(self.go_on())
        rows = [json.loads(line) for line in taken] + self.rows()
        self.assertEqual(sorted((row["n"], row["key"], row["count"]) for row in rows), self.expected())
        self.setUp()
        shutil.rmtree(self.out / "counted")
        result = self.go_on()
        self.assert_code(result, DOES_NOT_FIT)
        self.assert_says(result, ".pending")


class Printing(Numbers):
    """Standard output cannot take back either, and a plain restart repeats what it printed since the checkpoint."""

    extra = {"print": "true"}

    def test_going_back_halts_for_it_too(self):
        before = self.tree()
        self.assert_halts(self.go_on("--fresh"), "--accept-duplicates", "'print'", before=before)
        flip_bit(self.manifest(self.numbers[-1]))
        before = self.tree()
        self.assert_halts(self.go_on(), "--accept-duplicates", "'print'", before=before)
        result = self.go_on("--accept-duplicates")
        self.assert_code(result, weir.DONE)
        self.assert_says(result, "'print'")
        self.assert_exact()


# Its tests are those of its subclasses.
del Killed, Numbers

if __name__ == "__main__":
    weir.main()
