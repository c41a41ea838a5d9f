"""Messages that are no commands: each is refused with a text, and the connection lives on."""

import json

import msgpack
import pytest

from harness.clients import CODECS, Json, MessagePack, native

DEPTH = 64


def nested(depth: int):
    """An array within an array and so on, `depth` arrays in all."""
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


def publish(content: str) -> str:
    """A publish command with `content` as it stands."""
    return '{"type":"publish","channel":"news","content":%s}' % content


def packed(content: bytes) -> bytes:
    """A publish command with `content` as it stands."""
    head = {"type": "publish", "channel": "news"}
    return b"\x83" + msgpack.packb(head)[1:] + msgpack.packb("content") + content


# A message, and what the text of its refusal names.
BAD_JSON = {
    "nothing": ("", ""),
    "a word": ("hello", ""),
    "half an object": ('{"type":"ping"', ""),
    "two objects": ('{"type":"ping"}{"type":"ping"}', ""),
    "trailing comma": ('{"type":"ping",}', ""),
    "single quotes": ("{'type':'ping'}", ""),
    "an array": ('["ping"]', ""),
    "a string": ('"ping"', ""),
    "null": ("null", ""),
    "no type": ("{}", "type"),
    "type is null": ('{"type":null}', "type"),
    "type is a number": ('{"type":1}', "type"),
    "type twice": ('{"type":"ping","type":"ping"}', "type"),
    "type is empty": ('{"type":""}', ""),
    "type in capitals": ('{"type":"PING"}', "PING"),
    "an event": ('{"type":"welcome"}', "welcome"),
    "an endless type": ('{"type":"%s"}' % ("x" * 60_000), ""),
    "no channel": ('{"type":"subscribe"}', "channel"),
    "channel is a number": ('{"type":"subscribe","channel":5}', "channel"),
    "channel is null": ('{"type":"subscribe","channel":null}', "channel"),
    "channel is a list": ('{"type":"subscribe","channel":["a"]}', "channel"),
    "channel twice": ('{"type":"subscribe","channel":"a","channel":"b"}', "channel"),
    "no content": ('{"type":"publish","channel":"news"}', "content"),
    "both contents": ('{"type":"broadcast","content":1,"content_base64":"AA=="}', "content"),
    "content twice": ('{"type":"broadcast","content":1,"content":2}', "content"),
    "base64 is a number": ('{"type":"broadcast","content_base64":1}', "content_base64"),
    "base64 is broken": ('{"type":"broadcast","content_base64":"!"}', "content_base64"),
    "base64 without padding": ('{"type":"broadcast","content_base64":"AA"}', "content_base64"),
    "base64 of another alphabet": ('{"type":"broadcast","content_base64":"_-8="}', "content_base64"),
    "echo is a string": ('{"type":"broadcast","content":1,"echo":"no"}', "echo"),
    "echo is a number": ('{"type":"broadcast","content":1,"echo":0}', "echo"),
    "content too deep": (publish(json.dumps(nested(DEPTH + 1))), ""),
    "content far too deep": (publish("[" * 30_000 + "]" * 30_000), ""),
    "objects far too deep": (publish('{"a":' * 10_000 + "1" + "}" * 10_000), ""),
    "half of a deep content": (publish("[" * 60_000), ""),
    "a lone high surrogate": (publish('"\\ud800"'), ""),
    "a lone low surrogate": (publish('"\\udc00"'), ""),
    "surrogates in the wrong order": (publish('"\\ude00\\ud83d"'), ""),
    "a lone surrogate in a key": (publish('{"\\ud800":1}'), ""),
    "a number beyond doubles": (publish("1e400"), ""),
    "a number far below": (publish("-1e999"), ""),
    "an integer beyond 64 bits": (publish("1" * 5_000), ""),
    "not a number": (publish("NaN"), ""),
    "infinity": (publish("-Infinity"), ""),
    "a leading zero": (publish("01"), ""),
    "a plus sign": (publish("+1"), ""),
    "a raw newline in a string": (publish('"a\nb"'), ""),
    "an unknown escape": (publish('"\\x41"'), ""),
}

BAD_MSGPACK = {
    "nothing": (b"", ""),
    "an unused byte": (b"\xc1", ""),
    "half a map": (b"\x82\xa4type\xa4ping", ""),
    "two maps": (msgpack.packb({"type": "ping"}) * 2, ""),
    "an array": (msgpack.packb(["ping"]), ""),
    "nil": (b"\xc0", ""),
    "JSON": (b'{"type":"ping"}', ""),
    "no type": (b"\x80", "type"),
    "type is an integer": (msgpack.packb({"type": 1}), "type"),
    "type is binary": (msgpack.packb({"type": b"ping"}), "type"),
    "type twice": (b"\x82\xa4type\xa4ping\xa4type\xa4ping", "type"),
    "a key is a number": (b"\x82\xa4type\xa4ping\x01\x02", ""),
    "a text that is not utf8": (b"\x81\xa4type\xa2\xff\xff", ""),
    "no channel": (msgpack.packb({"type": "subscribe"}), "channel"),
    "channel is binary": (msgpack.packb({"type": "subscribe", "channel": b"news"}), "channel"),
    "no content": (msgpack.packb({"type": "publish", "channel": "news"}), "content"),
    "echo is an integer": (msgpack.packb({"type": "broadcast", "content": 1, "echo": 0}), "echo"),
    "a map that says 4 billion entries": (b"\xdf\xff\xff\xff\xff\xa4type\xa4ping", ""),
    "an array that says 4 billion entries": (packed(b"\xdd\xff\xff\xff\xff\x01"), ""),
    "a text that says 4 GB": (packed(b"\xdb\xff\xff\xff\xffab"), ""),
    "binary that says 4 GB": (packed(b"\xc6\xff\xff\xff\xffab"), ""),
    "content is missing its end": (packed(b"\x92\x01"), ""),
    "content too deep": (packed(msgpack.packb(nested(DEPTH + 1))), ""),
    "content far too deep": (packed(b"\x91" * 60_000 + b"\x01"), ""),
    "keys that are no strings": (packed(msgpack.packb({1: 2})), ""),
    "keys that are nil": (packed(b"\x81\xc0\x01"), ""),
    "an extension": (packed(msgpack.packb(msgpack.ExtType(5, b"abc"))), ""),
    "a time stamp": (packed(msgpack.packb(msgpack.Timestamp(1, 2))), ""),
    "not a number": (packed(msgpack.packb(float("nan"))), ""),
    "infinity": (packed(msgpack.packb(float("-inf"))), ""),
    "binary inside an array": (packed(msgpack.packb([b"bytes"])), ""),
    "binary inside a map": (packed(msgpack.packb({"a": b"bytes"})), ""),
    "text inside is not utf8": (packed(b"\x91\xa2\xff\xff"), ""),
}

CASES = [
    pytest.param(codec, *case, id=f"{name}: {label}")
    for name, codec, table in (("json", Json, BAD_JSON), ("msgpack", MessagePack, BAD_MSGPACK))
    for label, case in table.items()
]


@pytest.mark.parametrize("codec, message, named", CASES)
async def test_what_is_no_command_is_refused_with_a_text(node, codec, message, named):
    async with native(node, codec) as client:
        await client.socket.send(message)
        event = await client.next()
        assert event["type"] == "error", event
        assert event["code"] in ("bad_request", "unknown_command"), event
        assert named in event["message"] and 8 <= len(event["message"]) <= 500, event
        await client.ok("ping")


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
async def test_content_as_deep_as_allowed_arrives(node, codec):
    async with native(node, codec) as client:
        await client.ok("subscribe", channel="news")
        await client.ok("publish", channel="news", content=nested(DEPTH))
        assert await client.contents(1) == [nested(DEPTH)]


async def test_an_error_carries_the_id_where_one_could_be_read(node):
    async with native(node) as client:
        await client.refused("bad_request", "subscribe", channel="no space")
        await client.socket.send('{"id":5,"type":"subscribe","channel":5}')
        assert (await client.next())["id"] == 5


@pytest.mark.parametrize("codec, other", [(Json, MessagePack), (MessagePack, Json)], ids=["json", "msgpack"])
async def test_a_message_of_the_other_kind_does_no_harm(node, codec, other):
    async with native(node, codec) as client:
        await client.socket.send(other.encode({"type": "shout"}))
        assert (await client.next())["type"] == "error"
        await client.ok("ping")


async def test_a_thousand_bad_messages_are_a_thousand_errors(node):
    async with native(node) as client:
        for _ in range(1000):
            await client.socket.send("{")
        for _ in range(1000):
            assert (await client.next())["code"] == "bad_request"
        await client.ok("ping")
