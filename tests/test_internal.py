"""The internal port: metrics that are true, and health that is honest."""

import asyncio
import json
import shutil
import subprocess
from urllib.request import Request, urlopen

import pytest

from harness import frames
from harness.certificates import Authority, settings
from harness.clients import MessagePack, native, plain
from harness.issuer import Issuer, jwk
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.tokens import Key
from harness.waiting import until

PROMTOOL = shutil.which("promtool")

# What must stay at 0 as long as nothing is wrong with the node or its machine.
QUIET = {
    "fanwire_accept_dropped_total": "takes thousands of connections beyond the limit at once",
    "fanwire_accept_errors_total": "takes a machine without file descriptors",
    "fanwire_broker_invalid_envelopes_total": "takes messages that no node would write",
    "fanwire_broker_refusals_total": "takes a Redis that refuses publications",
    "fanwire_broker_unanswered": "takes a moment at which publications are on their way",
    "fanwire_lease_changes_total": "takes limits.user.everywhere and a Redis that has lost leases, see test_leases",
    "fanwire_lease_requests_total": "takes limits.user.everywhere, see test_leases",
    "fanwire_leases": "takes limits.user.everywhere, see test_leases",
    "fanwire_log_lines_dropped_total": "takes a log that nobody reads",
    "fanwire_memory_pressure": "takes a node that is short of memory, see test_memory",
    "fanwire_panics_total": "takes a bug",
    "fanwire_session_panics_total": "takes a bug",
    "fanwire_throttled_reads_total": "takes limits.bytes.rate, see test_limits",
}


@pytest.mark.skipif(PROMTOOL is None, reason="NO promtool ON THIS MACHINE: the format of /metrics WAS NOT CHECKED")
@pytest.mark.parametrize("broker", ["memory", "redis"])
async def test_promtool_finds_nothing_wrong(start_node, request, broker):
    node = start_node(request.getfixturevalue("redis") if broker == "redis" else None)
    async with native(node) as one, plain(node) as two:
        await one.ok("subscribe", channel="news")
        await one.ok("publish", channel="news", content=1)
        await two.broadcast("x")
        _, text = node.get("/metrics")
    result = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


async def test_connections_and_subscriptions_are_counted_up_and_down(start_node):
    node = start_node()
    value = lambda name, **labels: node.metrics().value(name, **labels)
    async with native(node) as one, native(node, MessagePack) as two, plain(node):
        for dialect in ("json", "msgpack", "plain"):
            assert value("fanwire_connections", dialect=dialect) == 1
        await one.ok("subscribe", channel="a")
        await one.ok("subscribe", channel="b")
        await two.ok("subscribe", channel="a")
        assert value("fanwire_subscriptions") == 3
        await one.ok("unsubscribe", channel="a")
        assert value("fanwire_subscriptions") == 2
    await until(lambda: value("fanwire_connections") == 0, "no connection")
    await until(lambda: value("fanwire_subscriptions") == 0, "no subscription")
    assert value("fanwire_disconnects_total", reason="peer_closed") == 3


async def test_deliveries_and_bytes_are_counted_exactly(start_node):
    node = start_node(heartbeat__interval="1h")
    value = lambda name, **labels: node.metrics().value(name, **labels)
    async with native(node) as one, native(node) as two:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
        for number in range(10):
            await one.ok("publish", channel="news", content=number)
        await two.contents(10)
        await one.contents(10)
        await one.ok("broadcast", content="to the other")
        assert (await two.receive())["type"] == "broadcast"
        # What was written is counted after it may have been read.
        await until(lambda: value("fanwire_deliveries_total") >= 21, "all deliveries counted")
        assert value("fanwire_deliveries_total") == 21
        assert value("fanwire_commands_total", type="publish") == 10
        assert value("fanwire_commands_total", type="broadcast") == 1
        assert value("fanwire_commands_total", type="subscribe") == 2
        before = value("fanwire_sent_bytes_total")
        await one.send("ping", id=1)
        assert await one.next() == {"type": "pong", "id": 1}
        assert value("fanwire_sent_bytes_total") - before == len(b'{"type":"pong","id":1}') + 2


@pytest.fixture
def issuer():
    issuer = Issuer().start()
    yield issuer
    issuer.stop()


def revoke(node, token: str) -> None:
    """Revokes a token by its name, over TLS."""
    headers = {"Content-Type": "application/json"}
    request = Request(f"https://127.0.0.1:{node.internal_port}/api/disconnect", json.dumps({"token": token}).encode(), headers)
    with urlopen(request, timeout=5, context=node.internal_tls) as answer:
        assert answer.status == 202


@pytest.mark.limit(120)
async def test_no_metric_stands_still_when_everything_happens(redis, start_node, tmp_path, issuer):
    authority = Authority(tmp_path)
    issuer.keys = [jwk(Key(tmp_path, "published", "ES256"))]
    node = start_node.make(
        redis,
        **settings(authority.sign("node"), group="internal__tls"),
        auth__keys=Key(tmp_path).source,
        auth__jwks=issuer.url,
        auth__anonymous="true",
        broadcast__allow="anyone",
        **{f"namespaces__{name}__allow__{right}": "anyone" for name in ("default", "kept", "room") for right in ("subscribe", "publish")},
        outbox__limit="128KiB",
        outbox__kernel="32KiB",
        close__timeout="300ms",
        compression__enabled="true",
        namespaces__kept__history__size=2,
        namespaces__room__presence="true",
    )
    node.internal_tls = authority.trust()
    node.start().wait_ready()
    seen: set[str] = set()

    def look() -> bool:
        metrics = node.metrics()
        seen.update(name for name, values in metrics.families().items() if any(values))
        return True

    async with native(node) as one, native(node, MessagePack) as two, plain(node) as three:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
        await one.ok("subscribe", channel="room:1")
        await one.ok("publish", channel="news", content=1)
        await three.broadcast("x")
        await one.refused("unknown_command", "shout")
        look()
        async with raw_socket(node.port) as raw:
            await raw.request(upgrade_request(node.port, subprotocol="mqtt"))
        async with raw_socket(node.port) as raw:
            await raw.request(upgrade_request(node.port, Authorization="Bearer garbage"))
        node.get("/")
        await asyncio.to_thread(revoke, node, "t")
        await until(lambda: node.metrics().value("fanwire_tokens_revoked") > 0, "a token that is revoked")
        async with raw_websocket(node) as raw:
            await raw.send_frame(7)
            await raw.frames_until_end()
        async with raw_websocket(node, "fanwire.v1.json", Sec_WebSocket_Extensions="permessage-deflate") as raw:
            await raw.send_json(type="subscribe", channel="news", id=1)
            await raw.event()
            await one.ok("publish", channel="news", content="x" * 1000)
            assert (await raw.frame()).compressed
        async with raw_websocket(node, "fanwire.v1.json", receive_buffer=4096) as stalled:
            await stalled.send_json(type="subscribe", channel="news", id=1)
            await stalled.event()
            for number in range(600):
                await two.ok("publish", channel="news", content=[number, "x" * 1000])
                if number % 20 == 0:
                    look()
            await until(lambda: node.metrics().value("fanwire_close_timeouts_total") > 0, "the stalled one reset")
        node.hang_up()
        await until(lambda: node.metrics().value("fanwire_tls_reloads_total") > 0, "certificates read again")
        redis.kill()
        await until(lambda: not node.ready(), "readiness lost")
        await one.refused("broker_unavailable", "publish", channel="news", content=1)
        await until(lambda: node.metrics().value("fanwire_presence_failures_total") > 0, "no sign of life")
        redis.start()
        await until(node.ready, "readiness")
        for number in range(2):
            await one.ok("subscribe", channel=f"kept:{number}")
            await one.ok("publish", channel=f"kept:{number}", content=1)
        redis.command("FLUSHALL")
        await one.ok("publish", channel="kept:0", content=2)
        await two.ok("subscribe", channel="kept:1", recover={"epoch": "unheard", "offset": 1})
        await until(lambda: node.metrics().value("fanwire_history_lost_total") > 0, "something lost")
        look()
    families = {name for name in node.metrics().types if name.startswith("fanwire_")}
    assert families - seen == families & QUIET.keys()


async def test_each_close_is_counted_under_its_reason(start_node):
    node = start_node(heartbeat__interval="1s", heartbeat__timeout="1s")
    ends = {
        "protocol_error": lambda raw: raw.send_frame(7),
        "invalid_utf8": lambda raw: raw.send_frame(frames.TEXT, b"\xff"),
        "too_many_fragments": lambda raw: raw.send(
            frames.client_frame(frames.TEXT, b"", fin=False) + frames.client_frame(frames.CONTINUATION, b"", fin=False) * 1024
        ),
        "message_too_big": lambda raw: raw.send_frame(frames.TEXT, b"x" * 70_000),
        "peer_closed": lambda raw: raw.send_frame(frames.CLOSE),
        "heartbeat_timeout": lambda raw: raw.end(),
    }
    for reason, act in ends.items():
        async with raw_websocket(node) as raw:
            await act(raw)
            await raw.frames_until_end()
        counted = lambda: node.metrics().value("fanwire_disconnects_total", reason=reason) == 1
        await until(counted, f"one disconnect counted as {reason}")
    async with raw_websocket(node) as raw:
        raw.vanish()
    await until(
        lambda: node.metrics().value("fanwire_disconnects_total", reason="peer_vanished") == 1, "a vanished one counted"
    )
    assert node.metrics().value("fanwire_disconnects_total") == len(ends) + 1


async def test_health_says_why(redis, start_node):
    node = start_node(redis)
    assert node.health("live").status == node.health("ready").status == 200
    redis.kill()
    await until(lambda: not node.ready(), "readiness lost")
    health = node.health("ready")
    assert health.status == 503 and health.body["reason"] == "broker" and "Redis" in health.body["detail"], health
    assert node.health("live").status == 200


def test_the_root_lists_what_there_is(node):
    status, body = node.get("/")
    paths = body.splitlines()
    assert (status, paths) == (200, ["/metrics", "/health/live", "/health/ready", "/api/disconnect"])
    assert [node.get(path)[0] for path in paths] == [200, 200, 200, 405]


def test_what_is_not_there_is_404_and_what_is_is_said(node):
    for path in ("/health", "/metrics/x"):
        status, body = node.get(path)
        problem = json.loads(body)
        assert (status, problem["status"]) == (404, 404)
        assert "/metrics" in problem["detail"] and "/health/ready" in problem["detail"], problem


def test_a_node_without_redis_shows_nothing_of_a_link(redis, start_node):
    families = lambda node: {name for name in node.metrics().types if name.startswith("fanwire_broker_")}
    alone, joined = families(start_node()), families(start_node(redis))
    common = ("history_seconds", "link_up", "publish_seconds", "received_total", "subscriptions")
    assert alone == {f"fanwire_broker_{name}" for name in common}
    assert alone < joined and "fanwire_broker_reconnects_total" in joined


async def test_metrics_are_not_on_the_public_port(node):
    async with raw_socket(node.port) as raw:
        response = await raw.request(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response.status == 426
