"""From TCP to WebSocket: what is let in, what is refused, and how."""

import os
import socket

import pytest

from harness import frames
from harness.clients import native, plain
from harness.raw import RawSocket, raw_socket, upgrade_request
from harness.waiting import until

NATIVE = ("fanwire.v1.json", "fanwire.v1.msgpack")


@pytest.mark.parametrize("offer", ["mqtt", "fanwire", "fanwire.v2.json", "FANWIRE.V1.JSON", "mqtt, wamp"])
async def test_an_unknown_subprotocol_is_refused_naming_the_known(node, offer):
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, subprotocol=offer))
        body = await raw.body(response)
        assert response.status == 400
        assert all(name in body for name in NATIVE) and offer.split(",")[0] in body, body


@pytest.mark.parametrize("offer", [None, "", "  "])
async def test_no_subprotocol_is_the_plain_dialect(node, offer):
    async with raw_socket(node.port) as raw:
        response = await raw.upgrade(subprotocol=offer)
        assert "sec-websocket-protocol" not in response.headers
        await raw.send_frame(frames.TEXT, b"hello")
        assert (await raw.frame()).payload.decode() == "服务器回应 (非JSON): hello"


@pytest.mark.parametrize(
    "offer, chosen",
    [
        ("fanwire.v1.json", "fanwire.v1.json"),
        ("mqtt, fanwire.v1.msgpack", "fanwire.v1.msgpack"),
        ("fanwire.v1.msgpack,fanwire.v1.json", "fanwire.v1.msgpack"),
    ],
)
async def test_the_first_known_subprotocol_is_chosen(node, offer, chosen):
    async with raw_socket(node.port) as raw:
        response = await raw.upgrade(subprotocol=offer)
        assert response.headers["sec-websocket-protocol"] == chosen


async def test_subprotocols_on_several_lines_count_as_one_list(node):
    request = upgrade_request(node.port, subprotocol="mqtt")
    request = request.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n\r\n")
    async with raw_socket(node.port) as raw:
        response = await raw.request(request)
        assert (response.status, response.headers.get("sec-websocket-protocol")) == (101, "fanwire.v1.json")


@pytest.mark.parametrize("path", ["/", "/ws", "/a/b/c?x=1&y", "/%E4%BD%A0", "/?" + "q" * 2000])
async def test_every_path_leads_in(node, path):
    async with raw_socket(node.port) as raw:
        await raw.upgrade(path)
        await raw.send_frame(frames.TEXT, b"1")
        assert (await raw.frame()).payload.decode() == "服务器回应: 1"


async def test_frames_that_come_with_the_request_are_served(node):
    first = frames.client_frame(frames.TEXT, b'{"type":"ping","id":1}') + frames.client_frame(frames.PING, b"x")
    async with raw_socket(node.port) as raw:
        await raw.upgrade(subprotocol="fanwire.v1.json", first=first)
        assert (await raw.event())["type"] == "welcome"
        answers = [await raw.frame(), await raw.frame()]
        assert {frame.opcode for frame in answers} == {frames.TEXT, frames.PONG}


async def test_a_plain_request_is_told_to_upgrade(node):
    async with raw_socket(node.port) as raw:
        response = await raw.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response.status == 426
        assert response.headers["upgrade"].lower() == "websocket"
        assert await raw.body(response)


@pytest.mark.parametrize(
    "changes, statuses",
    [
        ({"Sec_WebSocket_Version": "12"}, {400, 426}),
        ({"Sec_WebSocket_Version": None}, {400, 426}),
        ({"Sec_WebSocket_Key": None}, {400}),
        ({"Sec_WebSocket_Key": "short"}, {400}),
        ({"Connection": None}, {400, 426}),
        ({"Upgrade": "h2c"}, {400, 426}),
    ],
    ids=ascii,
)
async def test_half_an_upgrade_is_refused(node, changes, statuses):
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, **changes))
        assert response.status in statuses, response
        if "Sec_WebSocket_Version" in changes:
            assert response.headers["sec-websocket-version"] == "13"


async def test_another_method_is_refused(node):
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port).replace(b"GET /", b"POST /"))
        assert 400 <= response.status < 500


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)),
        b"\x00" * 1000,
        b"GET\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(5000)) + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        os.urandom(4096) + b"\r\n\r\n",
    ],
    ids=["tls", "zeros", "no request", "ssh", "http9", "no colon", "long header", "many headers", "http2", "random"],
)
async def test_garbage_before_the_upgrade_ends_the_connection_alone(start_node, garbage):
    node = start_node(handshake__timeout="1s")
    async with plain(node) as other:
        async with raw_socket(node.port) as raw:
            try:
                await raw.send(garbage)
            except ConnectionError:
                pass
            answer = await raw.end()
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 5")), answer[:200]
        assert await other.ask("1") == "服务器回应: 1"


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs"])
async def test_an_upgrade_that_never_ends_is_ended(start_node, begun):
    node = start_node(handshake__timeout="300ms")
    async with raw_socket(node.port) as raw:
        await raw.send(begun)
        answer = await raw.end()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408"), answer


async def test_an_upgrade_that_comes_byte_by_byte_is_served(node):
    async with raw_socket(node.port) as raw:
        raw.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = upgrade_request(node.port)
        for at in range(len(request) - 1):
            await raw.send(request[at : at + 1])
        response = await raw.request(request[-1:])
        assert response.status == 101


async def test_a_full_node_refuses_and_takes_another_when_one_has_left(start_node):
    node = start_node(limits__connections=2)
    async with native(node) as one:
        async with plain(node) as two:
            async with raw_socket(node.port) as raw:
                response = await raw.request(upgrade_request(node.port))
                assert response.status == 503
                assert "connection" in await raw.body(response)
            await one.ok("ping")
            assert await two.ask("1") == "服务器回应: 1"

        async def admitted() -> bool:
            async with raw_socket(node.port) as raw:
                return (await raw.request(upgrade_request(node.port))).status == 101

        await until(admitted, "a free place")


async def test_connections_that_never_upgrade_are_bounded_in_time(start_node):
    node = start_node(handshake__timeout="500ms")
    before = node.files()
    idle = [await RawSocket.open(node.port) for _ in range(100)]
    await until(lambda: node.files() >= before + 90, "all of them accepted")
    await until(lambda: node.files() <= before + 2, "all of them ended")
    for raw in idle:
        raw.connection.close()
