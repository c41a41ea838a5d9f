"""The ways to Redis: TLS, Unix sockets, users with few rights; and what is said when one of them fails."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from harness.certificates import Authority
from harness.clients import native
from harness.command import run
from harness.ports import free_port
from harness.redis_server import RedisServer
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")

# More than one TLS record, and more than one segment.
LARGE = "x" * 50_000


class TlsRedis(RedisServer):
    """A Redis with a port for TLS beside the other one."""

    def __init__(self, directory, certificate, client_authority=None):
        self.tls_port = free_port()
        super().__init__(directory)
        self.show(certificate, client_authority)

    def show(self, certificate, client_authority=None) -> None:
        """From its next start on."""
        self.options = {
            "tls-port": self.tls_port,
            "tls-cert-file": certificate.cert,
            "tls-key-file": certificate.key,
            "tls-auth-clients": "yes" if client_authority else "no",
        }
        if client_authority:
            self.options["tls-ca-cert-file"] = client_authority.cert

    def over_tls(self, authority=None, host="127.0.0.1", **more) -> dict:
        config = {"redis__url": f"rediss://{host}:{self.tls_port}"} | more
        return config | ({"redis__tls__ca": authority.cert} if authority else {})


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def redis_of(tmp_path_factory):
    """Starts Redises that end with the test."""
    servers = []

    def start(kind, *arguments, **options):
        servers.append(kind(tmp_path_factory.mktemp("redis"), *arguments, **options).start())
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


async def talk(first, second) -> None:
    """What is published at one node arrives at the other, small and large, in many channels."""
    async with native(first) as publisher, native(second) as subscriber:
        for number in range(50):
            await subscriber.ok("subscribe", channel=f"c{number}")
        for content in ("small", LARGE):
            for number in range(50):
                await publisher.ok("publish", channel=f"c{number}", content=content)
            assert await subscriber.contents(50) == [content] * 50


def connected(tmp_path, config) -> tuple[int, str]:
    """Exit code and output of `fanwire check --connect`."""
    done = run("check", "--connect", cwd=tmp_path, config=config)
    return done.returncode, done.stdout + done.stderr


def refused(tmp_path, start_node, config, *words) -> None:
    """A node says why it gets no link, and so does the check."""
    node = start_node.make(**config).start()
    reason = lambda: node.health("ready").body.get("detail", "")
    code, told = connected(tmp_path, config)
    assert code == 1 and "WRONG" in told, told
    for word in words:
        wait_until(lambda: word in reason(), f"{word!r} in {reason()!r}")
        assert word in told, told


async def test_tls_with_a_private_authority(redis_of, start_node, authority, tmp_path):
    redis = redis_of(TlsRedis, authority.sign("redis"))
    config = redis.over_tls(authority)
    await talk(start_node(**config), start_node(**redis.over_tls(authority, host="localhost")))
    code, told = connected(tmp_path, config)
    assert code == 0 and "WRONG" not in told, told
    assert re.search(r"^ok +Redis rediss://127.0.0.1:\d+: version \S+, standalone, primary, over TLS, user default$", told, re.M)
    assert re.search(r"^ok +round trip: a heartbeat came round in ", told, re.M), told


async def test_tls_with_the_authorities_of_the_system(redis_of, start_node, authority, monkeypatch):
    redis = redis_of(TlsRedis, authority.sign("redis"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    await talk(start_node(**redis.over_tls()), start_node(**redis.over_tls()))


async def test_tls_with_a_client_certificate(redis_of, start_node, authority, tmp_path):
    clients = Authority(tmp_path, "clients")
    redis = redis_of(TlsRedis, authority.sign("redis"), clients)
    own = clients.sign("node")
    config = redis.over_tls(authority, redis__tls__cert=own.cert, redis__tls__key=own.key)
    await talk(start_node(**config), start_node(**config))
    refused(tmp_path, start_node, redis.over_tls(authority), "client certificate", "redis.tls.cert")
    stranger = Authority(tmp_path, "strangers").sign("node")
    wrong = redis.over_tls(authority, redis__tls__cert=stranger.cert, redis__tls__key=stranger.key)
    refused(tmp_path, start_node, wrong, "client certificate")


@pytest.mark.parametrize(
    ("names", "days", "trusted", "words"),
    [
        ("IP:127.0.0.1", -1, True, "its certificate has expired"),
        ("IP:127.0.0.1", 2, False, "an authority that is not trusted; redis.tls.ca"),
        ("DNS:cache.example", 2, True, "its certificate is not for 127.0.0.1, but for"),
    ],
    ids=["expired", "unknown authority", "another name"],
)
def test_what_is_wrong_with_a_certificate_is_said(
    redis_of, start_node, authority, tmp_path, names, days, trusted, words
):
    redis = redis_of(TlsRedis, authority.sign(f"redis{days}{names[:3]}", names, days))
    trusts = authority if trusted else Authority(tmp_path, "another")
    refused(tmp_path, start_node, redis.over_tls(trusts), words)


def test_a_port_of_the_other_kind_is_recognized(redis_of, start_node, authority, tmp_path):
    redis = redis_of(TlsRedis, authority.sign("redis"))
    to_plain = redis.over_tls(authority) | {"redis__url": f"rediss://127.0.0.1:{redis.port}"}
    refused(tmp_path, start_node, to_plain, "ports without TLS never answer to rediss://")
    refused(tmp_path, start_node, {"redis__url": f"redis://127.0.0.1:{redis.tls_port}"}, "rediss://")


async def test_certificates_are_renewed_while_nodes_run(redis_of, start_node, authority, tmp_path):
    redis = redis_of(TlsRedis, authority.sign("redis"))
    trusted = tmp_path / "trusted.pem"
    shutil.copy(authority.cert, trusted)
    config = redis.over_tls(redis__tls__ca=trusted)
    first, second = start_node(**config), start_node(**config)
    redis.kill()
    successor = Authority(tmp_path, "successor")
    shutil.copy(successor.cert, trusted)
    redis.show(successor.sign("redis"))
    redis.start()
    first.wait_ready()
    second.wait_ready()
    await talk(first, second)


async def test_a_unix_socket(redis_of, start_node, tmp_path):
    with tempfile.TemporaryDirectory(prefix="fanwire") as directory:
        path = Path(directory) / "redis.sock"
        redis = redis_of(RedisServer, options={"unixsocket": path})
        redis.command("ACL", "SETUSER", "app", "on", ">pass word", "~*", "&*", "+@all")
        config = {"redis__url": f"redis+unix://{path}?user=app&pass=pass%20word&db=2"}
        await talk(start_node(**config), start_node(**{"redis__url": f"unix://{path}?db=2"}))
        code, told = connected(tmp_path, config)
        assert code == 0 and f"Redis {path}: " in told and "user app" in told, told
        redis.kill()
        path.unlink(missing_ok=True)
        refused(tmp_path, start_node, config, "No such file")


def test_a_login_that_fails_says_how(redis_of, start_node, tmp_path):
    redis = redis_of(RedisServer, "s3cret")
    at = f"127.0.0.1:{redis.port}"
    redis.command("ACL", "SETUSER", "off", "off", ">s3cret")
    for url, words in [
        (f"redis://{at}", "wants a password"),
        (f"redis://:wrong@{at}", "WRONGPASS"),
        (f"redis://off:s3cret@{at}", "it is off"),
        (f"redis://nobody:s3cret@{at}", "no such user"),
    ]:
        refused(tmp_path, start_node, {"redis__url": url}, words)


def test_a_replica_is_refused(redis_of, start_node, tmp_path):
    primary, replica = redis_of(RedisServer), redis_of(RedisServer)
    replica.command("REPLICAOF", "127.0.0.1", primary.port)
    wait_until(lambda: replica.command("ROLE")[3] == "connected", "a replica that follows")
    refused(tmp_path, start_node, {"redis__url": replica.url}, "is a replica")


async def test_a_user_needs_no_more_rights_than_the_check_says(redis_of, start_node, tmp_path):
    redis = redis_of(RedisServer)
    redis.command("ACL", "SETUSER", "app", "on", ">s3cret", "nocommands", "+auth")
    config = {"redis__url": f"redis://app:s3cret@127.0.0.1:{redis.port}/1", "redis__prefix": "test:one"}
    code, told = connected(tmp_path, config)
    assert code == 1 and "can't log in: NOPERM" in told and "'select'" in told, told

    redis.command("ACL", "SETUSER", "app", "+select")
    refused(tmp_path, start_node, config, "NOPERM")
    code, told = connected(tmp_path, config)
    (line,) = set(re.findall(r"ACL SETUSER app [^;\n]*", told))
    assert "~test:one/1:*" in line and "&test:one/1:*" in line, line
    assert "s3cret" not in told

    redis.command(*line.split())
    code, told = connected(tmp_path, config)
    assert code == 0 and "WRONG" not in told, told
    keeps = config | {"namespaces__default__history__size": 10, "broadcast__history__size": 10}
    first, second = start_node(**keeps), start_node(**keeps)
    await talk(first, second)
    async with native(first) as one, native(second) as other:
        await one.ok("broadcast", content="all")
        assert (await other.receive())["content"] == "all"
        for _ in range(2):
            await one.ok("publish", channel="kept", content=1, idempotency_key="k")
        for reverse in (False, True):
            kept = await other.request("history", channel="kept", limit=5, reverse=reverse)
            assert [publication["content"] for publication in kept["publications"]] == [1], kept
    assert redis.command("KEYS", "*") == [], "something was written to another database"


def test_each_missing_right_is_named(redis_of, tmp_path):
    redis = redis_of(RedisServer)
    config = {"redis__url": f"redis://app:s3cret@127.0.0.1:{redis.port}"}
    everything = ["on", ">s3cret", "resetkeys", "~fanwire:*", "resetchannels", "&fanwire:*", "+@all"]
    for lacks, words in [
        (["-set"], "set: NOPERM"),
        (["-eval"], "eval: NOPERM"),
        (["-xadd", "-info"], "xadd, info: NOPERM"),
        (["-publish"], "publish: NOPERM"),
        (["-subscribe"], "'subscribe'"),
        (["resetkeys", "~other:*"], "keys"),
        (["resetchannels", "&other:*"], "channels"),
    ]:
        redis.command("ACL", "SETUSER", "app", *everything, *lacks)
        code, told = connected(tmp_path, config)
        assert code == 1 and words in told and "ACL SETUSER app" in told, told


def test_without_redis_there_is_nothing_to_connect_to(tmp_path):
    code, told = connected(tmp_path, {})
    assert code == 0 and "in memory" in told, told
