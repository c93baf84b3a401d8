"""A cluster of real processes with TLS and tokens."""

import hashlib
import re
import ssl
import subprocess

import weir
from cluster import Cluster, Process, wait_until

TOKENS = {name: hashlib.sha256(f"secret of {name}".encode()).hexdigest() for name in ("read", "operate", "submit", "worker", "old")}


def make_certificates(folder, addresses=("127.0.0.9",)):
    """By what the document says under "Certificates"; a second CA in folder/other."""
    text = (weir.ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.split("## Certificates")[1].split("\n## ")[0]
    blocks = [block for block in re.findall(r"```\n(.*?)```", section, re.S) if "openssl" in block]
    commands = "\n".join(blocks).replace("IP:10.0.0.11", ",".join(f"IP:{address}" for address in addresses))
    for place in (folder, folder / "other"):
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["bash", "-euc", commands], cwd=place, check=True, capture_output=True)


class SecureCluster(Cluster):
    """Every process with the certificate and a token file of its own."""

    def __init__(self, folder, addresses=("127.0.0.9",), coordinator_flags=(), **options):
        folder.mkdir(parents=True, exist_ok=True)
        make_certificates(folder, addresses)
        name = "node-1.example"
        self.tls = ["--tls-cert", folder / f"{name}.pem", "--tls-key", folder / f"{name}.key", "--tls-ca", folder / "ca.pem"]
        entries = "".join(f"  - {{name: {name}, role: {name}, sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n"
                          for name, token in TOKENS.items())
        entries = entries.replace("role: old,", "role: submit, expires: 2020-01-01T00:00:00Z,")
        self.token_list = folder / "tokens.yaml"
        self.write_secret(self.token_list, "tokens:\n" + entries)
        for role, token in TOKENS.items():
            self.write_secret(folder / f"{role}.token", token + "\n")
        self.client_flags = ["--tls-ca", folder / "ca.pem", "--token-file", folder / "submit.token"]
        self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self.headers = {"Authorization": f"Bearer {TOKENS['read']}"}
        super().__init__(folder, coordinator_flags=[*self.tls, "--token-file", self.token_list, *coordinator_flags], **options)

    def write_secret(self, path, content):
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(content)
        new.rename(path)

    def worker_flags(self):
        return [*super().worker_flags(), *self.tls, "--token-file", self.folder / "worker.token"]

    def ask(self, role, name, *words, tls=True):
        """A command of somebody with the token of this role."""
        flags = ["--token-file", self.folder / f"{role}.token"] if role else []
        flags += ["--tls-ca", self.folder / "ca.pem"] if tls else []
        return weir.command(weir.WEIR, name, *words, "--coordinator", self.rest, *flags, timeout=60)

    def refused_worker(self, *flags):
        """The log of a worker that ends by itself, and its exit code."""
        self.started += 1
        process = Process(self.folder, f"refused-{self.started}", "worker", "--join", self.rpc, "--slots", 1,
                          "--data", self.folder / f"refused-{self.started}", *flags)
        try:
            return process.process.wait(60), process.said()
        finally:
            process.kill()

    def wait_for_log(self, text):
        wait_until(f"the coordinator says {text!r}", lambda: text in self.coordinator.said())
