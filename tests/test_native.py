"""The native dialects: the same commands and events in JSON and MessagePack."""

import asyncio
import json

import pytest

from harness.clients import CODECS, MessagePack, native, plain

both = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())


@both
async def test_the_first_event_is_a_welcome(node, codec):
    async with native(node, codec) as one, native(node, codec) as two:
        assert set(one.welcome) == {"type", "connection", "node", "version", "heartbeat"}
        number, sequence = one.welcome["connection"]
        assert number == one.welcome["node"] == two.welcome["node"]
        assert isinstance(number, int) and 0 <= number < 2**53
        assert isinstance(sequence, int) and two.welcome["connection"] != one.welcome["connection"]
        assert one.welcome["heartbeat"] == 20.0
        assert one.welcome["version"].count(".") == 2


@both
async def test_a_subscriber_gets_what_is_published_the_publisher_too_unless_it_asks_not_to(node, codec):
    async with native(node, codec) as one, native(node, codec) as two:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
        await one.ok("publish", channel="news", content="first")
        await one.ok("publish", channel="news", content="second", echo=False)
        await two.ok("publish", channel="news", content="third")
        expected = [{"type": "message", "channel": "news", "content": c} for c in ("first", "second", "third")]
        assert [await two.receive() for _ in range(3)] == expected
        assert [await one.receive() for _ in range(2)] == [expected[0], expected[2]]


@both
async def test_publishing_needs_no_subscription_and_reaches_nobody_else(node, codec):
    async with native(node, codec) as publisher, native(node, codec) as other, native(node, codec) as subscriber:
        await subscriber.ok("subscribe", channel="here")
        await other.ok("subscribe", channel="there")
        await publisher.ok("publish", channel="here", content=1)
        await publisher.ok("publish", channel="there", content=2)
        assert await subscriber.contents(1) == [1]
        assert await other.contents(1) == [2]


@both
async def test_who_unsubscribes_gets_no_more(node, codec):
    async with native(node, codec) as one, native(node, codec) as two:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
        await one.ok("unsubscribe", channel="news")
        await two.ok("publish", channel="news", content="gone")
        assert await two.contents(1) == ["gone"]
        await one.ok("subscribe", channel="news")
        await two.ok("publish", channel="news", content="back")
        assert await one.contents(1) == ["back"]


@both
async def test_a_broadcast_leaves_its_sender_out_unless_it_asks(node, codec):
    async with native(node, codec) as one, native(node, codec) as two:
        await one.ok("broadcast", content="not to me")
        await one.ok("broadcast", content="to me too", echo=True)
        await one.ok("broadcast", content="nor this", echo=False)
        await two.ok("broadcast", content="end")
        contents = {"not to me": {two}, "to me too": {one, two}, "nor this": {two}, "end": {one}}
        for client in (one, two):
            expected = [{"type": "broadcast", "content": c} for c, receivers in contents.items() if client in receivers]
            assert [await client.receive() for _ in expected] == expected


@both
async def test_a_ping_is_answered_with_its_id_or_without(node, codec):
    async with native(node, codec) as client:
        await client.send("ping")
        assert await client.next() == {"type": "pong"}
        await client.send("ping", id=7)
        assert await client.next() == {"type": "pong", "id": 7}


@both
@pytest.mark.parametrize(
    "number", [0, 1, -1, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), "a", "x" * 64, "é" * 32, '\n"\\'], ids=ascii
)
async def test_an_id_comes_back_as_it_was(node, codec, number):
    async with native(node, codec) as client:
        await client.send("ping", id=number)
        assert await client.next() == {"type": "pong", "id": number}
        await client.send("subscribe", id=number, channel="news")
        assert await client.next() == {"type": "ok", "id": number}
        await client.send("unsubscribe", id=number, channel="elsewhere")
        event = await client.next()
        assert (event["code"], event["id"]) == ("not_subscribed", number)


@both
@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 1.5, True, [1], {"a": 1}, "x" * 65, "é" * 33], ids=lambda n: ascii(n)[:12]
)
async def test_an_id_of_another_kind_is_refused(node, codec, number):
    if codec is MessagePack and isinstance(number, int) and not -(2**63) <= number < 2**64:
        pytest.skip("MessagePack has no such integer")
    async with native(node, codec) as client:
        await client.send("ping", id=number)
        event = await client.next()
        assert (event["type"], event["code"]) == ("error", "bad_request") and "id" in event["message"], event
        await client.ok("ping")


@both
async def test_without_an_id_only_errors_are_answered(node, codec):
    async with native(node, codec) as client:
        await client.send("subscribe", channel="news")
        await client.send("unsubscribe", channel="news")
        await client.send("publish", channel="nobody", content=1)
        await client.send("broadcast", content=1)
        await client.send("unsubscribe", channel="news")
        event = await client.next()
        assert (event["type"], event["code"], "id" in event) == ("error", "not_subscribed", False), event


@both
async def test_each_refusal_has_its_code(start_node, codec):
    node = start_node(limits__channels=2)
    async with native(node, codec) as client:
        await client.refused("unknown_command", "shout", content=1)
        await client.refused("bad_request", "subscribe")
        await client.refused("not_subscribed", "unsubscribe", channel="one")
        assert "nowhere" in await client.refused("unknown_namespace", "subscribe", channel="nowhere:one")
        await client.refused("unknown_namespace", "publish", channel="nowhere:one", content=1)
        await client.ok("subscribe", channel="one")
        await client.refused("already_subscribed", "subscribe", channel="one")
        await client.ok("subscribe", channel="default:two")
        await client.refused("channel_limit", "subscribe", channel="three")
        await client.ok("unsubscribe", channel="one")
        await client.ok("subscribe", channel="three")


async def test_a_publication_whose_longest_form_fits_no_outbox_is_refused(start_node):
    node = start_node(limits__message="64KiB", outbox__limit="64KiB")
    async with native(node, MessagePack) as client, native(node) as other:
        await other.ok("subscribe", channel="news")
        # Each of these bytes takes six in JSON.
        await client.refused("message_too_large", "publish", channel="news", content="\x01" * 20_000)
        await client.refused("message_too_large", "broadcast", content="\x01" * 20_000)
        await client.ok("publish", channel="news", content="\x01" * 5_000)
        assert await other.contents(1) == ["\x01" * 5_000]


@both
@pytest.mark.parametrize(
    "kind, fields, key",
    [
        ("ping", {"colour": 1}, "colour"),
        ("subscribe", {"channel": "news", "content": 1}, "content"),
        ("subscribe", {"channel": "news", "recover": True}, "recover"),
        ("publish", {"channel": "news", "content": 1, "ttl": 5}, "ttl"),
        ("broadcast", {"channel": "news", "content": 1}, "channel"),
    ],
)
async def test_an_unknown_key_is_refused_by_name(node, codec, kind, fields, key):
    async with native(node, codec) as client:
        assert key in await client.refused("bad_request", kind, **fields)


@both
@pytest.mark.parametrize(
    "channel",
    ["", "a" * 201, "a b", "a{b", "a}b", "news*", "é", "a\tb", "a\r\nb", "\x7f", "$fanwire", "$fanwire:beat"],
    ids=lambda c: ascii(c)[:12],
)
async def test_a_bad_channel_name_is_refused(node, codec, channel):
    async with native(node, codec) as client:
        for kind, fields in (("subscribe", {}), ("publish", {"content": 1})):
            assert "channel" in await client.refused("bad_request", kind, channel=channel, **fields)


@both
@pytest.mark.parametrize(
    "channel", ["a", "a" * 200, "!\"#$%&'()+,-./", "default:a:b", "A[0]=~|`^_@<>?;\\"], ids=lambda c: ascii(c)[:12]
)
async def test_a_good_channel_name_comes_back_as_it_was(node, codec, channel):
    async with native(node, codec) as client:
        await client.ok("subscribe", channel=channel)
        await client.ok("publish", channel=channel, content=1)
        assert await client.receive() == {"type": "message", "channel": channel, "content": 1}


CONTENTS = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**63,
    2**64 - 1,
    -(2**63),
    1.5,
    -0.25,
    1e300,
    5e-324,
    "",
    "text",
    '广播 é 😀 \x00\x1f\x7f\u2028 "quoted" \\ /',
    [],
    {},
    [1, [2, [3, []]], {"a": None}],
    {"b": 1, "a": {"": [], "é": {"deep": True}}},
    "x" * 40_000,
]


@both
@pytest.mark.parametrize("content", CONTENTS, ids=lambda c: ascii(c)[:16])
async def test_any_content_reaches_every_dialect(node, codec, content):
    async with (
        native(node, codec) as sender,
        native(node) as by_json,
        native(node, MessagePack) as by_msgpack,
        plain(node) as by_text,
    ):
        for receiver in (by_json, by_msgpack):
            await receiver.ok("subscribe", channel="news")
        await sender.ok("publish", channel="news", content=content)
        await sender.ok("broadcast", content=content)
        for receiver in (by_json, by_msgpack):
            # Between a channel and broadcasts no order is promised.
            one, two = sorted([await receiver.receive(), await receiver.receive()], key=lambda event: event["type"])
            assert one == {"type": "broadcast", "content": content}
            assert two == {"type": "message", "channel": "news", "content": content}
            assert type(one["content"]) is type(two["content"]) is type(content)
        text = (await by_text.receive()).removeprefix("广播消息: ")
        assert text == content if isinstance(content, str) else json.loads(text) == content


async def test_binary_content_is_bytes_in_msgpack_and_base64_elsewhere(node):
    content = bytes(range(256))
    base64 = (
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9Q"
    )
    async with native(node) as by_json, native(node, MessagePack) as by_msgpack, plain(node) as by_text:
        for client in (by_json, by_msgpack):
            await client.ok("subscribe", channel="news")
        await by_msgpack.ok("publish", channel="news", content=content)
        await by_json.ok("publish", channel="news", content_base64="/+8=")
        first, second = await by_json.receive(), await by_json.receive()
        assert first.keys() == {"type", "channel", "content_base64"} and first["content_base64"].startswith(base64)
        assert second == {"type": "message", "channel": "news", "content_base64": "/+8="}
        assert await by_msgpack.contents(2) == [content, b"\xff\xef"]
        await by_msgpack.ok("broadcast", content=b"\xff\xef")
        await by_json.ok("broadcast", content_base64="")
        assert await by_json.receive() == {"type": "broadcast", "content_base64": "/+8="}
        assert await by_msgpack.receive() == {"type": "broadcast", "content": b""}
        assert [await by_text.receive() for _ in range(2)] == ["广播消息: /+8=", "广播消息: "]


async def test_json_goes_to_json_receivers_as_it_was_written(node):
    content = '{"b": 1.50, "a": 1E2, "s": "\\u00e9"}'
    async with native(node) as sender, native(node) as receiver:
        await receiver.ok("subscribe", channel="news")
        await sender.socket.send('{"type":"publish","channel":"news","content":%s}' % content)
        text = await asyncio.wait_for(receiver.socket.recv(), 10)
        assert "".join(content.split()) in "".join(text.split())


async def test_an_integer_beyond_64_bits_is_exact_in_json_and_a_double_elsewhere(node):
    async with native(node) as by_json, native(node, MessagePack) as by_msgpack:
        for client in (by_json, by_msgpack):
            await client.ok("subscribe", channel="news")
        await by_json.ok("publish", channel="news", content=10**30 + 1)
        assert await by_json.contents(1) == [10**30 + 1]
        assert await by_msgpack.contents(1) == [1e30]


@both
async def test_publications_sent_without_waiting_keep_their_order(node, codec):
    count = 1000
    async with native(node, codec) as publisher, native(node, codec) as subscriber:
        await subscriber.ok("subscribe", channel="news")

        async def publish():
            for number in range(count):
                await publisher.send("publish", id=number, channel="news", content=number)

        sending = asyncio.create_task(publish())
        assert await subscriber.contents(count) == list(range(count))
        await sending
        answers = [await publisher.next() for _ in range(count)]
        assert sorted(answer["id"] for answer in answers) == list(range(count))
        assert {answer["type"] for answer in answers} == {"ok"}


@both
async def test_what_is_published_after_the_ok_arrives(node, codec):
    async with native(node, codec) as publisher, native(node, codec) as subscriber:
        for number in range(100):
            await subscriber.ok("subscribe", channel=f"c{number}")
            await publisher.send("publish", channel=f"c{number}", content=number)
        assert await subscriber.contents(100) == list(range(100))


async def test_a_connection_that_left_is_no_subscriber_any_more(start_node):
    node = start_node()
    async with native(node) as stays:
        for number in range(20):
            async with native(node) as leaves:
                await leaves.ok("subscribe", channel="news")
                if number % 2:
                    leaves.socket.transport.abort()
        await stays.ok("subscribe", channel="news")
        await stays.ok("publish", channel="news", content="only me")
        assert await stays.contents(1) == ["only me"]
