"""nginx in front of the nodes, as `deploy/nginx/start` runs it."""

import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
from pathlib import Path

from . import process
from .node import Node
from .ports import free_port
from .waiting import wait_until

START = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "start"
BINARY = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
_ACCESS = re.compile(r'(\w+)=("[^"]*"|\S+)')


def addresses(nodes) -> list[str]:
    """The public addresses of nodes."""
    return [f"127.0.0.1:{node.port}" for node in nodes]


class Nginx:
    """`deploy/nginx/start` on a free port of 127.0.0.1, which reads its nodes from a file.

    `settings` are variables of `start` that differ from what suits a test: no limit on the rate at which the tests'
    one address connects, two workers, a look at the file every second.
    """

    def __init__(self, directory: Path, nodes: list[str], binary: str | None = None, **settings: object):
        self.directory = directory
        self.port = free_port()
        self.log = directory / "nginx.log"
        self.nodes_file = directory / "nodes"
        self.prefix = directory / "prefix"
        self.settings = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "NODES_FILE": self.nodes_file,
            "NGINX_DIR": self.prefix,
            "NGINX_BINARY": binary or BINARY,
            "INTERVAL": 1,
            "WORKERS": 2,
            "CONNECTION_RATE": 100_000,
            "CONNECTION_BURST": 100_000,
        } | settings
        self._process: subprocess.Popen | None = None
        self.set_nodes(nodes)

    @property
    def secure(self) -> bool:
        """Whether it serves TLS."""
        return "CERTIFICATE" in self.settings

    @property
    def url(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The process of the script."""
        assert self._process is not None
        return self._process.pid

    @property
    def master(self) -> int:
        """nginx' own first process."""
        return int((self.prefix / "nginx.pid").read_text())

    @property
    def exit_code(self) -> int | None:
        """The code that the script ended with; `None` while it runs."""
        assert self._process is not None
        return self._process.poll()

    def set_nodes(self, nodes: list[str]) -> None:
        """Replaces the list of nodes at once."""
        new = self.nodes_file.with_suffix(".new")
        new.write_text("".join(f"{node}\n" for node in nodes))
        new.replace(self.nodes_file)

    def use(self, nodes: list[Node]) -> None:
        """Makes it use these nodes and waits until it does."""
        want = addresses(nodes)
        self.set_nodes(want)
        wait_until(lambda: self.loaded() == sorted(want), f"{want} in nginx, see {self.log}")

    def loaded(self) -> list[str]:
        """The nodes that nginx has been told to load, sorted."""
        return re.findall(r"^server ([^ ;]+)", (self.prefix / "generated" / "servers.loaded").read_text(), re.M)

    def launch(self) -> None:
        """Starts it without waiting."""
        env = process.clean_environment() | {key: str(value) for key, value in self.settings.items()}
        # SIGTERM, for nginx has to end along with the script.
        self._process = process.spawn(
            [str(START)], env=env, cwd=self.directory, log=self.log, orphaned=signal.SIGTERM
        )

    def start(self) -> "Nginx":
        """Starts it and waits until it answers."""
        self.launch()
        wait_until(lambda: self.answers() or self.exit_code is not None, f"an answer of nginx, see {self.log}")
        assert self.exit_code is None, f"nginx ended with {self.exit_code}:\n{self.output()}"
        return self

    def answers(self) -> bool:
        """Whether its own health check succeeds."""
        try:
            return self.get("/nginx-health")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of an ordinary request."""
        if self.secure:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=15, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
        finally:
            connection.close()

    def output(self) -> str:
        """Everything that it has written, the access log too."""
        return self.log.read_text(errors="replace")

    def access_log(self) -> list[dict[str, str]]:
        """The access log's lines as their parts."""
        lines = [line for line in self.output().splitlines() if " client=" in line]
        return [{key: value.strip('"') for key, value in _ACCESS.findall(line)} for line in lines]

    def workers(self) -> list[int]:
        """The worker processes, those of before a reload too."""
        return _children(self.master)

    def processes(self) -> list[int]:
        """All that belongs to it: the script, nginx, its workers, and what the script has running."""
        found, new = [], [self.pid]
        while new:
            found += new
            new = [child for pid in new for child in _children(pid)]
        return found

    def signal(self, number: signal.Signals) -> None:
        """Sends the script a signal."""
        self._process.send_signal(number)

    def wait(self, within: float = 15.0) -> int:
        """The script's exit code once it has ended."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"start still runs after {within} s, see {self.log}") from None

    def end(self) -> None:
        """Ends all of it at once."""
        if self._process is None or self.exit_code is not None:
            return
        everything = self.processes()
        for pid in everything:
            _kill(pid)
        self._process.wait()


def _children(pid: int) -> list[int]:
    return [child for child, parent in _parents().items() if parent == pid]


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass  # It has just ended.
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def runs(pid: int) -> bool:
    """Whether a process is there and not just waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
