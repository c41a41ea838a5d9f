"""A Redis of the test's own: started, stopped, frozen and killed at will."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path

from . import process
from .ports import free_port
from .waiting import wait_until

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A `redis-server` on a free port of 127.0.0.1 that keeps nothing on disk.

    The port stays the same over every stop, kill and start.
    """

    def __init__(self, directory: Path, password: str | None = None, options: dict[str, object] | None = None):
        assert BINARY, "neither redis-server nor valkey-server is on PATH; tests/run installs it"
        self.directory = directory
        self.password = password
        self.port = free_port()
        #: What else goes into its configuration.
        self.options = options or {}
        self.log = directory / "redis.log"
        self._process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> "RedisServer":
        """Starts it and waits until it answers."""
        self.launch()
        wait_until(self.answers, f"an answer of Redis at port {self.port}, see {self.log}")
        return self

    def launch(self) -> None:
        """Starts it without waiting."""
        self._process = process.spawn(self._arguments(), env={}, cwd=self.directory, log=self.log)

    def _arguments(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "appendonly": "no", "dir": self.directory}
        if self.password:
            options["requirepass"] = self.password
        options |= self.options
        pairs = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        return [BINARY, *pairs, "--save", ""]

    def answers(self) -> bool:
        """Whether it answers a PING."""
        assert self._process is not None
        assert self._process.poll() is None, f"Redis ended by itself: {self.log.read_text()[-2000:]}"
        try:
            return self.command("PING") == "PONG"
        except OSError:
            return False
        except RuntimeError as refused:
            assert str(refused).startswith("LOADING"), refused
            return False

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends it in an orderly way."""
        self._signal(signal.SIGTERM)
        self._process.wait(10)

    def kill(self) -> None:
        """Ends it as a crash would."""
        process.end(self._process)

    def freeze(self) -> None:
        """Makes it hang: its sockets stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends a freeze."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def command(self, *words):
        """Carries out one command over a connection of its own and returns the answer."""
        return call(self.port, *words, password=self.password)


def call(port: int, *words, password: str | None = None):
    """Carries out one command at `port` of 127.0.0.1 and returns the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        with connection.makefile("rwb") as stream:
            if password:
                _call(stream, "AUTH", password)
            return _call(stream, *words)


def _call(stream, *words):
    """One command and its answer in RESP2."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    stream.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
    stream.flush()
    return _reply(stream)


def _reply(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("Redis ended the connection")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise RuntimeError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    return rest
