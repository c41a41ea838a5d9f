"""What the machine must allow for very many connections, and what it has."""

import resource
from dataclasses import dataclass
from pathlib import Path

SYSCTL = Path("/proc/sys")


@dataclass(frozen=True)
class Setting:
    """A setting of the kernel that must be at least something."""

    name: str
    least: int
    because: str

    @property
    def path(self) -> Path:
        """Where it is; there is none where the kernel has no such thing."""
        return SYSCTL / self.name.replace(".", "/")

    def value(self) -> int | None:
        """What it is, the last number of several."""
        try:
            return int(self.path.read_text().split()[-1])
        except OSError:
            return None

    def lacks(self) -> bool:
        """Whether it is too small."""
        value = self.value()
        return value is not None and value < self.least


def needed(connections: int) -> list[Setting]:
    """The settings that so many connections need whose both ends are here."""
    return [
        Setting("fs.file-max", 2 * connections + 100_000, "each connection is two open files"),
        Setting("net.netfilter.nf_conntrack_max", connections + connections // 10 + 10_000,
                "a machine that tracks connections drops new ones when the table is full"),
        Setting("net.core.somaxconn", 1024, "connections that wait to be accepted"),
        Setting("net.ipv4.tcp_mem", connections // 2,
                "pages for all that is under way: a broadcast is so many small packets at once"),
    ]  # fmt: skip


def ports() -> int:
    """How many ports there are for each source and destination."""
    least, most = map(int, (SYSCTL / "net/ipv4/ip_local_port_range").read_text().split())
    return most - least + 1


def files() -> int:
    """How many files a process may open at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Raised:
    """Raises settings, and puts them back in the end."""

    def __init__(self, settings: list[Setting]):
        self._settings = settings
        self._before: list[tuple[Path, str]] = []

    def __enter__(self) -> "Raised":
        for setting in self._settings:
            before = setting.path.read_text().strip()
            self._before.append((setting.path, before))
            # Of several numbers the last is the one that counts.
            setting.path.write_text("\t".join([*before.split()[:-1], str(setting.least)]))
        return self

    def __exit__(self, *error) -> None:
        for path, before in reversed(self._before):
            path.write_text(before)


def available() -> int:
    """Memory that can be had, in bytes: of the machine, or of the control group if that is less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min([machine, *(limit - used for limit, used in _groups())])


def _groups():
    """Limit and use of each control group that limits memory."""
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            texts = [(Path("/sys/fs/cgroup") / name).read_text().strip() for name in (limit, used)]
        except OSError:
            continue
        if texts[0] != "max":
            yield tuple(map(int, texts))
