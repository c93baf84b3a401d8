"""Network namespaces on a bridge of this machine, each with a link of its own that can be cut: for Linux, and who may make them."""

import os
import subprocess


def _ip(*words, check=True):
    return subprocess.run(["ip", *map(str, words)], check=check, capture_output=True, text=True)


class Links:
    """`host` is the address of this side, `addresses` are those of the namespaces, by number. close() takes all of it away."""

    def __init__(self, number):
        self.name = f"weir{os.getpid() % 100_000}"  # a device's name has 15 characters at most
        network = f"10.213.{os.getpid() % 250 + 1}"
        self.host, self.addresses = f"{network}.1", [f"{network}.{10 + link}" for link in range(number)]
        try:
            _ip("link", "add", self.name, "type", "bridge")
            _ip("address", "add", f"{self.host}/24", "dev", self.name)
            _ip("link", "set", self.name, "up")
            for link, address in enumerate(self.addresses):
                space = self.space(link)
                _ip("netns", "add", space)
                _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
                _ip("link", "set", space, "master", self.name, "up")
                _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def space(self, link):
        return f"{self.name}-{link}"

    def inside(self, link):
        """The words in front of a command that runs there, in the process that they start."""
        return ["ip", "netns", "exec", self.space(link)]

    def cut(self, link):
        """From now on whatever is sent is lost, in both directions, and nobody is told."""
        _ip("link", "set", self.space(link), "nomaster")

    def mend(self, link):
        _ip("link", "set", self.space(link), "master", self.name)

    def close(self):
        for link in range(len(self.addresses)):
            _ip("netns", "delete", self.space(link), check=False)
            _ip("link", "delete", self.space(link), check=False)
        _ip("link", "delete", self.name, check=False)
