"""The compose cluster: built, started, balanced, scraped, broken, grown, upgraded and taken down.

The tests share one cluster and leave it healthy with three nodes.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from harness.clients import Json, MessagePack, crowd, native, plain
from harness.compose import Compose
from harness.reconnecting import Account, Resuming, Source, all_caught_up, all_complete, greatest_share
from harness.reconnecting import crowd as reconnecting
from harness.waiting import until, wait_until

CLIENTS = 300
NODES = 3
# The first of them builds the image.
pytestmark = pytest.mark.limit(900)


@pytest.fixture(scope="module")
def cluster():
    """The whole of docker-compose.yml, but for what a profile has to be asked for."""
    cluster = Compose(node={"FANWIRE_NAMESPACES__KEPT__HISTORY__SIZE": 100_000})
    try:
        cluster.up()
        cluster.wait_healthy(nginx=1, node=NODES, redis=1, prometheus=1)
        yield cluster
    finally:
        cluster.down()
    assert cluster.left() == []


@pytest.fixture(autouse=True)
def three_nodes(cluster):
    """What every test begins with."""
    if [node.health for node in cluster.containers("node")] != ["healthy"] * NODES:
        cluster.scale(NODES)
    wait_until(lambda: list(cluster.query('up{job="fanwire"}').values()) == [1] * NODES, "three nodes scraped", 60)


def spread(clients) -> Counter:
    """How many of the clients each node has."""
    return Counter(client.welcome["node"] for client in clients)


async def test_the_session_of_the_readme(cluster):
    async with plain(cluster) as one, plain(cluster) as two, native(cluster) as three, native(cluster, MessagePack) as four:
        await three.ok("subscribe", channel="news")
        await four.ok("publish", channel="news", content={"headline": "rain"})
        assert await three.receive() == {"type": "message", "channel": "news", "content": {"headline": "rain"}}
        await one.broadcast("你好")
        assert await two.receive() == "广播消息: 你好"
        assert (await three.receive())["content"] == (await four.receive())["content"] == "你好"


def test_containers_may_do_nothing_that_they_need_not(cluster):
    for container in cluster.containers():
        host, config = container.details["HostConfig"], container.details["Config"]
        assert config["User"] not in ("", "root", "0") or container.service == "prometheus", container.service
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], container.service
        assert host["Memory"] > 0 and host["LogConfig"]["Config"]["max-size"], container.service
        assert "no-new-privileges:true" in host["SecurityOpt"], container.service


def test_only_loopback_is_published_and_only_of_nginx_and_prometheus(cluster):
    published = {
        (container.service, inside, binding["HostIp"])
        for container in cluster.containers()
        for inside, bindings in container.details["HostConfig"]["PortBindings"].items()
        for binding in bindings
    }
    assert published == {("nginx", "8765/tcp", "127.0.0.1"), ("prometheus", "9090/tcp", "127.0.0.1")}


def test_a_node_is_given_the_time_that_its_drain_takes(cluster):
    checked = cluster.docker("exec", cluster.containers("node")[0].id, "/usr/local/bin/fanwire", "check")
    drain = re.search(r"\[drain\](.*?)\n\[", checked, re.S).group(1)
    seconds = [float(number) for number in re.findall(r'^\w+ = "([\d.]+)s"', drain, re.M)]
    assert len(seconds) == 3, drain
    assert all(node.details["Config"]["StopTimeout"] > sum(seconds) for node in cluster.containers("node"))


async def test_clients_are_spread_and_a_broadcast_reaches_them_all(cluster):
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(cluster), CLIENTS)
        counts = spread(clients)
        assert len(counts) == NODES and max(counts.values()) - min(counts.values()) <= 3, counts
        await clients[0].ok("broadcast", content="to all")
        assert {(await client.receive())["content"] for client in clients[1:]} == {"to all"}
        per_node = "sum by (instance) (fanwire_connections)"
        scraped = lambda: sorted(cluster.query(per_node).values()) == sorted(counts.values())
        await until(scraped, f"{counts} at Prometheus", within=60)
        assert list(cluster.query('up{job="fanwire"}').values()) == [1] * NODES
        assert list(cluster.query("fanwire_ready").values()) == [1] * NODES


def test_prometheus_has_loaded_every_rule(cluster):
    rules = json.loads(cluster.get("/api/v1/rules"))["data"]["groups"]
    assert sum(len(group["rules"]) for group in rules) > 20
    # A rule is unknown until it was evaluated for the first time.
    healths = lambda: {
        rule["health"] for group in json.loads(cluster.get("/api/v1/rules"))["data"]["groups"] for rule in group["rules"]
    }
    wait_until(lambda: healths() == {"ok"}, "rules that evaluate", within=60)


def test_no_alert_fires_at_a_healthy_cluster(cluster):
    alerts = json.loads(cluster.get("/api/v1/alerts"))["data"]["alerts"]
    assert [alert for alert in alerts if alert["state"] == "firing"] == []


async def test_a_killed_node_is_replaced_at_another_address(cluster):
    source = Source(cluster.url, "news", rate=50)
    async with reconnecting(cluster.url, CLIENTS, "news") as clients:
        victim = cluster.containers("node")[0]
        await asyncio.to_thread(cluster.remove, victim.id)
        await all_caught_up(clients, source)
        placeholders = await asyncio.to_thread(occupy, cluster, victim)
        await asyncio.to_thread(cluster.scale, NODES)
        addresses = [address for node in cluster.containers("node") for address in node.addresses.values()]
        assert not set(addresses) & set(victim.addresses.values()), (addresses, victim.addresses)
        await reaches(cluster, NODES)
        await until(lambda: sum(cluster.query('up{job="fanwire"}').values()) == NODES, "all scraped", within=60)
        for placeholder in placeholders:
            await asyncio.to_thread(cluster.remove, placeholder)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    # 1006: the connection ended without a word.
    assert set(account.closes) == {1006} and 0 < account.closes[1006] < CLIENTS, account.text()


async def test_nodes_join_and_leave_under_traffic(cluster):
    source = Source(cluster.url, "news", rate=50)
    async with reconnecting(cluster.url, CLIENTS, "news") as clients:
        await asyncio.to_thread(cluster.scale, NODES + 2)
        await reaches(cluster, NODES + 2)
        await until(lambda: sum(cluster.query('up{job="fanwire"}').values()) == NODES + 2, "all scraped", within=60)
        assert all(len(client.visits) == 1 for client in clients), "nobody was disconnected by nodes that came"
        await asyncio.to_thread(cluster.scale, NODES)
        await all_caught_up(clients, source)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    assert set(account.closes) <= {1012}, account.text()


async def test_a_rolling_restart_under_traffic(cluster, capsys):
    source = Source(cluster.url, "news", rate=200)
    # The client in Rust, which reconnects by itself.
    ours = await asyncio.to_thread(cluster.beside, "sub", "news", "--json", "--url", "ws://nginx:8765")
    async with reconnecting(cluster.url, CLIENTS, "news") as clients:
        before = {node.id for node in cluster.containers("node")}
        await asyncio.to_thread(cluster.roll)
        await asyncio.to_thread(cluster.wait_healthy, node=NODES)
        assert not before & {node.id for node in cluster.containers("node")}
        await all_caught_up(clients, source)
        await all_complete(clients, source)
        last = max(source.acknowledged)
        await until(lambda: last in numbers_of(cluster, ours), "the last publication at the client in Rust")
    account = Account.of(clients, source)
    with capsys.disabled():
        print("\n" + account.text())
    assert set(account.closes) == {1012} and not account.refused, account.text()
    # Three drains of 10 s each: in no tenth of the time did half of them come.
    assert greatest_share(account.reconnects, 0.1) < 0.5, account.text()
    numbers = numbers_of(cluster, ours)
    assert numbers == sorted(set(numbers)), "the client in Rust got something twice or out of order"
    told = [event["type"] for event in events_of(cluster, ours) if event["type"] != "message"]
    assert told == ["disconnected", "reconnected"] * (len(told) // 2) and told, told
    await asyncio.to_thread(cluster.remove, ours)


@pytest.mark.skipif(sys.platform != "linux", reason="only there containers have addresses that this machine reaches")
async def test_a_rolling_restart_with_history_loses_nothing(cluster, capsys):
    # A node of its own, so that a silence is a client's and not the publisher's.
    steady = await asyncio.to_thread(cluster.beside, "serve", networks=("edge", "backend"))
    (beside,) = cluster.containers("beside")
    async with reconnecting(cluster.url, CLIENTS, "kept:news", kind=Resuming) as clients:
        # When all are there: so each gets everything.
        source = Source(f"ws://{beside.addresses['edge']}:8765/", "kept:news", rate=25)
        await asyncio.to_thread(cluster.roll)
        await asyncio.to_thread(cluster.wait_healthy, node=NODES)
        await all_caught_up(clients, source)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    with capsys.disabled():
        print("\n" + account.text())
    assert set(account.closes) == {1012} and not account.refused and not source.refused, account.text()
    assert account.lost == 0 and account.received == account.clients * account.acknowledged, account.text()
    await asyncio.to_thread(cluster.remove, steady)


def occupy(cluster, victim) -> list[str]:
    """Starts containers until they have every address that the victim had."""
    taken = set()
    while not set(victim.addresses.values()) <= taken:
        cluster.beside("serve", networks=("edge", "backend"))
        beside = cluster.containers("beside")
        assert len(beside) < 20, f"{victim.addresses} are not given away again, only {taken}"
        taken = {address for container in beside for address in container.addresses.values()}
    return [container.id for container in beside]


async def reaches(cluster, nodes: int) -> None:
    """Waits until new clients are given to so many different nodes."""

    async def reached() -> bool:
        async with AsyncExitStack() as stack:
            return len(spread(await crowd(stack, lambda _: native(cluster), 4 * nodes))) == nodes

    await until(reached, f"new clients on {nodes} nodes", within=60)


def events_of(cluster, container: str) -> list[dict]:
    """What `fanwire sub --json` has printed."""
    return [json.loads(line) for line in cluster.docker("logs", container).splitlines() if line.startswith("{")]


def numbers_of(cluster, container: str) -> list[int]:
    return [event["content"] for event in events_of(cluster, container) if event["type"] == "message"]


async def test_a_roll_to_nodes_that_do_not_work_changes_nothing(cluster):
    before = {node.id for node in cluster.containers("node")}
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(cluster), 30)
        outcome = await asyncio.to_thread(cluster.roll_with, "10", FANWIRE_LOG_LEVEL="nonsense")
        assert outcome.returncode == 1 and "not ready within 10 s" in outcome.stderr, outcome
        assert "nonsense" in outcome.stderr, "the end of the log says why"
        assert {node.id for node in cluster.containers("node")} == before
        for client in clients:
            await client.ok("ping")


@pytest.mark.skipif(sys.platform != "linux", reason="only there containers have addresses that this machine reaches")
async def test_only_nginx_may_say_which_address_a_client_has(cluster):
    forged = {"X-Forwarded-For": "203.0.113.7"}
    nodes = cluster.containers("node")
    past_nginx = [SimpleNamespace(url=f"ws://{address}:8765/") for address in nodes[0].addresses.values()]
    for way in (cluster, *past_nginx):
        async with native(way, additional_headers=forged) as client:
            await client.ok("ping")
    logs = "".join(cluster.docker("logs", node.id) for node in nodes)
    assert "203.0.113.7" not in logs
    # This machine, as nginx and a node see it on their network; not nginx.
    assert f'"client":"{cluster.edge}.1"' in logs and f'"client":"{cluster.edge}.2"' not in logs


@pytest.mark.full
@pytest.mark.parametrize("nodes", [3, 5])
@pytest.mark.parametrize("count", [300, 3000])
async def test_the_spread(cluster, capsys, nodes, count):
    await asyncio.to_thread(cluster.scale, nodes)
    await reaches(cluster, nodes)
    async with AsyncExitStack() as stack:
        counts = spread(await crowd(stack, lambda _: native(cluster), count))
        with capsys.disabled():
            print(f"\n{count} clients on {nodes} nodes: {sorted(counts.values())}")
        assert len(counts) == nodes and max(counts.values()) - min(counts.values()) <= 0.05 * count / nodes + 3


async def test_redis_goes_and_comes_back(cluster):
    async with native(cluster) as one, native(cluster) as two:
        await one.ok("subscribe", channel="news")
        await asyncio.to_thread(cluster.compose, "stop", "redis")
        answer = await two.request("publish", channel="news", content="lost")
        assert answer["code"] in ("broker_unavailable", "broker_timeout"), answer
        unhealthy = lambda: {node.health for node in cluster.containers("node")} == {"unhealthy"}
        await until(unhealthy, "nodes that say that they are not ready", within=60)
        assert [node.status for node in cluster.containers("node")] == ["running"] * NODES
        await asyncio.to_thread(cluster.compose, "start", "redis")
        await asyncio.to_thread(cluster.wait_healthy, node=NODES, redis=1)
        await two.ok("publish", channel="news", content="again")
        kinds = []
        while not kinds or kinds[-1] != "message":
            kinds.append((await one.receive())["type"])
        assert kinds == ["gap", "message"]
