"""The promise for channels with a history: every publication once and in order, whatever cuts the connection."""

import asyncio
import random

import pytest
from clients import client, listening
from conftest import FULL
from fanwire import Broadcast, Connected, Message, Subscribed

CUTS = 1000 if FULL else 50
HISTORY = {"namespaces__chat__history__size": 20_000, "broadcast__history__size": 20_000}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_reconnects_lose_nothing_and_double_nothing(redis, start_node, start_proxy, encoding):
    nodes = [start_node(redis__url=redis.url, **HISTORY) for _ in range(2)]
    proxy = start_proxy(*nodes)
    connects = []
    reader, writer = client(proxy, encoding=encoding, longest_wait=0.05), client(*nodes)
    reader.on(lambda event: connects.append(event) if isinstance(event, Connected) else None)
    async with reader, writer, listening(reader.subscribe("chat:1")) as chat, listening(reader.broadcasts()) as all_of:
        sent = 0
        while len(connects) <= CUTS:
            for _ in range(random.randrange(20)):
                sent += 1
                await asyncio.gather(writer.publish("chat:1", sent), writer.broadcast(sent))
            # Back, or still on its way there.
            if random.random() < 0.8:
                await reader.connected()
            await asyncio.to_thread(proxy.cut)
            proxy.heal()
        got = lambda heard, kind: [event.content for event in heard.events if isinstance(event, kind)]
        expected = list(range(1, sent + 1))
        await chat.until(lambda: len(chat.contents) >= sent, f"{sent} messages")
        await all_of.until(lambda: len(got(all_of, Broadcast)) >= sent, f"{sent} broadcasts")
        assert chat.contents == expected and got(all_of, Broadcast) == expected
        offsets = [event.position.offset for event in chat.events if isinstance(event, Message)]
        assert offsets == expected
        for heard in (chat, all_of):
            outcomes = [event.outcome for event in heard.events if isinstance(event, Subscribed)]
            assert outcomes[0] == "new" and set(outcomes[1:]) == {"recovered"}
            assert "Lost" not in heard.kinds
    print(f"{len(connects)} connections, {sent} messages: 0 lost, 0 doubled")
