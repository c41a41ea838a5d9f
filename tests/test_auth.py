"""Who a connection belongs to, and what it may do."""

import json
import time
from contextlib import AsyncExitStack

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from harness import frames
from harness.clients import CODECS, native, plain
from harness.command import run
from harness.raw import raw_socket
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

NATIVE = "fanwire.v1.json"
EXPIRED, TIMEOUT = 4401, 4408
CHAT = {"subscribe": ["chat:*"], "publish": ["chat:1"], "history": ["kept:1"]}
NAMESPACES = {"namespaces__chat__recover": "true", "namespaces__kept__history__size": "10"}


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(module_nodes, key):
    return module_nodes(auth__keys=key.source, auth__query="true", auth__timeout="20s", **NAMESPACES)


@pytest.fixture(scope="module")
def lenient(module_nodes, key):
    """A node that lets in whoever has no token."""
    allow = {"namespaces__chat__allow__subscribe": "anyone", "namespaces__chat__allow__publish": "users", "broadcast__allow": "users"}
    return module_nodes(auth__keys=key.source, auth__anonymous="true", **NAMESPACES, **allow)


@pytest.fixture(scope="module")
def rooms(module_nodes, key):
    """A node that lets in whoever has no token, with presence."""
    presence = {f"namespaces__{name}__{what}": "true" for name in ("room", "open") for what in ("presence", "join_leave")}
    allow = {"namespaces__open__allow__subscribe": "anyone", "namespaces__open__allow__presence": "anyone"}
    return module_nodes(auth__keys=key.source, auth__anonymous="true", **NAMESPACES, **presence, **allow)


def bearer(token: str) -> dict:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def counted(node, reason: str) -> None:
    """Waits until one disconnect is counted, for it is once the socket has ended."""
    await until(lambda: node.metrics().value("fanwire_disconnects_total", reason=reason) == 1, f"one for {reason}")


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
async def test_a_token_grants_what_it_says_and_nothing_else(guarded, key, codec):
    async with native(guarded, codec, **bearer(key.token(rights=CHAT))) as client:
        await client.ok("subscribe", channel="chat:2")
        await client.ok("publish", channel="chat:1", content="x")
        assert "publish to \"chat:2\"" in await client.refused("forbidden", "publish", channel="chat:2", content="x")
        assert "subscribe" in await client.refused("forbidden", "subscribe", channel="news")
        assert "broadcast" in await client.refused("forbidden", "broadcast", content="x")
        assert "history" in await client.refused("forbidden", "history", channel="kept:2")
        assert (await client.request("history", channel="kept:1"))["type"] == "ok"


async def test_a_refusal_says_nothing_of_what_there_is(guarded, key):
    async with native(guarded, **bearer(key.token(rights={"subscribe": ["odd:*"]}))) as client:
        known = await client.refused("forbidden", "subscribe", channel="kept:1")
        assert known.replace("kept", "none") == await client.refused("forbidden", "subscribe", channel="none:1")
        for kind, more in [("publish", {"content": 1}), ("history", {}), ("unsubscribe", {})]:
            texts = [(await client.request(kind, channel=name, **more)) for name in ("kept:1", "none:1")]
            assert texts[0]["code"] == texts[1]["code"] and "known" not in texts[1]["message"], texts
        # Even where the token covers it, other namespaces are not told.
        assert "kept" not in await client.refused("unknown_namespace", "subscribe", channel="odd:1")


async def test_every_way_to_send_a_token(guarded, key):
    token = key.token(rights=CHAT)
    for options in [
        bearer(token),
        {"subprotocols": [NATIVE, f"bearer.{token}"]},
        {"path": f"?token={token}"},
    ]:
        subprotocol = options.pop("subprotocols", [NATIVE])
        path = options.pop("path", "")
        async with raw_socket(guarded.port) as raw:
            changes = {"Authorization": options["additional_headers"]["Authorization"]} if options else {}
            response = await raw.upgrade("/" + path, ", ".join(subprotocol), **changes)
            assert response.headers["sec-websocket-protocol"] == NATIVE
            assert (await raw.event())["type"] == "welcome"
            await raw.send_json(type="subscribe", id=1, channel="chat:1")
            assert await raw.event() == {"type": "ok", "id": 1}
    assert token not in guarded.output()


async def test_a_newcomer_gets_and_may_nothing_until_it_has_sent_a_token(guarded, key):
    async with AsyncExitStack() as stack:
        raw = await stack.enter_async_context(raw_socket(guarded.port))
        await raw.upgrade(subprotocol=NATIVE)
        other = await stack.enter_async_context(native(guarded, **bearer(key.token(rights={"broadcast": True}))))
        await other.ok("broadcast", content="not for newcomers")
        for command in [{"type": "subscribe", "channel": "chat:1"}, {"type": "broadcast", "content": 1}, {"type": "refresh", "token": "x"}]:
            await raw.send_json(id=1, **command)
            assert (await raw.event())["code"] == "unauthorized"
        await raw.send_json(type="auth", id=2, token=key.token(lasts=-60))
        refused = await raw.event()
        assert refused["code"] == "unauthorized" and "expired" in refused["message"]
        await raw.send_json(type="ping", id=3)
        assert (await raw.event())["type"] == "pong"
        await raw.send_frame(frames.PING, b"x")
        assert (await raw.frame()).opcode == frames.PONG
        await raw.send_json(type="auth", id=4, token=key.token(rights=CHAT))
        assert [(await raw.event())["type"] for _ in range(2)] == ["welcome", "ok"]
        await raw.send_json(type="subscribe", id=5, channel="chat:1")
        assert await raw.event() == {"type": "ok", "id": 5}
        await other.ok("broadcast", content="for all")
        assert (await raw.event())["content"] == "for all"


async def test_a_newcomer_that_sends_none_is_closed(start_node, key):
    node = start_node(auth__keys=key.source, auth__timeout="200ms")
    async with raw_socket(node.port) as raw:
        await raw.upgrade(subprotocol=NATIVE)
        (close,) = await raw.frames_until_end()
        assert int.from_bytes(close.payload[:2], "big") == TIMEOUT
    await counted(node, "auth_timeout")


async def test_a_connection_ends_with_its_token(start_node, key):
    node = start_node(auth__keys=key.source, auth__leeway="0s", **NAMESPACES)
    now = time.time()
    async with native(node, **bearer(key.token(exp=now + 1.5, rights=CHAT))) as short:
        async with native(node, **bearer(key.token(exp=now + 1.5, rights=CHAT))) as refreshed:
            await refreshed.ok("refresh", token=key.token(rights=CHAT))
            assert await short.close_code() == EXPIRED
            await refreshed.ok("subscribe", channel="chat:1")
    await counted(node, "token_expired")


async def test_what_refresh_refuses(guarded, key):
    async with native(guarded, **bearer(key.token(rights=CHAT))) as client:
        await client.ok("subscribe", channel="chat:1")
        assert "another user" in await client.refused("unauthorized", "refresh", token=key.token("43", rights=CHAT))
        assert "expired" in await client.refused("unauthorized", "refresh", token=key.token(lasts=-60))
        await client.refused("bad_request", "auth", token=key.token(rights=CHAT))
        # What the connection has is not taken from it in silence: it has to give it up.
        lesser = key.token(rights={"subscribe": ["chat:2"]})
        assert "chat:1" in await client.refused("forbidden", "refresh", token=lesser)
        await client.ok("publish", channel="chat:1", content=1)
        await client.ok("unsubscribe", channel="chat:1")
        await client.ok("refresh", token=lesser)
        await client.refused("forbidden", "publish", channel="chat:1", content=1)
        await client.ok("subscribe", channel="chat:2")


async def test_who_has_no_token_may_what_anyone_may(lenient, key):
    async with native(lenient) as anonymous:
        await anonymous.ok("subscribe", channel="chat:1")
        await anonymous.refused("forbidden", "publish", channel="chat:1", content=1)
        await anonymous.refused("forbidden", "subscribe", channel="news")
        await anonymous.refused("forbidden", "broadcast", content=1)
        await anonymous.refused("unauthorized", "refresh", token=key.token())
        await anonymous.ok("auth", token=key.token())
        await anonymous.ok("publish", channel="chat:1", content=1)
        await anonymous.ok("broadcast", content=1)
    async with plain(lenient) as client:
        await client.broadcast("x")
        # The broadcast of before may reach it first.
        while "no right to broadcast" not in await client.receive():
            pass
    with pytest.raises(InvalidStatus) as refused:
        async with native(lenient, **bearer("garbage")):
            pass
    assert refused.value.response.status_code == 401


async def test_an_open_node_takes_no_tokens_and_asks_for_none(node, key):
    async with native(node, **bearer(key.token())) as client:
        await client.ok("broadcast", content=1)
        assert "takes no tokens" in await client.refused("unauthorized", "auth", token=key.token())


async def seen(client, channel: str) -> list[dict]:
    """The members of a channel, without their connections."""
    answer = await client.request("presence", channel=channel)
    assert answer["type"] == "ok", answer
    return [{name: member[name] for name in member if name != "connection"} for member in answer["members"]]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
async def test_who_is_on_a_channel_is_for_those_with_the_right(rooms, key, codec):
    rights = {"subscribe": ["*"], "presence": ["room:1"]}
    async with native(rooms, codec, **bearer(key.token(rights=rights))) as client:
        await client.ok("subscribe", channel="room:1")
        await client.ok("subscribe", channel="room:2")
        assert await seen(client, "room:1") == [{"user": "42"}]
        answer = await client.request("presence_stats", channel="room:1")
        assert (answer["connections"], answer["users"]) == (1, 1)
        for kind in ("presence", "presence_stats"):
            assert 'see who is on "room:2"' in await client.refused("forbidden", kind, channel="room:2")
            # Whoever may not see it isn't told what there is.
            for channel in ("none:1", "chat:1"):
                await client.refused("forbidden", kind, channel=channel)


async def test_a_namespace_may_let_anyone_see_who_is_there(rooms, key):
    async with native(rooms) as anonymous, native(rooms, **bearer(key.token(rights=EVERYTHING))) as client:
        await client.ok("subscribe", channel="open:1")
        assert await seen(anonymous, "open:1") == [{"user": "42"}]
        for kind in ("presence", "presence_stats"):
            await anonymous.refused("forbidden", kind, channel="room:1")


async def test_what_a_token_says_of_somebody_is_not_for_the_client_to_say(rooms, key):
    vouched = key.token("zoe", info={"name": "Zoë"}, rights=EVERYTHING)
    plain_one = key.token("tom", rights=EVERYTHING)
    async with native(rooms, **bearer(vouched)) as zoe, native(rooms, **bearer(plain_one)) as tom:
        await tom.ok("subscribe", channel="room:9", info="my own words")
        assert "token" in await zoe.refused("forbidden", "subscribe", channel="room:9", info={"name": "the operator"})
        assert await seen(tom, "room:9") == [{"user": "tom", "info": "my own words"}]
        await zoe.ok("subscribe", channel="room:9")
        joined = await tom.receive()
        assert (joined["type"], joined["user"], joined["info"]) == ("join", "zoe", {"name": "Zoë"})
        # Another token is heeded where the connection is not seen yet.
        await zoe.ok("refresh", token=key.token("zoe", info=7, rights=EVERYTHING))
        await zoe.ok("subscribe", channel="room:8")
        assert await seen(tom, "room:8") == [{"user": "zoe", "info": 7}]
        assert {"user": "zoe", "info": {"name": "Zoë"}} in await seen(tom, "room:9")


async def test_a_newcomer_is_seen_as_whom_its_token_says(rooms, key):
    async with native(rooms) as client:
        await client.ok("subscribe", channel="open:2", info="nobody")
        await client.ok("auth", token=key.token("zoe", info=1, rights=EVERYTHING))
        await client.ok("subscribe", channel="open:3")
        assert await seen(client, "open:2") == [{"info": "nobody"}]
        assert await seen(client, "open:3") == [{"user": "zoe", "info": 1}]


def test_presence_has_a_token_too(rooms, key, tmp_path):
    ask = ("presence", "--url", rooms.url, "room:none", "--stats")
    counted = run(*ask, "--token", key.token(rights={"presence": ["room:*"]}), cwd=tmp_path)
    assert counted.returncode == 0 and counted.stdout == "0 connections, 0 users\n", counted
    forbidden = run(*ask, config={"token": key.token()}, cwd=tmp_path)
    assert forbidden.returncode == 1 and "forbidden" in forbidden.stderr


@pytest.mark.parametrize(
    "config, wrong",
    [
        ({"auth__anonymous": "true"}, "auth.anonymous"),
        ({"namespaces__default__allow__publish": "anyone"}, "namespaces.default.allow.publish"),
        ({"broadcast__allow": "users"}, "broadcast.allow"),
        ({"auth__keys": "main"}, "KID:ALGORITHM:FILE"),
        ({"auth__keys": "main:none:/dev/null"}, "is no algorithm"),
        ({"auth__keys": "main:HS256:/nowhere/at/all"}, "/nowhere/at/all"),
        ({"auth__keys": "main:HS256:/dev/null"}, "at least 32 bytes"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_configuration_is_told(tmp_path, config, wrong):
    result = run("check", config=config, cwd=tmp_path)
    assert result.returncode == 78 and wrong in result.stderr, result


@pytest.mark.parametrize(
    "config, wrong",
    [
        (
            {"server__trusted_proxies": "127.0.0.1", "server__user_header": "X-User"},
            'server.user_header = "X-User" (environment variable FANWIRE_SERVER__USER_HEADER): is not believed where tokens say who the user is',
        ),
        (
            {"namespaces__room__allow__presence": "users"},
            "(environment variable FANWIRE_NAMESPACES__ROOM__ALLOW__PRESENCE): means nothing with namespaces.room.presence = false",
        ),
    ],
    ids=["two who say who somebody is", "a right to nothing"],
)
def test_what_does_not_go_with_tokens_is_told(tmp_path, key, config, wrong):
    result = run("check", config=config | {"auth__keys": key.source}, cwd=tmp_path)
    assert result.returncode == 78 and wrong in result.stderr, result


def test_tokens_are_made_and_checked(tmp_path, key):
    config = {"auth__keys": key.source, "auth__audiences": "fanwire", "auth__issuers": "me"}
    made = run("token", "make", "--user", "42", "--id", "t", "--subscribe", "chat:*", "--subscribe", "news", "--broadcast", "--info", '{"a":1}', config=config, cwd=tmp_path)
    assert made.returncode == 0, made
    token = made.stdout.strip()
    claims = jwt.decode(token, key.public, [key.algorithm], audience="fanwire", issuer="me")
    assert claims["sub"] == "42" and claims["rights"] == {"subscribe": ["chat:*", "news"], "broadcast": True}
    checked = run("token", "check", token, config=config, cwd=tmp_path)
    shown = json.loads(checked.stdout)
    assert (shown["user"], shown["token"], shown["info"]) == ("42", "t", {"a": 1}) and 3500 < shown["seconds"] <= 3610
    refused = run("token", "check", key.token("42"), config=config, cwd=tmp_path)
    assert refused.returncode == 1 and "another audience" in refused.stderr
    nothing = run("token", "make", config={}, cwd=tmp_path)
    assert nothing.returncode == 1 and "--key" in nothing.stderr


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "EdDSA", "HS512"])
async def test_every_algorithm_both_ways(start_node, tmp_path, algorithm):
    """PyJWT signs and the node verifies; `fanwire token` signs and PyJWT verifies."""
    key = Key(tmp_path, "k", algorithm)
    node = start_node(auth__keys=key.source)
    async with native(node, **bearer(key.token())) as client:
        await client.ok("ping")
    if not algorithm.startswith("HS"):
        key.file.write_text(key.private_pem())
    made = run("token", "make", "--key", key.source, "--user", "42", config={}, cwd=tmp_path)
    assert jwt.decode(made.stdout.strip(), key.public, [algorithm])["sub"] == "42"


def test_pub_has_a_token_by_flag_or_variable(guarded, key, tmp_path):
    token = key.token(rights=CHAT)
    publish = ("pub", "--url", guarded.url, "chat:1", "x")
    assert run(*publish, "--token", token, cwd=tmp_path).returncode == 0
    assert run(*publish, config={"token": token}, cwd=tmp_path).returncode == 0
    refused = run(*publish, config={"token": "x.y.z"}, cwd=tmp_path)
    assert refused.returncode == 3 and "401" in refused.stderr and "x.y.z" not in refused.stderr
    forbidden = run("pub", "--url", guarded.url, "chat:2", "x", "--token", token, cwd=tmp_path)
    assert forbidden.returncode == 1 and "forbidden" in forbidden.stderr
