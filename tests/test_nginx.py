"""What clients and nodes see of nginx, with the configuration in `deploy/nginx`."""

import asyncio
import signal
import ssl
import subprocess
import time
from contextlib import AsyncExitStack

import pytest

from harness import frames
from harness.clients import MessagePack, crowd, native, plain
from harness.nginx import addresses
from harness.nginx_fixtures import cluster, needs_nginx, start_nginx  # noqa: F401
from harness.node import connections
from harness.raw import RawSocket, raw_socket, upgrade_request
from harness.recorder import Recorder
from harness.waiting import until

pytestmark = needs_nginx

CROWD = 300


async def admitted(raw: RawSocket, **changes) -> int:
    """The status of the answer to an upgrade request."""
    port = raw.connection.getpeername()[1]
    return (await raw.request(upgrade_request(port, **changes))).status


# --- What clients see -----------------------------------------------------------------------------------------------


async def test_every_dialect_works_through_nginx(cluster):
    async with plain(cluster.nginx) as one, plain(cluster.nginx, "any/path?x=1") as two:
        async with native(cluster.nginx) as three, native(cluster.nginx, MessagePack) as four:
            await one.broadcast("hello")
            assert await two.receive() == "广播消息: hello"
            assert (await three.receive())["content"] == (await four.receive())["content"] == "hello"
            await three.ok("subscribe", channel="news")
            await four.ok("publish", channel="news", content={"headline": "rain"})
            assert await three.contents(1) == [{"headline": "rain"}]
            assert await one.ask("1") == "服务器回应: 1"
            assert sorted(connections(cluster.nodes)) == [1, 1, 2]


async def test_large_messages_and_frames_sent_with_the_handshake_pass(cluster):
    async with native(cluster.nginx) as one, native(cluster.nginx) as two:
        text = "x" * 60_000
        await one.ok("subscribe", channel="news")
        for number in range(20):
            await two.ok("publish", channel="news", content=[number, text])
        assert await one.contents(20) == [[number, text] for number in range(20)]


async def test_refusals_of_a_node_pass_through(cluster):
    status, headers, body = cluster.nginx.get("/")
    assert status == 426 and headers["upgrade"] == "websocket" and "WebSocket" in body
    assert "retry-after" not in headers
    async with raw_socket(cluster.nginx.port) as raw:
        response = await raw.request(upgrade_request(cluster.nginx.port, subprotocol="mqtt"))
        assert response.status == 400 and "fanwire.v1.json" in await raw.body(response)


async def test_300_clients_are_spread_and_each_gets_a_broadcast_once(redis, start_node, start_nginx):
    nodes = [start_node(redis) for _ in range(3)]
    # Many workers, which have to agree about who has how many.
    nginx = start_nginx(nodes, WORKERS=8)
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(nginx), CROWD)
        await until(lambda: sum(connections(nodes)) == CROWD, "all at the nodes")
        _even(nodes)
        leaving = [client for client in clients if client.welcome["node"] == clients[0].welcome["node"]]
        for client in leaving:
            await client.socket.close()
            clients.remove(client)
        await until(lambda: sum(connections(nodes)) == len(clients), "a node without clients")
        # Nobody's turn: they all go to where nobody is.
        clients += await crowd(stack, lambda _: native(nginx), CROWD - len(clients))
        await until(lambda: sum(connections(nodes)) == CROWD, "all at the nodes")
        _even(nodes)
        await clients[0].ok("broadcast", content=1)
        await clients[0].ok("broadcast", content=2)
        for client in clients[1:]:
            # The second comes behind the first, so the first came once.
            assert [(await client.receive())["content"] for _ in range(2)] == [1, 2]


def _even(nodes) -> None:
    spread = connections(nodes)
    assert all(abs(count - CROWD / 3) <= 2 for count in spread), spread


# --- What a node sees -----------------------------------------------------------------------------------------------


@pytest.fixture
def record(start_nginx):
    """Runs a body with a recorder as nginx' only upstream."""

    async def run(body, **settings):
        recorder = await Recorder().start()
        nginx = await asyncio.to_thread(lambda: start_nginx([recorder], **settings))
        await body(recorder, nginx)
        recorder.end()

    return run


async def test_a_node_sees_the_upgrade_the_host_with_its_port_and_the_true_address(record):
    forged = {
        "X_Forwarded_For": "10.1.2.3",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil.example",
        "X_Real_IP": "10.1.2.3",
        "Forwarded": "for=10.1.2.3",
        "Host": "chat.example:8765",
        "Origin": "http://chat.example:8765",
    }

    async def body(recorder, nginx):
        async with raw_socket(nginx.port) as raw:
            await admitted(raw, path="/a%20b//c?token=x", subprotocol="fanwire.v1.json", **forged)
        assert recorder.requests[-1].startswith("GET /a%20b//c?token=x HTTP/1.1\r\n")
        headers = recorder.headers()
        assert headers["host"] == "chat.example:8765" and headers["origin"] == "http://chat.example:8765"
        assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-forwarded-proto"] == "http"
        assert headers["upgrade"] == "websocket" and headers["connection"] == "upgrade"
        assert headers["sec-websocket-version"] == "13" and headers["sec-websocket-protocol"] == "fanwire.v1.json"
        assert not headers.keys() & {"forwarded", "x-real-ip", "x-forwarded-host"}

    await record(body)


HALVES = [{"Connection": None}, {"Connection": "close"}, {"Upgrade": None}, {"Upgrade": "h2c"}]


@pytest.mark.parametrize("changes", HALVES, ids=str)
async def test_half_an_upgrade_is_not_made_whole(record, changes):
    async def body(recorder, nginx):
        async with raw_socket(nginx.port) as raw:
            await admitted(raw, **changes)
        assert not recorder.headers().keys() & {"upgrade", "connection"}, recorder.requests

    await record(body)


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "upgrade,keep-alive"])
async def test_connection_may_name_more_than_the_upgrade(record, connection):
    async def body(recorder, nginx):
        async with raw_socket(nginx.port) as raw:
            await admitted(raw, Connection=connection, Upgrade="WebSocket")
        assert recorder.headers()["upgrade"] == "websocket" and recorder.headers()["connection"] == "upgrade"

    await record(body)


async def test_ordinary_requests_share_connections_to_a_node(record):
    async def body(recorder, nginx):
        for _ in range(10):
            assert (await asyncio.to_thread(nginx.get, "/"))[0] == 200
        assert len(recorder.requests) == 10 and recorder.connections == 1
        assert "connection" not in recorder.headers()

    await record(body, WORKERS=1)


# --- Silence --------------------------------------------------------------------------------------------------------


async def test_heartbeats_keep_a_silent_connection_open_beyond_the_read_timeout(start_node, start_nginx):
    node = start_node(heartbeat__interval="1s")
    nginx = start_nginx([node], READ_TIMEOUT="3s")
    async with raw_socket(nginx.port) as raw:
        await raw.upgrade()
        raw.answers_pings = False
        for _ in range(7):
            ping = await raw.frame()
            await raw.send_frame(frames.PONG, ping.payload)
        raw.answers_pings = True
        await raw.send_frame(frames.TEXT, b"1")
        assert (await raw.frame()).payload.decode() == "服务器回应: 1"


async def test_clients_of_a_node_that_hangs_are_let_go(start_node, start_nginx):
    node = start_node(heartbeat__interval="1s")
    nginx = start_nginx([node], READ_TIMEOUT="3s")
    async with native(nginx) as client:
        node.freeze()
        assert await client.close_code() == 1006


# --- Limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_, statuses",
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", {400, 431, 494}),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: yyyyyyyyyy\r\n" * 3000 + b"\r\n", {400, 431, 494}),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", {413}),
    ],
    ids=["header", "headers", "line", "body"],
)
async def test_what_is_too_large_does_not_reach_a_node(start_node, start_nginx, request_, statuses):
    nginx = start_nginx([start_node()])
    async with raw_socket(nginx.port) as raw:
        assert (await raw.request(request_)).status in statuses
    await until(nginx.access_log, "a line in the access log")
    assert {line["node"] for line in nginx.access_log()} == {"-"}


# Whatever nginx passes on must get an answer: what a node cut off instead would be tried on every node.
ODD_REQUESTS = {
    "headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(150)) + b"\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 8000 + b"\r\nY: " + b"y" * 7000 + b"\r\n\r\n",
    "not utf-8": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n",
    "no uri": b'GET /<>"{}|^` HTTP/1.1\r\nHost: a\r\n\r\n',
    "host": b"GET / HTTP/1.1\r\nHost: a_b..c\r\n\r\n",
    "no host": b"GET / HTTP/1.0\r\n\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n" + b"y" * 8000,
    "chunks": b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "upgrade with body": upgrade_request(1, Content_Length="3") + b"abc",
    "no method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad key": upgrade_request(1, Sec_WebSocket_Key="short"),
    "absolute": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def test_no_request_of_a_client_is_taken_for_a_failure_of_a_node(cluster):
    port = cluster.nginx.port
    for request in ODD_REQUESTS.values():
        async with raw_socket(port) as raw:
            assert 400 <= (await raw.request(request)).status < 500, request
    # Who begins a handshake and leaves, by and by or at once.
    for size in (1, 60, 1000):
        raw = await RawSocket.open(port)
        await raw.send(upgrade_request(port)[:size])
        raw.vanish()
    async with native(cluster.nginx) as client:
        await client.ok("ping")
    lines = [line for line in cluster.nginx.access_log() if line["node"] != "-"]
    assert len(lines) >= len(ODD_REQUESTS) - 2, lines
    # One node each, that is none was tried in vain.
    assert not [line for line in lines if "," in line["node"] or line["status"] >= "500"], lines


async def test_who_connects_too_fast_is_refused_and_those_who_are_in_are_not_disturbed(start_node, start_nginx):
    nginx = start_nginx([start_node()], CONNECTION_RATE=1, CONNECTION_BURST=0)
    async with native(nginx) as client:
        statuses = [nginx.get("/") for _ in range(20)]
        refused = [headers for status, headers, _ in statuses if status == 429]
        assert len(refused) >= 10 and all(int(headers["retry-after"]) > 0 for headers in refused)
        assert {status for status, _, _ in statuses} <= {429, 426}
        await client.ok("ping")
        assert nginx.answers()


async def test_a_burst_waits_and_is_served(start_node, start_nginx):
    nginx = start_nginx([start_node()], CONNECTION_RATE=10, CONNECTION_BURST=30)
    began = time.monotonic()
    statuses = await asyncio.gather(*(asyncio.to_thread(nginx.get, "/") for _ in range(20)))
    assert {status for status, _, _ in statuses} == {426}
    assert time.monotonic() - began > 1


async def test_one_address_has_a_bounded_number_of_connections(start_node, start_nginx):
    nginx = start_nginx([start_node()], CONNECTIONS_PER_ADDRESS=3)
    async with native(nginx) as one, native(nginx), native(nginx):
        async with raw_socket(nginx.port) as raw:
            assert await admitted(raw) == 429
        await one.ok("ping")


async def test_the_log_has_how_an_upgrade_went_and_no_query(cluster):
    nginx = cluster.nginx
    async with native(nginx, path="chat?token=s3cr3t") as client:
        await client.ok("ping")
    cluster.nodes[0].kill()
    cluster.nodes[1].kill()
    cluster.nodes[2].kill()
    nginx.get("/gone?token=s3cr3t")
    await until(lambda: len(nginx.access_log()) == 2, "two lines")
    first, second = nginx.access_log()
    assert (first["request"], first["status"], first["upgrade"]) == ("GET /chat", "101", "websocket")
    assert (first["client"], first["node_status"]) == ("127.0.0.1", "101") and first["node"] in addresses(cluster.nodes)
    assert float(first["seconds"]) >= 0 and int(first["bytes"]) > 0
    assert (second["status"], second["upgrade"]) == ("502", "-")
    assert second["node"].count("127.0.0.1:") == 3
    assert "s3cr3t" not in nginx.output()


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The settings for TLS with a certificate of our own."""
    directory = tmp_path_factory.mktemp("tls")
    paths = {"CERTIFICATE": directory / "certificate.pem", "KEY": directory / "key.pem"}
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths["CERTIFICATE"], "-keyout", paths["KEY"]]
    subprocess.run(request, check=True, capture_output=True)
    return paths


def trusting(certificate):
    return ssl.create_default_context(cafile=certificate["CERTIFICATE"])


async def test_tls(start_node, start_nginx, certificate):
    nginx = start_nginx([start_node()], **certificate)
    context = trusting(certificate)
    async with native(nginx, ssl=context) as one, native(nginx, MessagePack, ssl=context) as two:
        await one.ok("subscribe", channel="news")
        await two.ok("publish", channel="news", content=1)
        assert await one.contents(1) == [1]
        tls = one.socket.transport.get_extra_info("ssl_object")
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
    async with raw_socket(nginx.port) as raw:
        assert await admitted(raw) == 400


async def test_tls_offers_http_1_only_and_tells_the_node(record, certificate):
    async def body(recorder, nginx):
        context = trusting(certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() in (None, "http/1.1")
        writer.write(upgrade_request(nginx.port))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert recorder.headers()["x-forwarded-proto"] == "https"

    await record(body, **certificate)


async def test_a_renewed_certificate_is_loaded_on_sighup(start_node, start_nginx, certificate):
    nginx = start_nginx([start_node()], **certificate)
    async with native(nginx, ssl=trusting(certificate)) as client:
        before = set(nginx.workers())
        nginx.signal(signal.SIGHUP)
        await until(lambda: len(set(nginx.workers()) - before) == 2, "new workers")
        await client.ok("ping")
        async with native(nginx, ssl=trusting(certificate)):
            pass
