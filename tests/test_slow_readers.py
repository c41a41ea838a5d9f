"""Readers that are too slow: what it costs them, and that it costs nobody else anything."""

import asyncio
import contextlib
import json
import os
import socket
import time
from contextlib import AsyncExitStack

import pytest

from harness import frames
from harness.certificates import Authority, settings
from harness.clients import Json, MessagePack, crowd, native, plain
from harness.frames import CLOSE, PING, PONG, TEXT
from harness.raw import RawSocket, raw_websocket
from harness.waiting import until

FULL = bool(os.environ.get("TESTS_FULL"))
# Who does not read does not answer a heartbeat either; it is not what these tests are about.
PATIENT = {"heartbeat__timeout": "1h"}
SMALL = {"outbox__limit": "128KiB", "outbox__kernel": "32KiB"} | PATIENT
TEXT_1K = "x" * 1000
# More than an outbox, the node's kernel buffer and a reader's small one hold together.
ENOUGH = 1500


# So many are published before a reader that is not to be slow gets its turn.
AT_ONCE = 40


async def publish_all(publisher, count: int, channel: str = "news", kind: str = "publish", first: int = 0) -> None:
    """Publishes numbered messages of about 1 KiB, and waits now and then until they are taken."""
    where = {"channel": channel} if kind == "publish" else {}
    for number in range(first, first + count):
        if number % AT_ONCE == AT_ONCE - 1 or number == first + count - 1:
            await publisher.ok(kind, content=[number, TEXT_1K], **where)
        else:
            await publisher.send(kind, content=[number, TEXT_1K], **where)


def numbers(seen: list[frames.Frame]) -> list[int]:
    """The numbers of the messages among the frames."""
    events = [json.loads(frame.payload) for frame in seen if frame.opcode == TEXT]
    return [event["content"][0] for event in events if event["type"] == "message"]


async def subscribed(raw: RawSocket, channel: str = "news") -> None:
    """Subscribes a raw socket of the JSON dialect."""
    await raw.send_json(type="subscribe", channel=channel, id=1)
    assert (await raw.event())["type"] == "ok"


@pytest.fixture(params=["plain", "tls"])
def way(request, tmp_path):
    """Settings of a node without and with TLS, and what its clients trust."""
    if request.param == "plain":
        return {}, None
    authority = Authority(tmp_path)
    return settings(authority.sign("node")), authority.trust()


@pytest.mark.limit(120)
async def test_a_stalled_reader_is_cut_off_and_nobody_else_notices(start_node, way):
    secure, tls = way
    node = start_node(**SMALL, **secure)
    async with AsyncExitStack() as stack:
        others = await crowd(stack, lambda _: native(node, ssl=tls), 10)
        for other in others:
            await other.ok("subscribe", channel="news")
        publisher = await stack.enter_async_context(native(node, ssl=tls))
        stalled = raw_websocket(node, "fanwire.v1.json", receive_buffer=4096, tls=tls)
        stalled = await stack.enter_async_context(stalled)
        await subscribed(stalled)
        sending = asyncio.create_task(publish_all(publisher, ENOUGH))
        for contents in await asyncio.gather(*(other.contents(ENOUGH) for other in others)):
            assert [content[0] for content in contents] == list(range(ENOUGH))
        await sending

        # It reads on only now: what it gets has no hole, and the end is told.
        seen = await stalled.frames_until_end()
        got = numbers(seen)
        assert got == list(range(len(got))) and len(got) < ENOUGH
        assert (seen[-1].opcode, seen[-1].close_code) == (CLOSE, 1013)
        assert b"slow" in seen[-1].payload
        slow = lambda: node.metrics().value("fanwire_disconnects_total", reason="slow_consumer") == 1
        await until(slow, "one disconnect counted as slow_consumer")
        metrics = node.metrics()
        assert metrics.value("fanwire_connections") == len(others) + 1
        assert metrics.value("fanwire_deliveries_dropped_total", reason="disconnect") > 0


@pytest.mark.limit(120)
async def test_a_reader_that_never_reads_again_is_gone_after_the_close_timeout(start_node):
    node = start_node(close__timeout="500ms", **SMALL)
    async with native(node) as publisher:
        files = node.files()
        async with raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as stalled:
            await subscribed(stalled)
            assert node.files() == files + 1
            await publish_all(publisher, ENOUGH)
            await until(lambda: node.files() == files, "the socket given back")
            metrics = node.metrics()
            assert metrics.value("fanwire_connections") == 1
            assert metrics.value("fanwire_outbox_bytes") == 0
            assert metrics.value("fanwire_subscriptions") == 0
            assert metrics.value("fanwire_close_timeouts_total") == 1
            assert metrics.value("fanwire_disconnects_total", reason="slow_consumer") == 1


@pytest.mark.limit(120)
async def test_a_node_holds_no_more_for_stalled_readers_than_their_bounds(start_node):
    count, limit = 20, 256 * 1024
    node = start_node(outbox__limit="256KiB", outbox__kernel="32KiB", outbox__policy="drop_oldest", **PATIENT)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(native(node))
        for _ in range(count):
            await subscribed(
                await stack.enter_async_context(raw_websocket(node, "fanwire.v1.json", receive_buffer=4096))
            )
        for _ in range(5):
            await publish_all(publisher, 1000)
            assert node.metrics().value("fanwire_outbox_bytes") <= count * limit
        assert node.metrics().value("fanwire_outbox_bytes") >= count * limit / 2
        assert node.metrics().value("fanwire_connections") == count + 1
    await until(lambda: node.metrics().value("fanwire_outbox_bytes") == 0, "all outboxes empty")


@pytest.mark.limit(120)
async def test_drop_oldest_leaves_out_whole_messages_and_says_how_many(start_node, way):
    secure, tls = way
    node = start_node(outbox__policy="drop_oldest", **SMALL, **secure)
    async with native(node, ssl=tls) as publisher, native(node, ssl=tls) as other:
        await other.ok("subscribe", channel="news")
        async with raw_websocket(node, "fanwire.v1.json", receive_buffer=4096, tls=tls) as slow:
            await subscribed(slow)
            for first in range(0, ENOUGH, AT_ONCE):
                count = min(AT_ONCE, ENOUGH - first)
                await publish_all(publisher, count, first=first)
                assert [content[0] for content in await other.contents(count)] == list(range(first, first + count))
            await slow.send_json(type="ping", id="end")
            expected, dropped = 0, 0
            while (event := await slow.event())["type"] != "pong":
                if event["type"] == "dropped":
                    assert event["count"] > 0
                    dropped += event["count"]
                    expected += event["count"]
                else:
                    assert event["content"][0] == expected, "a hole that was not told"
                    expected += 1
            assert expected == ENOUGH and dropped > 0
            assert node.metrics().value("fanwire_deliveries_dropped_total", reason="drop_oldest") == dropped
            await publisher.ok("publish", channel="news", content=[-1, "goes on"])
            assert (await slow.event())["content"] == [-1, "goes on"]


@pytest.mark.limit(120)
@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest"])
async def test_a_plain_reader_that_stalls_is_disconnected_under_every_policy(start_node, policy):
    node = start_node(outbox__policy=policy, **SMALL)
    async with native(node) as publisher, plain(node) as other, raw_websocket(node, receive_buffer=4096) as slow:
        for first in range(0, ENOUGH, AT_ONCE):
            count = min(AT_ONCE, ENOUGH - first)
            await publish_all(publisher, count, kind="broadcast", first=first)
            for number in range(first, first + count):
                assert (await other.receive()).startswith(f"广播消息: [{number},")
        seen = await slow.frames_until_end()
        assert seen[-1].opcode == CLOSE and seen[-1].close_code == 1013


async def test_answers_are_never_dropped(start_node):
    node = start_node(outbox__policy="drop_oldest", **SMALL)
    count = 200
    async with native(node) as publisher, raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as slow:
        await subscribed(slow)
        for number in range(count):
            await slow.send_json(type="ping", id=number)
            await publisher.ok("publish", channel="news", content=[number, TEXT_1K * 5])
        pongs = []
        while len(pongs) < count:
            event = await slow.event()
            if event["type"] == "pong":
                pongs.append(event["id"])
        assert pongs == list(range(count))


async def test_a_client_that_asks_and_never_reads_is_not_read_for_ever(start_node):
    node = start_node(**SMALL)
    before = node.private_memory()
    ping = frames.client_frame(TEXT, b'{"type":"ping","id":"%s"}' % (b"x" * 60)) * 1000
    async with raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as rude, native(node) as other:

        async def flood():
            with contextlib.suppress(ConnectionError):
                while True:
                    await asyncio.get_running_loop().sock_sendall(rude.connection, ping)

        # It ends by being cut off, at the latest close.timeout after its outbox was full.
        await asyncio.wait_for(flood(), timeout=20)
        await other.ok("ping")
        assert node.private_memory() < before + 16 * 1024 * 1024


async def _read_slowly(raw: RawSocket, total: int) -> tuple[list[int], int, int]:
    """Reads little at a time while it pings and asks, through the strict parser."""
    got, pongs, answers, asked = [], 0, 0, 0
    while len(got) < total or pongs < asked or answers < asked:
        frame = await raw.frame(30, size=2000)
        assert frame is not None and frame.opcode != CLOSE, f"ended after {len(got)} of {total}: {frame}"
        if frame.opcode == PONG:
            assert frame.payload == b"%d" % pongs
            pongs += 1
        elif (event := json.loads(frame.payload))["type"] == "message":
            got.append(event["content"][0])
            if len(got) % 20 == 0:
                await raw.send_frame(PING, b"%d" % asked)
                await raw.send_json(type="ping", id=asked)
                asked += 1
        else:
            assert event == {"type": "pong", "id": answers}
            answers += 1
    return got, pongs, answers


@pytest.mark.limit(300)
async def test_no_frame_is_ever_broken_by_small_buffers(start_node):
    total = 10_000 if FULL else 2_000
    node = start_node(outbox__limit="64MiB", outbox__kernel="16KiB", **PATIENT)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(native(node))
        readers = []
        for _ in range(8):
            raw = await stack.enter_async_context(raw_websocket(node, "fanwire.v1.json", receive_buffer=4096))
            await subscribed(raw)
            readers.append(asyncio.create_task(_read_slowly(raw, total)))
        await publish_all(publisher, total)
        for reader in readers:
            got, pongs, answers = await reader
            assert got == list(range(total))
            assert pongs == answers == total // 20


async def _chat(reader, total: int) -> None:
    """Reads all messages by the library's strict parser while it pings and asks; everything is answered."""
    got, asked, answered, pings = 0, 0, 0, []
    while got < total or answered < asked:
        event = await reader.next(30)
        if event["type"] == "pong":
            assert event["id"] == answered
            answered += 1
            continue
        assert event["content"][0] == got
        got += 1
        if got % 20 == 0:
            pings.append(await reader.socket.ping())
            await reader.send("ping", id=asked)
            asked += 1
    await asyncio.wait_for(asyncio.gather(*pings), 30)
    assert asked == len(pings) == total // 20


def _small_socket(port: int) -> socket.socket:
    """A socket to the node that takes in little at a time."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", port))
    small.setblocking(False)
    return small


@pytest.mark.limit(300)
@pytest.mark.parametrize("codec", [Json, MessagePack])
async def test_a_library_with_small_buffers_never_sees_a_broken_frame(start_node, codec):
    total = 10_000 if FULL else 2_000
    node = start_node(outbox__limit="64MiB", outbox__kernel="16KiB", **PATIENT)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(native(node))
        readers = await crowd(stack, lambda _: native(node, codec, sock=_small_socket(node.port)), 8)
        for reader in readers:
            await reader.ok("subscribe", channel="news")
        chats = [asyncio.create_task(_chat(reader, total)) for reader in readers]
        await publish_all(publisher, total)
        await asyncio.gather(*chats)


class Account:
    """What one reader of the flood got, was told it missed, and was told may be missing."""

    def __init__(self, raw: RawSocket):
        self.raw = raw
        self.received = self.dropped = self.gaps = 0

    async def read(self) -> None:
        """Reads to the message that says that it is the last; each publisher's order is kept."""
        last: dict[int, int] = {}
        while True:
            event = await self.raw.event(60)
            if event["type"] == "dropped":
                self.dropped += event["count"]
            elif event["type"] == "gap":
                self.gaps += 1
            else:
                self.received += 1
                name, number = event["content"][:2]
                if name == "end":
                    return
                assert number > last.get(name, -1)
                last[name] = number


@pytest.mark.full
@pytest.mark.limit(400)
async def test_publishing_faster_than_a_node_can_deliver_keeps_its_memory_flat(redis, start_node):
    seconds, readers = 60, 50
    source, node = start_node(redis), start_node(redis, outbox__policy="drop_oldest", **SMALL)
    async with AsyncExitStack() as stack:
        accounts = []
        for _ in range(readers):
            raw = await stack.enter_async_context(raw_websocket(node, "fanwire.v1.json", receive_buffer=65536))
            await subscribed(raw)
            accounts.append(Account(raw))
        reading = [asyncio.create_task(account.read()) for account in accounts]
        publishers = await crowd(stack, lambda _: native(source), 4)
        stop = asyncio.Event()

        async def flood(publisher, name) -> int:
            number = 0
            while not stop.is_set():
                for _ in range(100):
                    await publisher.send("publish", channel="news", content=[name, number, TEXT_1K])
                    number += 1
                await publisher.ok("ping")
            return number

        floods = [asyncio.create_task(flood(publisher, name)) for name, publisher in enumerate(publishers)]
        memory = []
        for _ in range(seconds // 5):
            await asyncio.sleep(5)
            memory.append(node.private_memory())
        stop.set()
        total = sum(await asyncio.gather(*floods)) + 1
        await publishers[0].ok("ping")
        await publishers[0].ok("publish", channel="news", content=["end", 0])
        await asyncio.gather(*reading)
        dropped = sum(account.dropped for account in accounts)
        print(f"{total} messages, {dropped} deliveries dropped; MiB: {[round(m / 2**20, 1) for m in memory]}")
        assert max(memory[2:]) < min(memory[2:]) + readers * 128 * 1024 + 16 * 2**20
        for account in accounts:
            counted = account.received + account.dropped
            assert counted == total or (account.gaps and counted < total)
        assert node.metrics().value("fanwire_deliveries_dropped_total", reason="drop_oldest") == dropped
