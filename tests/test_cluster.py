"""Two nodes on one Redis: everything reaches everybody, once and in order."""

import asyncio
import os
import random
from contextlib import AsyncExitStack

import pytest

from harness.clients import CODECS, Json, MessagePack, crowd, native, plain
from harness.ledger import Ledger
from harness.load import Publisher, Subscriber
from harness.waiting import Deadline, until

FULL = bool(os.environ.get("TESTS_FULL"))
CROWD = 1000 if FULL else 100
BROADCASTS = 100
SENDERS = 10
PUBLISHERS = 10
MESSAGES = 1000 if FULL else 200
CHURNERS = 1000 if FULL else 60
CHURN_AT_ONCE = 50 if FULL else 10


@pytest.fixture
def nodes(redis, start_node):
    """Two nodes on one Redis."""
    return start_node(redis), start_node(redis)


async def test_a_broadcast_crosses_from_node_to_node_in_every_dialect(nodes):
    first, second = nodes
    async with plain(first) as one, plain(second) as two, native(second) as three, native(first, MessagePack) as four:
        await one.broadcast("hello")
        assert await two.receive() == "广播消息: hello"
        assert (await three.receive())["content"] == (await four.receive())["content"] == "hello"
        await three.ok("broadcast", content={"a": 1})
        assert await one.receive() == await two.receive() == '广播消息: {"a":1}'
        assert (await four.receive())["content"] == {"a": 1}


async def test_connections_have_ids_of_their_own_on_every_node(nodes):
    async with native(nodes[0]) as one, native(nodes[1]) as two:
        assert one.welcome["node"] != two.welcome["node"]
        assert one.welcome["connection"] != two.welcome["connection"]


async def test_a_channel_crosses_nodes_and_ends_with_its_subscribers(nodes, redis):
    first, second = nodes
    async with native(first) as one, native(second, MessagePack) as two:
        await one.ok("subscribe", channel="news")
        await two.ok("publish", channel="news", content=b"\xff")
        assert (await one.receive())["content_base64"] == "/w=="
        assert any("news" in name for name in redis.command("PUBSUB", "CHANNELS"))
        await one.ok("unsubscribe", channel="news")
        gone = lambda: not any("news" in name for name in redis.command("PUBSUB", "CHANNELS"))
        await until(gone, "the channel left at Redis", within=30)


async def test_nodes_with_different_prefixes_share_a_redis_and_nothing_else(redis, start_node):
    one, two = start_node(redis, redis__prefix="red"), start_node(redis, redis__prefix="blue")
    async with plain(one) as red, plain(one) as red_too, plain(two) as blue, plain(two) as blue_too:
        await red.broadcast("for red")
        await blue.broadcast("for blue")
        assert await red_too.receive() == "广播消息: for red"
        assert await blue_too.receive() == "广播消息: for blue"
    names = redis.command("KEYS", "*") + redis.command("PUBSUB", "CHANNELS")
    assert all(name.startswith(("red", "blue")) for name in names), names


def _make(node, number: int):
    kinds = [lambda: plain(node), lambda: native(node), lambda: native(node, MessagePack)]
    return kinds[number % 3]()


def _number(client, event) -> int:
    return int(event.removeprefix("广播消息: ")) if isinstance(event, str) else int(event["content"])


@pytest.mark.limit(300)
async def test_broadcasts_of_all_dialects_reach_every_other_connection_exactly_once(nodes):
    async with AsyncExitStack() as stack:
        clients = []
        for node in nodes:
            clients += await crowd(stack, lambda number, node=node: _make(node, number), CROWD)
        random.shuffle(clients)
        senders = clients[:SENDERS]
        expected = {client: set(range(BROADCASTS)) for client in clients}
        for number in range(BROADCASTS):
            expected[senders[number % SENDERS]].discard(number)

        async def collect(client):
            return [_number(client, await client.receive(60)) for _ in expected[client]]

        async def send():
            for number in range(BROADCASTS):
                await _broadcast(senders[number % SENDERS], number)

        received, _ = await asyncio.gather(asyncio.gather(*map(collect, clients)), send())
        for client, numbers in zip(clients, received, strict=True):
            assert sorted(numbers) == sorted(expected[client])
        await _nothing_more(clients, senders)


async def _broadcast(client, content) -> None:
    if hasattr(client, "broadcast"):
        await client.broadcast(str(content))
    else:
        await client.send("broadcast", content=str(content))


async def _nothing_more(clients, senders) -> None:
    """A last broadcast comes behind all others, so whatever would come twice comes before it."""
    await _broadcast(senders[0], -1)
    for client in clients:
        if client is not senders[0]:
            assert _number(client, await client.receive()) == -1


@pytest.mark.limit(600)
async def test_publications_keep_their_order_everywhere_while_others_come_and_go(nodes):
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        subscribers = []
        for number in range(20):
            codec = list(CODECS.values())[number // 2 % 2]
            client = await stack.enter_async_context(native(nodes[number % 2], codec))
            subscribers.append(await Subscriber.join(client, f"subscriber {number}", "news", ledger))
            stack.callback(subscribers[-1].end)
        publishers = []
        for number in range(PUBLISHERS):
            client = await stack.enter_async_context(native(nodes[number % 2], MessagePack if number % 3 else Json))
            publishers.append(Publisher(client, f"p{number}", "news", ledger))
            stack.callback(publishers[-1].end)
        churn = Churn(nodes)
        await churn.begun()
        await asyncio.gather(*(publisher.burst(MESSAGES) for publisher in publishers))
        for publisher in publishers:
            await publisher.settled(within=120)
        total = PUBLISHERS * MESSAGES
        for subscriber in subscribers:
            await until(lambda: len(subscriber.reader.received) >= total, f"all at {subscriber.reader.name}", 120)
            subscriber.check_running()
        await churn.end()
        assert ledger.count("ok") == total
        ledger.check()
        ledger.same_order_everywhere()
        assert ledger.missed() == 0


class Churn:
    """Others who subscribe, leave and vanish, some of them in the midst of a message; at least `CHURNERS` of them."""

    def __init__(self, nodes):
        self._nodes = nodes
        self._gone = 0
        self._came = asyncio.Event()
        self._enough = False
        self._visitors = asyncio.gather(*(self._visit(number) for number in range(CHURN_AT_ONCE)))

    async def begun(self) -> None:
        """Waits for the first who subscribes."""
        async with Deadline(30, "the first who comes and goes"):
            await self._came.wait()

    async def end(self) -> None:
        """Lets those who are here go; fails if one of them could not do as it wished."""
        self._enough = True
        await self._visitors
        assert self._gone >= CHURNERS

    async def _visit(self, number: int) -> None:
        while not self._enough or self._gone < CHURNERS:
            async with native(self._nodes[number % 2]) as visitor:
                await visitor.ok("subscribe", channel="news" if number % 2 else f"own{number % 7}")
                self._came.set()
                if number % 4 == 0:
                    await visitor.ok("unsubscribe", channel=f"own{number % 7}")
                elif number % 4 != 1:
                    visitor.socket.transport.abort()
            self._gone += 1
            number += CHURN_AT_ONCE


async def test_a_node_that_dies_takes_only_its_own_connections_along(nodes):
    first, second = nodes
    async with native(second) as one, native(second) as two, native(first) as lost:
        for client in (one, two, lost):
            await client.ok("subscribe", channel="news")
        first.kill()
        await lost.close_code()
        await one.ok("publish", channel="news", content="still here")
        assert await one.contents(1) == await two.contents(1) == ["still here"]


async def test_a_node_joins_a_cluster_that_runs(redis, start_node):
    first = start_node(redis)
    async with native(first) as one:
        await one.ok("subscribe", channel="news")
        second = start_node(redis)
        async with native(second) as two:
            await two.ok("subscribe", channel="news")
            await one.ok("publish", channel="news", content=1)
            await two.ok("publish", channel="news", content=2)
            assert await one.contents(2) == [1, 2]
            assert await two.contents(2) == [1, 2]
