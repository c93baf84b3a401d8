#!/usr/bin/env python3
"""A cluster with TLS and tokens: certificates made by the commands of docs/security.md, who is let in, and who is refused."""

import shutil
import socket
import urllib.error

import weir
from cluster import Process, wait_until
from secure_cluster import TOKENS, SecureCluster, make_certificates
from suspect import SUSPECT, Counting, Numbers


class Secured(Counting, Numbers):
    def test_a_job_is_exact_with_tls_between_all_processes(self):
        with SecureCluster(self.folder / "cluster", workers=2) as cluster:
            job = self.submit(cluster)
            cluster.wait_for_checkpoint(job)
            cluster.kill_worker("worker-0")
            cluster.start_worker()
            cluster.wait_for_state(job, "FINISHED")
            self.assertNotIn(TOKENS["worker"], cluster.coordinator.said())
        self.assert_exact()

    def test_who_has_no_right_is_refused_with_a_log_line(self):
        with SecureCluster(self.folder / "cluster", workers=1) as cluster:
            cluster.wait_for_workers(1)
            # Nothing without a token; with one what its role is for.
            self.assertEqual(cluster.ask(None, "list").code, weir.CONFIGURATION)
            cluster.wait_for_log("a token is needed")
            self.assertEqual(cluster.ask("read", "list").code, weir.DONE)
            result = cluster.ask("read", "cancel", "no-such-job")
            self.assertIn("has the role read; this needs operate", result.stderr)
            cluster.wait_for_log("has the role read; this needs operate")
            parameters = [word for name, value in self.parameters().items() for word in ("-D", f"{name}={value}")]
            result = cluster.ask("operate", "submit", SUSPECT, *parameters)
            self.assertIn("needs submit", result.stderr)
            result = cluster.ask("worker", "list")
            self.assertIn("needs read", result.stderr)
            self.assertIn("the token of 'old' expired on 2020-01-01", cluster.ask("old", "list").stderr)
            cluster.wait_for_log("the token of 'old' expired on 2020-01-01")
            # Nothing in the clear.
            self.assertNotEqual(cluster.ask("submit", "list", tls=False).code, weir.DONE)
            cluster.wait_for_log("it does not speak TLS")
            # Nobody joins without the token and a certificate of the CA.
            code, said = cluster.refused_worker(*cluster.tls)
            self.assertEqual(code, weir.CONFIGURATION, said)
            self.assertIn("a token is needed", said)
            code, said = cluster.refused_worker(*cluster.tls, "--token-file", cluster.folder / "submit.token")
            self.assertEqual(code, weir.CONFIGURATION, said)
            cluster.wait_for_log("has the role submit; this needs worker")
            other = cluster.folder / "other"
            stranger = Process(cluster.folder, "stranger", "worker", "--join", cluster.rpc, "--data", cluster.folder / "stranger",
                               "--tls-cert", other / "node-1.example.pem", "--tls-key", other / "node-1.example.key",
                               "--tls-ca", cluster.folder / "ca.pem", "--token-file", cluster.folder / "worker.token")
            try:
                cluster.wait_for_log("is not signed by the CA of --tls-ca")
            finally:
                stranger.kill()
            host, port = cluster.rpc.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"WEIR\x01\x00\x00\x00 this is no TLS")
                name = "%s:%d" % connection.getsockname()
            cluster.wait_for_log(f"refused {name}: no TLS with {name}: it does not speak TLS")
            plain = Process(cluster.folder, "plain", "worker", "--join", cluster.rpc, "--data", cluster.folder / "plain")
            try:
                wait_until("it says what it lacks", lambda: "if it speaks TLS, start this process with --tls-cert" in plain.said())
            finally:
                plain.kill()
            self.assertEqual(len(cluster.get("/v1/workers")["workers"]), 1)

    def test_a_token_that_is_taken_out_stops_working(self):
        with SecureCluster(self.folder / "cluster", workers=0) as cluster:
            self.assertEqual(cluster.ask("read", "list").code, weir.DONE)
            lines = [line for line in cluster.token_list.read_text().splitlines(True) if "role: read" not in line]
            cluster.write_secret(cluster.token_list, "".join(lines))

            def refused():
                try:
                    cluster.get("/v1/jobs")
                except urllib.error.HTTPError as error:
                    return error.code == 401
                return False

            wait_until("the token is refused", refused)
            self.assertEqual(cluster.ask("operate", "list").code, weir.DONE)


class Addresses(Numbers):
    def test_an_address_for_others_needs_all_flags(self):
        for flag in ("--listen", "--rpc-listen"):
            result = weir.command(weir.WEIR, "coordinator", "--data", self.folder / "data", flag, "0.0.0.0:0", timeout=30)
            self.assertEqual(result.code, weir.CONFIGURATION)
            self.assertIn(f"{flag} 0.0.0.0:0", result.stderr)
            self.assertIn("Missing: --tls-cert --tls-key --tls-ca --token-file", result.stderr)
        result = weir.command(weir.WEIR, "worker", "--join", "127.0.0.1:1", "--data", self.folder / "data", "--http", "0.0.0.0:0",
                              timeout=30)
        self.assertEqual(result.code, weir.CONFIGURATION)
        self.assertIn("Missing: --tls-cert", result.stderr)

    def test_a_secret_that_everybody_may_read_is_refused(self):
        make_certificates(self.folder / "certificates")
        name = self.folder / "certificates" / "node-1.example"
        shutil.copyfile(f"{name}.key", f"{name}.open")
        (self.folder / "certificates" / "node-1.example.open").chmod(0o644)
        result = weir.command(weir.WEIR, "coordinator", "--data", self.folder / "data", "--tls-cert", f"{name}.pem",
                              "--tls-key", f"{name}.open", "--tls-ca", self.folder / "certificates" / "ca.pem", timeout=30)
        self.assertEqual(result.code, weir.CONFIGURATION)
        self.assertIn(f"chmod 600 {name}.open", result.stderr)


del Counting, Numbers

if __name__ == "__main__":
    weir.main()
