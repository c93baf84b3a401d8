#!/usr/bin/env python3
"""That the faults of chaos.py are what they say, links that are slow, lossy and cut, a disk that is slow, one that is full; and clusters
on such disks.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest

import weir
from cluster import Cluster, go_on, stop, wait_until
from full_disk import FullDisk
from lasting_faults import LastingFaults
from links import Links
from slow_disk import SlowDisks
from suspect import SUSPECT, Counting, Numbers

ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as listener:
    print("listening", flush=True)
    client, _ = listener.accept()
    while data := client.recv(65536):
        client.sendall(data)
"""

SYNCS = """
import os, sys, time
with open(sys.argv[1], "wb", buffering=0) as file:
    for _ in sys.stdin:
        began = time.monotonic()
        file.write(b"x")
        os.fsync(file.fileno())
        print(time.monotonic() - began, flush=True)
"""


def if_permitted(make):
    try:
        return make()
    except (OSError, subprocess.CalledProcessError) as error:
        raise unittest.SkipTest(f"not permitted here: {getattr(error, 'stderr', None) or error}")


class ALink(weir.Case):
    def setUp(self):
        super().setUp()
        self.links = if_permitted(lambda: Links(2))
        self.addCleanup(self.links.close)
        address = self.links.addresses[1]
        server = subprocess.Popen([*self.links.inside(1), sys.executable, "-c", ECHO, address], stdout=subprocess.PIPE)
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stdout.close()))
        self.assertEqual(server.stdout.readline(), b"listening\n")
        self.client = socket.create_connection((address, 7000), timeout=30)
        self.addCleanup(self.client.close)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def echo(self, data=b"x"):
        """Sends it and has it back; how long that took."""
        began = time.monotonic()
        self.client.sendall(data)
        found = b""
        while len(found) < len(data):
            found += self.client.recv(65536)
        self.assertEqual(found, data)
        return time.monotonic() - began

    def test_is_slow_both_ways_until_it_is_mended(self):
        self.echo()
        self.links.set(1, delay_s=0.3, jitter_s=0.1)
        self.assertGreaterEqual(self.echo(), 0.6)
        self.links.set(0, delay_s=10)  # another one
        self.links.mend(1)
        self.assertLess(self.echo(), 0.6)

    def test_loses_frames_and_the_stream_is_whole_all_the_same(self):
        self.links.set(1, loss=0.1)
        data = os.urandom(64 << 10)
        self.echo(data)

    def test_that_is_cut_lets_nothing_through_until_it_is_mended(self):
        self.echo()
        self.links.cut(1)
        self.client.settimeout(0.5)
        self.client.sendall(b"x")
        with self.assertRaises(TimeoutError):
            self.client.recv(1)
        self.links.mend(1)
        self.client.settimeout(30)
        self.assertEqual(self.client.recv(1), b"x")


class LinksOfTwoTests(unittest.TestCase):
    def test_are_on_networks_of_their_own(self):
        both = []
        for _ in range(2):
            both.append(if_permitted(lambda: Links(1)))
            self.addCleanup(both[-1].close)
        self.assertEqual(len({each.host for each in both} | {address for each in both for address in each.addresses}), 4)


class ADisk(weir.Case):
    def test_is_slow_while_it_is_said_to_be(self):
        disks = SlowDisks(self.folder / "disks")
        process = subprocess.Popen([*disks.words("one"), sys.executable, "-c", SYNCS, str(self.folder / "file")],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdin.close(), process.stdout.close()))

        def sync():
            process.stdin.write(b"\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        sync()
        disks.set("one", 1.6)
        self.assertGreaterEqual(sync(), 1.7)
        disks.set("one", 0)
        disks.set("two", 10)
        self.assertLess(sync(), 1.6)

    def test_is_full_until_it_is_freed(self):
        disk = if_permitted(lambda: FullDisk(self.folder / "disk", size="1m"))
        self.addCleanup(disk.close)
        disk.fill()
        with self.assertRaises(OSError):
            (disk.folder / "file").write_bytes(b"x")
        disk.free()
        (disk.folder / "file").write_bytes(b"x")


class AFaultThatLasts(unittest.TestCase):
    def setUp(self):
        self.faults = LastingFaults(breath_s=60)
        self.addCleanup(self.faults.close)

    def test_ends_on_time_though_who_has_begun_it_waits_for_what_is_paused(self):
        process = subprocess.Popen([sys.executable, "-c", "input(); print('done', flush=True)"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdin.close(), process.stdout.close()))
        stop(process.pid)
        self.faults.begin("other", 600, lambda: None, alone=False)
        self.faults.begin("pause", 0.2, lambda: go_on(process.pid), alone=True)
        process.stdin.write(b"\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"done\n")  # for ever, if nobody else let it go on
        wait_until("it is over", lambda: self.faults.under_way() == [("other", False)])
        self.assertFalse(self.faults.may_begin("pause"), "not without a breath")
        self.assertTrue(self.faults.may_begin("other"))

    def test_ends_with_all_others_at_once_when_it_is_told_to(self):
        ended = []
        for kind in ("one", "two"):
            self.faults.begin(kind, 600, lambda kind=kind: ended.append(kind), alone=False)
        self.faults.end_all()
        self.assertEqual(ended, ["one", "two"])
        self.assertEqual(self.faults.under_way(), [])

    def test_that_cannot_be_ended_is_told(self):
        def fail():
            raise OSError("there is no such link")

        self.faults.begin("one", 0, fail, alone=True)
        wait_until("it was tried", lambda: self.faults.error is not None)
        with self.assertRaisesRegex(OSError, "there is no such link"):
            self.faults.under_way()


class ACluster(Counting, Numbers):
    def test_goes_on_by_itself_when_its_disk_has_room_again(self):
        disk = if_permitted(lambda: FullDisk(self.folder / "cluster" / "coordinator"))
        self.addCleanup(disk.close)
        with Cluster(self.folder / "cluster") as cluster:
            job = self.submit(cluster)
            cluster.wait_for_checkpoint(job)
            disk.fill()

            def restarts():
                status = cluster.status(job)
                return status["restarts"] >= 4 and "No space left on device" in status["failure"]

            wait_until("restarts for want of room", restarts)
            newest = cluster.wait_for_checkpoint(job)
            disk.free()
            # Within the delay of a restart, which is half a minute at most.
            cluster.wait_for_checkpoint(job, newest, timeout=45)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()

    def test_a_stop_whose_savepoint_has_no_room_says_what_becomes_of_the_job(self):
        disk = if_permitted(lambda: FullDisk(self.folder / "checkpoints"))
        self.addCleanup(disk.close)
        with Cluster(self.folder / "cluster", coordinator_flags=["--checkpoints", disk.folder]) as cluster:
            job = self.submit(cluster)
            wait_until("a checkpoint", lambda: cluster.status(job)["checkpoints"]["last_id"] > 0)
            disk.fill()
            stopped = cluster.command("stop", job)
            if stopped.code == weir.DONE:  # a savepoint is links to what is there, for which a full disk may have room
                from_there = stopped.stdout.strip()
            else:
                self.assert_code(stopped, weir.FAILED)
                self.assert_says(stopped, "the savepoint failed: ", "No space left on device", f"{job} is now SUSPENDED")
                self.assertEqual(cluster.status(job)["state"], "SUSPENDED", "the command waits for it")
                told = re.search(rf"--from ({job}/chk-\d+)", stopped.stderr)
                self.assertIsNotNone(told, stopped.stderr)
                from_there = told.group(1)
            disk.free()
            cluster.wait_for_state(job, "SUSPENDED")
            again = cluster.submit(SUSPECT, self.parameters(rate=0), "--from", from_there, parallelism=3)
            self.assertEqual(again, job)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()

    def test_has_a_slow_disk_in_every_process_and_is_exact(self):
        disks = SlowDisks(self.folder / "disks")
        with Cluster(self.folder / "cluster", prefix=disks.words) as cluster:
            job = self.submit(cluster)
            newest = cluster.wait_for_checkpoint(job)
            for pids in cluster.executors().values():
                for pid in pids:
                    self.assertIn("libslow_disk.so", pathlib.Path(f"/proc/{pid}/maps").read_text())
            for name in ["coordinator", *cluster.workers]:
                disks.set(name, 0.05)
            cluster.wait_for_checkpoint(job, newest)
            cluster.wait_for_state(job, "FINISHED")
        self.assert_exact()


del Counting, Numbers

if __name__ == "__main__":
    weir.main()
