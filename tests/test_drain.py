"""How a node goes: readiness first, then its connections, then itself."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

import pytest

from harness import frames
from harness.clients import MessagePack, closing, crowd, native, plain
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.waiting import until

signals = pytest.mark.parametrize("signal", ["terminate", "interrupt"])


@signals
async def test_readiness_fails_first_then_all_are_told_1012_and_the_exit_code_is_0(start_node, signal):
    node = start_node(drain__grace="1s", drain__window="1s")
    async with native(node) as one, native(node, MessagePack) as two, plain(node) as three:
        getattr(node, signal)()
        await until(lambda: not node.ready(), "readiness lost")
        health = node.health("ready")
        assert health.status == 503 and "drain" in json.dumps(health.body).lower(), health
        assert node.health("live").status == 200
        # In the grace everything still works, but nobody new is let in.
        await one.ok("broadcast", content="still here")
        assert (await two.receive())["content"] == "still here"
        assert await three.receive() == "广播消息: still here"
        async with raw_socket(node.port) as raw:
            response = await raw.request(upgrade_request(node.port))
            assert response.status == 503 and int(response.headers["retry-after"]) >= 0
        for client in (one, two, three):
            code, reason = await closing(client.socket)
            assert code == 1012 and reason
    assert await asyncio.to_thread(node.wait) == 0


@signals
async def test_a_node_without_connections_ends_at_once(start_node, signal):
    node = start_node(drain__grace="60s", drain__window="60s", drain__deadline="300s")
    getattr(node, signal)()
    assert await asyncio.to_thread(node.wait) == 0


async def test_a_node_ends_as_soon_as_its_last_connection_has_left(start_node):
    node = start_node(drain__grace="60s", drain__window="60s", drain__deadline="300s")
    async with native(node):
        node.terminate()
        await until(lambda: not node.ready(), "readiness lost")
        assert node.exit_code is None
    assert await asyncio.to_thread(node.wait) == 0


@signals
async def test_a_second_signal_ends_it_at_once(start_node, signal):
    node = start_node(drain__grace="60s", drain__window="60s", drain__deadline="300s")
    async with native(node) as client:
        node.terminate()
        await until(lambda: not node.ready(), "readiness lost")
        assert node.exit_code is None
        getattr(node, signal)()
        await asyncio.to_thread(node.wait)
        await client.close_code()


async def test_the_deadline_ends_what_takes_longer(start_node):
    node = start_node(drain__grace="0ms", drain__window="0ms", drain__deadline="1s", close__timeout="300s")
    async with raw_websocket(node) as silent:
        node.terminate()
        assert (await silent.frame()).close_code == 1012
        # It never answers the close, and close.timeout is far away.
        await asyncio.to_thread(node.wait)


async def test_closes_are_spread_over_the_window(start_node):
    count = 60
    node = start_node(drain__grace="0ms", drain__window="2s")
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(node), count)
        node.terminate()
        ends = []

        async def end(client):
            assert await client.close_code(30) == 1012
            ends.append(time.monotonic())

        await asyncio.gather(*(end(client) for client in clients))
        # A busy machine stretches the window and never shortens it; all at once would be no time at all.
        assert max(ends) - min(ends) > 0.7
    assert await asyncio.to_thread(node.wait) == 0


async def test_what_waits_in_an_outbox_is_sent_before_the_close(start_node):
    count, text = 400, "x" * 1000
    node = start_node(drain__grace="0ms", drain__window="0ms", outbox__kernel="32KiB")
    async with native(node) as publisher, raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as slow:
        await slow.send_json(type="subscribe", channel="news", id=1)
        assert (await slow.event())["type"] == "ok"
        for number in range(count):
            await publisher.ok("publish", channel="news", content=[number, text])
        assert node.metrics().value("fanwire_outbox_bytes") > 0
        node.terminate()
        assert await publisher.close_code() == 1012
        seen = await slow.frames_until_end()
        assert [json.loads(frame.payload)["content"][0] for frame in seen[:-1]] == list(range(count))
        assert (seen[-1].opcode, seen[-1].close_code) == (frames.CLOSE, 1012)
    assert await asyncio.to_thread(node.wait) == 0


async def test_a_client_that_never_reads_does_not_hold_the_node_up(start_node):
    node = start_node(drain__grace="0ms", drain__window="0ms", close__timeout="500ms", drain__deadline="300s")
    async with native(node) as publisher, raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as stalled:
        await stalled.send_json(type="subscribe", channel="news", id=1)
        assert (await stalled.event())["type"] == "ok"
        for number in range(100):
            await publisher.ok("publish", channel="news", content=[number, "x" * 1000])
        node.terminate()
        assert await publisher.close_code() == 1012
        assert await asyncio.to_thread(node.wait) == 0


async def test_a_drain_works_while_redis_is_away(redis, start_node):
    node = start_node(redis, drain__grace="0ms", drain__window="200ms")
    async with native(node) as client:
        redis.freeze()
        node.terminate()
        assert await client.close_code() == 1012
    assert await asyncio.to_thread(node.wait) == 0


async def test_clients_move_to_another_node_and_miss_nothing_there(redis, start_node):
    going, staying = start_node(redis, drain__grace="0ms", drain__window="200ms"), start_node(redis)
    async with native(going) as client, native(staying) as publisher:
        await client.ok("subscribe", channel="news")
        going.terminate()
        assert await client.close_code() == 1012
        async with native(staying) as again:
            await again.ok("subscribe", channel="news")
            await publisher.ok("publish", channel="news", content=1)
            assert await again.contents(1) == [1]
