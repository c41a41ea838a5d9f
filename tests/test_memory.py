"""Pressure on memory: who goes, who is refused, and that nobody else notices."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from harness import frames
from harness.cgroup import Cgroup
from harness.clients import native
from harness.node import Node, binary
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.waiting import until

NATIVE = "fanwire.v1.json"
LIMIT = 80 << 20
CONTENT = "x" * 24_000
# So many of these come to less than an outbox may have, and to more than all memory for all who read nothing.
MOST = 38
FEW = 8
LARGE, SMALL = 120, 10


@pytest.fixture(params=["configured", "cgroup"])
def tight(request, start_node):
    """A node that may use little memory: by its configuration, or as a container's limit has it."""
    # Those who are closed are to see it, however late they read, and nobody is to be closed for silence.
    config = {"close__timeout": "2m", "heartbeat__interval": "10m"}
    if request.param == "configured":
        yield start_node(memory__limit=f"{LIMIT}B", **config)
        return
    group = Cgroup.make(LIMIT)
    if group is None:
        pytest.skip("no control group can be made here")
    node = start_node.make(**config)
    node.program, *node.arguments = group.command(binary(), "serve")
    try:
        yield node.start().wait_ready()
    finally:
        node.kill()
        group.remove()


async def stalled(stack: AsyncExitStack, node: Node, channel: str):
    """A subscriber that reads no more than the answer."""
    raw = await stack.enter_async_context(raw_websocket(node, NATIVE, receive_buffer=4096))
    await raw.send_json(type="subscribe", id=1, channel=channel)
    assert (await raw.event())["type"] == "ok"
    return raw


async def answer(node: Node) -> tuple[int, str | None]:
    """Status and `Retry-After` of an upgrade."""
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port))
        return response.status, response.headers.get("retry-after")


def pressure(node: Node) -> bool:
    return node.metrics().value("fanwire_memory_pressure") == 1


@pytest.mark.limit(240)
async def test_the_largest_outboxes_go_first_and_nobody_else_notices(tight):
    await until(lambda: tight.metrics().value("fanwire_memory_limit_bytes") == LIMIT, "the limit")
    assert not pressure(tight) and (await answer(tight))[0] == 101
    async with AsyncExitStack() as stack:
        large = [await stalled(stack, tight, f"large{number}") for number in range(LARGE)]
        small = [await stalled(stack, tight, f"small{number}") for number in range(SMALL)]
        readers = [await stack.enter_async_context(native(tight)) for _ in range(3)]
        for reader in readers:
            await reader.ok("subscribe", channel="news")
        publisher = await stack.enter_async_context(native(tight))
        for number in range(FEW * SMALL):
            await publisher.ok("publish", channel=f"small{number % SMALL}", content=CONTENT)
        news, refused = 0, []
        for number in range(MOST * LARGE):
            await publisher.ok("publish", channel=f"large{number % LARGE}", content=CONTENT)
            if number % 10 == 0:
                await publisher.ok("publish", channel="news", content=news)
                news += 1
                refused += [status for status in [await answer(tight)] if status[0] != 101]
                # 3 MB between two readings: what is left of so small a limit would be full within one otherwise.
                await asyncio.sleep(0.02)
            if refused:
                break
        # Nobody new is taken while memory is short,
        assert refused == [(503, "5")]
        assert tight.metrics().value("fanwire_upgrades_total", result="memory_pressure") == 1
        # which it is not for ever,
        await until(lambda: not pressure(tight), "memory for new connections", within=30)
        assert (await answer(tight))[0] == 101
        # and all others have everything.
        for reader in readers:
            assert await reader.contents(news) == list(range(news))
        for raw in small:
            assert [(await raw.event())["content"] for _ in range(FEW)] == [CONTENT] * FEW
            await raw.send_json(type="ping", id=2)
            assert (await raw.event())["type"] == "pong"
        closes = [close for close in [await _close(raw) for raw in large] if close]
        assert 0 < len(closes) < LARGE
        assert set(closes) == {(1013, b"node is short of memory, and too much waits here")}
    count = lambda reason: tight.metrics().value("fanwire_disconnects_total", reason=reason)
    await until(lambda: count("memory_pressure") == len(closes), "all who were closed counted")
    assert count("slow_consumer") == 0


async def _close(raw) -> tuple[int, bytes] | None:
    """Code and reason with which the node has closed a connection, which now reads on; `None` if it hasn't."""
    await raw.send_json(type="ping", id=2)
    while (frame := await raw.frame()) is not None:
        if frame.opcode == frames.CLOSE:
            return frame.close_code, frame.payload[2:]
        if b'"pong"' in frame.payload[:100]:
            return None
    raise AssertionError("the connection has ended without a Close")


async def test_without_a_share_nobody_is_refused(start_node):
    node = start_node(memory__limit="16MiB", memory__pressure=0)
    await until(lambda: node.metrics().value("fanwire_memory_limit_bytes") == 16 << 20, "a reading")
    assert (await answer(node))[0] == 101 and not pressure(node)
