"""Limits: what happens beyond each, that it is counted, and that nobody else notices."""

import json
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from harness import frames
from harness.clients import native
from harness.frames import client_frame
from harness.limits.stage import play
from harness.limits.table import LIMITS
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

TOO_FAST = 4429
CONFIG = Path(__file__).resolve().parents[1] / "config" / "fanwire.toml"
NATIVE = "fanwire.v1.json"
ELSEWHERE = {"X_Forwarded_For": "203.0.113.9"}


def upgrades(node, result: str) -> int:
    return int(node.metrics().value("fanwire_upgrades_total", result=result))


def close_code(frame) -> int:
    assert frame.opcode == frames.CLOSE, frame
    return int.from_bytes(frame.payload[:2], "big")


@asynccontextmanager
async def bystander(node):
    """A client that must notice nothing."""
    async with native(node) as client:
        await client.ok("subscribe", channel="others")
        yield client
        await client.ok("publish", channel="others", content="still here")
        assert await client.contents(1) == ["still here"]


async def answer(node, token: str | None = None, **headers) -> tuple[int, dict]:
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, subprotocol=NATIVE, **headers))
        return response.status, response.headers


@pytest.mark.limit(120)
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
async def test_whoever_goes_beyond_a_limit_is_told_and_counted_and_nobody_else_notices(start_node, tmp_path, limit):
    outcome = await play(tmp_path, start_node, limit)
    assert outcome.seen == limit.seen and outcome.rise >= 1 and outcome.during


def test_the_table_has_every_limit_of_the_configuration():
    """But for bursts, which belong to their rates, so that both are driven over at once."""
    keys = {key for line in CONFIG.read_text().split("[limits]")[1].split("\n[")[0].splitlines() if (key := _key(line))}
    driven = {limit.name.split(" ")[0] for limit in LIMITS}
    covered = {key for key in keys if any(f"limits.{key}".replace("burst", "rate").startswith(name) for name in driven)}
    assert keys - covered == set()
    assert {"handshake.head", "handshake.headers", "handshake.timeout", "auth.timeout", "outbox.limit"} <= driven


def _key(line: str) -> str | None:
    return None if line.startswith("#") or "=" not in line else line.split("=")[0].strip()


async def test_a_flood_of_pings_is_closed(start_node):
    node = start_node(limits__commands__rate=1, limits__commands__burst=5)
    async with bystander(node):
        async with raw_websocket(node, NATIVE) as raw:
            for _ in range(50):
                await raw.send_frame(frames.PING, b"x")
            seen = await raw.frames_until_end()
            assert [frame.opcode for frame in seen] == [frames.PONG] * 5 + [frames.CLOSE] and close_code(seen[-1]) == TOO_FAST
    await until(lambda: node.metrics().value("fanwire_disconnects_total", reason="too_fast") == 1, "one counted as too fast")


@pytest.mark.parametrize("fragments", [False, True])
async def test_bytes_beyond_the_pace_are_read_later_and_none_is_lost(start_node, fragments):
    node = start_node(limits__bytes__rate="16KiB", limits__bytes__burst="4KiB", limits__fragments=10_000)
    async with bystander(node):
        async with raw_websocket(node, NATIVE) as raw:
            if fragments:
                command = json.dumps({"type": "ping", "id": 1}).encode()
                # 6,000 fragments without content, of 6 bytes each.
                await raw.send_frame(frames.TEXT, command, fin=False)
                await raw.send(client_frame(frames.CONTINUATION, b"", fin=False) * 6000)
                await raw.send_frame(frames.CONTINUATION, b"")
                assert await raw.event() == {"type": "pong", "id": 1}
            else:
                for number in range(10):
                    await raw.send_json(type="publish", id=number, channel="noise", content="x" * 4000)
                assert [(await raw.event())["id"] for _ in range(10)] == list(range(10))
            assert node.metrics().value("fanwire_throttled_reads_total") >= 10
    assert node.metrics().value("fanwire_disconnects_total", reason="too_fast") == 0


async def test_bytes_that_came_with_the_upgrade_count(start_node):
    node = start_node(limits__bytes__rate="8KiB", limits__bytes__burst="1KiB")
    command = json.dumps({"type": "publish", "id": 1, "channel": "news", "content": "x" * 6000}).encode()
    async with raw_socket(node.port) as raw:
        await raw.upgrade(subprotocol=NATIVE, first=client_frame(frames.TEXT, command) + client_frame(frames.PING, b"x"))
        raw.answers_pings = False
        seen = [await raw.frame() for _ in range(3)]
        assert {frame.opcode for frame in seen} == {frames.TEXT, frames.PONG}
    assert node.metrics().value("fanwire_throttled_reads_total") >= 1


@pytest.mark.limit(120)
async def test_a_connection_that_is_not_read_is_not_taken_for_dead(start_node):
    # Between two reads are four seconds, which is longer than any peer may be silent.
    pace = {"limits__bytes__rate": "256B", "limits__bytes__burst": "1KiB"}
    node = start_node(heartbeat__interval="1s", heartbeat__timeout="1s", **pace)
    async with native(node) as other, native(node) as client:
        await client.ok("publish", channel="news", content="x" * 3000)
        await client.ok("ping")
        await other.ok("ping")
    assert node.metrics().value("fanwire_throttled_reads_total") >= 1
    assert node.metrics().value("fanwire_disconnects_total", reason="heartbeat_timeout") == 0


@pytest.mark.limit(120)
async def test_a_peer_that_is_gone_is_found_out_though_it_was_throttled(start_node):
    pace = {"limits__bytes__rate": "1KiB", "limits__bytes__burst": "1KiB"}
    node = start_node(heartbeat__interval="1s", heartbeat__timeout="1s", **pace)
    async with raw_websocket(node, NATIVE) as raw:
        raw.answers_pings = False
        await raw.send_json(type="publish", id=1, channel="news", content="x" * 3000)
        seen = await raw.frames_until_end(within=20)
        assert close_code(seen[-1]) == 1001
        assert json.loads(next(frame for frame in seen if frame.opcode == frames.TEXT).payload) == {"type": "ok", "id": 1}


async def test_an_address_has_so_many_connections(start_node):
    node = start_node(limits__address__connections=2, server__trusted_proxies="127.0.0.1")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            raw = await stack.enter_async_context(raw_socket(node.port))
            await raw.upgrade(subprotocol=NATIVE, **ELSEWHERE)
        status, headers = await answer(node, **ELSEWHERE)
        assert status == 429 and headers["retry-after"]
        assert upgrades(node, "address_limit") == 1
        assert (await answer(node, X_Forwarded_For="203.0.113.10"))[0] == 101

    async def admitted() -> bool:
        return (await answer(node, **ELSEWHERE))[0] == 101

    await until(admitted, "a place for another connection of the address")


async def test_an_address_asks_so_fast_for_connections(start_node):
    node = start_node(limits__address__rate=1, limits__address__burst=3, server__trusted_proxies="127.0.0.1")
    async with native(node) as other:
        statuses = [(await answer(node, **ELSEWHERE))[0] for _ in range(10)]
        assert statuses[:3] == [101] * 3 and statuses.count(429) >= 6, statuses
        assert upgrades(node, "address_rate") == statuses.count(429)
        await other.ok("ping")


async def test_a_user_has_so_many_connections(start_node, tmp_path):
    key = Key(tmp_path)
    node = start_node(auth__keys=key.source, limits__user__connections=2)
    token = lambda user: key.token(user, rights=EVERYTHING)
    bearer = lambda user: {"additional_headers": {"Authorization": f"Bearer {token(user)}"}}
    async with native(node, **bearer("one")) as first:
        async with native(node, **bearer("one")):
            assert (await answer(node, token("one")))[0] == 429
            assert upgrades(node, "user_limit") == 1
            async with raw_socket(node.port) as raw:
                await raw.upgrade(subprotocol=NATIVE)
                await raw.send_json(type="auth", id=1, token=token("one"))
                assert (await raw.event())["code"] == "user_limit"
                await raw.send_json(type="auth", id=2, token=token("two"))
                assert (await raw.event())["type"] == "welcome"
            # Who is in does not need another place to stay.
            await first.ok("refresh", token=token("one"))

        async def admitted() -> bool:
            return (await answer(node, token("one")))[0] == 101

        await until(admitted, "a place for another connection of the user")


async def test_so_has_a_user_of_whom_a_proxy_tells(start_node):
    node = start_node(server__trusted_proxies="127.0.0.1", server__user_header="X-User", limits__user__connections=1)
    user = lambda name: {"additional_headers": {"X-User": name}}
    async with native(node, **user("one")), native(node, **user("two")):
        with pytest.raises(InvalidStatus) as refused:
            async with native(node, **user("one")):
                pass
        assert refused.value.response.status_code == 429 and upgrades(node, "user_limit") == 1


@pytest.mark.parametrize(
    "config, headers",
    [
        ({"handshake__head": "8KiB"}, {"X_Long": "x" * 9000}),
        ({"handshake__headers": 10}, {f"X_{n}": "y" for n in range(20)}),
    ],
    ids=["length", "count"],
)
async def test_a_head_has_so_many_bytes_and_headers(start_node, config, headers):
    node = start_node(**config)
    assert (await answer(node, **headers))[0] == 431
    await until(lambda: upgrades(node, "head_too_large") == 1, "one counted, which is after the answer")
    assert (await answer(node))[0] == 101
