"""A disk of a test's own, in memory, that can be full for a while: for who may mount."""

import pathlib
import subprocess


class FullDisk:
    """A folder on it; close() takes it away."""

    def __init__(self, folder, size="256m"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "weir-test", str(self.folder)], check=True, capture_output=True)
        self.ballast = self.folder / "ballast"

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 << 10))
            except OSError:
                pass

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)
