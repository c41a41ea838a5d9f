"""A Redis Cluster whose servers die, take over, come and go, and whose slots move."""

import asyncio
import itertools
import re
import time

import pytest

from harness.clients import native
from harness.command import run
from harness.redis_cluster import slot_of_channel
from harness.waiting import until

# Servers miss one after the node time-out of 2 s; a replica then waits up to 1 s for its turn.
FAILED_OVER_WITHIN = 30.0


class Flow:
    """Publishes numbers in turn to channels at one node, and listens at the other, all the time."""

    def __init__(self, publisher, subscriber, channels):
        self.publisher, self.subscriber, self.channels = publisher, subscriber, channels
        self.acknowledged: dict[str, list[int]] = {channel: [] for channel in channels}
        self.refused: dict[str, list[int]] = {channel: [] for channel in channels}
        self.doubtful: dict[str, list[int]] = {channel: [] for channel in channels}
        self.arrived: dict[str, list[int]] = {channel: [] for channel in channels}
        self.events: list[dict] = []
        self.sent = -1

    async def publish(self) -> None:
        for number in itertools.count():
            self.sent = number
            for channel in self.channels:
                answer = await self.publisher.request("publish", channel=channel, content=number)
                if answer["type"] == "ok":
                    self.acknowledged[channel].append(number)
                elif answer["code"] == "broker_unavailable":
                    self.refused[channel].append(number)
                else:
                    self.doubtful[channel].append(number)
            await asyncio.sleep(0.005)

    async def listen(self) -> None:
        while True:
            event = await self.subscriber.receive(60)
            if event["type"] == "message":
                self.arrived[event["channel"]].append(event["content"])
            else:
                self.events.append(event)

    async def flows(self, channels=None) -> float:
        """Waits until something arrives in each channel that was published later, and returns how long that took."""
        since, later = time.monotonic(), {}
        for channel in channels or self.channels:
            later[channel] = self.sent
        arrived = lambda: all(self.arrived[channel][-1:] > [number] for channel, number in later.items())
        await until(arrived, f"deliveries in {list(later)}", FAILED_OVER_WITHIN)
        return time.monotonic() - since

    def check(self) -> None:
        """Nothing came twice, out of order, or though it was said not to be published."""
        for channel, arrived in self.arrived.items():
            assert len(arrived) == len(set(arrived)), f"{channel}: twice"
            # What was not answered in time may come after what was published later.
            in_order = [number for number in arrived if number not in self.doubtful[channel]]
            assert in_order == sorted(in_order), f"{channel}: out of order"
            assert not set(arrived) & set(self.refused[channel]), f"{channel}: what was refused came"

    def lost(self, channel) -> set[int]:
        """What was acknowledged and has not come, though something later has."""
        arrived = self.arrived[channel]
        return {number for number in self.acknowledged[channel] if number < arrived[-1]} - set(arrived)

    def told(self, kind: str) -> int:
        return sum(event["type"] == kind for event in self.events)


class flowing:
    """A `Flow` from the first node to the second."""

    def __init__(self, first, second, channels):
        self.clients, self.channels = (native(first), native(second)), channels

    async def __aenter__(self) -> Flow:
        publisher, subscriber = [await client.__aenter__() for client in self.clients]
        for channel in self.channels:
            await subscriber.ok("subscribe", channel=channel)
        flow = Flow(publisher, subscriber, self.channels)
        self.tasks = [asyncio.create_task(flow.publish()), asyncio.create_task(flow.listen())]
        await flow.flows()
        return flow

    async def __aexit__(self, *error) -> None:
        for task in self.tasks:
            task.cancel()
        done = await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            await client.__aexit__(*error)
        assert all(isinstance(one, asyncio.CancelledError) for one in done), done


def one_each(cluster) -> list[str]:
    """A channel at each primary."""
    return [cluster.channels_of(server, 1, f"at{server.port}-")[0] for server in cluster.primaries()]


def checked(tmp_path, config) -> tuple[int, str]:
    done = run("check", "--connect", cwd=tmp_path, config=config)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.limit(120)
async def test_order_over_all_primaries_and_links_that_are_cut(cluster_of, start_node):
    cluster = cluster_of()
    first, second = start_node(**cluster.config), start_node(**cluster.config)
    channels = [name for server in cluster.primaries() for name in cluster.channels_of(server, 20, f"{server.port}-")]
    async with flowing(first, second, channels) as flow:
        assert flow.told("gap") == 0
        for channel in channels:
            assert flow.lost(channel) == set()
        for server in cluster.servers:
            server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: flow.told("gap") >= 3, "a gap for each server")
        await flow.flows()
        flow.check()
    for server in cluster.servers:
        assert "CROSSSLOT" not in server.command("INFO", "errorstats")
        assert "cmdstat_spublish" in server.command("INFO", "commandstats")


@pytest.mark.limit(120)
@pytest.mark.parametrize("history", [0, 1000], ids=["plain", "history"])
async def test_a_replica_takes_over(cluster_of, start_node, history):
    cluster = cluster_of(replicas=1)
    config = cluster.config | {"namespaces__default__history__size": history}
    first, second = start_node(**config), start_node(**config)
    channels = one_each(cluster)
    async with flowing(first, second, channels) as flow:
        # Orderly.
        await asyncio.to_thread(cluster.failover, channels[0])
        await flow.flows()
        flow.check()
        # By death.
        died = cluster.owner_of(channels[1])
        cluster.kill(died)
        others = [channel for channel in channels if cluster.owner(slot_of_channel(channel)) not in (died, None)]
        await flow.flows(others)
        print(f"first deliveries {await flow.flows():.2f} s after a primary's death")
        first.wait_ready()
        flow.check()
        assert flow.told("gap") >= 1
        if history:
            # What was acknowledged by a primary that died may be gone with it, which is told.
            assert all(not flow.lost(channel) or flow.told("lost") for channel in channels)


@pytest.mark.limit(120)
async def test_a_primary_without_a_replica_takes_only_its_own_along(cluster_of, start_node):
    cluster = cluster_of()
    first, second = start_node(**cluster.config), start_node(**cluster.config)
    channels = one_each(cluster)
    async with flowing(first, second, channels) as flow:
        died = cluster.owner_of(channels[2])
        cluster.kill(died)
        await until(lambda: not first.ready() and not second.ready(), "readiness lost")
        detail = first.health("ready").body["detail"]
        assert f"127.0.0.1:{died.port}: " in detail, detail
        await flow.flows(channels[:2])
        died.start()
        await flow.flows()
        first.wait_ready()
        second.wait_ready()
        flow.check()
        assert all(flow.lost(channel) == set() for channel in channels[:2])


@pytest.mark.limit(120)
@pytest.mark.parametrize("history", [0, 10_000], ids=["plain", "history"])
async def test_slots_that_move_under_load_both_ways(cluster_of, start_node, history):
    cluster = cluster_of()
    config = cluster.config | {"namespaces__default__history__size": history}
    first, second = start_node(**config), start_node(**config)
    moving, still = cluster.channels_of(cluster.servers[0], 1)[0], cluster.channels_of(cluster.servers[1], 1)[0]
    async with flowing(first, second, [moving, still]) as flow:
        for to in (cluster.servers[1], cluster.servers[0], cluster.servers[2]):
            await asyncio.to_thread(cluster.migrate_slot, slot_of_channel(moving), to, lambda: time.sleep(0.05))
            await flow.flows()
            assert cluster.owner_of(moving) is to
        flow.check()
        assert flow.lost(still) == set()
        assert flow.refused[still] == []
        # Whatever was published on the way is told of.
        assert not flow.lost(moving) or flow.told("gap") or flow.told("lost")
        if history:
            assert flow.told("lost") >= 1
    assert first.ready() and second.ready()


@pytest.mark.limit(120)
async def test_a_server_that_joins_and_one_that_leaves(cluster_of, start_node):
    cluster = cluster_of()
    first, second = start_node(**cluster.config), start_node(**cluster.config)
    channels = one_each(cluster)
    async with flowing(first, second, channels) as flow:
        new = await asyncio.to_thread(cluster.add)
        await asyncio.to_thread(cluster.migrate_slot, slot_of_channel(channels[0]), new)
        await flow.flows()
        shown = lambda: {sample[1]["server"] for sample in first.metrics().samples if sample[0] == "fanwire_broker_server_up"}
        assert f"127.0.0.1:{new.port}" in shown()
        assert cluster.owner_of(channels[0]) is new
        await asyncio.to_thread(cluster.migrate_slot, slot_of_channel(channels[0]), cluster.servers[1])
        await flow.flows()
        await until(lambda: f"127.0.0.1:{new.port}" not in shown(), "a server without slots to be forgotten", 20)
        flow.check()
        assert all(flow.lost(channel) == set() for channel in channels[1:])


async def test_the_check_tells_of_every_server(cluster_of, tmp_path):
    cluster = cluster_of()
    code, told = await asyncio.to_thread(checked, tmp_path, cluster.config)
    assert code == 0 and "WRONG" not in told, told
    for server in cluster.servers:
        assert re.search(rf"Redis 127.0.0.1:{server.port}: version \S+, cluster, primary, sharded Pub/Sub, user", told), told
    assert told.count("a heartbeat came round") == 3 and "slots: all 16384 are served" in told, told
    cluster.servers[0].command("CLUSTER", "DELSLOTS", 0, 1)
    code, told = await asyncio.to_thread(checked, tmp_path, cluster.config)
    assert code == 1 and "2 of 16384 are served by no server" in told, told
    single = {"redis__url": cluster.servers[0].url}
    code, told = await asyncio.to_thread(checked, tmp_path, single)
    assert code == 1 and 'redis.mode = "cluster" is for those' in told, told


async def test_a_user_needs_no_more_rights_than_the_check_says(cluster_of, start_node, tmp_path):
    cluster = cluster_of()
    for server in cluster.servers:
        server.command("ACL", "SETUSER", "app", "on", ">s3cret", "nocommands", "+auth", "+hello", "+cluster|slots")
    urls = ",".join(f"redis://app:s3cret@127.0.0.1:{server.port}" for server in cluster.servers)
    config = {"redis__mode": "cluster", "redis__urls": urls, "namespaces__kept__history__size": 10}
    code, told = await asyncio.to_thread(checked, tmp_path, config)
    (line,) = set(re.findall(r"ACL SETUSER app [^;\n]*", told))
    assert code == 1 and "s3cret" not in told, told
    for server in cluster.servers:
        server.command(*line.split())
    code, told = await asyncio.to_thread(checked, tmp_path, config)
    assert code == 0 and "WRONG" not in told, told
    first, second = start_node(**config), start_node(**config)
    channels = [*one_each(cluster), "kept:1"]
    async with flowing(first, second, channels) as flow:
        await asyncio.to_thread(cluster.migrate_slot, slot_of_channel(channels[0]), cluster.servers[1])
        await flow.flows()
        async with native(second) as reader:
            kept = await reader.request("history", channel="kept:1", limit=5)
            assert len(kept["publications"]) == 5, kept
