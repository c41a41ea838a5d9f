"""Starting: what is said, and what does not start."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from harness.clients import native, plain
from harness.command import run
from harness.raw import raw_socket, upgrade_request
from harness.waiting import until, wait_until

CONFIG_ERROR = 78
MEMORY = {"server__listen": "127.0.0.1:0", "internal__listen": "127.0.0.1:0"}


@pytest.mark.parametrize("port", ["server", "internal"])
def test_a_port_that_is_taken_is_said(tmp_path, port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("serve", config=MEMORY | {f"{port}__listen": address}, cwd=tmp_path)
    said = result.stdout + result.stderr
    assert result.returncode not in (0, CONFIG_ERROR) and result.returncode > 0, result
    assert address in said and "in use" in said and f"{port}.listen" in said, said
    assert "panicked" not in said


@pytest.mark.parametrize(
    "config, named",
    [
        ({"server__lisen": "127.0.0.1:1"}, ["FANWIRE_SERVER__LISEN", "FANWIRE_SERVER__LISTEN"]),
        ({"sever__listen": "127.0.0.1:1"}, ["FANWIRE_SEVER__LISTEN", "FANWIRE_SERVER__LISTEN"]),
        ({"outbox__limit": "much"}, ["outbox.limit", "much", "FANWIRE_OUTBOX__LIMIT"]),
        ({"outbox__limit": "1"}, ["outbox.limit"]),
        ({"outbox__policy": "drop_newest"}, ["outbox.policy", "drop_newest", "drop_oldest"]),
        ({"heartbeat__interval": "20"}, ["heartbeat.interval", "20s"]),
        ({"heartbeat__interval": "0s"}, ["heartbeat.interval"]),
        ({"limits__message": "2MiB", "outbox__limit": "1MiB"}, ["limits.message", "outbox.limit"]),
        ({"limits__connections": "-1"}, ["limits.connections", "-1"]),
        ({"server__listen": "localhost"}, ["server.listen", "localhost"]),
        (
            {"server__trusted_proxies": "10.0.0.0/8, nginx"},
            ["server.trusted_proxies", "FANWIRE_SERVER__TRUSTED_PROXIES", '"nginx" is'],
        ),
        ({"redis__url": "http://127.0.0.1"}, ["redis.url"]),
        ({"redis__prefix": "a b"}, ["redis.prefix"]),
        ({"log__level": "loud"}, ["log.level", "loud"]),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_configuration_that_does_not_load_says_why_and_never_starts(tmp_path, command, config, named):
    result = run(command, config=MEMORY | config, cwd=tmp_path)
    assert result.returncode == CONFIG_ERROR, result
    for name in named:
        assert name in result.stdout + result.stderr, result


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    result = run(
        "check", config={"server__lisen": "x", "outbox__limit": "much", "heartbeat__timeout": "0s"}, cwd=tmp_path
    )
    assert result.returncode == CONFIG_ERROR
    assert all(name in result.stderr for name in ("FANWIRE_SERVER__LISEN", "outbox.limit", "heartbeat.timeout")), result


def test_a_file_is_read_and_the_environment_wins(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[outbox]\nlimit = "2MiB"\npolicy = "drop_oldest"\n')
    result = run("check", "--config", str(path), config={"outbox__limit": "3MiB"}, cwd=tmp_path)
    assert result.returncode == 0, result
    assert "3MiB" in result.stdout and "drop_oldest" in result.stdout and "2MiB" not in result.stdout, result.stdout


@pytest.mark.parametrize(
    "text, named",
    [
        ("[outbox]\nlimt = 5\n", ["outbox.limt", "outbox.limit", "own.toml"]),
        ("[outbox\n", ["own.toml"]),
        ('[heartbeat]\ninterval = "soon"\n', ["heartbeat.interval", "soon", "own.toml"]),
    ],
)
def test_an_error_in_a_file_names_the_file(tmp_path, text, named):
    path = tmp_path / "own.toml"
    path.write_text(text)
    result = run("check", "--config", str(path), cwd=tmp_path)
    assert result.returncode == CONFIG_ERROR, result
    for name in named:
        assert name in result.stderr, result


def test_a_file_that_is_asked_for_and_missing_is_an_error(tmp_path):
    result = run("check", "--config", "nowhere.toml", cwd=tmp_path)
    assert result.returncode == CONFIG_ERROR and "nowhere.toml" in result.stderr, result


def test_check_shows_a_list_as_toml(tmp_path):
    result = run("check", config={"server__trusted_proxies": "10.0.0.0/8, ::1"}, cwd=tmp_path)
    assert result.returncode == 0 and 'trusted_proxies = ["10.0.0.0/8", "::1"]' in result.stdout, result


def test_a_deadline_that_clients_can_bring_about_is_told_and_stops_nothing(tmp_path, start_node):
    config = {"drain__deadline": "13s"}
    result = run("check", config=config, cwd=tmp_path)
    told = 'close.timeout = "5s" (default)'
    assert result.returncode == 0 and "warning: drain.deadline" in result.stderr and told in result.stderr, result
    assert "WARN" in start_node(**config).output()


def test_check_shows_every_value_and_no_secret(tmp_path):
    result = run("check", config={"redis__url": "redis://app:hunter2@127.0.0.1:6379"}, cwd=tmp_path)
    assert result.returncode == 0, result
    assert "hunter2" not in result.stdout + result.stderr
    for key in ("listen", "interval", "limit", "policy", "window", "connections", "prefix", "level"):
        assert key in result.stdout, key


def test_the_committed_file_holds_the_defaults(tmp_path):
    committed = Path(__file__).parents[1] / "config" / "fanwire.toml"
    values = lambda result: [line.partition("#")[0].strip() for line in result.stdout.splitlines()]
    from_file = run("check", "--config", str(committed), cwd=tmp_path)
    assert from_file.returncode == 0, from_file
    assert [v for v in values(from_file) if v] == [v for v in values(run("check", cwd=tmp_path)) if v]


async def test_a_node_waits_for_a_redis_that_comes_later(redis, start_node):
    redis.kill()
    node = start_node.make(redis).start()
    health = await until(lambda: tried(node), "an attempt to connect")
    assert health.status == 503 and health.body["reason"] == "starting" and "refused" in health.body["detail"], health
    assert node.health("live").status == 200
    async with raw_socket(node.port) as raw:
        refused = await raw.request(upgrade_request(node.port))
        assert refused.status == 503 and int(refused.headers["retry-after"]) >= 0
    assert node.metrics().value("fanwire_upgrades_total", result="starting") == 1
    redis.start()
    await until(node.ready, "readiness")
    redis.kill()
    await until(lambda: not node.ready(), "readiness lost")
    assert node.health("ready").body["reason"] == "broker"
    async with native(node):
        pass  # A node that has lost its link takes clients in.


async def test_a_node_waits_for_a_name_that_does_not_resolve(start_node):
    # The empty label makes the resolver refuse it without asking anybody.
    node = start_node.make(redis__url="redis://redis..invalid:6379").start()
    health = await until(lambda: tried(node), "an attempt to connect")
    assert health.body["reason"] == "starting" and "lookup" in health.body["detail"], health
    attempts = lambda: node.metrics().value("fanwire_broker_reconnects_total")
    await until(lambda: attempts() >= 3, "more attempts")
    assert node.output().count("the link to Redis is down") == 1
    node.terminate()
    assert await asyncio.to_thread(node.wait) == 0


def tried(node):
    """The health of a node that has tried to connect to Redis."""
    health = node.health("ready")
    return health if "can't connect" in health.body.get("detail", "") else None


async def test_the_links_of_a_kubernetes_service_stop_nothing(start_node):
    links = {
        "FANWIRE_PORT": "tcp://10.0.0.1:8765",
        "FANWIRE_PORT_8765_TCP_ADDR": "10.0.0.1",
        "FANWIRE_SERVICE_HOST": "10.0.0.1",
        "FANWIRE_SERVICE_PORT_WS": "8765",
    }
    result = run("check", cwd=start_node.directory, **links)
    assert result.returncode == 0, result
    assert (result.stdout + result.stderr).count("FANWIRE_SERVICE_HOST") <= 1
    assert "FANWIRE_SERVICE" in result.stdout + result.stderr or "Kubernetes" in result.stdout + result.stderr, result


async def test_the_start_says_where_it_listens_and_what_it_uses(start_node):
    node = start_node()
    await until(lambda: str(node.port) in node.output(), "the public port in the output")
    said = node.output()
    assert f"ws://127.0.0.1:{node.port}" in said and f"127.0.0.1:{node.internal_port}" in said and "memory" in said, (
        said
    )
    async with plain(node) as client:
        assert await client.ask("1") == "服务器回应: 1"


def test_a_node_needs_no_file_and_writes_none(start_node):
    node = start_node()
    assert os.listdir(start_node.directory) == [node.log.name]


WARNING = "nobody has to authenticate"


@pytest.mark.parametrize("listen, warned", [("127.0.0.1:0", 0), ("[::1]:0", 0), ("0.0.0.0:0", 1), ("[::]:0", 1)])
def test_a_node_that_is_open_to_others_says_so_in_one_line(start_node, listen, warned):
    node = start_node.make(server__listen=listen).start()
    # The banner comes first, and then what there is to warn of.
    wait_until(lambda: WARNING in node.output() or not warned, "a line in the log")
    lines = [line for line in node.output().splitlines() if WARNING in line]
    assert len(lines) == warned and all("WARN" in line and "server.listen" in line for line in lines)
