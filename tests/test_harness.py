"""The instruments themselves: a strict parser that lets something pass would prove nothing."""

import asyncio

import pytest
from websockets.asyncio.server import serve

from harness import frames
from harness.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BrokenFrame,
    Frame,
    FrameParser,
    client_frame,
    close_payload,
)
from harness.ledger import Ledger
from harness.metrics import Metrics
from harness.ports import free_port
from harness.raw import raw_websocket


def server_frame(opcode: int, payload: bytes = b"", **broken) -> bytes:
    return client_frame(opcode, payload, masked=False, **broken)


@pytest.mark.parametrize(
    "data",
    [
        client_frame(TEXT, b"masked"),
        server_frame(TEXT, b"a", reserved=4),
        server_frame(3),
        server_frame(11),
        b"\x81\x7e\x00\x05hello",
        b"\x81\x7f" + (5).to_bytes(8, "big") + b"hello",
        server_frame(PING, b"x" * 126),
        server_frame(PING, fin=False),
        server_frame(CONTINUATION, b"x"),
        server_frame(TEXT, b"a", fin=False) + server_frame(TEXT, b"b"),
        server_frame(CLOSE, b"\x03"),
        server_frame(CLOSE, close_payload(1006)),
        server_frame(CLOSE) + server_frame(PING),
    ],
)
def test_the_strict_parser_refuses_what_a_server_may_not_send(data):
    with pytest.raises(BrokenFrame):
        FrameParser().feed(data)


def test_the_strict_parser_reads_frames_however_they_are_cut():
    sent = [
        Frame(TEXT, "你好".encode()),
        Frame(BINARY, b"x" * 70_000),
        Frame(TEXT, b"a", fin=False),
        Frame(PONG, b"p"),
        Frame(CONTINUATION, b"b" * 126),
        Frame(CLOSE, close_payload(1013, "slow")),
    ]
    data = b"".join(server_frame(frame.opcode, frame.payload, fin=frame.fin) for frame in sent)
    for step in (1, 2, 7, 1000, len(data)):
        parser = FrameParser()
        assert [f for at in range(0, len(data), step) for f in parser.feed(data[at : at + step])] == sent
        assert parser.unfinished == 0


async def test_a_raw_socket_speaks_with_a_server_that_is_not_ours():
    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    class Server:
        port = free_port()

    async with serve(echo, "127.0.0.1", Server.port, compression=None), raw_websocket(Server) as raw:
        for size in (0, 125, 126, 65_535, 65_536):
            await raw.send_frame(TEXT, b"x" * size)
            assert await raw.frame() == Frame(TEXT, b"x" * size)
        await raw.send_frame(PING, b"payload")
        assert await raw.frame() == Frame(PONG, b"payload")
        await raw.send_frame(7)
        seen = await asyncio.wait_for(raw.frames_until_end(), 10)
        assert [(f.opcode, f.close_code) for f in seen] == [(frames.CLOSE, 1002)]


def booked(outcome: str, received: bool, gap: bool) -> Ledger:
    """A ledger of one message."""
    ledger = Ledger()
    reader = ledger.reader("reader")
    ledger.publish(("p", 0))
    ledger.answer(("p", 0), {"type": "ok"} if outcome == "ok" else {"type": "error", "code": outcome})
    if received:
        reader.take({"type": "message", "content": ["p", 0]})
    if gap:
        reader.take({"type": "gap", "seconds": 1.0})
    return ledger


@pytest.mark.parametrize(
    "outcome, received, gap, kept",
    [
        ("ok", True, False, True),
        ("ok", False, True, True),
        ("ok", False, False, False),
        ("broker_unavailable", False, False, True),
        ("broker_unavailable", True, False, False),
        ("broker_unavailable", True, True, False),
        ("broker_timeout", True, False, True),
        ("broker_timeout", False, False, True),
        ("internal", False, False, False),
    ],
)
def test_the_ledger_knows_a_kept_promise_from_a_broken_one(outcome, received, gap, kept):
    ledger = booked(outcome, received, gap)
    if kept:
        ledger.check()
    else:
        with pytest.raises(AssertionError):
            ledger.check()


def test_the_ledger_sees_what_comes_twice_or_in_another_order():
    for numbers in ((0, 0), (1, 0)):
        ledger = Ledger()
        reader = ledger.reader("reader")
        for key in (("p", 0), ("p", 1)):
            ledger.publish(key)
            ledger.answer(key, {"type": "ok"})
        for number in numbers:
            reader.take({"type": "message", "content": ["p", number]})
        with pytest.raises(AssertionError, match="came after"):
            ledger.check()


def test_metrics_are_read_with_their_labels():
    metrics = Metrics.parse(
        '# HELP a_total Help.\n# TYPE a_total counter\na_total{kind="x",way="in"} 2\na_total{kind="y",way="in"} 3\n'
        '# TYPE b_seconds histogram\nb_seconds_bucket{le="+Inf"} 4\nb_seconds_sum 0.5\nb_seconds_count 4\n'
    )
    assert metrics.value("a_total") == metrics.value("a_total", way="in") == 5
    assert metrics.value("a_total", kind="y") == 3
    assert metrics.families() == {"a_total": [2, 3], "b_seconds": [4]}


def test_a_redis_is_started_stopped_frozen_and_killed(redis):
    redis.command("SET", "key", "value")
    assert redis.command("GET", "key") == "value" and redis.command("KEYS", "k*") == ["key"]
    redis.freeze()
    with pytest.raises(TimeoutError):
        redis.command("PING")
    redis.thaw()
    assert redis.answers()
    redis.kill()
    with pytest.raises(ConnectionRefusedError):
        redis.command("PING")
    redis.start()
    assert redis.command("GET", "key") is None
    redis.stop()
    with pytest.raises(ConnectionRefusedError):
        redis.command("PING")
