#!/usr/bin/env python3
"""`weir shadow` whose comparison is a job of a cluster: the same verdicts, whatever dies meanwhile."""

import contextlib
import hashlib
import json
import pathlib
import signal
import urllib.error
import urllib.request

import shadow
import weir
from cluster import Cluster, wait_until
from shadow import FAIL, PASS, is_chosen, mutant

SLOTS = 4  # of each worker: a comparison takes four slots for each subtask
NEW = 2000  # records behind a checkpoint


class OnCluster(shadow.Case):
    EVENTS = 20000

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.cluster = stack.enter_context(Cluster(self.folder / "cluster", workers=2, slots=SLOTS))

    def words(self, *flags, **options):
        return self.shadow_words(*flags, coordinator=self.cluster.rest, **{"parallelism": 2, **options})

    def there(self, *flags, **options):
        return weir.command(*self.words(*flags, **options), timeout=240)

    def jobs(self):
        return self.cluster.get("/v1/jobs")["jobs"]

    def only_job(self):
        (job,) = [job for job in self.jobs() if job["name"] == "shadow"]
        return job

    def begin(self, *flags, **options):
        """A comparison that takes some seconds, once its job has a checkpoint."""
        running = shadow.Running(self.words(*flags, both=self.parameters(rate=4000), checkpoint_interval="200ms", **options), self.report)
        self.assertTrue(running.wait_until("its job", lambda: (self.report / "work/job").exists()), str(running.result()))
        job = (self.report / "work/job").read_text(encoding="utf-8")
        self.assertGreater(self.cluster.wait_for_checkpoint(job), 0)
        return running, job

    def test_equal_versions(self):
        self.assert_pass(self.there(), self.EVENTS)
        job = self.only_job()
        self.assertEqual(job["state"], "FINISHED")
        # The same again is another comparison.
        self.assert_pass(self.there(), self.EVENTS)
        self.assertEqual(len(self.jobs()), 2)

    def test_a_change_is_found_whatever_dies(self):
        running, job = self.begin(of_candidate=mutant(every=100, find='"qty":', replace='"qty":1'))
        with running:
            newest = self.cluster.wait_for_checkpoint(job)
            name = next(name for name, executors in self.cluster.executors().items() if executors)
            self.cluster.kill_worker(name)
            self.cluster.start_worker()
            self.cluster.wait_for_checkpoint(job, newer_than=newest)
            self.cluster.coordinator.kill()
            self.cluster.start_coordinator()
            result = running.wait(240)
        self.assert_verdict(result, FAIL)
        chosen = sum(is_chosen(n, 100) for n in range(self.EVENTS))
        self.assertEqual(self.differing(result), {"warehouse": {"qty": (chosen, "value")}}, str(result))
        self.assertGreater(self.cluster.status(job)["attempt"], 1)

    def test_who_waits_may_go_and_come_back(self):
        running, job = self.begin()
        with running:
            running.signal_weir(signal.SIGINT)
            result = running.wait(30)
            self.assertEqual(result.code, weir.INTERRUPTED, str(result))
            self.assert_says(result, "Ctrl-C ends the waiting, not the job")
        self.assertNotIn(self.cluster.status(job)["state"], ("CANCELED", "FAILED"))
        # Somebody stops the job: it is gone on with.
        self.assertEqual(self.cluster.command("stop", job).code, weir.DONE)
        self.cluster.wait_for_state(job, "SUSPENDED", "FINISHED")
        result = self.there(both=self.parameters(rate=4000), checkpoint_interval="200ms")
        self.assert_pass(result, self.EVENTS)
        self.assertEqual(self.only_job()["id"], job)

    def test_it_begins_where_a_job_of_the_cluster_is(self):
        """What that job has accepted is a duplicate; it goes on meanwhile, and takes no notice."""
        job = self.cluster.submit(weir.PIPELINE, self.parameters(watch="100ms"), checkpoint_interval="1h")
        wait_until("all is read", lambda: self.records_read(job) == self.EVENTS)
        result = self.cluster.command("savepoint", job)
        self.assertEqual(result.code, weir.DONE, str(result))
        savepoint = result.stdout.strip().splitlines()[-1]
        with open(self.input / "b.jsonl", "w", encoding="utf-8") as file:
            file.writelines(shadow.line(n) + "\n" for n in range(self.EVENTS + NEW))
        of_job = {"baseline": job, "both": {}, "records": self.EVENTS + NEW}
        for name, flags, options in (("a savepoint", ["--from", savepoint], {}), ("the job", ["--on-cluster"], of_job)):
            with self.subTest(name):
                result = self.there(*flags, parallelism=1, **options)
                self.assert_code(result, PASS)
                output = self.output(result, "warehouse")
                self.assertEqual((output["compared"], output["matched"]), (NEW, NEW), str(result))
        status = self.cluster.status(job)
        self.assertEqual((status["state"], status["attempt"]), ("RUNNING", 1))

    def records_read(self, job):
        return sum(op["live_records_out"] for op in self.cluster.status(job)["operators"] if op["kind"] == "source")

    def test_a_beginning_has_the_files_of_its_checkpoint_alone(self):
        """What a request says is read of a manifest becomes no path."""
        manifests, checkpoints = [], []
        for out in ("one", "other"):
            job = self.cluster.submit(weir.PIPELINE, self.parameters(watch="100ms", out=self.folder / out), checkpoint_interval="1h")
            wait_until("all is read", lambda job=job: self.records_read(job) == self.EVENTS)
            self.assertEqual(self.cluster.command("savepoint", job).code, weir.DONE)
            folder = self.cluster.folder / "coordinator/checkpoints" / job
            (manifest,) = folder.glob("chk-*/manifest.pb")
            manifests.append(manifest.read_bytes())
            checkpoints.append(f"{job}/{manifest.parent.name}")
        library = self.send(pathlib.Path(weir.PIPELINE).read_bytes())
        for manifest, checkpoint, why in (
                (self.send(manifests[1]), checkpoints[0], "lists a file that"),
                (self.send(b"no manifest"), checkpoints[0], "beginning"),
                ("0" * 64, checkpoints[0], "has not been sent"),
                ("x", checkpoints[0], "no SHA-256"),
                (self.send(manifests[0]), "../../etc/chk-1", "there is no job 'etc'"),
                (self.send(manifests[0]), checkpoints[0][:-1] + "99", "is not complete"),
                (self.send(manifests[0]), "/etc/passwd", "name a checkpoint as JOB/chk-7")):
            with self.subTest(why):
                request = {"library_sha256": library, "parameters": {key: str(value) for key, value in self.parameters().items()},
                           "beginning": {"manifest_sha256": manifest, "checkpoint": checkpoint}}
                status, answer = self.cluster_post("/v1/jobs", request)
                self.assertIn(status, (400, 404), answer)
                self.assertIn(why, answer)
        self.assertEqual(len(self.jobs()), 2)

    def send(self, content):
        sha256 = hashlib.sha256(content).hexdigest()
        request = urllib.request.Request(f"http://{self.cluster.rest}/v1/blobs/{sha256}", data=content, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.assertEqual(answer.status, 200)
        return sha256

    def cluster_post(self, path, request):
        request = urllib.request.Request(f"http://{self.cluster.rest}{path}", data=json.dumps(request).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_what_cannot_be(self):
        result = self.there("--from", "/nowhere/chk-1")
        self.assertEqual(result.code, weir.CONFIGURATION, str(result))
        self.assert_says(result, "/nowhere/chk-1")
        elsewhere = weir.command(*self.shadow_words(coordinator="127.0.0.1:1"))
        self.assertEqual(elsewhere.code, weir.UNREACHABLE, str(elsewhere))
        self.assert_says(elsewhere, "no coordinator can be asked at 127.0.0.1:1")


if __name__ == "__main__":
    weir.main()
