"""HAProxy in front of the nodes, with the examples in `deploy/haproxy`."""

import http.client
import os
import shutil
import subprocess
from pathlib import Path

from . import http_request, process
from .ports import free_port
from .waiting import wait_until

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
PASSTHROUGH = CONFIG.with_name("passthrough.cfg")
BINARY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class HAProxy:
    """HAProxy on a free port of 127.0.0.1; `settings` are the variables of `config`."""

    def __init__(self, directory: Path, config: Path = CONFIG, **settings: object):
        self.directory = directory
        self.config = config
        self.port, self.statistics = free_port(), free_port()
        self.log = directory / "haproxy.log"
        self.settings = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "STATS": f"127.0.0.1:{self.statistics}",
        } | settings
        self._process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def start(self) -> "HAProxy":
        """Starts it and waits until it says how it does."""
        env = process.clean_environment() | {key: str(value) for key, value in self.settings.items()}
        arguments = [BINARY, "-db", "-f", str(self.config)]
        self._process = process.spawn(arguments, env=env, cwd=self.directory, log=self.log)
        wait_until(lambda: self.up() is not None, f"statistics of HAProxy, see {self.log}")
        return self

    def up(self) -> int | None:
        """How many nodes it would send clients to; `None` while it says nothing."""
        try:
            status, body = self.get("/metrics", port=self.statistics)
        except (OSError, http.client.HTTPException):
            return None
        assert status == 200, body
        name = 'haproxy_backend_active_servers{proxy="nodes"} '
        return next(int(line.removeprefix(name)) for line in body.splitlines() if line.startswith(name))

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """Status and body of an ordinary request."""
        return http_request.get(port or self.port, path, within=15)

    def output(self) -> str:
        """Everything that it has written, its log too."""
        return self.log.read_text(errors="replace")

    def end(self) -> None:
        """Ends it at once."""
        process.end(self._process)
