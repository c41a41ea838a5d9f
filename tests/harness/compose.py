"""The compose cluster, under a project name of its own, on free ports of loopback."""

import json
import os
import random
import resource
import subprocess
import tempfile
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from .ports import free_port
from .waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Building a node takes minutes, where nothing of it is in the builder's cache.
_PATIENCE = 1800


@dataclass(frozen=True)
class Container:
    """A container as it is at a moment."""

    id: str
    service: str
    status: str
    health: str
    #: Its address on each network, by the network's name in the compose file.
    addresses: dict[str, str]
    details: dict


class Compose:
    """`docker-compose.yml` of this checkout, brought up as it stands, but for what else `node` sets of nodes."""

    def __init__(self, node: dict[str, object] | None = None, **variables: object):
        self.node = node or {}
        self.project = f"fanwiretest{uuid.uuid4().hex[:8]}"
        self.port, self.prometheus_port = free_port(), free_port()
        digits = random.Random(self.project)
        self.edge = f"10.{digits.randrange(100, 250)}.{digits.randrange(250)}"
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        defaults = {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": os.pathsep.join(["docker-compose.yml", *self._override()]),
            "FANWIRE_TAG": self.project,
            "FANWIRE_NODES": 3,
            # A network that neither a cluster of the user's own nor another run of the tests has.
            "FANWIRE_EDGE": self.edge,
            # Connections that come are told at this level.
            "FANWIRE_LOG_LEVEL": "info,fanwire_node=debug",
            "FANWIRE_PUBLISH": f"127.0.0.1:{self.port}",
            "FANWIRE_PROMETHEUS_PORT": self.prometheus_port,
            # A host that caps files caps those of its containers, too.
            "FANWIRE_NOFILE": 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536),
        }
        # As it stands: without what the user has set for a cluster of their own.
        ours = ("FANWIRE_", "COMPOSE_", "NGINX_", "REDIS_", "PROMETHEUS_", "GRAFANA_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        self.environment = inherited | {key: str(value) for key, value in (defaults | variables).items()}

    def _override(self) -> list[str]:
        """A file with the settings of nodes, as the README has it for those that are no variable."""
        if not self.node:
            return []
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "override.yml"
        settings = {key: str(value) for key, value in self.node.items()}
        path.write_text(json.dumps({"services": {"node": {"environment": settings}}}))
        return [str(path)]

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def image(self) -> str:
        """The image of the nodes."""
        return f"fanwire:{self.project}"

    def compose(self, *words: str) -> str:
        """One compose command, and what it printed."""
        return self._run(*_compose(), *words)

    def docker(self, *words: str) -> str:
        """One docker command, and what it printed."""
        return self._run("docker", *words)

    def roll(self) -> str:
        """Replaces every node, as an operator does."""
        return self._run(str(ROOT / "deploy" / "roll"))

    def roll_with(self, *words: str, **variables: object) -> subprocess.CompletedProcess:
        """Tries to replace every node by one that is configured differently."""
        environment = self.environment | {key: str(value) for key, value in variables.items()}
        command = [str(ROOT / "deploy" / "roll"), *words]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
        return done.stdout

    def up(self, *words: str) -> None:
        """Builds what is not built and starts what does not run."""
        self.compose("up", "-d", "--build", *words)

    def scale(self, nodes: int) -> None:
        """Changes how many nodes there are, and leaves those that stay alone."""
        self.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", f"node={nodes}", "node")
        self.wait_healthy(node=nodes)

    def down(self) -> None:
        """Takes everything away."""
        for container in self.containers("beside"):
            self.remove(container.id)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        self.docker("image", "rm", "--force", self.image)

    def left(self) -> list[str]:
        """Containers, networks and volumes of the project."""
        mark = f"label=com.docker.compose.project={self.project}"
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [name for kind in kinds for name in self.docker(*kind, "--quiet", "--filter", mark).split()]

    def beside(self, *words: str, networks: tuple[str, ...] = ("edge",)) -> str:
        """Starts a container of the node's image on the cluster's networks, which is not part of the cluster."""
        first, *others = (f"{self.project}_{name}" for name in networks)
        labels = ["--label", f"com.docker.compose.project={self.project}", "--label", "com.docker.compose.service=beside"]
        redis = {"FANWIRE_REDIS__URL": "redis://redis:6379"} if "backend" in networks else {}
        settings = [word for key, value in (redis | self.node).items() for word in ("--env", f"{key}={value}")]
        made = self.docker("create", "--network", first, *labels, *settings, self.image, *words).strip()
        for network in others:
            self.docker("network", "connect", network, made)
        self.docker("start", made)
        return made

    def remove(self, container: str) -> None:
        """Kills a container and takes it away."""
        self.docker("rm", "--force", container)

    def containers(self, service: str | None = None) -> list[Container]:
        """Those of the project, or of one service; those that ended as well."""
        mark = f"label=com.docker.compose.project={self.project}"
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", mark).split()
        found = [self._container(details) for container in ids if (details := self._inspect(container))]
        return sorted((c for c in found if service in (None, c.service)), key=lambda c: c.details["Name"])

    def _inspect(self, container: str) -> dict | None:
        """What Docker says of a container; `None` if it has gone meanwhile."""
        words = ("docker", "inspect", container)
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def _container(self, details: dict) -> Container:
        state = details["State"]
        networks = details["NetworkSettings"]["Networks"]
        return Container(
            id=details["Id"],
            service=details["Config"]["Labels"]["com.docker.compose.service"],
            status=state["Status"],
            health=state.get("Health", {}).get("Status", "none"),
            addresses={name.removeprefix(f"{self.project}_"): net["IPAddress"] for name, net in networks.items()},
            details=details,
        )

    def wait_healthy(self, within: float = 120.0, **counts: int) -> None:
        """Waits until exactly so many containers of each named service run, each of them healthy."""
        for service, count in counts.items():
            wait_until(
                lambda s=service, n=count: [c.health for c in self.containers(s)] == ["healthy"] * n,
                f"{count} healthy containers of {service}",
                within,
            )

    def query(self, expression: str) -> dict[str, float]:
        """What Prometheus answers now, by instance (`""` where a series has none)."""
        answer = json.loads(self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        assert answer["status"] == "success", answer
        return {sample["metric"].get("instance", ""): float(sample["value"][1]) for sample in answer["data"]["result"]}

    def get(self, path: str) -> str:
        """What Prometheus' HTTP API answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.prometheus_port}{path}", timeout=10) as response:
            return response.read().decode()


def _compose() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
