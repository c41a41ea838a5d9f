"""Connections of a user on all nodes together: never more than may be, and given back by whatever dies."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from harness.clients import native
from harness.raw import raw_socket, upgrade_request
from harness.redis_server import RedisServer
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

NATIVE = "fanwire.v1.json"
USERS = {"server__trusted_proxies": "127.0.0.1", "server__user_header": "X-User"}
FULL = 429


def limited(limit: int, **more) -> dict:
    return USERS | {"limits__user__everywhere": limit} | more


async def connect(stack: AsyncExitStack, node, user: str = "zoe") -> int:
    """The status of an upgrade; the connection lasts as long as the stack."""
    raw = await stack.enter_async_context(raw_socket(node.port))
    return (await raw.request(upgrade_request(node.port, subprotocol=NATIVE, X_User=user))).status


async def storm(stack: AsyncExitStack, nodes: list, count: int, user: str = "zoe") -> list[int]:
    """The statuses of so many upgrades at once, spread over the nodes."""
    return await asyncio.gather(*(connect(stack, nodes[n % len(nodes)], user) for n in range(count)))


async def admitted(node, user: str = "zoe") -> int:
    """The status of an upgrade whose connection ends at once."""
    async with AsyncExitStack() as stack:
        return await connect(stack, node, user)


def total(nodes: list, name: str, **labels) -> int:
    return int(sum(node.metrics().value(name, **labels) for node in nodes))


def refused(nodes: list) -> int:
    return total(nodes, "fanwire_upgrades_total", result="user_limit_everywhere")


def answers(node, status: int):
    """Whether an upgrade is answered so, to wait for."""

    async def is_answered() -> bool:
        return await admitted(node) == status

    return is_answered


async def has_room(node, within: float = 15) -> None:
    await until(answers(node, 101), "a place for the user", within)


async def come(stack: AsyncExitStack, nodes: list, count: int, places: int, user: str = "zoe") -> None:
    """Has so many connect at once, of whom as many get in as there are to be places once all who have gone are forgotten."""

    async def fitting() -> bool:
        async with AsyncExitStack() as trial:
            statuses = sorted(await storm(trial, nodes, count, user))
            assert set(statuses) <= {101, FULL} and statuses.count(101) <= places, statuses
            if statuses.count(101) < places:
                return False
            stack.push_async_exit(trial.pop_all())
            return True

    await until(fitting, f"{places} places", 15)


@pytest.fixture(params=["single", "cluster", "spread"])
def nodes(request, start_node):
    """Three nodes that let a user have five connections, on one Redis, on several, or on a cluster."""
    if request.param == "single":
        at = {"redis__url": request.getfixturevalue("redis").url}
    elif request.param == "cluster":
        at = request.getfixturevalue("cluster_of")().config
    else:
        servers = [request.getfixturevalue("redis"), request.getfixturevalue("another_redis")]
        at = {"redis__mode": "spread", "redis__urls": ",".join(server.url for server in servers)}
    return [start_node(**at, **limited(5)) for _ in range(3)]


@pytest.fixture
def another_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("another")).start()
    yield server
    server.kill()


@pytest.mark.limit(120)
async def test_never_more_than_may_be_whichever_nodes_are_asked_at_once(nodes):
    for users in (["zoe"], [f"user {n}" for n in range(5)]):
        async with AsyncExitStack() as stack:
            rounds = await asyncio.gather(*(storm(stack, nodes, 30, user) for user in users))
            for statuses in rounds:
                assert sorted(statuses) == [101] * 5 + [FULL] * 25
            assert total(nodes, "fanwire_leases") == 5 * len(users)
        # Everybody has gone, so there is room again for as many.
        for user in users:
            await until(lambda: total(nodes, "fanwire_leases") == 0, "no lease held")
            async with AsyncExitStack() as stack:

                await come(stack, nodes, 7, 5, user)
    assert refused(nodes) >= 6 * 25
    assert total(nodes, "fanwire_lease_requests_total", result="unknown") == 0


async def test_a_place_that_is_given_back_is_anothers_on_any_node(start_node, redis):
    one, two = (start_node(redis, **limited(2, limits__user__connections=2)) for _ in range(2))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        assert await connect(first, one) == 101 and await connect(stack, two) == 101
        assert await connect(stack, one) == FULL and await connect(stack, two) == FULL
        assert await connect(stack, two, "yan") == 101, "another user"
        await first.aclose()
        await has_room(two)
        assert refused([one, two]) >= 2


async def test_tokens_say_who_it_is_at_the_upgrade_and_later(start_node, redis, tmp_path):
    key = Key(tmp_path)
    one, two = (start_node(redis, auth__keys=key.source, auth__anonymous="true", limits__user__everywhere=1) for _ in range(2))
    token = lambda user: key.token(user, rights=EVERYTHING)
    bearer = {"additional_headers": {"Authorization": f"Bearer {token('zoe')}"}}
    async with native(one, **bearer) as zoe, native(two) as other:
        message = await other.refused("user_limit_everywhere", "auth", token=token("zoe"))
        assert "all nodes" in message
        # Who is in needs no other place to stay, and who was refused may be somebody else.
        await zoe.ok("refresh", token=token("zoe"))
        await other.ok("auth", token=token("yan"))
        await other.ok("refresh", token=token("yan"))
        assert total([one, two], "fanwire_leases") == 2
        assert two.metrics().value("fanwire_refusals_total", code="user_limit_everywhere") == 1
    async with native(two) as client:

        async def accepted() -> bool:
            return (await client.request("auth", token=token("zoe")))["type"] == "ok"

        await until(accepted, "the place of a connection that has ended")


@pytest.mark.limit(120)
async def test_places_of_a_killed_node_are_free_within_ten_seconds(start_node, redis):
    doomed, one, two = (start_node(redis, **limited(3)) for _ in range(3))
    async with AsyncExitStack() as stack:
        assert [await connect(stack, doomed) for _ in range(3)] == [101] * 3
        assert await admitted(one) == FULL
        doomed.kill()
        assert await admitted(one) == FULL, "nobody can know yet that it is dead"
        await has_room(two, within=12)
        await come(stack, [one, two], 4, 3)
    removed = lambda: total([one, two], "fanwire_lease_changes_total", change="removed")
    await until(lambda: removed() == 3, "three counted as removed, which is when all partitions were looked at")
    assert total([one, two], "fanwire_presence_changes_total", change="removed") == 0


@pytest.mark.limit(120)
@pytest.mark.parametrize("fault", ["flush", "restart"])
async def test_leases_that_redis_lost_are_put_back(start_node, redis, fault):
    nodes = [start_node(redis, **limited(4)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        assert await storm(stack, nodes, 4) == [101] * 4
        if fault == "flush":
            redis.command("FLUSHALL")
        else:
            redis.kill()
            redis.start()
        await until(lambda: total(nodes, "fanwire_lease_changes_total", change="returned") == 4, "all put back", 20)
        assert [await admitted(node) for node in nodes] == [FULL] * 2
    await has_room(nodes[0])


@pytest.mark.limit(120)
async def test_a_redis_that_hangs_keeps_nobody_waiting_and_decides_as_configured(start_node, redis, tmp_path):
    key = Key(tmp_path)
    lenient = start_node(redis, **limited(1))
    strict = start_node(redis, **limited(1, limits__user__when_unknown="refuse"))
    tokens = {"auth__keys": key.source, "auth__anonymous": "true", "limits__user__everywhere": 1}
    with_tokens = start_node(redis, limits__user__when_unknown="refuse", **tokens)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(native(with_tokens))
        redis.freeze()
        await client.refused("broker_unavailable", "auth", token=key.token("zoe"))
        assert await connect(stack, strict) == 503
        assert await connect(stack, lenient) == 101
        # So many at least there are, whatever Redis would say.
        assert await connect(stack, lenient) == FULL
        assert total([strict], "fanwire_upgrades_total", result="user_limit_unknown") == 1
        assert total([strict, lenient], "fanwire_lease_requests_total", result="unknown") == 2
        # Also once the links are known to be down.
        await until(lambda: not strict.ready() and not lenient.ready(), "readiness lost")
        await client.refused("broker_unavailable", "auth", token=key.token("zoe"))
        assert await connect(stack, strict) == 503
        redis.thaw()
        for node in (strict, lenient):
            await until(node.ready, "readiness")
        await until(answers(strict, FULL), "the connection that was let in counts", 15)
    await has_room(strict)


@pytest.mark.limit(120)
async def test_a_node_that_was_away_has_its_places_again_and_throws_nobody_out(start_node, redis):
    frozen, one, two = (start_node(redis, **limited(2)) for _ in range(3))
    async with native(frozen, additional_headers={"X-User": "zoe"}) as client, AsyncExitStack() as stack:
        assert await connect(stack, frozen) == 101
        assert await admitted(one) == FULL
        frozen.freeze()
        await has_room(one, within=15)
        await come(stack, [one, two], 2, 2)
        frozen.thaw()
        await until(lambda: total([frozen], "fanwire_lease_changes_total", change="returned") == 2, "its own put back", 15)
        await client.ok("ping")
        # Four are there now. When the other three have gone, its own still counts.
        await stack.aclose()
        async with AsyncExitStack() as again:
            await client.ok("ping")
            await come(again, [one, two], 3, 1)


async def test_a_node_that_drains_leaves_nothing_behind(start_node, redis):
    leaving, staying = (start_node(redis, drain__grace="0s", drain__window="0s", **limited(1)) for _ in range(2))
    async with native(leaving, additional_headers={"X-User": "zoe"}) as client:
        assert await admitted(staying) == FULL
        leaving.terminate()
        assert await client.close_code() == 1012
    assert await asyncio.to_thread(leaving.wait) == 0
    assert not [name for name in redis.command("KEYS", "*") if ":p:" in name or ":n:" in name]
    assert await admitted(staying) == 101


async def test_a_node_without_redis_keeps_to_the_limit_too(start_node):
    node = start_node(**limited(2))
    async with AsyncExitStack() as stack:
        assert sorted(await storm(stack, [node], 10)) == [101] * 2 + [FULL] * 8
    await has_room(node)


async def test_it_is_off_by_default_and_costs_redis_nothing(start_node, redis):
    node = start_node(redis, **USERS)
    async with AsyncExitStack() as stack:
        assert await storm(stack, [node], 20) == [101] * 20
        names = redis.command("KEYS", "*")
        assert names and not any("$fanwire:user" in name for name in names), names
    assert total([node], "fanwire_lease_requests_total") == 0
