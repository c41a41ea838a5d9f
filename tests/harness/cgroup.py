"""A control group that bounds memory, as a container's does."""

import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class Cgroup:
    """A group whose processes may use so many bytes together."""

    def __init__(self, directory: Path, limit_file: str, limit: int):
        self.directory = directory
        directory.mkdir()
        (directory / limit_file).write_text(str(limit))

    @classmethod
    def make(cls, limit: int) -> "Cgroup | None":
        """A new one, if this machine lets one be made."""
        name = f"fanwire-test-{os.getpid()}-{time.monotonic_ns()}"
        for parent, limit_file in ((_ROOT / "memory", "memory.limit_in_bytes"), (_ROOT, "memory.max")):
            try:
                return cls(parent / name, limit_file, limit)
            except OSError:
                _remove(parent / name)
        return None

    def command(self, *program: str) -> list[str]:
        """What runs `program` in the group."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs"), *program]

    def remove(self) -> None:
        """Removes it; its processes have ended, or are about to."""
        deadline = time.monotonic() + 10
        while not _remove(self.directory) and time.monotonic() < deadline:
            time.sleep(0.05)


def _remove(directory: Path) -> bool:
    """Whether there is no such group any more."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
