"""TLS on a node's ports: certificates of all kinds, by name, renewed under load; whose clients are taken; what is no TLS."""

import asyncio
import os
import socket
import ssl
import subprocess
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from harness.certificates import Authority, settings
from harness.clients import MessagePack, crowd, native, plain
from harness.command import run
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.waiting import until, wait_until

FULL = bool(os.environ.get("TESTS_FULL"))
CROWD = 1000 if FULL else 100
CONFIG_ERROR = 78
# With TLS 1.3 a client learns only after its handshake that it is not wanted.
NO_CONNECTION = (ssl.SSLError, ConnectionError, InvalidMessage)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(module_nodes, authority):
    """A node with TLS on its public port, shared by those tests that only talk to it."""
    return module_nodes(**settings(authority.sign("shared")))


def secured(port: int, context: ssl.SSLContext, name: str | None = "127.0.0.1") -> ssl.SSLSocket:
    """A socket after its handshake; the last of it shows in TLS 1.3 only at the first read, which is made."""
    plain_socket = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(plain_socket, server_hostname=name)


def serial(port: int, context: ssl.SSLContext) -> str:
    """Which certificate a new handshake gets."""
    with secured(port, context) as connection:
        return connection.getpeercert()["serialNumber"]


def handshakes(node, result: str, port: str = "public") -> int:
    return int(node.metrics().value("fanwire_tls_handshakes_total", port=port, result=result))


def reloads(node, result: str) -> int:
    return int(node.metrics().value("fanwire_tls_reloads_total", port="public", result=result))


async def test_over_tls_pages_of_the_node_are_those_of_https(node, authority):
    context = authority.trust()
    await converse(node, context, origin=f"https://127.0.0.1:{node.port}")
    for origin in (f"http://127.0.0.1:{node.port}", "https://elsewhere.example"):
        with pytest.raises(InvalidStatus) as refused:
            await converse(node, context, origin=origin)
        assert refused.value.response.status_code == 403, origin


async def converse(node, context: ssl.SSLContext, **options) -> None:
    """A client that hears what it publishes."""
    async with native(node, ssl=context, **options) as client:
        await client.ok("subscribe", channel="news")
        await client.ok("publish", channel="news", content="x" * 50_000)
        assert await client.contents(1) == ["x" * 50_000]


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
async def test_keys_of_each_kind(start_node, authority, kind):
    node = start_node(**settings(authority.sign(f"a-{kind}", kind=kind)))
    await converse(node, authority.trust())
    await converse(node, authority.trust(), codec=MessagePack)
    async with plain(node, ssl=authority.trust()) as client:
        assert "hello" in await client.ask("hello")


async def test_a_chain_leads_to_whom_the_client_trusts(start_node, authority):
    middle = authority.subordinate("middle")
    leaf = middle.sign("leaf")
    alone = start_node(**settings(leaf))
    with pytest.raises(ssl.SSLCertVerificationError):
        await converse(alone, authority.trust())
    leaf.cert.write_text(leaf.cert.read_text() + middle.cert.read_text())
    await converse(start_node(**settings(leaf)), authority.trust())


def test_a_client_gets_the_certificate_for_the_name_it_asks_for(start_node, authority):
    first = authority.sign("first", "DNS:a.example,IP:127.0.0.1")
    second = authority.sign("second", "DNS:*.b.example")
    node = start_node(**settings(first, second))
    context = authority.trust()
    for name, common in [("a.example", "first"), ("x.b.example", "second"), ("127.0.0.1", "first")]:
        with secured(node.port, context, name) as connection:
            assert connection.getpeercert()["subject"] == ((("commonName", common),),), name
    with pytest.raises(ssl.SSLCertVerificationError):
        secured(node.port, context, "x.y.b.example")
    expiry = [node.metrics().value("fanwire_tls_certificate_expiry_timestamp_seconds", file=str(one.cert)) for one in (first, second)]
    with secured(node.port, context, "a.example") as connection:
        assert expiry[0] == ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
    assert abs(expiry[1] - expiry[0]) < 3600


def openssl(node, *arguments: str) -> str:
    """What `openssl s_client` says of a handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{node.port}", *arguments]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=20).stdout


def test_the_oldest_version_that_is_spoken(start_node, node, authority):
    assert "New, TLSv1.2" in openssl(node, "-tls1_2") and "New, TLSv1.3" in openssl(node, "-tls1_3")
    strict = start_node(**settings(authority.sign("strict"), min_version="1.3"))
    assert "New, TLSv1.3" in openssl(strict, "-tls1_3")
    assert "New, (NONE)" in openssl(strict, "-tls1_2")
    wait_until(lambda: handshakes(strict, "incompatible") == 1, "the refusal counted")
    before = handshakes(node, "incompatible")
    assert "New, (NONE)" in openssl(node, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    wait_until(lambda: handshakes(node, "incompatible") == before + 1, "the refusal counted")


def test_http_1_1_is_all_that_is_spoken_inside(node, authority):
    context = authority.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured(node.port, context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    context = authority.trust()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)application.protocol"):
        secured(node.port, context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(node, authority, version):
    context = authority.trust()
    context.minimum_version = context.maximum_version = version
    with secured(node.port, context) as connection:
        # The ticket of TLS 1.3 comes with the first answer.
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 426")
        session = connection.session
    again = socket.create_connection(("127.0.0.1", node.port), timeout=10)
    with context.wrap_socket(again, server_hostname="127.0.0.1", session=session) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 426")
        assert connection.session_reused


async def test_clients_with_certificates(start_node, authority, tmp_path):
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    known, stranger = authority.trust(clients.sign("me")), authority.trust(strangers.sign("me"))
    certificate = authority.sign("for-clients")
    required = start_node(**settings(certificate, client_ca=clients.cert))
    await converse(required, known)
    for refused in (authority.trust(), stranger):
        with pytest.raises(NO_CONNECTION):
            await converse(required, refused)
    await until(lambda: handshakes(required, "client_certificate") == 2, "two refusals counted")
    optional = start_node(**settings(certificate, client_ca=clients.cert, client_auth="optional"))
    await converse(optional, known)
    await converse(optional, authority.trust())
    with pytest.raises(NO_CONNECTION):
        await converse(optional, stranger)


async def assert_swapped(node, authority, old, new, swap) -> None:
    """Swaps a certificate under a crowd: nobody is lost, and new handshakes get the new one."""
    context = authority.trust()
    async with AsyncExitStack() as stack:
        clients = await crowd(stack, lambda _: native(node, ssl=context), CROWD)
        for client in clients:
            await client.ok("subscribe", channel="news")
        before = serial(node.port, context)
        new.put_at(old)
        await asyncio.to_thread(swap)
        await until(lambda: serial(node.port, context) != before, "a handshake with the new certificate", within=20)
        assert reloads(node, "loaded") == 1 and reloads(node, "refused") == 0
        await clients[0].ok("publish", channel="news", content=1)
        for client in clients:
            assert await client.contents(1) == [1]
        assert node.metrics().value("fanwire_connections") == CROWD
    assert int(serial(node.port, context), 16) == int(openssl_serial(new), 16)


def openssl_serial(certificate) -> str:
    told = subprocess.run(["openssl", "x509", "-serial", "-noout", "-in", certificate.cert], capture_output=True, text=True)
    return told.stdout.strip().removeprefix("serial=")


@pytest.mark.limit(180)
@pytest.mark.parametrize("way", ["change", "hangup"])
async def test_a_renewed_certificate_is_taken_without_dropping_anyone(start_node, authority, way):
    old, new = authority.sign(f"old-{way}"), authority.sign(f"new-{way}")
    node = start_node(**settings(old))
    await assert_swapped(node, authority, old, new, node.hang_up if way == "hangup" else lambda: None)


async def test_a_link_that_is_turned_is_a_renewal_too(start_node, authority, tmp_path):
    """How Kubernetes renews what it mounts, and certbot its `live`."""
    for version, name in enumerate(["one", "two"]):
        certificate = authority.sign(f"linked-{name}")
        folder = tmp_path / f"version{version}"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(certificate.cert.read_bytes())
        (folder / "tls.key").write_bytes(certificate.key.read_bytes())
    (tmp_path / "..data").symlink_to("version0")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    node = start_node(tls__cert=tmp_path / "tls.crt", tls__key=tmp_path / "tls.key")
    before = serial(node.port, authority.trust())
    (tmp_path / "..next").symlink_to("version1")
    (tmp_path / "..next").rename(tmp_path / "..data")
    await until(lambda: serial(node.port, authority.trust()) != before, "the new certificate", within=20)


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda pair, other: pair.cert.write_text("no certificate"), "certificate in PEM"),
        (lambda pair, other: pair.key.write_bytes(other.key.read_bytes()), "is not the key of"),
        (lambda pair, other: pair.key.unlink(), "can't be read"),
    ],
    ids=["garbage", "mismatch", "gone"],
)
async def test_a_bad_pair_is_kept_out_and_a_good_one_heals(start_node, authority, tmp_path, spoil, told):
    pair, other = Authority(tmp_path, "own").sign("pair"), authority.sign("other")
    other.put_at(pair)
    node = start_node(**settings(pair))
    before = serial(node.port, authority.trust())
    spoil(pair, authority.sign("third"))
    await until(lambda: reloads(node, "refused") == 1, "the refusal counted", within=20)
    assert serial(node.port, authority.trust()) == before
    lines = [line for line in node.output().splitlines() if "can't be used" in line]
    assert len(lines) == 1 and told in lines[0] and "BEGIN" not in lines[0], lines
    authority.sign("fourth").put_at(pair)
    await until(lambda: serial(node.port, authority.trust()) != before, "the good pair", within=20)
    assert (reloads(node, "loaded"), reloads(node, "refused")) == (1, 1)


async def test_an_expired_certificate_is_kept_out(start_node, authority):
    pair, expired = authority.sign("lasting"), authority.sign("expired", days=-1)
    node = start_node(**settings(pair))
    expired.put_at(pair)
    node.hang_up()
    await until(lambda: reloads(node, "refused") == 1, "the refusal counted", within=20)
    assert "has expired" in node.output()
    await converse(node, authority.trust())


async def test_a_handshake_that_takes_too_long_is_ended(start_node, authority):
    node = start_node(handshake__timeout="500ms", **settings(authority.sign("patient")))
    async with raw_socket(node.port) as silent, raw_socket(node.port) as slow:
        await slow.send(b"\x16\x03\x01\x02\x00\x01")
        assert await silent.end() == b"" and await slow.end() == b""
    assert handshakes(node, "timed_out") == 2
    async with raw_socket(node.port, tls=authority.trust()) as mute:
        assert await mute.end() == b""
    assert node.metrics().value("fanwire_upgrades_total", result="timed_out") == 1


async def test_what_is_no_tls_is_told_so_or_dropped(start_node, authority):
    node = start_node(**settings(authority.sign("strict-port")))
    async with raw_socket(node.port) as raw:
        answer = await raw.request(upgrade_request(node.port))
        assert answer.status == 400 and "wss://" in await raw.body(answer)
        assert await raw.end() == b""
    async with raw_socket(node.port) as raw:
        await raw.send(os.urandom(1).translate(bytes(256)) * 100)
        assert await raw.end() == b""
    async with raw_socket(node.port) as raw:
        await raw.send(b"\x16\x03\x01\x00\x05hello")
        assert b"hello" not in await raw.end()
    async with raw_socket(node.port):
        pass
    counts = lambda: [handshakes(node, result) for result in ("plain_http", "malformed", "vanished")]
    await until(lambda: counts() == [1, 2, 1], "each counted")
    assert " INFO " not in node.output() and " WARN " not in node.output(), node.output()


async def test_tls_on_a_port_without_it_is_told_in_the_log(start_node, authority):
    node = start_node(log__level="debug")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(secured, node.port, authority.trust())
    await until(lambda: "TLS on a port without it" in node.output(), "a line in the log")
    assert node.metrics().value("fanwire_upgrades_total", result="malformed") == 1


async def test_a_drain_ends_sessions_over_tls_with_1012_and_close_notify(start_node, authority):
    node = start_node(drain__grace="0s", drain__window="0s", **settings(authority.sign("draining")))
    async with raw_websocket(node, "fanwire.v1.json", tls=authority.trust()) as raw:
        node.terminate()
        seen = await raw.frames_until_end()
        assert seen[-1].close_code == 1012 and not raw.tls.cut_off
    assert await asyncio.to_thread(node.wait) == 0


def test_curl_upgrades_over_tls(node, authority):
    told = subprocess.run(
        ["curl", "--silent", "--include", "--max-time", "5", "--http1.1", "--cacert", authority.cert]
        + ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
        + ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "-H", "Sec-WebSocket-Protocol: fanwire.v1.json"]
        + ["--no-buffer", f"https://127.0.0.1:{node.port}/"],
        capture_output=True,
    ).stdout
    assert told.startswith(b"HTTP/1.1 101 ") and b'"type":"welcome"' in told, told


def test_the_commands_speak_tls(node, authority, tmp_path):
    at = ["--url", node.url.rstrip("/"), "--ca", str(authority.cert)]
    published = run("pub", *at, "news", "hello", cwd=tmp_path)
    assert published.returncode == 0, published
    heard = run("sub", *at, "--count", "1", "--timeout", "50ms", cwd=tmp_path)
    assert heard.returncode == 4 and "listening" in heard.stderr, heard
    stranger = Authority(tmp_path, "stranger")
    refused = run("pub", *at[:3], str(stranger.cert), "news", "hello", cwd=tmp_path)
    assert refused.returncode == 3 and "not trusted; --ca" in refused.stderr, refused
    refused = run("pub", "--url", f"ws://127.0.0.1:{node.port}", "news", "hello", cwd=tmp_path)
    assert refused.returncode == 3 and "this port speaks TLS" in refused.stderr, refused
    assert "wss://127.0.0.1" in node.output()


async def test_who_a_proxy_tells_over_tls_is_present(start_node, authority, tmp_path):
    proxy = {"server__trusted_proxies": "127.0.0.1", "server__user_header": "X-User"}
    node = start_node(**settings(authority.sign("proxied")), **proxy, namespaces__room__presence="true")
    async with native(node, ssl=authority.trust(), additional_headers={"X-User": "zoe"}) as client:
        await client.ok("subscribe", channel="room:1")
        at = ["--url", node.url.rstrip("/"), "--ca", str(authority.cert)]
        listed = await asyncio.to_thread(run, "presence", *at, "room:1", cwd=tmp_path)
        assert [line.split("\t")[1] for line in listed.stdout.splitlines()] == ["zoe"], listed


def test_the_commands_show_a_certificate(start_node, authority, tmp_path):
    clients = Authority(tmp_path, "clients")
    node = start_node(**settings(authority.sign("asking"), client_ca=clients.cert))
    at = ["--url", node.url.rstrip("/"), "--ca", str(authority.cert)]
    mine = clients.sign("me")
    known = ["--cert", str(mine.cert), "--cert-key", str(mine.key)]
    assert run("pub", *at, *known, "news", "hello", cwd=tmp_path).returncode == 0
    refused = run("pub", *at, "news", "hello", cwd=tmp_path)
    assert refused.returncode == 3, refused


def test_the_internal_port_has_certificates_of_its_own(nodes_of_internal, authority, tmp_path):
    node, configuration = nodes_of_internal
    assert node.metrics().value("fanwire_tls_handshakes_total", port="internal", result="done") > 0
    assert "https://127.0.0.1" in node.output() and "ws://127.0.0.1" in node.output()
    health = lambda *arguments: run("health", *arguments, config=configuration, cwd=tmp_path)
    assert health().stdout == "live\n" and health("--ready", "--ca", str(authority.cert)).stdout == "ready\n"
    stranger = Authority(tmp_path, "stranger")
    refused = health("--ca", str(stranger.cert))
    assert refused.returncode == 1 and "not trusted" in refused.stderr, refused


@pytest.fixture
def nodes_of_internal(start_node, authority):
    config = settings(authority.sign("internal"), group="internal__tls")
    node = start_node.make(**config)
    node.internal_tls = authority.trust()
    node.start().wait_ready()
    return node, config | {"internal__listen": f"127.0.0.1:{node.internal_port}"}


def test_a_scraper_without_a_certificate_is_kept_from_the_internal_port(start_node, authority, tmp_path):
    clients = Authority(tmp_path, "clients")
    config = settings(authority.sign("internal-asking"), group="internal__tls", client_ca=clients.cert)
    node = start_node.make(**config)
    mine = clients.sign("prometheus")
    node.internal_tls = authority.trust(mine)
    node.start().wait_ready()
    config |= {"internal__listen": f"127.0.0.1:{node.internal_port}"}
    known = ["--cert", str(mine.cert), "--cert-key", str(mine.key)]
    assert run("health", *known, config=config, cwd=tmp_path).stdout == "live\n"
    refused = run("health", config=config, cwd=tmp_path)
    assert refused.returncode == 1 and refused.stdout == "", refused


def test_check_tells_what_certificates_are_and_what_is_wrong_with_them(authority, tmp_path):
    good, other, expired = authority.sign("good"), authority.sign("wrong"), authority.sign("late", days=-1)
    check = lambda **config: run("check", config=config, cwd=tmp_path)
    told = check(**settings(good, client_ca=authority.cert))
    assert told.returncode == 0 and "# tls.cert: for 127.0.0.1, localhost, until 20" in told.stdout, told
    mixed = settings(good) | {"tls__key": other.key}
    for config, words in [
        (mixed, ["tls.key", "is not the key of the first certificate in", str(good.cert)]),
        (settings(expired), ["tls.cert", "has expired at 20"]),
        (settings(expired, group="internal__tls"), ["internal.tls.cert", "has expired at 20"]),
        ({"tls__cert": good.cert}, ["tls.cert", "1 certificates for 0 keys"]),
        ({"tls__key": good.key}, ["tls.key", "no use without tls.cert"]),
        ({"tls__cert": good.key, "tls__key": good.key}, ["holds no certificate in PEM"]),
        ({"tls__cert": good.cert, "tls__key": good.cert}, ["does not hold a private key in PEM"]),
        (settings(good, client_ca="absent.pem"), ["tls.client_ca", "absent.pem: can't be read"]),
        (settings(good, client_auth="optional"), ["tls.client_auth", "no use without tls.client_ca"]),
        (settings(good, min_version="1.1"), ["tls.min_version", "1.2, 1.3"]),
        ({"tls__min_version": "1.3"}, ["tls.min_version", "no use without tls.cert"]),
    ]:
        told = check(**config)
        assert told.returncode == CONFIG_ERROR, (config, told)
        assert all(word in told.stderr for word in words), (words, told.stderr)
        assert "BEGIN" not in told.stderr, told
