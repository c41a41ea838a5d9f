"""A Fanwire node as a process."""

import http.client
import json
import os
import signal
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import http_request, process
from .metrics import Metrics
from .ports import free_port
from .waiting import wait_until

_START_ATTEMPTS = 5


def binary() -> str:
    """The program under test: `TESTS_BIN`, or the release build of this checkout."""
    root = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    path = os.environ.get("TESTS_BIN") or str(root / target / "release" / "fanwire")
    assert os.access(path, os.X_OK), f"no program at {path}: build it, or set TESTS_BIN"
    return path


def variables(config: dict[str, object]) -> dict[str, str]:
    """`outbox__limit="64KiB"` as the environment spells it."""
    return {f"FANWIRE_{key.upper()}": str(value) for key, value in config.items()}


@dataclass
class Health:
    """An answer of the internal port's health checks."""

    status: int
    body: dict


class Node:
    """A node on two free ports of 127.0.0.1, configured by environment alone."""

    def __init__(self, directory: Path, name: str, config: dict[str, object], arguments: tuple[str, ...] = ("serve",)):
        self.directory = directory
        self.name = name
        self.config = config
        self.arguments = arguments
        self.log = directory / f"{name}.log"
        #: Another program than the one under test, such as an older version of it.
        self.program: str | None = None
        #: What clients trust at the public port, and what is trusted at the internal one, if these have TLS.
        self.public_tls: ssl.SSLContext | None = None
        self.internal_tls: ssl.SSLContext | None = None
        self.port = self.internal_port = 0
        self._process: subprocess.Popen | None = None

    def start(self) -> "Node":
        """Starts it and waits until it listens, on other ports should somebody have taken the first."""
        for _ in range(_START_ATTEMPTS):
            self.launch()
            if self._listens():
                return self
            if "in use" not in self.output():
                break
        raise AssertionError(f"{self.name} ended with {self.exit_code} instead of starting:\n{self.output()}")

    def _listens(self) -> bool:
        wait_until(lambda: self.alive() or self.exit_code is not None, f"a listener of {self.name}, see {self.log}")
        return self.exit_code is None

    def launch(self) -> None:
        """Starts it without waiting."""
        self.port, self.internal_port = free_port(), free_port()
        self._spawn()

    def start_again(self) -> "Node":
        """Starts it once more after its end, on the ports that it had, and waits until it listens."""
        self._spawn()
        assert self._listens(), f"{self.name} ended with {self.exit_code} instead of starting:\n{self.output()}"
        return self

    def _spawn(self) -> None:
        config = {
            "server__listen": f"127.0.0.1:{self.port}",
            "internal__listen": f"127.0.0.1:{self.internal_port}",
        } | self.config
        env = process.clean_environment() | variables(config)
        self._process = process.spawn([self.program or binary(), *self.arguments], env=env, cwd=self.directory, log=self.log)

    @property
    def url(self) -> str:
        return f"{'wss' if 'tls__cert' in self.config else 'ws'}://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The code it ended with, negative for a signal; `None` while it runs."""
        assert self._process is not None
        return self._process.poll()

    def output(self) -> str:
        """Everything it has written."""
        return self.log.read_text(errors="replace")

    def terminate(self) -> None:
        """Asks it to drain and end."""
        self._process.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def hang_up(self) -> None:
        """Asks it to read its certificates again."""
        self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Makes it hang with its sockets open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends a freeze."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash would."""
        process.end(self._process)

    def wait(self, within: float = 15.0) -> int:
        """Its exit code once it has ended."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {within} s") from None

    def alive(self) -> bool:
        """Whether it says that it lives."""
        return self._answer("/health/live") == 200

    def ready(self) -> bool:
        """Whether it says that it is ready for connections."""
        return self._answer("/health/ready") == 200

    def _answer(self, path: str) -> int | None:
        try:
            return self.get(path)[0]
        except (OSError, http.client.HTTPException):
            return None

    def wait_ready(self, within: float = 15.0) -> "Node":
        """Waits until it is ready."""
        wait_until(self.ready, f"{self.name} ready", within)
        return self

    def health(self, check: str) -> Health:
        """The answer of `/health/live` or `/health/ready`."""
        status, body = self.get(f"/health/{check}")
        return Health(status, json.loads(body))

    def metrics(self) -> Metrics:
        """A scrape."""
        status, body = self.get("/metrics")
        assert status == 200, (status, body)
        return Metrics.parse(body)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a request to the internal port."""
        return http_request.get(self.internal_port, path, within=5, tls=self.internal_tls)

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def private_memory(self) -> int:
        """The memory that it shares with nobody, in bytes."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))

    def cpu_seconds(self) -> tuple[float, float]:
        """User and system time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        tick = os.sysconf("SC_CLK_TCK")
        return int(fields[11]) / tick, int(fields[12]) / tick


def connections(nodes: "list[Node]") -> list[int]:
    """How many connections each of `nodes` has."""
    return [int(node.metrics().value("fanwire_connections")) for node in nodes]
