"""Clients that go beyond a limit, each with what it saw in a few words."""

import asyncio
from contextlib import AsyncExitStack

from .. import frames
from ..clients import native
from ..raw import raw_socket, raw_websocket, upgrade_request
from ..waiting import until

NATIVE = "fanwire.v1.json"
ELSEWHERE = {"X_Forwarded_For": "203.0.113.9"}
USER = {"X_User": "zoe"}
_SMALL = 4096


async def _closed(client) -> str:
    return f"closed with {await client.close_code()}"


async def _answer(stack: AsyncExitStack, node, **headers) -> int:
    raw = await stack.enter_async_context(raw_socket(node.port))
    return (await raw.request(upgrade_request(node.port, subprotocol=NATIVE, **headers))).status


async def _refused_after(nodes: list, admitted: int, **headers) -> str:
    """What becomes of one connection more than may be."""
    async with AsyncExitStack() as stack:
        for number in range(admitted):
            assert await _answer(stack, nodes[number % len(nodes)], **headers) == 101
        return f"refused with {await _answer(stack, nodes[-1], **headers)}"


async def long_message(stage) -> str:
    async with native(stage.node) as client:
        await client.send("publish", channel="news", content="x" * 2000)
        return await _closed(client)


async def many_fragments(stage) -> str:
    async with raw_websocket(stage.node, NATIVE) as raw:
        for number in range(9):
            await raw.send_frame(frames.CONTINUATION if number else frames.TEXT, b"x", fin=False)
        return _closing(await raw.frames_until_end())


async def connections(stage) -> str:
    return await _refused_after([stage.node], 2)


async def handshakes(stage) -> str:
    """Requests that are still to come, one more than may be; those that stay can go on."""
    request = upgrade_request(stage.node.port, subprotocol=NATIVE)
    async with AsyncExitStack() as stack:
        waiting = [await stack.enter_async_context(raw_socket(stage.node.port)) for _ in range(4)]
        for raw in waiting:
            await raw.send(request[:20])
        # Shards take them side by side, so that any of them may be the oldest.
        reading = {asyncio.create_task(raw.receive()): raw for raw in waiting}
        ended, going_on = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in ended] == [b""]
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on)
        statuses = [(await reading[task].request(request[20:])).status for task in going_on]
        assert statuses == [101] * 3, statuses
        return "one cut off"


async def address_connections(stage) -> str:
    return await _refused_after([stage.node], 2, **ELSEWHERE)


async def address_rate(stage) -> str:
    return await _refused_after([stage.node], 3, **ELSEWHERE)


async def user_connections(stage) -> str:
    return await _refused_after([stage.node], 2, **USER)


async def user_everywhere(stage) -> str:
    return await _refused_after([stage.other, stage.node], 3, **USER)


async def user_unknown(stage) -> str:
    users = [f"user{number}" for number in range(16)]
    async with AsyncExitStack() as stack:
        for user in users:
            assert await _answer(stack, stage.node, X_User=user) == 101
        user = next(user for user in users if stage.is_leased_at_the_other_redis(user))
    stage.freeze()
    return await _refused_after([stage.node], 0, X_User=user)


async def channels(stage) -> str:
    async with native(stage.node) as client:
        for name in ("one", "two"):
            await client.ok("subscribe", channel=name)
        await client.refused("channel_limit", "subscribe", channel="three")
        return "error channel_limit"


async def info(stage) -> str:
    async with native(stage.node) as client:
        await client.refused("message_too_large", "subscribe", channel="room:1", info="x" * 100)
        await client.ok("subscribe", channel="room:1", info="short")
        return "error message_too_large"


async def commands(stage) -> str:
    async with native(stage.node) as client:
        for number in range(20):
            await client.send("subscribe", id=number, channel=f"c{number}")
        answers = [await client.receive() for _ in range(20)]
        assert [event["type"] for event in answers[:5]] == ["ok"] * 5, answers
        (code,) = {event["code"] for event in answers if event["type"] == "error"}
        return f"error {code}"


async def pings(stage) -> str:
    async with raw_websocket(stage.node, NATIVE) as raw:
        for _ in range(50):
            await raw.send_frame(frames.PING, b"x")
        return _closing(await raw.frames_until_end())


async def many_bytes(stage) -> str:
    """More than is read at once."""
    async with native(stage.node) as client:
        for number in range(20):
            await client.send("publish", id=number, channel="noise", content="x" * 5000)
        answers = [await client.next() for _ in range(20)]
        assert [(event["type"], event["id"]) for event in answers] == [("ok", n) for n in range(20)]
        return "all answered, later"


async def long_head(stage) -> str:
    async with AsyncExitStack() as stack:
        return f"refused with {await _answer(stack, stage.node, X_Long='x' * 9000)}"


async def many_headers(stage) -> str:
    async with AsyncExitStack() as stack:
        return f"refused with {await _answer(stack, stage.node, **{f'X_{n}': 'y' for n in range(20)})}"


async def endless_head(stage) -> str:
    async with raw_socket(stage.node.port) as raw:
        await raw.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webs")
        return "answered" if await raw.end() else "cut off"


async def late_token(stage) -> str:
    async with raw_socket(stage.node.port) as raw:
        await raw.upgrade(subprotocol=NATIVE)
        return _closing(await raw.frames_until_end())


async def silence(stage) -> str:
    async with raw_websocket(stage.node, NATIVE) as raw:
        raw.answers_pings = False
        return _closing(await raw.frames_until_end())


def _closing(seen: list) -> str:
    assert seen and seen[-1].opcode == frames.CLOSE, seen
    return f"closed with {seen[-1].close_code}"


async def _stalled(stage, raw) -> None:
    """Has more published to a connection that does not read than its outbox holds."""
    await raw.send_json(type="subscribe", channel="flood", id=1)
    assert (await raw.event())["type"] == "ok"
    async with native(stage.other) as publisher:
        for _ in range(60):
            for _ in range(24):
                await publisher.send("publish", channel="flood", content="x" * 1000)
            await publisher.ok("publish", channel="flood", content="x" * 1000)


async def full_outbox(stage) -> str:
    async with raw_websocket(stage.node, NATIVE, receive_buffer=_SMALL) as raw:
        await _stalled(stage, raw)
        return _closing(await raw.frames_until_end())


async def no_answer_to_close(stage) -> str:
    async with raw_websocket(stage.node, NATIVE, receive_buffer=_SMALL) as raw:
        await _stalled(stage, raw)
        await until(stage.has_risen, "the end of a connection that does not read")
        seen = await raw.frames_until_end()
        return _closing(seen) if seen[-1].opcode == frames.CLOSE else "cut off"


async def full_outbox_that_drops(stage) -> str:
    async with raw_websocket(stage.node, NATIVE, receive_buffer=_SMALL) as raw:
        await _stalled(stage, raw)
        while (event := await raw.event())["type"] == "message":
            pass
        return f"told of {event['type']}"


async def unanswered(stage) -> str:
    """A client whose publications nobody answers is read no more than so many ahead."""
    async with native(stage.other) as subscriber, native(stage.node) as client:
        names = [f"noise{number}" for number in range(16)]
        for name in names:
            await subscriber.ok("subscribe", channel=name)
        channel = next(name for name in names if stage.is_at_the_other_redis(name))
        taken = lambda: stage.node.metrics().value("fanwire_commands_total", type="publish")
        answered = lambda: stage.node.metrics().value("fanwire_refusals_total")
        stage.freeze()
        for number in range(200):
            await client.send("publish", id=number, channel=channel, content=number)
        # What is taken is looked at first: so no answer makes it look as if more were unanswered.
        ahead = lambda: taken() - answered()
        await until(lambda: ahead() >= 64, "64 publications taken in")
        assert ahead() <= 64, "more are taken in than may be unanswered"
        answers = []
        while len(answers) < 200:
            answers += [event for event in [await client.next()] if event["type"] != "gap"]
        assert [event["id"] for event in answers] == list(range(200))
        codes = {event["code"] for event in answers}
        assert codes <= {"broker_timeout", "broker_unavailable"} and "broker_timeout" in codes, codes
        return "error broker_timeout"
