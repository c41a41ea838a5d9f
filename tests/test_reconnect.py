"""`fanwire sub` comes back after its node was lost."""

import json

import pytest

from harness.command import Command, run
from harness.node import Node
from harness.waiting import wait_until

REFUSED, NOT_CONNECTED, TIMED_OUT = 1, 3, 4


@pytest.fixture
def start_at(start_node, redis, address):
    """Starts a node at the address."""

    def start(**config) -> Node:
        return start_node(redis, server__listen=f"127.0.0.1:{address}", **config)

    return start


def subscriber(address: int, directory, *arguments: str) -> Command:
    """`fanwire sub` that listens already."""
    command = Command(directory, "sub", "--url", f"ws://127.0.0.1:{address}", *arguments)
    command.wait_for_notice("listening")
    return command


def publish(port: int, directory, channel: str, content: str) -> None:
    """Publishes through the node there."""
    sent = run("pub", "--url", f"ws://127.0.0.1:{port}", channel, content, cwd=directory)
    assert sent.returncode == 0, sent


def kill(node: Node) -> None:
    node.kill()


def drain(node: Node) -> None:
    node.terminate()
    assert node.wait() == 0


@pytest.mark.parametrize(("end", "code"), [(kill, None), (drain, 1012)], ids=["killed", "drained"])
def test_it_gets_what_is_published_after_a_node_is_back(start_node, start_at, redis, address, tmp_path, end, code):
    other = start_node(redis)
    first = start_at(drain__grace="0s", drain__window="0s")
    with subscriber(address, tmp_path, "--json", "news", "sport") as sub:
        publish(other.port, tmp_path, "news", "before")
        sub.wait_for_lines(1)
        end(first)
        lost = json.loads(sub.wait_for_lines(2)[1])
        assert (lost["type"], lost["code"]) == ("disconnected", code) and lost["reason"], lost
        start_at()
        back = json.loads(sub.wait_for_lines(3)[2])
        assert back["type"] == "reconnected" and back["connection"][0] == back["node"] and back["seconds"] > 0, back
        assert [back[key] for key in ("recovered", "unknown", "lost", "broadcasts")] == [0, 2, 0, "unknown"], back
        for channel in ("news", "sport"):
            publish(other.port, tmp_path, channel, "after")
        assert [json.loads(line) for line in sub.wait_for_lines(5)[3:]] == [
            {"type": "message", "channel": channel, "content": "after"} for channel in ("news", "sport")
        ]
        sub.interrupt()
        assert sub.wait() == 0


def test_it_says_so_on_standard_error(start_at, address, tmp_path):
    node = start_at(drain__grace="0s", drain__window="0s")
    with subscriber(address, tmp_path, "news") as sub:
        drain(node)
        sub.wait_for_notice("connection lost (1012: node is going away, connect again), reconnecting")
        start_at()
        sub.wait_for_notice("connected again to node ")
        sub.wait_for_notice("messages in between may be missing")
        publish(address, tmp_path, "news", "after")
        assert sub.wait_for_lines(1) == ["news\tafter"]


def test_a_node_that_hangs_is_noticed(start_at, address, tmp_path):
    hanging = start_at(heartbeat__interval="1s", heartbeat__timeout="1s")
    with subscriber(address, tmp_path, "news") as sub:
        hanging.freeze()
        sub.wait_for_notice("connection lost (nothing came from the node for 2s), reconnecting")
        # Its socket still takes connections, so an attempt hangs until the node is gone.
        hanging.kill()
        start_at()
        sub.wait_for_notice("connected again")
        publish(address, tmp_path, "news", "after")
        assert sub.wait_for_lines(1) == ["news\tafter"]


def test_a_node_that_only_pings_is_kept(start_at, address, tmp_path):
    start_at(heartbeat__interval="1s")
    # For longer than the silence that would be noticed.
    with subscriber(address, tmp_path, "--json", "--timeout", "5s", "news") as sub:
        assert sub.wait() == TIMED_OUT
        assert sub.lines() == []


def test_a_node_that_has_no_broker_yet_is_asked_again(start_at, redis, address, tmp_path):
    node = start_at()
    with subscriber(address, tmp_path, "--json", "news") as sub:
        redis.kill()
        node.kill()
        assert json.loads(sub.wait_for_lines(1)[0])["type"] == "disconnected"
        node = Node(tmp_path, "late", node.config).start()
        try:
            refused = lambda: node.metrics().value("fanwire_upgrades_total", result="starting")
            wait_until(lambda: refused() >= 1, "an attempt of the client", within=20)
            assert len(sub.lines()) == 1
            redis.start()
            assert json.loads(sub.wait_for_lines(2)[1])["type"] == "reconnected"
            publish(address, tmp_path, "news", "after")
            assert json.loads(sub.wait_for_lines(3)[2])["content"] == "after"
        finally:
            node.kill()


def test_a_subscription_that_the_next_node_refuses_is_told(start_at, address, tmp_path):
    node = start_at()
    with subscriber(address, tmp_path, "--json", "news", "sport") as sub:
        node.kill()
        start_at(limits__channels=1)
        _, lost, back = map(json.loads, sub.wait_for_lines(3))
        assert lost.pop("message")
        assert lost == {"type": "subscription_lost", "channel": "sport", "code": "channel_limit"}
        assert back["type"] == "reconnected"
        publish(address, tmp_path, "news", "after")
        assert json.loads(sub.wait_for_lines(4)[3])["content"] == "after"


def test_without_reconnecting_it_ends(start_at, address, tmp_path):
    node = start_at()
    with subscriber(address, tmp_path, "--no-reconnect", "news") as sub:
        node.kill()
        assert sub.wait() == REFUSED
        assert not sub.lines()


def test_the_first_connection_is_attempted_once(address, tmp_path):
    result = run("sub", "--url", f"ws://127.0.0.1:{address}", "news", cwd=tmp_path)
    assert result.returncode == NOT_CONNECTED, result
