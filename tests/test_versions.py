"""An older node and this one in one cluster, as during a rolling upgrade."""

import asyncio
import os
from contextlib import AsyncExitStack

import msgpack
import pytest

from harness.clients import Json, MessagePack, native, plain
from harness.load import Publisher, Subscriber
from harness.ledger import Ledger
from harness.waiting import until

OLDER = os.environ.get("TESTS_OLDER_BIN")
NEWER_VERSION = 1_000_000

pytestmark = pytest.mark.skipif(not OLDER, reason="no older version is known here: a clone with its history has one")


@pytest.fixture
def nodes(redis, start_node):
    """An older node and one of this version, on one Redis."""
    old = start_node.make(redis)
    old.program = OLDER
    return old.start().wait_ready(), start_node(redis)


def invalid_envelopes(node) -> float:
    return node.metrics().value("fanwire_broker_invalid_envelopes_total")


@pytest.mark.parametrize("direction", ["old to new", "new to old"])
async def test_every_content_crosses_in_every_dialect(nodes, direction):
    sender, receiver = nodes if direction == "old to new" else reversed(nodes)
    contents = ["text", 1, None, [1, {"a": 1.5}], {"ü": "你好"}]
    async with AsyncExitStack() as stack:
        publish = await stack.enter_async_context(native(sender))
        pack = await stack.enter_async_context(native(sender, MessagePack))
        clients = [await stack.enter_async_context(native(receiver, codec)) for codec in (Json, MessagePack)]
        for client in clients:
            await client.ok("subscribe", channel="news")
        for content in contents:
            await publish.ok("publish", channel="news", content=content)
        await pack.ok("publish", channel="news", content=b"\x00\xff")
        assert await clients[0].contents(len(contents)) == contents
        assert (await clients[0].receive())["content_base64"] == "AP8="
        assert await clients[1].contents(len(contents) + 1) == [*contents, b"\x00\xff"]
    assert [invalid_envelopes(node) for node in nodes] == [0, 0]


async def test_a_broadcast_leaves_out_its_sender_on_either(nodes):
    old, new = nodes
    async with plain(old) as one, plain(new) as two:
        await one.broadcast("from the old")
        assert await two.receive() == "广播消息: from the old"
        await two.broadcast("from the new")
        # Had it got its own, that would have come first.
        assert await one.receive() == "广播消息: from the new"
        await one.broadcast("again")
        assert await two.receive() == "广播消息: again"


async def test_what_a_much_newer_node_writes_is_skipped_and_counted_by_both(nodes, redis):
    old, new = nodes
    async with native(old) as one, native(new) as two:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
        name = next(name for name in redis.command("PUBSUB", "CHANNELS") if "news" in name)
        redis.command("PUBLISH", name, msgpack.packb({"v": NEWER_VERSION, "n": "another type by then"}))
        await one.ok("publish", channel="news", content="readable")
        assert await one.contents(1) == await two.contents(1) == ["readable"]
        assert [invalid_envelopes(node) for node in nodes] == [1, 1]
        assert str(NEWER_VERSION) in new.output(), "the log names the version"


async def test_an_upgrade_under_traffic_loses_nothing_for_those_on_other_nodes(redis, start_node, nodes):
    old, new = nodes
    ledger = Ledger()
    async with native(new) as one, native(new) as two:
        subscriber = await Subscriber.join(two, "subscriber", "news", ledger)
        publisher = Publisher(one, "publisher", "news", ledger)
        stop = asyncio.Event()
        traffic = asyncio.create_task(publisher.stream(stop))
        old.terminate()
        await until(lambda: old.exit_code is not None, "the old node gone")
        await asyncio.to_thread(start_node, redis)
        stop.set()
        await traffic
        await publisher.settled()
        await until(lambda: len(subscriber.reader.received) == len(ledger.sent), "everything received")
        publisher.end()
        subscriber.end()
    ledger.check()
