"""The plain dialect: what a connection without a subprotocol is told, to the letter."""

import json

import pytest

from harness.clients import native, plain

BAD_BINARY = b"\xff\xfe\x00\x80"


async def test_a_broadcast_reaches_all_others_and_not_its_sender(start_node):
    node = start_node()
    async with plain(node) as one, plain(node) as two, plain(node, origin=f"http://127.0.0.1:{node.port}") as browser:
        await one.send('{"type": "broadcast", "content": "你好"}')
        assert await two.receive() == "广播消息: 你好"
        assert await browser.receive() == "广播消息: 你好"
        # Broadcasts keep their order: had the first one come back to its sender, it would come before the second.
        await browser.broadcast("second")
        assert await one.receive() == "广播消息: second"
        assert await two.receive() == "广播消息: second"


async def test_a_browser_that_offers_compression_is_served_without(start_node):
    node = start_node()
    async with plain(node, origin=f"http://127.0.0.1:{node.port}", compression="deflate") as browser, plain(node) as other:
        assert await browser.ask("hello") == "服务器回应 (非JSON): hello"
        await other.broadcast("x" * 1000)
        assert await browser.receive() == "广播消息: " + "x" * 1000


@pytest.mark.parametrize(
    "message, expected",
    [
        ('{"type":"broadcast"}', "无内容"),
        ('{"type":"broadcast","content":""}', ""),
        ('{"type":"broadcast","content":"plain \\u00e9 \\ud83d\\ude00 \\n"}', "plain é 😀 \n"),
        ('{"content":"type comes last","type":"broadcast"}', "type comes last"),
        ('  {"type":"broadcast","content":"spaces around"}\n', "spaces around"),
        ('{"type":"broadcast","content":42}', "42"),
        ('{"type":"broadcast","content":-1.5}', "-1.5"),
        ('{"type":"broadcast","content":true}', "true"),
        ('{"type":"broadcast","content":null}', "null"),
        ('{"type":"broadcast","content":[ 1, "two" , [ ] ]}', '[1,"two",[]]'),
        ('{"type":"broadcast","content":{ "b" : 1 , "a" : { "c" : null } }}', '{"b":1,"a":{"c":null}}'),
        ('{"type":"broadcast","content":{"text":"with  two spaces, \\"quoted\\": kept"}}', None),
    ],
)
async def test_content_is_inserted_as_it_is_or_as_compact_json(node, message, expected):
    if expected is None:
        expected = json.dumps(json.loads(message)["content"], separators=(",", ":"), ensure_ascii=False)
    async with plain(node) as sender, plain(node, "some/path?x=1") as receiver:
        await sender.send(message)
        assert await receiver.receive() == f"广播消息: {expected}"


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "hello",  "x": 1}',
        '{"Type": "broadcast"}',
        '{"type": 1}',
        '{"type": ["broadcast"]}',
        '{"content": "no type"}',
        '{"inside": {"type": "broadcast"}}',
        '["broadcast"]',
        '"broadcast"',
        "42",
        " null ",
        "1e5",
        '{"é": "\\u00e9"}',
        "{}",
    ],
)
async def test_other_json_is_said_back_as_received(node, message):
    async with plain(node) as client:
        assert await client.ask(message) == f"服务器回应: {message}"


@pytest.mark.parametrize(
    "message", ["hello", "你好", "", "{", '{"type":"broadcast"', "{'type': 'broadcast'}", "nul", "1 2", "\x00"]
)
async def test_what_is_not_json_is_said_back_as_such(node, message):
    async with plain(node) as client:
        assert await client.ask(message) == f"服务器回应 (非JSON): {message}"


async def test_a_binary_message_that_is_utf8_counts_as_text(node):
    async with plain(node) as sender, plain(node) as receiver:
        assert await sender.ask("你好".encode()) == "服务器回应 (非JSON): 你好"
        assert await sender.ask(b'{"a": 1}') == '服务器回应: {"a": 1}'
        await sender.send(b'{"type":"broadcast","content":"from bytes"}')
        assert await receiver.receive() == "广播消息: from bytes"


async def test_a_binary_message_that_is_no_text_is_refused_and_the_connection_goes_on(node):
    async with plain(node) as client:
        answer = await client.ask(BAD_BINARY)
        assert answer.startswith("服务器错误: ") and len(answer) > len("服务器错误: "), answer
        assert await client.ask("still here") == "服务器回应 (非JSON): still here"


async def test_a_broadcast_too_large_for_an_outbox_is_refused_with_a_text(start_node):
    node = start_node(limits__message="64KiB", outbox__limit="64KiB")
    frame = '{"type":"broadcast","content":"%s"}'
    async with plain(node) as sender, plain(node) as other:
        answer = await sender.ask(frame % ("x" * (64 * 1024 - len(frame) + 2)))
        assert answer.startswith("服务器错误: "), answer[:100]
        await sender.broadcast("small")
        assert await other.receive() == "广播消息: small"


async def test_channel_messages_are_not_for_plain_connections(node):
    async with plain(node) as listener, native(node) as publisher:
        await publisher.ok("subscribe", channel="news")
        await publisher.ok("publish", channel="news", content="for subscribers")
        assert (await publisher.receive())["content"] == "for subscribers"
        await publisher.ok("broadcast", content="for all")
        assert await listener.receive() == "广播消息: for all"


async def test_the_texts_are_configuration(start_node):
    node = start_node(
        plain__broadcast="[all] {content}",
        plain__reply="[json] {text}",
        plain__reply_text="[text] {text}",
        plain__error="[error] {reason}",
        plain__no_content="[nothing]",
    )
    async with plain(node) as one, plain(node) as two:
        await one.broadcast("hi")
        assert await two.receive() == "[all] hi"
        await one.send('{"type":"broadcast"}')
        assert await two.receive() == "[all] [nothing]"
        assert await one.ask("[1]") == "[json] [1]"
        assert await one.ask("hello") == "[text] hello"
        assert (await one.ask(BAD_BINARY)).startswith("[error] ")
