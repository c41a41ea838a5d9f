"""A primary that dies, hangs and comes back, under the watch of Sentinels."""

import asyncio
import shutil
import time

import pytest

from harness.certificates import Authority
from harness.clients import native
from harness.command import run
from harness.sentinels import MASTER, Trio
from harness.waiting import until, wait_until

# Sentinels take a second to miss a primary, and some to agree on another; a node then has as long as its own watch.
FAILED_OVER_WITHIN = 30.0


class Flow:
    """Publishes at one node and listens at the other, all the time."""

    def __init__(self, publisher, subscriber):
        self.publisher = publisher
        self.subscriber = subscriber
        self.sent = 0
        self.arrived: list[tuple[int, float]] = []

    async def publish(self) -> None:
        while True:
            await self.publisher.request("publish", channel="news", content=self.sent)
            self.sent += 1
            await asyncio.sleep(0.01)

    async def listen(self) -> None:
        while True:
            event = await self.subscriber.receive(60)
            if event["type"] == "message":
                self.arrived.append((event["content"], time.monotonic()))

    async def after(self, moment: float) -> float:
        """When the first publication arrived that was sent at `moment` or later."""
        sent = self.sent + 1
        await until(lambda: any(number > sent for number, _ in self.arrived), "a delivery", FAILED_OVER_WITHIN)
        return next(at for number, at in self.arrived if number > sent) - moment


class flowing:
    """A `Flow` from the first node to the second."""

    def __init__(self, first, second):
        self.clients = native(first), native(second)

    async def __aenter__(self) -> Flow:
        publisher, subscriber = [await client.__aenter__() for client in self.clients]
        await subscriber.ok("subscribe", channel="news")
        flow = Flow(publisher, subscriber)
        self.tasks = [asyncio.create_task(flow.publish()), asyncio.create_task(flow.listen())]
        await flow.after(time.monotonic())
        return flow

    async def __aexit__(self, *error) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            await client.__aexit__(*error)


def nodes_at(server) -> int:
    """How many nodes' subscriber links lead there."""
    return server.command("CLIENT", "LIST", "TYPE", "pubsub").count("name=fanwire-")


def fails_over(sentinel) -> bool:
    """Whether it has begun one, for which it must know a replica well."""
    try:
        return sentinel.command("SENTINEL", "FAILOVER", MASTER) == "OK"
    except RuntimeError as refused:
        assert "NOGOODSLAVE" in str(refused), refused
        return False


async def forgotten(trio) -> None:
    """Makes the last server the primary, of which the first one, that was it, never hears."""
    new = trio.servers[1]
    new.command("REPLICAOF", "NO", "ONE")
    for sentinel in trio.sentinels:
        sentinel.command("SENTINEL", "REMOVE", MASTER)
        sentinel.command("SENTINEL", "MONITOR", MASTER, "127.0.0.1", new.port, 2)
        sentinel.command("SENTINEL", "SET", MASTER, "down-after-milliseconds", 60_000)
    # A failover of the new group raises its epoch, as the one that was missed would have.
    trio.servers[2].command("REPLICAOF", "127.0.0.1", new.port)
    await until(lambda: fails_over(trio.sentinels[0]), "a failover of the new group", 30)


def checked(tmp_path, config) -> tuple[int, str]:
    done = run("check", "--connect", cwd=tmp_path, config=config)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.limit(120)
async def test_nodes_follow_when_the_primary_dies_and_its_return_changes_nothing(trio, start_node, tmp_path):
    first, second = start_node(**trio.config), start_node(**trio.config)
    old = trio.servers[0]
    assert nodes_at(old) == 2
    async with flowing(first, second) as flow:
        died = time.monotonic()
        old.kill()
        took = await flow.after(died)
        print(f"first delivery {took:.2f} s after the primary's death")
        new = trio.primary()
        assert new is not old and nodes_at(new) == 2

        old.start()
        await until(lambda: old.command("ROLE")[0] == "slave", "the old primary as a replica", 30)
        await flow.after(time.monotonic())
        assert nodes_at(old) == 0 and nodes_at(new) == 2
    code, told = await asyncio.to_thread(checked, tmp_path, trio.config)
    assert code == 0 and f"Redis 127.0.0.1:{new.port}: " in told, told


async def unready(node, moment: float) -> tuple[float, float]:
    """From when to when the node was not ready, in seconds from `moment` on."""
    await until(lambda: not node.ready(), "readiness lost")
    lost = time.monotonic() - moment
    await until(node.ready, "readiness", FAILED_OVER_WITHIN)
    return lost, time.monotonic() - moment


@pytest.mark.full
@pytest.mark.limit(600)
async def test_how_long_ten_failovers_take(trio, start_node):
    first, second = start_node(**trio.config), start_node(**trio.config)
    rounds = []
    async with flowing(first, second) as flow:
        for _ in range(10):
            old, died = trio.primary(), time.monotonic()
            readiness = asyncio.create_task(unready(second, died))
            old.kill()
            rounds.append((await flow.after(died), *await readiness))
            old.start()
            await until(trio.is_complete, "both replicas back", 60)
    for took, lost, ready in rounds:
        print(f"first delivery {took:.2f} s after the death; not ready from {lost:.2f} to {ready:.2f} s")
    times = sorted(took for took, *_ in rounds)
    print(f"min {times[0]:.2f}, median {(times[4] + times[5]) / 2:.2f}, max {times[-1]:.2f} s")


@pytest.mark.limit(120)
async def test_nodes_leave_a_primary_that_hangs(trio, start_node):
    first, second = start_node(**trio.config), start_node(**trio.config)
    async with flowing(first, second) as flow:
        hung = time.monotonic()
        trio.servers[0].freeze()
        print(f"first delivery {await flow.after(hung):.2f} s after the primary hung")
        new = trio.primary()
        assert new is not trio.servers[0] and nodes_at(new) == 2
        trio.servers[0].thaw()
        await until(lambda: trio.servers[0].command("ROLE")[0] == "slave", "the old primary as a replica", 30)
        await flow.after(time.monotonic())
        assert nodes_at(trio.servers[0]) == 0


@pytest.mark.limit(120)
async def test_nodes_leave_a_primary_that_only_sentinels_lost(trio, start_node):
    """It still takes all that nodes write, so that nothing but the Sentinels can tell them."""
    first, second = start_node(**trio.config), start_node(**trio.config)
    async with flowing(first, second) as flow:
        old = trio.servers[0]
        await forgotten(trio)
        await until(lambda: nodes_at(trio.servers[2]) == 2, "both nodes at the new primary", FAILED_OVER_WITHIN)
        assert old.command("ROLE")[0] == "master" and nodes_at(old) == 0
        await flow.after(time.monotonic())


@pytest.mark.limit(120)
async def test_a_gap_goes_back_to_when_sentinels_named_the_primary_last(trio, start_node):
    """Others may have been at the new one since."""
    stays = start_node(**trio.config)
    async with native(stays) as subscriber:
        await subscriber.ok("subscribe", channel="news")
        await forgotten(trio)
        async with native(start_node(**trio.config)) as publisher:
            published = time.monotonic()
            await publisher.ok("publish", channel="news", content="missed")
            while (event := await subscriber.receive(FAILED_OVER_WITHIN))["type"] == "message":
                assert event["content"] == "missed"
            told = time.monotonic()
        assert event["type"] == "gap" and event["seconds"] >= told - published, (event, told - published)


@pytest.mark.limit(120)
async def test_one_sentinel_is_enough_to_find_the_primary(trio, start_node, tmp_path):
    trio.sentinels[0].kill()
    trio.sentinels[1].freeze()
    first, second = start_node(**trio.config), start_node(**trio.config)
    async with flowing(first, second) as flow:
        trio.servers[0].command("CLIENT", "KILL", "TYPE", "pubsub")
        await flow.after(time.monotonic())
    code, told = await asyncio.to_thread(checked, tmp_path, trio.config)
    assert code == 1 and told.count("WRONG") == 2 and "refused" in told and "no answer within" in told, told


def test_a_name_that_no_sentinel_knows_is_told(trio, start_node, tmp_path):
    config = trio.config | {"redis__master": "mian"}
    node = start_node.make(**config).start()
    told = lambda: node.health("ready").body.get("detail", "")
    wait_until(lambda: "knows no primary called mian" in told(), f"the reason, not {told()!r}")
    code, told = checked(tmp_path, config)
    assert code == 1 and told.count("knows no primary called mian") == 3, told


def test_a_redis_is_no_sentinel_and_a_sentinel_no_redis(trio, start_node, tmp_path):
    for config, words in [
        ({"redis__url": f"redis://127.0.0.1:{trio.sentinels[0].port}"}, "is a Sentinel and no Redis"),
        (trio.config | {"redis__urls": trio.servers[0].url}, "is a Redis and no Sentinel"),
    ]:
        node = start_node.make(**config).start()
        told = lambda: node.health("ready").body.get("detail", "")
        wait_until(lambda: words in told(), f"{words!r}, not {told()!r}")
        code, told_by_check = checked(tmp_path, config)
        assert code == 1 and words in told_by_check, told_by_check


@pytest.mark.limit(120)
async def test_logins_of_sentinels_and_of_the_primary_are_two(trio, start_node):
    for sentinel in trio.sentinels:
        sentinel.command("ACL", "SETUSER", "watcher", "on", ">w4tch", "~*", "&*", "+@all")
        sentinel.command("ACL", "SETUSER", "default", "off")
    for server in trio.servers:
        server.command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all")
    urls = ",".join(f"redis://watcher:w4tch@127.0.0.1:{sentinel.port}" for sentinel in trio.sentinels)
    config = trio.config | {"redis__urls": urls, "redis__master": f"redis://app:s3cret@{MASTER}/3"}
    async with flowing(start_node(**config), start_node(**config)):
        clients = trio.servers[0].command("CLIENT", "LIST", "TYPE", "pubsub")
        assert clients.count("user=app") == 2, clients
    assert "s3cret" not in "".join(node.output() for node in start_node.nodes)


@pytest.mark.limit(120)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
async def test_nodes_follow_over_tls(start_node, tmp_path):
    authority = Authority(tmp_path)
    own = authority.sign("redis")
    trio = Trio(tmp_path, {"ca-cert": authority.cert, "cert": own.cert, "key": own.key})
    try:
        await asyncio.to_thread(trio.start)
        config = trio.config | {"redis__master": f"rediss://{MASTER}", "redis__tls__ca": authority.cert}
        async with flowing(start_node(**config), start_node(**config)) as flow:
            died = time.monotonic()
            trio.servers[0].kill()
            await flow.after(died)
            new = trio.primary()
            assert new is not trio.servers[0] and nodes_at(new) == 2
        code, told = await asyncio.to_thread(checked, tmp_path, config)
        assert code == 0 and f"Redis rediss://127.0.0.1:{trio.port_of(new)}: " in told and "over TLS" in told, told
    finally:
        trio.end()
