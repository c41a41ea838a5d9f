"""A primary with replicas, and the Sentinels that watch it."""

import signal
import subprocess
from pathlib import Path

from . import process
from .ports import free_port
from .redis_server import BINARY, RedisServer, call
from .waiting import wait_until

#: What the Sentinels call the primary.
MASTER = "main"

#: Milliseconds without an answer after which a Sentinel takes a server for dead.
DOWN_AFTER = 1000


class Sentinel:
    """One Sentinel, on a free port; `options` are more of its configuration."""

    def __init__(self, directory: Path, primary_port: int, quorum: int, options: dict[str, object]):
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        tls_port = options.get("tls-port")
        self.url = f"rediss://127.0.0.1:{tls_port}" if tls_port else f"redis://127.0.0.1:{self.port}"
        self.log = directory / "sentinel.log"
        configuration = [
            *(f"{key} {value}" for key, value in options.items()),
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor {MASTER} 127.0.0.1 {primary_port} {quorum}",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}",
            f"sentinel failover-timeout {MASTER} 5000",
        ]
        (directory / "sentinel.conf").write_text("\n".join(configuration) + "\n")
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        arguments = [BINARY, str(self.directory / "sentinel.conf"), "--sentinel"]
        self._process = process.spawn(arguments, env={}, cwd=self.directory, log=self.log)

    def command(self, *words):
        return call(self.port, *words)

    def knows(self) -> dict[str, str]:
        """What it knows of the primary; nothing while it doesn't answer."""
        try:
            flat = self.command("SENTINEL", "MASTER", MASTER)
        except (OSError, RuntimeError):
            return {}
        return dict(zip(flat[::2], flat[1::2]))

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        process.end(self._process)


class Trio:
    """A primary, two replicas and three Sentinels that know each other; with `tls`, over TLS among themselves.

    `tls` has the paths of an authority's certificate, and of a certificate and its key. The tests' own commands go
    over ports without TLS, which are there as well. `options` are more of every server's configuration.
    """

    def __init__(
        self, directory: Path, tls: dict[str, Path] | None = None, options: dict[str, object] | None = None
    ):
        self.directory = directory
        self.options = {"repl-diskless-sync-delay": 0} | (options or {})
        self.tls = {f"tls-{key}-file": path for key, path in (tls or {}).items()}
        if tls:
            self.tls |= {"tls-replication": "yes", "tls-auth-clients": "no"}
        self.servers = [self._server(number) for number in range(3)]
        self.sentinels = [self._sentinel(number) for number in range(3)]

    def _server(self, number: int) -> RedisServer:
        directory = self.directory / f"redis{number}"
        directory.mkdir()
        return RedisServer(directory, options=self._with_port(self.options | self.tls))

    def _sentinel(self, number: int) -> Sentinel:
        directory = self.directory / f"sentinel{number}"
        return Sentinel(directory, self.port_of(self.servers[0]), 2, self._with_port(self.tls))

    def _with_port(self, options: dict[str, object]) -> dict[str, object]:
        return options | ({"tls-port": free_port()} if self.tls else {})

    def port_of(self, server: RedisServer) -> int:
        """The port at which Sentinels and replicas find it."""
        return server.options.get("tls-port", server.port)

    def start(self) -> "Trio":
        primary, *replicas = self.servers
        primary.start()
        for replica in replicas:
            replica.start().command("REPLICAOF", "127.0.0.1", self.port_of(primary))
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(self.is_complete, "Sentinels that know each other and both replicas", 30)
        return self

    def is_complete(self) -> bool:
        """Whether all Sentinels know each other, and a primary whom both replicas follow."""
        knows = {"num-other-sentinels": "2", "num-slaves": "2", "flags": "master"}
        if not all(knows.items() <= sentinel.knows().items() for sentinel in self.sentinels):
            return False
        try:
            roles = [server.command("ROLE") for server in self.servers]
        except OSError:
            return False
        return [role[3] for role in roles if role[0] == "slave"] == ["connected", "connected"]

    @property
    def config(self) -> dict[str, str]:
        """What a node is told."""
        urls = ",".join(sentinel.url for sentinel in self.sentinels)
        return {"redis__mode": "sentinel", "redis__urls": urls, "redis__master": MASTER}

    def primary(self) -> RedisServer:
        """The server that is the primary by its own account and by that of a Sentinel."""
        for sentinel in self.sentinels:
            port = sentinel.knows().get("port")
            for server in self.servers:
                if str(self.port_of(server)) == port and is_primary(server):
                    return server
        raise AssertionError("no primary")

    def end(self) -> None:
        for one in [*self.sentinels, *self.servers]:
            one.kill()


def is_primary(server: RedisServer) -> bool:
    """Whether it says so itself; one that hangs or is gone doesn't, though a Sentinel may still name it."""
    try:
        return server.alive() and server.command("ROLE")[0] == "master"
    except OSError:
        return False
