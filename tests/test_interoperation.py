"""Real clients, those of Python, of Node.js and a browser, directly and through nginx; and curl."""

import asyncio
import shutil

import pytest

from harness.clients import CODECS
from harness.nginx_fixtures import needs_nginx, start_nginx  # noqa: F401
from harness.raw import accept_key, upgrade_request
from harness.strangers import STRANGERS, Conversation, by_websockets
from harness.waiting import until

pytestmark = pytest.mark.limit(120)

every_stranger = pytest.mark.parametrize("talk", STRANGERS.values(), ids=STRANGERS.keys())
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())

TEXT = "你好, \U0001f600"


def commands(codec) -> list:
    """Subscribes, publishes, and asks for a sign of life."""
    return [
        codec.encode({"type": "subscribe", "id": 1, "channel": "news"}),
        codec.encode({"type": "publish", "id": 2, "channel": "news", "content": [TEXT, 1.5, None]}),
        codec.encode({"type": "ping", "id": 3}),
    ]


def check_events(codec, received: list) -> None:
    """The answers came in order, and the message once."""
    events = [codec.decode(message) for message in received]
    assert [event["type"] for event in events if event["type"] != "message"] == ["welcome", "ok", "ok", "pong"], events
    (message,) = [event for event in events if event["type"] == "message"]
    assert message == {"type": "message", "channel": "news", "content": [TEXT, 1.5, None]}


@every_stranger
@every_codec
async def test_a_native_dialect_is_spoken(node, talk, codec):
    seen = await talk(Conversation(node.url, codec.subprotocol, commands(codec), wanted=5))
    assert (seen.protocol, seen.code) == (codec.subprotocol, 1000)
    check_events(codec, seen.received)


@needs_nginx
@every_stranger
@every_codec
async def test_a_native_dialect_is_spoken_through_nginx(start_node, start_nginx, talk, codec):
    nginx = start_nginx([start_node()])
    seen = await talk(Conversation(nginx.url, codec.subprotocol, commands(codec), wanted=5))
    assert (seen.protocol, seen.code) == (codec.subprotocol, 1000)
    check_events(codec, seen.received)


@every_stranger
async def test_the_plain_dialect_is_spoken(node, talk):
    seen = await talk(Conversation(node.url, None, [TEXT, TEXT.encode(), "[1]", b"\xff"], wanted=4))
    assert (seen.protocol, seen.code) == (None, 1000)
    assert seen.received[:3] == [f"服务器回应 (非JSON): {TEXT}"] * 2 + ["服务器回应: [1]"]
    assert seen.received[3].startswith("服务器错误: ")


@every_stranger
async def test_what_is_sent_comes_back_in_the_echo_dialect(start_node, talk):
    node = start_node(conformance__echo="true")
    sends = [TEXT, "", b"", bytes(range(256)), "x" * 60_000]
    seen = await talk(Conversation(node.url, None, sends, wanted=5))
    assert (seen.received, seen.code) == (sends, 1000)


@every_stranger
@every_codec
async def test_compressed_messages_are_understood_both_ways(start_node, talk, codec):
    node = start_node(compression__enabled="true")
    content = [TEXT * 500, list(range(500))]
    publish = codec.encode({"type": "publish", "id": 2, "channel": "news", "content": content})
    subscribe, _, ping = commands(codec)
    seen = await talk(Conversation(node.url, codec.subprotocol, [subscribe, publish, ping], wanted=5))
    (message,) = [event for event in map(codec.decode, seen.received) if event["type"] == "message"]
    assert (message["content"], seen.code) == (content, 1000)
    metrics = node.metrics()
    if talk is not by_websockets:
        assert metrics.value("fanwire_compressed_deliveries_total") == 1
    # websockets bounds our window to 4 KiB, and the message is longer.
    assert metrics.value("fanwire_received_bytes_total") < len(publish) / 2


@every_stranger
async def test_a_message_that_is_too_long_ends_with_1009(start_node, talk):
    node = start_node(limits__message="1KiB")
    seen = await talk(Conversation(node.url, "fanwire.v1.json", ["x" * 1025], wanted=2, closes=False))
    assert (len(seen.received), seen.code) == (1, 1009)


@every_stranger
async def test_a_node_that_goes_away_ends_with_1012(start_node, talk):
    node = start_node(drain__grace="0s", drain__window="0s")
    going = asyncio.create_task(talk(Conversation(node.url, None, [TEXT], wanted=2, closes=False)))
    await until(lambda: going.done() or node.metrics().value("fanwire_commands_total", type="echo"), "an answer", 60)
    node.terminate()
    seen = await going
    assert (seen.received, seen.code) == ([f"服务器回应 (非JSON): {TEXT}"], 1012)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_curl_sees_the_upgrade_and_the_first_event(node):
    request = upgrade_request(node.port, subprotocol="fanwire.v1.json")
    headers = [argument for line in request.decode().split("\r\n")[1:-2] for argument in ("--header", line)]
    arguments = ["--silent", "--include", "--no-buffer", "--http1.1", "--noproxy", "*", *headers]
    process = await asyncio.create_subprocess_exec("curl", *arguments, node.url.replace("ws:", "http:"), stdout=-1)
    try:
        head = await asyncio.wait_for(process.stdout.readuntil(b"\r\n\r\n"), 30)
        frame = await asyncio.wait_for(process.stdout.readuntil(b"}"), 30)
    finally:
        process.kill()
        await process.wait()
    assert head.startswith(b"HTTP/1.1 101 ") and b'"type":"welcome"' in frame
    lines = head.decode().lower().splitlines()
    assert f"sec-websocket-accept: {accept_key(request).lower()}" in lines and "upgrade: websocket" in lines
    assert "sec-websocket-protocol: fanwire.v1.json" in lines
