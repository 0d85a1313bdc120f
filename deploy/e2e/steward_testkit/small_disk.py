"""A disk of its own that tests fill and enlarge: a small tmpfs, where this machine lets us mount one."""

import os
import pathlib
import subprocess


class SmallDisk:
    """Mounted at `path` until closed."""

    def __init__(self, path: pathlib.Path, mib: int):
        path.mkdir(parents=True)
        self.path, self.mounted = path, False
        self.ballast = path / "ballast"
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)]
        try:
            self.refused = subprocess.run(command, capture_output=True, text=True).stderr.strip()
        except OSError as error:
            self.refused = str(error)
        self.mounted = not self.refused

    @property
    def free(self) -> int:
        seen = os.statvfs(self.path)
        return seen.f_bavail * seen.f_frsize

    def fill(self, leave: int):
        """Takes all but `leave` bytes; what others free meanwhile is taken too, if nothing is to be left."""
        with open(self.ballast, "ab") as file:
            for size in (1 << 20, 1 << 12):
                while self.free >= leave + size:
                    try:
                        file.write(bytes(size))
                        file.flush()
                    except OSError:
                        break

    def enlarge(self, mib: int):
        subprocess.run(["mount", "-o", f"remount,size={mib}m", str(self.path)], check=True)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", str(self.path)], check=True)
            self.mounted = False
