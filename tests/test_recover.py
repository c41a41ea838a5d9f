"""`fanwire sub` goes on where it was, and `fanwire pub --key` publishes once."""

import json

import pytest

from harness.clients import native
from harness.command import Command, run
from harness.node import Node
from harness.waiting import wait_until

REFUSED, USAGE = 1, 2
HISTORY = {"namespaces__chat__history__size": 100, "broadcast__history__size": 100}
SOON = {"drain__grace": "0s", "drain__window": "0s"}


@pytest.fixture
def start_at(start_node, redis, address):
    """Starts a node with histories at the address."""

    def start(**config) -> Node:
        return start_node(redis, server__listen=f"127.0.0.1:{address}", **HISTORY | SOON | config)

    return start


@pytest.fixture
def other(start_node, redis):
    """A node that stays."""
    return start_node(redis, **HISTORY)


def subscriber(port: int, directory, *arguments: str) -> Command:
    """`fanwire sub` that listens already."""
    command = Command(directory, "sub", "--url", f"ws://127.0.0.1:{port}", *arguments)
    command.wait_for_notice("listening")
    return command


def publish(port: int, directory, *arguments: str, typed: str = "") -> None:
    """Publishes through the node there."""
    sent = run("pub", "--url", f"ws://127.0.0.1:{port}", *arguments, cwd=directory, typed=typed)
    assert sent.returncode == 0, sent


def publish_all(port: int, directory, channel: str, numbers) -> None:
    """Publishes these numbers, in order."""
    publish(port, directory, "--json", channel, "-", typed="".join(f"{number}\n" for number in numbers))


def objects(lines, *types: str) -> list[dict]:
    """The printed objects of these types."""
    return [event for event in map(json.loads, lines) if event["type"] in types]


def kill(node: Node) -> None:
    node.kill()


def drain(node: Node) -> None:
    node.terminate()
    assert node.wait() == 0


@pytest.mark.parametrize("end", [kill, drain])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_was_published_meanwhile_follows_once_and_in_order(start_at, other, address, tmp_path, end, encoding):
    first = start_at()
    with subscriber(address, tmp_path, "--encoding", encoding, "--json", "--recover", "chat:1") as sub:
        publish_all(other.port, tmp_path, "chat:1", range(1, 4))
        sub.wait_for_lines(3)
        end(first)
        sub.wait_for_lines(4)
        publish_all(other.port, tmp_path, "chat:1", range(4, 24))
        start_at()
        wait_until(lambda: len(objects(sub.lines(), "message")) == 23, "what was missed")
        publish_all(other.port, tmp_path, "chat:1", [24])
        wait_until(lambda: len(objects(sub.lines(), "message")) == 24, "what is live")
        messages = objects(sub.lines(), "message")
        assert [message["content"] for message in messages] == list(range(1, 25))
        assert [message["offset"] for message in messages] == list(range(1, 25))
        assert len({message["epoch"] for message in messages}) == 1
        (back,) = objects(sub.lines(), "reconnected")
        assert (back["recovered"], back["unknown"], back["lost"]) == (1, 0, 0)
        (recovering,) = objects(sub.lines(), "recovering")
        assert (recovering["channel"], recovering["offset"], recovering["messages"]) == ("chat:1", 3, 20)
        told = [line for line in map(json.loads, sub.lines()) if line["type"] in ("recovering", "message", "live")]
        assert [line["type"] for line in told[3:25]] == ["recovering", *["message"] * 20, "live"]
        assert not objects(sub.lines(), "lost")


def test_so_do_broadcasts(start_at, other, address, tmp_path):
    first = start_at()
    with subscriber(address, tmp_path, "--json") as sub:
        publish(other.port, tmp_path, "--broadcast", "1")
        sub.wait_for_lines(1)
        kill(first)
        sub.wait_for_lines(2)
        for number in (2, 3, 4):
            publish(other.port, tmp_path, "--broadcast", str(number))
        start_at()
        wait_until(lambda: len(objects(sub.lines(), "broadcast")) == 4, "what was missed")
        publish(other.port, tmp_path, "--broadcast", "5")
        wait_until(lambda: len(objects(sub.lines(), "broadcast")) == 5, "what is live")
        broadcasts = objects(sub.lines(), "broadcast")
        assert [broadcast["content"] for broadcast in broadcasts] == ["1", "2", "3", "4", "5"]
        assert [broadcast["offset"] for broadcast in broadcasts] == [1, 2, 3, 4, 5]


def test_what_is_not_kept_any_more_is_told(start_at, other, address, tmp_path):
    first = start_at()
    with subscriber(address, tmp_path, "--json", "chat:1") as sub:
        publish_all(other.port, tmp_path, "chat:1", [1])
        sub.wait_for_lines(1)
        kill(first)
        sub.wait_for_lines(2)
        publish_all(other.port, tmp_path, "chat:1", range(2, 203))
        start_at()
        wait_until(lambda: objects(sub.lines(), "reconnected"), "another connection")
        (lost,) = objects(sub.lines(), "lost")
        assert lost["channel"] == "chat:1" and lost["offset"] >= 102
        (back,) = objects(sub.lines(), "reconnected")
        assert (back["recovered"], back["unknown"], back["lost"]) == (0, 0, 1)
        publish_all(other.port, tmp_path, "chat:1", ["203"])
        wait_until(lambda: json.loads(sub.lines()[-1]).get("content") == 203, "what is live")
        offsets = [message["offset"] for message in objects(sub.lines(), "message")]
        assert offsets == [1, *range(lost["offset"] + 1, 204)]


def test_a_flushed_redis_is_told(start_at, other, redis, address, tmp_path):
    first = start_at()
    with subscriber(address, tmp_path, "chat:1") as sub:
        publish(other.port, tmp_path, "chat:1", "before")
        sub.wait_for_lines(1)
        kill(first)
        sub.wait_for_notice("connection lost")
        redis.kill()
        redis.start()
        other.wait_ready()
        publish(other.port, tmp_path, "chat:1", "meanwhile")
        start_at()
        sub.wait_for_notice("messages of chat:1 are lost up to ")
        sub.wait_for_notice("messages in between are lost")


def test_people_are_told_how_much_comes_back(start_at, other, address, tmp_path):
    first = start_at()
    with subscriber(address, tmp_path, "--recover", "chat:1", "plain") as sub:
        publish(other.port, tmp_path, "chat:1", "1")
        sub.wait_for_lines(1)
        kill(first)
        sub.wait_for_notice("connection lost")
        for number in (2, 3):
            publish(other.port, tmp_path, "chat:1", str(number))
        start_at()
        sub.wait_for_notice("messages in between may be missing")
        sub.wait_for_notice("recovering 2 messages of chat:1 behind ")
        assert sub.wait_for_lines(3) == ["chat:1\t1", "chat:1\t2", "chat:1\t3"]
        sub.interrupt()
        assert sub.wait() == 0
        sub.wait_for_notice("chat:1 is at ")


def test_a_subscription_begins_where_it_is_told(other, tmp_path):
    publish_all(other.port, tmp_path, "chat:1", range(1, 31))
    here = ["--url", f"ws://127.0.0.1:{other.port}", "--json"]
    read = run("sub", *here, "--history", "30", "--count", "30", "chat:1", cwd=tmp_path)
    assert [event["content"] for event in map(json.loads, read.stdout.splitlines())] == list(range(1, 31)), read
    last = run("sub", *here, "--history", "3", "--count", "3", "chat:1", cwd=tmp_path)
    events = list(map(json.loads, last.stdout.splitlines()))
    assert [(event["offset"], event["content"]) for event in events] == [(28, 28), (29, 29), (30, 30)], last
    since = f"{events[0]['epoch']}.{events[0]['offset']}"
    behind = run("sub", *here, "--since", since, "--count", "2", "chat:1", cwd=tmp_path)
    assert list(map(json.loads, behind.stdout.splitlines())) == events[1:], behind


def test_broadcasts_begin_where_they_are_told(other, tmp_path):
    with subscriber(other.port, tmp_path, "--json", "--count", "1") as sub:
        publish(other.port, tmp_path, "--broadcast", "1")
        first = json.loads(sub.wait_for_lines(1)[0])
    for number in (2, 3):
        publish(other.port, tmp_path, "--broadcast", str(number))
    since = f"{first['epoch']}.{first['offset']}"
    here = ["--url", f"ws://127.0.0.1:{other.port}", "--json"]
    behind = run("sub", *here, "--since", since, "--count", "2", cwd=tmp_path)
    assert [event["content"] for event in map(json.loads, behind.stdout.splitlines())] == ["2", "3"], behind


async def test_what_has_a_key_is_published_once(other, tmp_path):
    async with native(other) as client:
        await client.ok("subscribe", channel="chat:1")
        for _ in range(2):
            publish(other.port, tmp_path, "--key", "k1", "chat:1", "once")
        for _ in range(2):
            publish(other.port, tmp_path, "--key", "k2", "chat:1", "-", typed="one\ntwo\n")
        publish(other.port, tmp_path, "chat:1", "last")
        assert await client.contents(4) == ["once", "one", "two", "last"]


def test_what_has_a_key_is_sent_again_when_a_node_takes_the_answer_with_it(
    start_at, other, redis, address, tmp_path
):
    node = start_at()
    directory = tmp_path / "pub"
    directory.mkdir()
    with subscriber(other.port, tmp_path, "chat:1") as sub:
        redis.freeze()
        arguments = ["--url", f"ws://127.0.0.1:{address}", "--timeout", "20s", "--key", "k1", "chat:1", "once"]
        with Command(directory, "pub", *arguments) as sending:
            # Redis has it and carries it out later, and the node can't tell.
            wait_until(lambda: node.metrics().value("fanwire_commands_total", type="publish") == 1, "the command")
            node.kill()
            redis.thaw()
            start_at()
            assert sending.wait() == 0
        publish(other.port, tmp_path, "chat:1", "last")
        assert sub.wait_for_lines(2) == ["chat:1\tonce", "chat:1\tlast"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["sub", "--since", "aB3.1", "plain"], "no_history"),
        (["sub", "--history", "3", "plain"], "no_history"),
        (["pub", "--key", "k1", "plain", "x"], "no_history"),
        (["pub", "--key", "k" * 65, "chat:1", "x"], "bad_request"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:24],
)
def test_where_there_is_no_history_that_is_refused(other, tmp_path, arguments, named):
    command, *rest = arguments
    result = run(command, "--url", f"ws://127.0.0.1:{other.port}", *rest, cwd=tmp_path)
    assert result.returncode == REFUSED and named in result.stderr and not result.stdout, result


@pytest.mark.parametrize(
    "arguments",
    [
        ["sub", "--since", "nonsense", "chat:1"],
        ["sub", "--since", "aB3.1", "chat:1", "chat:2"],
        ["sub", "--since", "aB3.1", "--history", "3", "chat:1"],
        ["sub", "--history", "3"],
        ["sub", "--history", "0", "chat:1"],
        ["pub", "--key", "", "chat:1", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(tmp_path, arguments):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == USAGE and result.stderr and not result.stdout, result
