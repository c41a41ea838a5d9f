"""Clients that take connections and give nothing: what others notice of them. tests/hostile has the long form."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from harness.clients import crowd as clients
from harness.clients import native
from harness.hostile.guests import Newcomers
from harness.hostile.run import crowd, disperse, stand
from harness.waiting import until

GUESTS, HALF_OPEN, SLOW = 50, 300, 50
#: How many of them come a second at most.
RATE = 200
#: What all of them together may cost a node beyond what its guests do, in bytes.
COST = 6 << 20


async def read(client, numbers: list) -> None:
    """Takes all that comes on the channel."""
    while True:
        event = await client.receive(60)
        if event["type"] == "message":
            numbers.append(event["content"])


@pytest.mark.limit(120)
@pytest.mark.parametrize("limit, counted", [(HALF_OPEN // 2, "handshake_limit"), (10_000, "timed_out")])
async def test_guests_get_everything_while_a_crowd_stands_around(start_node, redis, limit, counted):
    node = start_node(redis, limits__handshakes=limit, handshake__timeout="2s")
    value = lambda result: node.metrics().value("fanwire_upgrades_total", result=result)
    async with AsyncExitStack() as stack:
        guests = await clients(stack, lambda _: native(node), GUESTS)
        for guest in guests:
            await guest.ok("subscribe", channel="news")
        publisher = await stack.enter_async_context(native(node))
        received = [[] for _ in guests]
        readers = [asyncio.create_task(read(guest, numbers)) for guest, numbers in zip(guests, received)]
        before, files = node.private_memory(), node.files()
        newcomers, sent = Newcomers(node), 0
        with crowd(node, HALF_OPEN, SLOW // 2, SLOW - SLOW // 2, RATE) as attackers:
            await stand(attackers)
            coming = asyncio.create_task(newcomers.come(4))
            while not coming.done() or value(counted) == 0:
                await publisher.ok("publish", channel="news", content=sent)
                sent += 1
                await asyncio.sleep(0.05)
            await coming
            during = node.private_memory()
            seen = await disperse(attackers)
        await until(lambda: all(len(numbers) >= sent for numbers in received), "all messages at all guests", 30)
        for reader in readers:
            assert not reader.done(), reader.exception()
            reader.cancel()
        assert all(numbers == list(range(sent)) for numbers in received)
        assert newcomers.served and not newcomers.failed, newcomers.failed
        assert during - before < COST
        await until(lambda: node.files() <= files, "the end of all sockets")
    # Nobody who said nothing was let in, and all who did were.
    assert value("accepted") == GUESTS + 1 + len(newcomers.served) + seen["slow frame: opened"]
    assert seen["half-open: opened"] > HALF_OPEN
    assert seen["half-open: ended, answer none"] == sum(v for name, v in seen.items() if name.startswith("half-open: ended"))
