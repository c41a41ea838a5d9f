"""Several independent Redises, over which channels are spread."""

import asyncio

import pytest

from harness.clients import native
from harness.command import run
from harness.redis_server import RedisServer
from harness.waiting import until

CHANNELS = [f"room{number}" for number in range(30)]


@pytest.fixture
def servers(tmp_path_factory):
    """Three that run."""
    servers = [RedisServer(tmp_path_factory.mktemp("redis")).start() for _ in range(3)]
    yield servers
    for server in servers:
        server.kill()


def config(servers) -> dict[str, str]:
    return {"redis__mode": "spread", "redis__urls": ",".join(server.url for server in servers)}


async def test_nodes_meet_whatever_the_order_and_one_dead_server_takes_only_its_own_along(
    servers, start_node, tmp_path
):
    first, second = start_node(**config(servers)), start_node(**config(servers[::-1]))
    async with native(first) as publisher, native(second) as subscriber:
        for channel in CHANNELS:
            await subscriber.ok("subscribe", channel=channel)
            await publisher.ok("publish", channel=channel, content=channel)
        assert await subscriber.contents(len(CHANNELS)) == CHANNELS
        await publisher.ok("broadcast", content="all")
        assert (await subscriber.receive())["content"] == "all"

        dead = servers[1]
        at_dead = {channel for channel in CHANNELS if _has(dead, channel)}
        assert at_dead and at_dead != set(CHANNELS)
        dead.kill()
        await until(lambda: not first.ready() and not second.ready(), "readiness lost")
        for node in (first, second):
            detail = node.health("ready").body["detail"]
            assert f"127.0.0.1:{dead.port}: " in detail, detail
            assert all(f":{server.port}" not in detail for server in servers if server is not dead), detail
            metrics = node.metrics()
            shown = {str(s.port): metrics.value("fanwire_broker_server_up", server=f"127.0.0.1:{s.port}") for s in servers}
            assert shown == {str(s.port): float(s is not dead) for s in servers}
        for channel in CHANNELS:
            answer = await publisher.request("publish", channel=channel, content=channel)
            if channel in at_dead:
                assert answer["type"] == "error" and answer["code"] == "broker_unavailable", answer
            else:
                assert answer["type"] == "ok", answer
                assert (await subscriber.receive())["content"] == channel

        dead.start()
        first.wait_ready()
        second.wait_ready()
        back = sorted(at_dead)[0]
        await publisher.ok("publish", channel=back, content="back")
        assert (await subscriber.receive())["type"] == "gap"
        assert (await subscriber.receive())["content"] == "back"
    done = await asyncio.to_thread(run, "check", "--connect", cwd=tmp_path, config=config(servers))
    told = done.stdout + done.stderr
    assert done.returncode == 0 and told.count("a heartbeat came round") == 3, told
    assert all(f"Redis 127.0.0.1:{server.port}: version" in told for server in servers), told


def _has(server: RedisServer, channel: str) -> bool:
    return bool(server.command("PUBSUB", "CHANNELS", f"*:c:{channel}"))


async def test_histories_at_the_servers_that_live_are_filled(servers, start_node):
    """One that is dead does not hold up what others have."""
    keeps = config(servers) | {"namespaces__default__history__size": 100}
    first, second = start_node(**keeps), start_node(**keeps)
    async with native(first) as publisher, native(second) as subscriber:
        for channel in CHANNELS:
            await subscriber.ok("subscribe", channel=channel)
        dead, alive = servers[0], servers[1]
        channel = next(channel for channel in CHANNELS if _has(alive, channel))
        await publisher.ok("publish", channel=channel, content=1)
        assert (await subscriber.receive())["content"] == 1
        dead.kill()
        await until(lambda: not second.ready(), "readiness lost")
        # What is published while the links are cut is read from the stream.
        alive.command("CLIENT", "KILL", "TYPE", "pubsub")
        while (await publisher.request("publish", channel=channel, content=2))["type"] != "ok":
            await asyncio.sleep(0.02)
        while (event := await subscriber.receive())["type"] == "gap":
            pass
        assert event["content"] == 2, event


def test_one_server_twice_is_a_mistake(tmp_path):
    urls = "redis://127.0.0.1:7001,redis://127.0.0.1:7002,redis://LOCALHOST:7003,redis://localhost:7003"
    done = run("check", cwd=tmp_path, config={"redis__mode": "spread", "redis__urls": urls})
    told = done.stdout + done.stderr
    assert done.returncode != 0 and "redis.urls" in told and "number 3 and 4 are the same" in told, told
