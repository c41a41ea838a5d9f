"""Limits: what happens beyond each, that it is counted, and that nobody else notices."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from websockets.exceptions import InvalidStatus

from harness import frames
from harness.clients import native
from harness.command import run
from harness.raw import raw_socket, raw_websocket, upgrade_request
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

TOO_FAST = 4429
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


async def test_commands_beyond_the_pace_are_refused(start_node):
    node = start_node(limits__commands__rate=1, limits__commands__burst=5)
    async with bystander(node):
        async with raw_websocket(node, NATIVE) as raw:
            for number in range(20):
                await raw.send_json(type="subscribe", id=number, channel=f"c{number}")
            answers = [await raw.event() for _ in range(20)]
            refused = [event for event in answers if event["type"] == "error"]
            assert 14 <= len(refused) <= 15 and {event["code"] for event in refused} == {"rate_limited"}, answers
            assert [event["type"] for event in answers[:5]] == ["ok"] * 5
    assert node.metrics().value("fanwire_refusals_total", code="rate_limited") == len(refused)


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
async def test_bytes_beyond_the_pace_are_closed(start_node, fragments):
    limits = {"limits__message": "10KiB", "limits__fragments": "10000"}
    node = start_node(limits__bytes__rate="1KiB", limits__bytes__burst="20KiB", **limits)
    async with bystander(node):
        async with raw_websocket(node, NATIVE) as raw:
            try:
                if fragments:
                    # A message that never ends, of fragments without content.
                    await raw.send_frame(frames.TEXT, b"", fin=False)
                    for _ in range(5000):
                        await raw.send_frame(frames.CONTINUATION, b"", fin=False)
                else:
                    for _ in range(10):
                        await raw.send_json(type="publish", channel="noise", content="x" * 5000)
            except ConnectionError:
                pass
            assert close_code((await raw.frames_until_end())[-1]) == TOO_FAST
    await until(lambda: node.metrics().value("fanwire_disconnects_total", reason="too_fast") == 1, "one counted as too fast")


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


def test_a_burst_that_lets_no_message_through_is_told(tmp_path):
    config = {"limits__bytes__rate": "1KiB", "limits__bytes__burst": "64KiB"}
    result = run("check", config=config, cwd=tmp_path)
    assert result.returncode == 78 and "limits.bytes.burst" in result.stderr, result
