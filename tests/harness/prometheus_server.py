"""A Prometheus of the test's own."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from . import process
from .monitoring import PROMETHEUS
from .node import Node
from .ports import free_port
from .waiting import wait_until

BINARY = shutil.which("prometheus")


class PrometheusServer:
    """A Prometheus configured by deploy/prometheus, except that it is told the nodes and looks every second."""

    def __init__(self, directory: Path, nodes: list[Node]):
        self.directory = directory
        self.log = directory / "prometheus.log"
        self.port = free_port()
        self._nodes = nodes
        self._process: subprocess.Popen | None = None

    def start(self) -> "PrometheusServer":
        """Starts it and waits until it answers."""
        config = self.directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        arguments = {
            "config.file": config,
            "storage.tsdb.path": self.directory / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        command = [BINARY, *(f"--{key}={value}" for key, value in arguments.items())]
        self._process = process.spawn(command, env=process.clean_environment(), cwd=self.directory, log=self.log)
        wait_until(self._answers, f"an answer of Prometheus at port {self.port}, see {self.log}", 30)
        return self

    def _config(self) -> dict:
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(PROMETHEUS / pattern) for pattern in config["rule_files"]]
        fanwire, itself = config["scrape_configs"]
        assert fanwire.pop("dns_sd_configs"), "nodes are found by DNS"
        fanwire["static_configs"] = [{"targets": [f"127.0.0.1:{node.internal_port}" for node in self._nodes]}]
        itself["static_configs"] = [{"targets": [f"127.0.0.1:{self.port}"]}]
        return config

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"Prometheus ended by itself:\n{self.log.read_text()[-3000:]}"
        try:
            return bool(self.query("vector(1)"))
        except OSError:
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values that an expression has now."""
        data = self._get("query", query=expression)
        assert data["resultType"] == "vector", f"{expression} is a {data['resultType']}"
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def rules(self) -> list[dict]:
        """All rules with what came of their last evaluation."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> dict:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            # 503 is an answer of one that still starts; every other one is about the request.
            assert error.code == 503, f"{parameters}: {error.read().decode()}"
            raise

    def kill(self) -> None:
        """Ends it."""
        process.end(self._process)
