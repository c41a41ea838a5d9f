"""Frames by the letter of RFC 6455, and frames against it."""

import asyncio

import pytest

from harness import frames
from harness.clients import native, plain
from harness.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame, close_payload
from harness.raw import raw_websocket
from harness.waiting import until

dialects = pytest.mark.parametrize(
    "subprotocol", [None, "fanwire.v1.json", "fanwire.v1.msgpack"], ids=["plain", "json", "msgpack"]
)


async def closed_with(raw) -> int:
    """Reads to the end: the last frame is a Close, and then the connection ends."""
    seen = await raw.frames_until_end()
    assert seen and seen[-1].opcode == CLOSE, f"no Close frame at the end of {seen}"
    return seen[-1].close_code


BROKEN = {
    "reserved bit 1": (1002, client_frame(TEXT, b"hello", reserved=4)),
    "reserved bit 2": (1002, client_frame(TEXT, b"hello", reserved=2)),
    "reserved bit 3": (1002, client_frame(TEXT, b"hello", reserved=1)),
    **{f"opcode {code}": (1002, client_frame(code, b"hello")) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "unmasked text": (1002, client_frame(TEXT, b"hello", masked=False)),
    "unmasked ping": (1002, client_frame(PING, b"hello", masked=False)),
    "fragmented ping": (1002, client_frame(PING, b"hello", fin=False)),
    "long ping": (1002, client_frame(PING, b"x" * 126)),
    "continuation of nothing": (1002, client_frame(CONTINUATION, b"hello")),
    "text inside a text": (1002, client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"b")),
    "close body of one byte": (1002, client_frame(CLOSE, b"\x03")),
    "close code 999": (1002, client_frame(CLOSE, close_payload(999))),
    "close code 1005": (1002, client_frame(CLOSE, close_payload(1005))),
    "close code 2000": (1002, client_frame(CLOSE, close_payload(2000))),
    "text that is not utf8": (
        1007,
        client_frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    ),
    "text that is not utf8 in fragments": (
        1007,
        client_frame(TEXT, b"\xce\xba", fin=False) + client_frame(CONTINUATION, b"\xff\xff"),
    ),
    "text that ends inside a character": (1007, client_frame(TEXT, "你".encode()[:2])),
    "message beyond the limit": (1009, client_frame(TEXT, b"x" * (64 * 1024 + 1))),
    "frame that declares 1 GiB": (1009, client_frame(BINARY, b"x" * 100, length=1 << 30)),
    "frame that declares 2^63": ((1002, 1009), client_frame(BINARY, b"x" * 100, length=1 << 63)),
    "fragments beyond the limit": (
        1009,
        client_frame(BINARY, b"x" * 40_000, fin=False) + client_frame(CONTINUATION, b"x" * 40_000),
    ),
    "more fragments than may be": (
        1008,
        client_frame(TEXT, b"", fin=False) + client_frame(CONTINUATION, b"", fin=False) * 1024,
    ),
    "length in more bytes than it needs": (1002, b"\x81\xfe\x00\x05\0\0\0\0hello"),
    "endless empty-handed fragments": (
        1009,
        client_frame(TEXT, b"x" * 1000, fin=False) + client_frame(CONTINUATION, b"x" * 1000, fin=False) * 70,
    ),
}


@dialects
@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_rule_closes_the_connection_with_its_code(node, subprotocol, case):
    codes, data = BROKEN[case]
    async with plain(node) as other, raw_websocket(node, subprotocol) as raw:
        await raw.send(data)
        assert await closed_with(raw) in (codes if isinstance(codes, tuple) else (codes,))
        assert await other.ask("1") == "服务器回应: 1"


async def test_a_broken_rule_is_told_after_what_came_before_it(node):
    async with raw_websocket(node) as raw:
        await raw.send(client_frame(TEXT, b"1") + client_frame(TEXT, b"2") + client_frame(7, b""))
        seen = await raw.frames_until_end()
        assert [f.payload.decode() for f in seen[:-1]] == ["服务器回应: 1", "服务器回应: 2"]
        assert seen[-1].close_code == 1002


async def test_a_message_as_long_as_the_limit_is_served(node):
    text = "x" * (64 * 1024)
    async with plain(node) as client:
        assert await client.ask(text) == "服务器回应 (非JSON): " + text


@dialects
async def test_a_ping_is_answered_with_its_payload(node, subprotocol):
    async with raw_websocket(node, subprotocol) as raw:
        for payload in (b"", b"hello", bytes(range(125))):
            await raw.send_frame(PING, payload)
            assert await raw.frame() == frames.Frame(PONG, payload)


async def test_an_unasked_pong_is_ignored(node):
    async with raw_websocket(node) as raw:
        await raw.send_frame(PONG, b"unasked")
        await raw.send_frame(TEXT, b"1")
        assert (await raw.frame()).payload.decode() == "服务器回应: 1"


async def test_control_frames_come_between_the_fragments_of_a_message(node):
    async with raw_websocket(node) as raw:
        await raw.send_frame(TEXT, "你好".encode()[:4], fin=False)
        await raw.send_frame(PING, b"between")
        assert await raw.frame() == frames.Frame(PONG, b"between")
        await raw.send_frame(CONTINUATION, b"", fin=False)
        await raw.send_frame(PONG, b"unasked")
        await raw.send_frame(CONTINUATION, "你好".encode()[4:])
        assert (await raw.frame()).payload.decode() == "服务器回应 (非JSON): 你好"


async def test_a_frame_that_comes_byte_by_byte_is_served(node):
    async with raw_websocket(node) as raw:
        for byte in client_frame(TEXT, b"x" * 200):
            await raw.send(bytes([byte]))
        assert (await raw.frame()).payload.decode() == "服务器回应 (非JSON): " + "x" * 200


@dialects
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_close_is_answered_with_its_code_and_ends_the_connection(node, subprotocol, code):
    async with raw_websocket(node, subprotocol) as raw:
        await raw.send_frame(CLOSE, close_payload(code, "bye"))
        assert await closed_with(raw) == code


async def test_a_close_without_a_code_is_answered(node):
    async with raw_websocket(node) as raw:
        await raw.send_frame(CLOSE)
        seen = await raw.frames_until_end()
        assert [frame.opcode for frame in seen] == [CLOSE] and seen[0].payload[:2] in (b"", b"\x03\xe8")


async def test_the_library_sees_an_orderly_close(node):
    async with native(node) as client:
        await client.socket.close(1000, "done")
        assert client.socket.close_code == 1000


async def test_a_client_that_vanished_without_closing_is_found(start_node):
    node = start_node(heartbeat__interval="1s", heartbeat__timeout="1s")
    async with raw_websocket(node, "fanwire.v1.json") as silent, native(node) as lively:
        silent.answers_pings = False
        assert (await silent.frame()).opcode == PING
        assert await closed_with(silent) == 1001
        await lively.ok("ping")
        await until(lambda: node.metrics().value("fanwire_connections") == 1, "one connection left")


@pytest.mark.parametrize("answer", [(PONG, b""), (PING, b"x"), (TEXT, b"1")], ids=["pong", "ping", "text"])
async def test_a_client_that_answers_the_heartbeat_with_anything_lives(start_node, answer):
    node = start_node(heartbeat__interval="1s", heartbeat__timeout="1s")
    async with raw_websocket(node) as raw:
        raw.answers_pings = False
        heartbeats = 0
        while heartbeats < 3:
            frame = await raw.frame()
            assert frame.opcode in (PING, PONG, TEXT), frame
            if frame.opcode == PING:
                heartbeats += 1
                await raw.send_frame(*answer)


async def test_a_client_that_resets_its_connection_is_forgotten_at_once(start_node):
    node = start_node()
    async with native(node) as other:
        async with raw_websocket(node, "fanwire.v1.json") as raw:
            await raw.send_json(type="subscribe", channel="news", id=1)
            await raw.event()
            raw.vanish()
        await until(lambda: node.metrics().value("fanwire_connections") == 1, "one connection left")
        await other.ok("ping")


async def test_a_client_that_closes_its_half_without_a_close_frame_is_forgotten(start_node):
    node = start_node()
    async with raw_websocket(node) as raw:
        raw.connection.shutdown(1)
        await asyncio.wait_for(raw.end(), 10)
    await until(lambda: node.metrics().value("fanwire_connections") == 0, "no connection left")
