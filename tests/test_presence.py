"""Presence: who is on a channel, on whichever node, and that comings and goings are told once, whatever dies."""

import asyncio
import json
import os
import resource
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from harness.clients import CODECS, crowd, native
from harness.command import Command, run
from harness.waiting import Deadline, until

ROOM = {"namespaces__room__presence": "true", "namespaces__room__join_leave": "true"}
USERS = {"server__trusted_proxies": "127.0.0.1", "server__user_header": "X-User"}
CHANNEL = "room:1"

# The rate that idle presence may cost Redis, in commands a second for each node.
IDLE_COST = 10


def user(name: str) -> dict:
    """What connects as a user, as a proxy would tell."""
    return {"additional_headers": {"X-User": name}}


def key(connection) -> tuple:
    """The id of a connection, to compare."""
    return tuple(connection)


async def subscribe(client, **info) -> tuple:
    """Subscribes to the channel and returns the connection's id."""
    answer = await client.request("subscribe", channel=CHANNEL, **info)
    assert answer["type"] == "ok", answer
    return key(client.welcome["connection"])


async def stats(client) -> tuple[int, int]:
    """How many connections and users are on the channel."""
    answer = await client.request("presence_stats", channel=CHANNEL)
    assert answer["type"] == "ok", answer
    return answer["connections"], answer["users"]


async def members(client, limit: int = 100) -> list[dict]:
    """All members of the channel, page after page."""
    found, after = [], {}
    while True:
        page = await client.request("presence", channel=CHANNEL, limit=limit, **after)
        assert page["type"] == "ok" and len(page["members"]) <= limit, page
        found += page["members"]
        if not page["more"]:
            return found
        after = {"after": page["members"][-1]["connection"]}


async def becomes(client, count: int, within: float = 10.0) -> None:
    """Waits until there are so many connections."""
    seen = None

    async def there() -> bool:
        nonlocal seen
        seen = await stats(client)
        return seen[0] == count

    await until(there, f"{count} members", within)


class Watcher:
    """Writes down who comes and goes."""

    def __init__(self, client):
        self.client = client
        self.events: list[dict] = []

    @asynccontextmanager
    async def watching(self):
        task = asyncio.create_task(self._read())
        try:
            yield self
        finally:
            if task.done():
                await task
            task.cancel()

    async def _read(self) -> None:
        while True:
            self.events.append(await self.client.next(3600))

    def told(self, kind: str) -> list[tuple]:
        """Whose comings or goings were told."""
        return [key(event["connection"]) for event in self.events if event["type"] == kind]

    async def count(self, kind: str, count: int, within: float = 15.0) -> list[tuple]:
        """Waits until so many were told."""
        async with Deadline(within, f"{count} of {kind}, there were {len(self.told(kind))}"):
            while len(self.told(kind)) < count:
                await asyncio.sleep(0.02)
        return self.told(kind)


@asynccontextmanager
async def watcher(node):
    """A watcher on a node."""
    async with native(node) as client:
        await subscribe(client)
        async with Watcher(client).watching() as watching:
            yield watching


async def people(stack: AsyncExitStack, node, count: int) -> list:
    """So many members on a node, and their ids."""
    clients = await crowd(stack, lambda _: native(node), count)
    return sorted(await asyncio.gather(*(subscribe(client) for client in clients)))


@pytest.mark.parametrize("codec", CODECS)
async def test_members_of_all_nodes_are_listed_and_counted(start_node, redis, codec):
    nodes = [start_node(redis, **ROOM, **USERS) for _ in range(2)]
    async with AsyncExitStack() as stack:
        expected = []
        for number in range(7):
            name = f"user {number % 3}"
            client = await stack.enter_async_context(native(nodes[number % 2], CODECS[codec], **user(name)))
            info = {"info": {"n": number}} if number else {}
            expected.append({"connection": list(await subscribe(client, **info)), "user": name} | info)
        expected.sort(key=lambda member: member["connection"])
        for node in nodes:
            async with native(node, CODECS[codec]) as client:
                for limit in (1, 3, 7, 1000):
                    assert await members(client, limit) == expected
                assert await stats(client) == (7, 3)


async def test_joins_and_leaves_are_told_once_and_users_when_they_really_come_and_go(start_node, redis):
    one, two = (start_node(redis, **ROOM, **USERS) for _ in range(2))
    async with watcher(one) as here, watcher(two) as there:
        async with native(one, **user("zoe")) as first:
            await subscribe(first, info="phone")
            async with native(two, **user("zoe")) as second:
                await subscribe(second)
                await here.count("join", 3)
            await here.count("leave", 1)
        for watching in (here, there):
            await watching.count("leave", 2)
            ours = [event for event in watching.events if event.get("user") == "zoe"]
            phone, other = (list(client.welcome["connection"]) for client in (first, second))
            base = {"channel": CHANNEL, "user": "zoe"}
            assert ours == [
                {"type": "join", "connection": phone, "info": "phone", "first": True} | base,
                {"type": "join", "connection": other} | base,
                {"type": "leave", "connection": other} | base,
                {"type": "leave", "connection": phone, "info": "phone", "last": True} | base,
            ]


async def test_they_come_in_order_with_what_is_published(start_node, redis):
    one, two = (start_node(redis, **ROOM) for _ in range(2))
    async with watcher(one) as watching, native(two) as client:
        for number in range(50):
            await subscribe(client)
            await client.ok("publish", channel=CHANNEL, content=number, echo=False)
            await client.ok("unsubscribe", channel=CHANNEL)
            await watching.count("leave", number + 1)
        shown = [event.get("content", event["type"]) for event in watching.events]
        assert shown == [what for number in range(50) for what in ("join", number, "leave")]


async def test_who_is_told_and_what_is_asked_without_presence(start_node, redis):
    node = start_node(redis, namespaces__quiet__presence="true")
    async with native(node) as client, native(node) as other:
        await client.refused("no_presence", "subscribe", channel="news", info=1)
        await client.refused("no_presence", "presence", channel="news")
        await client.refused("no_presence", "presence_stats", channel="news")
        await client.ok("subscribe", channel="quiet:1")
        await other.ok("subscribe", channel="quiet:1")
        await other.ok("publish", channel="quiet:1", content="first")
        assert await client.contents(1) == ["first"]


async def test_members_of_a_killed_node_are_gone_within_ten_seconds_and_told_once(start_node, redis):
    doomed, one, two = (start_node(redis, **ROOM) for _ in range(3))
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(watcher(node)) for node in (one, two)]
        gone = await people(stack, doomed, 300)
        for watching in (here, there):
            await watching.count("join", 300)
        doomed.kill()
        begun = time.monotonic()
        async with native(one) as client:
            await becomes(client, 2, within=10)
            took = time.monotonic() - begun
            for watching in (here, there):
                await watching.count("leave", 300, within=5)
            # Nobody tells it again: neither who comes and goes next, nor whoever looks after the dead later.
            async with native(two) as late:
                last = await subscribe(late)
            for watching in (here, there):
                left = await watching.count("leave", 301)
                assert sorted(left[:300]) == gone and left[300:] == [last]
        removed = lambda: sum(node.metrics().value("fanwire_presence_changes_total", change="removed") for node in (one, two))
        await until(lambda: removed() == 300, "300 counted as removed, which is when all partitions were looked at")
        print(f"\nmembers of a killed node were gone after {took:.1f} s")


async def test_a_node_that_is_stopped_for_a_moment_makes_nobody_flap(start_node, redis):
    frozen, one, two = (start_node(redis, **ROOM) for _ in range(3))
    async with AsyncExitStack() as stack:
        watching = await stack.enter_async_context(watcher(one))
        await stack.enter_async_context(watcher(two))
        theirs = await people(stack, frozen, 20)
        await watching.count("join", 21)
        entry = f"{theirs[0][0]}.1"  # What the registry calls a node that is in its first life.
        frozen.freeze()
        await asyncio.sleep(3)  # The fault itself.
        os.kill(frozen.pid, signal.SIGCONT)
        # Longer than it would take to notice a node that does not come back.
        since = last_sign(redis, entry)
        await until(lambda: last_sign(redis, entry) > since + 10_000, "ten seconds of signs", 30)
        assert watching.told("leave") == [] and len(watching.told("join")) == 21
        async with native(one) as client:
            assert (await stats(client))[0] == 22


def last_sign(redis, entry: str) -> float:
    """When a node has last shown that it lives, in ms; 0 if the registry does not have it."""
    return float(redis.command("ZSCORE", "fanwire:{all}:l", entry) or 0)


async def test_a_node_that_was_stopped_for_long_loses_its_members_and_has_them_join_again(start_node, redis):
    frozen, one, two = (start_node(redis, **ROOM) for _ in range(3))
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(watcher(node)) for node in (one, two)]
        theirs = await people(stack, frozen, 200)
        await there.count("join", 200)
        frozen.freeze()
        for watching in (here, there):
            assert sorted(await watching.count("leave", 200)) == theirs
        os.kill(frozen.pid, signal.SIGCONT)
        for watching in (here, there):
            joined = await watching.count("join", 400 + (watching is here))
            assert sorted(joined[-200:]) == theirs
            assert len(watching.told("leave")) == 200
        async with native(one) as client:
            assert (await stats(client))[0] == 202


@pytest.mark.parametrize("fault", ["flush", "restart"])
async def test_members_that_redis_lost_are_back_within_ten_seconds_and_nothing_is_told(start_node, redis, fault):
    nodes = [start_node(redis, **ROOM) for _ in range(2)]
    async with AsyncExitStack() as stack:
        watching = await stack.enter_async_context(watcher(nodes[0]))
        theirs = [await people(stack, node, 150) for node in nodes]
        await watching.count("join", 300)
        if fault == "flush":
            redis.command("FLUSHALL")
        else:
            redis.kill()
            redis.start()
        client = await stack.enter_async_context(native(nodes[1]))

        async def back() -> bool:
            answer = await client.request("presence_stats", channel=CHANNEL)
            return answer.get("connections") == 301

        await until(back, "everybody back", within=10)
        assert {key(member["connection"]) for member in await members(client)} >= set(theirs[0] + theirs[1])
        told = [event["type"] for event in watching.events if event["type"] != "gap"]
        assert told == ["join"] * 300
        # It all goes on as before.
        await client.ok("subscribe", channel=CHANNEL)
        await watching.count("join", 301)
        returned = sum(node.metrics().value("fanwire_presence_changes_total", change="returned") for node in nodes)
        assert returned == 301


async def test_a_node_that_drains_leaves_nothing_behind(start_node, redis):
    leaving, staying = (start_node(redis, drain__grace="0s", drain__window="1s", **ROOM) for _ in range(2))
    async with AsyncExitStack() as stack:
        watching = await stack.enter_async_context(watcher(staying))
        theirs = await people(stack, leaving, 50)
        await watching.count("join", 50)
        leaving.terminate()
        assert sorted(await watching.count("leave", 50)) == theirs
        assert leaving.wait() == 0
        assert len(redis.command("ZRANGE", "fanwire:{all}:l", 0, -1)) == 1
    await until(lambda: not [name for name in redis.command("KEYS", "*") if ":p:" in name or ":u:" in name], "no members")


async def test_commands_show_who_is_there(start_node, redis, tmp_path):
    node = start_node(redis, **ROOM, **USERS)
    here = ["--url", node.url]
    with Command(tmp_path, "sub", *here, CHANNEL, "--presence", "--json") as listener:
        await asyncio.to_thread(listener.wait_for_notice, "listening")
        async with native(node, **user("zoe")) as client:
            node_id, sequence = await subscribe(client, info={"device": "phone"})
            listed = await asyncio.to_thread(run, "presence", *here, CHANNEL, cwd=tmp_path)
            assert f'{node_id}-{sequence}\tzoe\t{{"device":"phone"}}' in listed.stdout.splitlines()
            listed = await asyncio.to_thread(run, "presence", *here, CHANNEL, "--json", cwd=tmp_path)
            shown = [json.loads(line) for line in listed.stdout.splitlines()]
            assert {"connection": [node_id, sequence], "user": "zoe", "info": {"device": "phone"}} in shown
            counted = await asyncio.to_thread(run, "presence", *here, CHANNEL, "--stats", "--json", cwd=tmp_path)
            assert json.loads(counted.stdout) == {"connections": 2, "users": 1}
        told = [json.loads(line) for line in await asyncio.to_thread(listener.wait_for_lines, 2)]
        base = {"channel": CHANNEL, "connection": [node_id, sequence], "user": "zoe", "info": {"device": "phone"}}
        assert told == [{"type": "join", "first": True} | base, {"type": "leave", "last": True} | base]
    refused = await asyncio.to_thread(run, "presence", *here, "news", cwd=tmp_path)
    assert refused.returncode == 1 and "no_presence" in refused.stderr


def calls(redis) -> dict[str, int]:
    """How often Redis was asked what, scripts included."""
    lines = redis.command("INFO", "commandstats").splitlines()
    pairs = (line.removeprefix("cmdstat_").split(":calls=") for line in lines if ":calls=" in line)
    return {name: int(rest.split(",")[0]) for name, rest in pairs}


@pytest.mark.full
@pytest.mark.limit(300)
async def test_idle_presence_of_many_costs_redis_little(start_node, redis):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 30_000), hard))
    nodes = [start_node(redis, **ROOM) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            clients = await crowd(stack, lambda _, node=node: native(node), 5_000)
            # In channels of a few, some alone.
            for number, client in enumerate(clients):
                await client.send("subscribe", channel=f"room:{number % 1500}")
        pattern = "fanwire_presence_changes_total"
        await until(lambda: sum(n.metrics().value(pattern, change="joined") for n in nodes) == 10_000, "everybody", 60)
        before, begun = calls(redis), time.monotonic()
        await asyncio.sleep(30)  # What is measured is a time in which nothing happens.
        after, lasted = calls(redis), time.monotonic() - begun
        counts = {name: count - before.get(name, 0) for name, count in after.items()}
        rate = sum(counts.values()) / lasted / len(nodes)
        shown = {name: count for name, count in sorted(counts.items()) if count}
        print(f"\n10,000 members on {len(nodes)} nodes, idle: {rate:.2f} commands/s a node; in {lasted:.0f} s {shown}")
        assert rate < IDLE_COST
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
