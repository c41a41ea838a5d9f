"""What docker-compose.yml promises itself. What it does is for tests/compose."""

import re
from pathlib import Path

import pytest
import yaml

FILE = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yml").read_text())
README = (Path(__file__).parents[1] / "deploy" / "README.md").read_text()
KIB, MIB = 1024, 1024**2
# deploy/README.md, "Sizing": the node's and the kernel's part of a connection, and as much again for outboxes.
NODE_CONNECTION = 20 * KIB
NGINX_CLIENT = 22 * KIB


def default(text: str) -> str:
    """What `${NAME:-default}` stands for when the name is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def memory(service: str) -> int:
    return int(default(FILE["services"][service]["mem_limit"]).removesuffix("m")) * MIB


def test_a_full_node_fits_its_memory():
    connections = int(default(FILE["services"]["node"]["environment"]["FANWIRE_LIMITS__CONNECTIONS"]))
    assert connections * NODE_CONNECTION <= memory("node")


def test_a_full_nginx_fits_its_memory():
    environment = FILE["services"]["nginx"]["environment"]
    clients = int(default(environment["WORKERS"])) * int(default(environment["WORKER_CONNECTIONS"])) // 2
    assert clients * NGINX_CLIENT <= 0.85 * memory("nginx")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\$\{(\w+):-", str(FILE)))))
def test_every_variable_is_documented_and_has_a_default(name):
    assert f"`{name}`" in README
    assert not re.search(rf"\$\{{{name}\b(?!:-)", str(FILE))


def test_redis_keeps_nothing_unless_it_is_told_to():
    redis = FILE["services"]["redis"]
    assert [default(word) for word in redis["command"]] == ["redis-server", "--save", "", "--appendonly", "no"]
    assert redis["command"][-1] == "${FANWIRE_REDIS_APPENDONLY:-no}"
    # A volume with a name, which outlives the container, at the directory that the image's Redis writes to.
    assert redis["volumes"] == ["redis:/data"] and "redis" in FILE["volumes"]
