"""A cluster behind HAProxy, with the example in `deploy/haproxy`."""

import asyncio
import http.client
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from harness import haproxy as haproxy_module
from harness.clients import MessagePack, crowd, native, plain
from harness.haproxy import CONFIG, PASSTHROUGH, HAProxy
from harness.names import name_server
from harness.node import Node, connections
from harness.ports import free_port
from harness.raw import raw_socket, upgrade_request
from harness.recorder import Recorder
from harness.reconnecting import Account, Source, all_caught_up, all_complete
from harness.reconnecting import crowd as reconnecting_crowd
from harness.waiting import until

pytestmark = pytest.mark.skipif(haproxy_module.BINARY is None, reason="haproxy is not installed; tests/run installs it")

NAME = "node.test"


@pytest.fixture
def start_haproxy(tmp_path):
    """Starts HAProxy with variables of its configuration."""
    started = []

    def start(**settings) -> HAProxy:
        started.append(HAProxy(tmp_path, **settings))
        return started[-1].start()

    yield start
    for one in started:
        one.end()


class Cluster:
    """Nodes that share two ports, each on an address of its own, as containers do, under one name."""

    def __init__(self, redis, start_node, names):
        self.redis, self.start_node, self.names = redis, start_node, names
        self.port, self.health_port = free_port(), free_port()
        self.nodes: list[Node] = []
        self._doors: list[asyncio.Server] = []

    async def add(self, **config) -> None:
        """One more node, and its address among those of the name."""
        address = f"127.0.0.{len(self.nodes) + 1}"
        config = {"server__listen": f"{address}:{self.port}"} | config
        node = await asyncio.to_thread(lambda: self.start_node(self.redis, **config))
        self.nodes.append(node)
        # The tests reach internal ports on 127.0.0.1 only, so there is a way to it from the node's own address.
        self._doors.append(await asyncio.start_server(self._way_to(node), address, self.health_port))
        self.names.names.setdefault(NAME, []).append(address)

    def _way_to(self, node: Node):
        async def pass_on(reader, writer) -> None:
            try:
                request = await reader.readuntil(b"\r\n\r\n")
                their_reader, their_writer = await asyncio.open_connection("127.0.0.1", node.internal_port)
                their_writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                writer.write(await their_reader.read())
                their_writer.close()
            except (OSError, asyncio.IncompleteReadError):
                pass  # A node that is gone answers nothing.
            writer.close()

        return pass_on

    def settings(self) -> dict[str, object]:
        """The variables with which HAProxy finds them."""
        ports = {"NODE_PORT": self.port, "HEALTH_PORT": self.health_port}
        return {"NODE_NAME": NAME, "DNS": self.names.address} | ports

    def end(self) -> None:
        for door in self._doors:
            door.close()


@pytest.fixture
def behind_haproxy(redis, start_node, start_haproxy):
    """A cluster, and HAProxy that has found all of it."""

    @asynccontextmanager
    async def start(count: int, config: dict | None = None, **settings):
        async with name_server() as names:
            cluster = Cluster(redis, start_node, names)
            for _ in range(count):
                await cluster.add(**(config or {}))
            haproxy = await asyncio.to_thread(lambda: start_haproxy(**cluster.settings(), **settings))
            await until(lambda: haproxy.up() == count, f"{count} nodes that are up")
            yield cluster, haproxy
            cluster.end()

    return start


@pytest.mark.parametrize("config", [CONFIG, PASSTHROUGH], ids=lambda config: config.stem)
def test_the_example_is_valid_without_a_warning(config):
    done = subprocess.run([haproxy_module.BINARY, "-c", "-f", config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr


async def test_every_dialect_works_and_clients_are_spread(behind_haproxy):
    async with behind_haproxy(3) as (cluster, haproxy):
        async with plain(haproxy) as one, native(haproxy) as two, native(haproxy, MessagePack) as three:
            assert connections(cluster.nodes) == [1, 1, 1]
            await two.ok("subscribe", channel="news")
            await three.ok("publish", channel="news", content=1)
            assert await two.contents(1) == [1]
            await one.broadcast("hello")
            assert (await two.receive())["content"] == (await three.receive())["content"] == "hello"
        async with AsyncExitStack() as stack:
            await crowd(stack, lambda _: native(haproxy), 60)
            await until(lambda: sum(connections(cluster.nodes)) == 60, "all at the nodes")
            assert all(abs(count - 20) <= 2 for count in connections(cluster.nodes))


async def test_a_node_sees_the_host_with_its_port_and_the_true_address(start_haproxy):
    recorder, health = await Recorder().start(), await Recorder().start()
    async with name_server() as names:
        names.names[NAME] = ["127.0.0.1"]
        settings = {"NODE_NAME": NAME, "DNS": names.address, "NODE_PORT": recorder.port, "HEALTH_PORT": health.port}
        haproxy = await asyncio.to_thread(lambda: start_haproxy(**settings))
        await until(lambda: haproxy.up() == 1, "the recorder up")
        await until(lambda: health.requests, "a check of its health")
        assert health.requests[0].startswith("GET /health/ready ")
        forged = {"X_Forwarded_For": "10.1.2.3", "X_Forwarded_Proto": "https", "X_Real_IP": "1", "Forwarded": "for=1"}
        async with raw_socket(haproxy.port) as raw:
            request = upgrade_request(haproxy.port, "/a?token=s3cr3t", Host="chat.example:8765", **forged)
            await raw.request(request)
    headers = recorder.headers()
    assert headers["host"] == "chat.example:8765"
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-forwarded-proto"] == "http"
    assert headers["upgrade"] == "websocket" and headers["connection"].lower() == "upgrade"
    assert not headers.keys() & {"forwarded", "x-real-ip"}
    await until(lambda: '"GET /a" status=200 upgrade="websocket"' in haproxy.output(), "its line in the log")
    assert "s3cr3t" not in haproxy.output()
    recorder.end()
    health.end()


@pytest.mark.limit(240)
async def test_nodes_join_are_killed_and_restarted_and_no_client_is_refused(behind_haproxy):
    async with behind_haproxy(2, {"drain__grace": "3s", "drain__window": "2s"}) as (cluster, haproxy):
        async with reconnecting_crowd(haproxy.url, 40, "news") as clients:
            source = Source(haproxy.url, "news", 50)
            await until(lambda: sum(connections(cluster.nodes)) == 41, "all at the nodes")
            await cluster.add()
            await until(lambda: haproxy.up() == 3, "the third node up", within=20)
            killed, drained, _ = cluster.nodes
            lost = connections([killed])[0]
            killed.kill()
            await until(lambda: haproxy.up() == 2, "the killed node down")
            await asyncio.to_thread(lambda: killed.start_again().wait_ready())
            await until(lambda: haproxy.up() == 3, "the killed node up")
            moved = connections([drained])[0]
            drained.terminate()
            # Out of the rotation while it still serves.
            await until(lambda: haproxy.up() == 2, "the draining node down")
            assert drained.exit_code is None
            assert await asyncio.to_thread(drained.wait, 30) == 0
            await all_caught_up(clients, source)
            await all_complete(clients, source)
        account = Account.of(clients, source)
        assert set(account.closes) <= {1012, 1006} and sum(account.closes.values()) in range(lost + moved - 2, 41 * 2)
        assert not account.refused and not source.refused, (account.refused, source.refused)


async def test_a_silent_connection_stays_and_clients_of_a_node_that_hangs_are_let_go(behind_haproxy):
    async with behind_haproxy(1, {"heartbeat__interval": "1s"}, READ_TIMEOUT="3s") as (cluster, haproxy):
        async with raw_socket(haproxy.port) as raw:
            await raw.upgrade()
            raw.answers_pings = False
            for _ in range(6):
                frame = await raw.frame()
                await raw.send_frame(10, frame.payload)
            cluster.nodes[0].freeze()
            assert await raw.frame(20) is None
        await until(lambda: haproxy.up() == 0, "the node that hangs down")
        assert (await asyncio.to_thread(haproxy.get, "/"))[0] == 503


async def test_what_is_too_large_or_too_often_is_refused(behind_haproxy):
    async with behind_haproxy(1) as (_, haproxy):
        async with raw_socket(haproxy.port) as raw:
            request = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"
            assert (await raw.request(request)).status in (400, 431)
        statuses = await asyncio.to_thread(_flood, haproxy.port, "127.0.0.9", 1100)
        assert statuses[0] == 426 and statuses[-1] == 429, (statuses[0], statuses[-1])
        async with native(haproxy) as client:
            await client.ok("ping")


def _flood(port: int, source: str, count: int) -> list[int]:
    """So many requests from one address, one after the other."""
    statuses = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15, source_address=(source, 0))
        connection.request("GET", "/")
        statuses.append(connection.getresponse().status)
        connection.close()
    return statuses
