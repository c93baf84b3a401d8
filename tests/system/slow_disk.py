"""Disks that are slow for a while, each for one process and its children (slow_disk.cc)."""

import struct

import weir

LIBRARY = weir.BUILD / "tests" / "libslow_disk.so"


class SlowDisks:
    """By the name of the process, which is to be started behind words(name)."""

    def __init__(self, folder):
        if not LIBRARY.exists():
            raise FileNotFoundError(f"{LIBRARY} has not been built")
        self.folder = folder
        self.folder.mkdir(parents=True)

    def file(self, name):
        return self.folder / f"{name}.delay"

    def words(self, name):
        if not self.file(name).exists():
            self.set(name, 0)
        return ["env", f"LD_PRELOAD={LIBRARY}", f"SLOW_DISK={self.file(name)}"]

    def set(self, name, seconds):
        """How much longer a sync takes from now on; a write takes a sixteenth of it longer."""
        # Not truncated: it is mapped.
        with open(self.file(name), "r+b" if self.file(name).exists() else "wb") as file:
            file.write(struct.pack("q", round(seconds * 1_000_000)))
