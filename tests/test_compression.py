"""permessage-deflate (RFC 7692): what is agreed on, who gets what compressed, and what may not be sent so."""

import json

import pytest

from harness.clients import native
from harness.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, client_frame, deflated
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.waiting import until

JSON = "fanwire.v1.json"
OFFER = "permessage-deflate"
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

# What a client offers, and what a node answers.
OFFERS = {
    "bare": (OFFER, AGREED),
    "Chromium's": (f"{OFFER}; client_max_window_bits", AGREED),
    "a window of our own": (f"{OFFER}; server_max_window_bits=10", f"{AGREED}; server_max_window_bits=10"),
    "quoted": (f'{OFFER}; server_max_window_bits="10"', f"{AGREED}; server_max_window_bits=10"),
    "all": (
        f"{OFFER}; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=9",
        AGREED,
    ),
    "another first": (f"x-webkit-deflate-frame, {OFFER}", AGREED),
    "an invalid one first": (f"{OFFER}; server_max_window_bits=16, {OFFER}", AGREED),
    "another alone": ("x-webkit-deflate-frame", None),
    "an unknown parameter": (f"{OFFER}; level=9", None),
    "a window without a size": (f"{OFFER}; server_max_window_bits", None),
    "a value where none may be": (f"{OFFER}; client_no_context_takeover=1", None),
    "the same twice": (f"{OFFER}; client_max_window_bits; client_max_window_bits", None),
}

LONG = {"text": "all work and no play " * 50}


@pytest.fixture(scope="module")
def compressing(module_nodes):
    return module_nodes(compression__enabled="true")


@pytest.mark.parametrize("case", OFFERS)
async def test_an_offer_is_answered_by_the_letter(compressing, case):
    offer, answer = OFFERS[case]
    async with raw_socket(compressing.port) as raw:
        response = await raw.upgrade("/", JSON, Sec_WebSocket_Extensions=offer)
        assert response.headers.get("sec-websocket-extensions") == answer


async def test_nothing_is_agreed_on_with_plain_clients_or_where_it_is_off(compressing, start_node):
    for node, subprotocol in [(compressing, None), (start_node(), JSON)]:
        async with raw_socket(node.port) as raw:
            response = await raw.upgrade("/", subprotocol, Sec_WebSocket_Extensions=OFFER)
            assert "sec-websocket-extensions" not in response.headers


async def test_a_malformed_offer_is_refused_and_said_where(compressing):
    async with raw_socket(compressing.port) as raw:
        request = upgrade_request(compressing.port, "/", JSON, Sec_WebSocket_Extensions=f"{OFFER}; =")
        response = await raw.request(request)
        assert response.status == 400 and "malformed at byte 20" in await raw.body(response)


async def test_each_gets_a_publication_as_agreed_on(start_node):
    node = start_node(compression__enabled="true")
    offers = {"wide": OFFER, "narrow": f"{OFFER}; server_max_window_bits=9", "none": None}
    seen = {}
    async with native(node) as publisher:
        for name, offer in offers.items():
            async with raw_websocket(node, JSON, Sec_WebSocket_Extensions=offer) as raw:
                await raw.send_json(type="subscribe", channel="news", id=1)
                assert (await raw.event())["type"] == "ok"
                frames = []
                for content in (1, {"text": "x" * 300}, LONG):
                    await publisher.ok("publish", channel="news", content=content)
                    frames.append(await raw.frame())
                assert [json.loads(frame.payload)["content"] for frame in frames] == [1, {"text": "x" * 300}, LONG]
                seen[name] = [frame.compressed for frame in frames]
    assert seen == {"wide": [False, True, True], "narrow": [False, True, False], "none": [False] * 3}
    metrics = node.metrics()
    assert metrics.value("fanwire_compressed_deliveries_total") == 3
    assert 1000 < metrics.value("fanwire_compression_saved_bytes_total") < 2000


async def test_a_compressed_command_is_carried_out_in_one_piece_and_in_several(compressing):
    command = deflated(json.dumps({"type": "ping", "id": "x" * 60}).encode())
    async with raw_websocket(compressing, JSON, Sec_WebSocket_Extensions=OFFER) as raw:
        for _ in range(2):
            await raw.send_frame(TEXT, command, reserved=4)
            assert (await raw.event())["type"] == "pong"
        await raw.send_frame(TEXT, command[:10], reserved=4, fin=False)
        await raw.send_frame(PING, b"between")
        await raw.send_frame(CONTINUATION, command[10:])
        await raw.frame()
        assert (await raw.event())["type"] == "pong"


BROKEN = {
    "no agreement": (1002, None, client_frame(TEXT, deflated(b"{}"), reserved=4)),
    "a compressed ping": (1002, OFFER, client_frame(PING, deflated(b"x"), reserved=4)),
    "a compressed close": (1002, OFFER, client_frame(CLOSE, deflated(b"\x03\xe8"), reserved=4)),
    "compressed again": (
        1002,
        OFFER,
        client_frame(TEXT, b"\x00", reserved=4, fin=False) + client_frame(CONTINUATION, b"", reserved=4),
    ),
    "nothing that was compressed": (1002, OFFER, client_frame(TEXT, b"{}{}{}{}", reserved=4)),
    "cut": (1002, OFFER, client_frame(BINARY, deflated(bytes(range(256)) * 2)[:-5], reserved=4)),
    "no text": (1007, OFFER, client_frame(TEXT, deflated(b"\xff" * 100), reserved=4)),
    "longer than the limit": (1009, OFFER, client_frame(BINARY, deflated(bytes(range(256)) * 257), reserved=4)),
    "a bomb": (1009, OFFER, client_frame(BINARY, deflated(b"\0" * 60_000), reserved=4)),
    "a bomb of 50 MB": (1009, OFFER, client_frame(BINARY, deflated(b"\0" * 50_000_000), reserved=4)),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_may_not_be_sent_closes_the_connection_with_its_code(compressing, case):
    code, offer, data = BROKEN[case]
    async with native(compressing) as other, raw_websocket(compressing, JSON, Sec_WebSocket_Extensions=offer) as raw:
        await raw.send(data)
        seen = await raw.frames_until_end()
        assert [(frame.opcode, frame.close_code) for frame in seen] == [(CLOSE, code)]
        await other.ok("ping")


async def test_a_bomb_does_not_make_the_node_grow(start_node):
    node = start_node(compression__enabled="true", compression__ratio=2000, limits__message="1MiB")
    bomb = client_frame(BINARY, deflated(b"\0" * 1_000_000), reserved=4)
    async with raw_websocket(node, JSON, Sec_WebSocket_Extensions=OFFER) as raw:
        before = node.metrics().value("process_resident_memory_bytes")
        for _ in range(300):
            await raw.send(bomb)
            assert (await raw.event())["type"] == "error"
        assert node.metrics().value("process_resident_memory_bytes") < before + 30_000_000


async def test_those_who_get_it_compressed_and_those_who_do_not_keep_the_order(start_node):
    node = start_node(compression__enabled="true", limits__message="1MiB")
    contents = [number if number % 3 else {"number": number, "text": "abc " * 20_000} for number in range(30)]
    sockets = [raw_websocket(node, JSON, Sec_WebSocket_Extensions=offer) for offer in (OFFER, None)]
    async with native(node) as publisher, sockets[0] as wide, sockets[1] as plain:
        for raw in (wide, plain):
            await raw.send_json(type="subscribe", channel="news", id=1)
            assert (await raw.event())["type"] == "ok"
        for content in contents:
            await publisher.ok("publish", channel="news", content=content)
        for raw in (wide, plain):
            frames = [await raw.frame() for _ in contents]
            assert [json.loads(frame.payload)["content"] for frame in frames] == contents
            assert all(frame.compressed is (raw is wide and len(frame.payload) > 1000) for frame in frames)
    await until(lambda: node.metrics().value("fanwire_compressed_deliveries_total") == 10, "ten compressed deliveries")
