"""Connections and tokens that are to end, on nodes that were cut off from Redis when that was said."""

import pytest
from websockets.exceptions import InvalidStatus

from harness.chaos.proxy import Proxy
from harness.clients import native
from harness.tokens import EVERYTHING, Key
from harness.waiting import until
from test_api import OPERATOR, post

@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def proxy(redis):
    """The way to Redis of the node that is cut off."""
    proxy = Proxy([redis.port]).start()
    yield proxy
    proxy.end()


@pytest.fixture
def pair(redis, proxy, start_node, key):
    """A node, and one whose link goes through the proxy."""
    # Clocks on one machine do not differ.
    config = {"auth__keys": key.source, "auth__leeway": "0s"}
    return start_node(redis, **config), start_node(redis__url=f"redis://127.0.0.1:{proxy.port}", **config)


def client(node, token: str):
    return native(node, additional_headers={"Authorization": f"Bearer {token}"})


async def cut_off(node, proxy) -> None:
    proxy.cut()
    await until(lambda: not node.ready(), "a node that is cut off")


def revoked(node) -> int:
    return int(node.metrics().value("fanwire_tokens_revoked"))


async def refused(node, token: str) -> str:
    """What an upgrade with this token is told."""
    with pytest.raises(InvalidStatus) as info:
        async with client(node, token):
            pass
    assert info.value.response.status_code == 401
    return info.value.response.body.decode()


async def test_what_was_said_while_a_node_was_cut_off_is_done_when_it_is_back(pair, proxy, key):
    here, away = pair
    token, jti = key.token("one", rights=EVERYTHING, jti="t1"), "t1"
    async with client(away, token) as one, client(away, key.token("two")) as two, client(away, key.token("three")) as stays:
        await cut_off(away, proxy)
        assert post(here, body={"token": jti})[0] == 202
        assert post(here, body={"user": "two"})[0] == 202
        # Who comes when it has been said is not meant, also where that is not known yet.
        async with client(away, key.token("two")) as later:
            await until(lambda: revoked(here) == 1, "a token that is revoked")
            assert "revoked" in await refused(here, token)
            await one.ok("ping")
            proxy.heal()
            assert [await one.close_code(), await two.close_code()] == [OPERATOR, OPERATOR]
            await later.ok("ping")
        await stays.ok("ping")
    assert "revoked" in await refused(away, token)
    assert (revoked(here), revoked(away)) == (1, 1)
    assert away.metrics().value("fanwire_tokens_total", result="revoked") == 1


async def test_it_is_heard_at_once_where_the_link_is_there(pair, key):
    here, away = pair
    async with client(here, key.token("one")) as one, client(away, key.token("one")) as two:
        assert post(away, body={"user": "one"})[0] == 202
        assert [await one.close_code(within=10), await two.close_code(within=10)] == [OPERATOR, OPERATOR]


async def test_a_node_that_starts_knows_what_was_revoked(pair, redis, start_node, key):
    here, _ = pair
    token = key.token("one", jti="t2")
    assert post(here, body={"token": "t2"})[0] == 202
    late = start_node(redis, auth__keys=key.source)
    assert "revoked" in await refused(late, token)
    async with client(late, key.token("one", jti="t3")) as other:
        await other.ok("ping")
        assert "revoked" in await other.refused("unauthorized", "refresh", token=token)
        await other.ok("ping")


async def test_a_revocation_ends_when_no_token_can_last_any_longer(redis, start_node, key):
    node = start_node(redis, auth__keys=key.source, auth__lifetime="1m", auth__leeway="0s")
    assert "auth.lifetime" in await refused(node, key.token("one", lasts=120))
    assert post(node, body={"token": "t4"})[0] == 202
    await until(lambda: revoked(node) == 1, "a token that is revoked")
    streams = [name for name in redis.command("KEYS", "fanwire:{*}:s:*") if "control" in name]
    assert len(streams) == 1 and 0 < redis.command("PTTL", streams[0]) <= 60_000


async def test_what_a_node_has_heard_it_knows_when_redis_has_lost_it(pair, redis, key):
    here, _ = pair
    token = key.token("one", jti="t5")
    assert post(here, body={"token": "t5"})[0] == 202
    await until(lambda: revoked(here) == 1, "a token that is revoked")
    redis.kill()
    await until(lambda: not here.ready(), "a node that is cut off")
    redis.start()
    await until(here.ready, "a node that is back")
    await until(lambda: here.metrics().value("fanwire_control_reads_total", result="incomplete") == 1, "a list that is lost")
    assert "revoked" in await refused(here, token)
    # And what is said from now on is kept again.
    assert post(here, body={"token": "t6"})[0] == 202
    await until(lambda: revoked(here) == 2, "another token that is revoked")


@pytest.mark.limit(120)
async def test_at_a_cluster_of_redis_it_is_the_same(cluster_of, start_node, key):
    cluster = cluster_of()
    config = {"auth__keys": key.source} | cluster.config
    here = start_node(**config)
    token = key.token("one", jti="t7")
    async with client(here, token) as one:
        assert post(here, body={"token": "t7"})[0] == 202
        assert await one.close_code() == OPERATOR
    late = start_node(**config)
    assert "revoked" in await refused(late, token)
