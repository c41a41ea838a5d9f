"""A node that runs out of files: it refuses in time, and where even that fails it waits without spinning."""

import asyncio
import http.client
import os
import re
import resource
import time
from contextlib import AsyncExitStack

import pytest

from harness.clients import crowd, native, plain
from harness.metrics import Metrics
from harness.node import binary
from harness.raw import RawSocket, raw_socket, upgrade_request
from harness.waiting import until

# Few, but enough for the runtimes of all cores.
FILES = 64 + 8 * os.cpu_count()
STARVED, OVER = "can't accept connections", "accepting connections again"


@pytest.fixture
def narrow(redis, start_node):
    """A node that may open few files."""
    node = start_node.make(redis, arguments=(f"--nofile={FILES}:{FILES}", binary(), "serve"))
    node.program = "prlimit"
    return node.start().wait_ready()


def connections_at_most(node) -> int:
    """The number that the node says it takes."""
    return int(re.search(rf"{FILES} may be open; (\d+) connections are taken at most", node.output())[1])


async def test_what_the_files_do_not_allow_is_refused_with_an_answer(narrow):
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(narrow), connections_at_most(narrow))
        for _ in range(3):
            async with raw_socket(narrow.port) as raw:
                response = await raw.request(upgrade_request(narrow.port))
                assert response.status == 503 and int(response.headers["retry-after"]) >= 0
        metrics = narrow.metrics()
        assert metrics.value("fanwire_upgrades_total", result="connection_limit") == 3
        assert metrics.value("fanwire_accept_errors_total") == 0
        await clients[0].socket.close()
        await until(lambda: narrow.metrics().value("fanwire_connections") < len(clients), "a free place")
        async with plain(narrow) as client:
            assert await client.ask("1") == "服务器回应: 1"


async def test_however_many_come_redis_and_health_checks_find_a_file(narrow, redis):
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(narrow), connections_at_most(narrow))
        # They say nothing, so each holds a file until the handshake times out, as far as it was let in.
        for _ in range(2 * FILES):
            await stack.enter_async_context(raw_socket(narrow.port))
        await until(lambda: narrow.metrics().value("fanwire_accept_dropped_total") > 0, "sockets dropped")
        redis.kill()
        await until(lambda: not narrow.ready(), "readiness lost")
        redis.start()
        await until(narrow.ready, "readiness")
        assert narrow.metrics().value("fanwire_accept_errors_total") == 0
        await clients[0].ok("broadcast", content="all well")
        assert [(await clients[-1].receive())["type"] for _ in range(2)] == ["gap", "broadcast"]
    assert STARVED not in narrow.output()


class Scrapes:
    """Scrapes over a connection that is there already: a starved node can accept no other."""

    def __init__(self, node):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.internal_port, timeout=5)
        self.errors()

    def errors(self) -> float:
        """How often the node could accept nothing."""
        self.connection.request("GET", "/metrics")
        return Metrics.parse(self.connection.getresponse().read().decode()).value("fanwire_accept_errors_total")


def take_files(node) -> None:
    """Lets the node open no file any more until it has closed one."""
    descriptors = {int(name) for name in os.listdir(f"/proc/{node.pid}/fd")}
    first_free = next(number for number in range(len(descriptors) + 1) if number not in descriptors)
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (first_free, hard))


async def waiting(stack: AsyncExitStack, node) -> RawSocket:
    """A client that has asked for its upgrade, and that the kernel holds until the node accepts it."""
    raw = await stack.enter_async_context(raw_socket(node.port))
    await raw.send(upgrade_request(node.port))
    return raw


async def test_a_starved_node_serves_on_without_spinning_and_recovers(start_node):
    node = start_node()
    scrapes = Scrapes(node)
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(node), 10)
        take_files(node)
        queue = [await waiting(stack, node) for _ in range(5)]
        await until(lambda: scrapes.errors() > 0, "an error counted")

        begun, used, errors = time.monotonic(), sum(node.cpu_seconds()), scrapes.errors()
        await until(lambda: scrapes.errors() >= errors + 15, "more errors")
        assert sum(node.cpu_seconds()) - used < 0.2 * (time.monotonic() - begun)
        await clients[0].ok("broadcast", content="still here")
        for client in clients[1:]:
            assert (await client.receive())["content"] == "still here"
        assert (node.output().count(STARVED), node.output().count(OVER)) == (1, 0)

        await asyncio.gather(*(client.socket.close() for client in clients))
        for raw in queue:
            assert (await raw.response()).status == 101
        await until(lambda: OVER in node.output(), "the end of the starvation in the log")
        assert (node.output().count(STARVED), node.output().count(OVER)) == (1, 1)
        async with plain(node) as client:
            assert await client.ask("1") == "服务器回应: 1"
