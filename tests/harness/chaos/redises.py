"""The kinds of Redis that nodes can be at."""

from pathlib import Path

from ..redis_cluster import RedisCluster
from ..redis_server import RedisServer
from ..sentinels import Trio
from ..waiting import wait_until
from .proxy import Proxy


class Single:
    """One Redis that keeps nothing on disk; each node reaches it through a proxy of its own."""

    name = "single"
    options: dict[str, object] = {}

    def __init__(self, directory: Path):
        self.server = RedisServer(directory, options=self.options)
        self.proxies: list[Proxy] = []

    def start(self) -> None:
        self.server.start()

    def config(self) -> dict[str, object]:
        """What the next node is told."""
        self.proxies.append(Proxy([self.server.port]).start())
        return {"redis__url": f"redis://127.0.0.1:{self.proxies[-1].port}"}

    def primaries(self) -> list[RedisServer]:
        """The servers that take writes."""
        return [self.server]

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()
        _revive(self.server)

    def end(self) -> None:
        for proxy in self.proxies:
            proxy.end()
        self.server.kill()


class Persistent(Single):
    """One Redis that has on disk whatever it has answered."""

    name = "persistent"
    options = {"appendonly": "yes", "appendfsync": "always"}


class Sentinel:
    """A primary and two replicas under the watch of three Sentinels."""

    name = "sentinel"
    options: dict[str, object] = {}

    def __init__(self, directory: Path):
        self.trio = Trio(directory, options=self.options)

    def start(self) -> None:
        self.trio.start()

    def config(self) -> dict[str, object]:
        """What the next node is told."""
        return self.trio.config

    def primary(self) -> RedisServer:
        """The one that Sentinels and itself agree on, as soon as there is one."""

        def found():
            try:
                return self.trio.primary()
            except (AssertionError, OSError, RuntimeError):
                return None

        return wait_until(found, "a primary", 60)

    def primaries(self) -> list[RedisServer]:
        """The servers that take writes."""
        return [self.primary()]

    def heal(self) -> None:
        for server in self.trio.servers:
            _revive(server)
        wait_until(self.trio.is_complete, "a primary and two replicas", 90)

    def end(self) -> None:
        self.trio.end()


class Guarded(Sentinel):
    """The same, with primaries that take nothing without a replica, as deploy/README.md wants it."""

    name = "guarded"
    options = {"min-replicas-to-write": 1}


class Cluster:
    """Three primaries, a replica for each, and the channels spread over them."""

    name = "cluster"

    def __init__(self, directory: Path):
        self.cluster = RedisCluster(directory, replicas=1)

    def start(self) -> None:
        self.cluster.start()

    def config(self) -> dict[str, object]:
        """What the next node is told."""
        return self.cluster.config

    def primaries(self) -> list[RedisServer]:
        """The servers that take writes."""
        return self.cluster.primaries()

    def heal(self) -> None:
        for server in self.cluster.servers:
            _revive(server)
        wait_until(self.cluster.is_complete, "three primaries with their replicas", 90)

    def end(self) -> None:
        self.cluster.end()


def _revive(server: RedisServer) -> None:
    if not server.alive():
        server.start()
        return
    server.thaw()
    wait_until(server.answers, f"an answer of Redis at port {server.port}", 30)


KINDS = {kind.name: kind for kind in (Single, Persistent, Sentinel, Guarded, Cluster)}
