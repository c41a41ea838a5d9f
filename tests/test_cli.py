"""The command line: `fanwire sub` and `fanwire pub` against a node, and exit codes for scripts."""

import json
import socket

import pytest

from harness.clients import native, plain
from harness.command import Command, run
from harness.ports import free_port
from harness.waiting import wait_until

REFUSED, USAGE, NOT_CONNECTED, TIMED_OUT, CONFIG_ERROR = 1, 2, 3, 4, 78


def here(node) -> list[str]:
    """Which node to talk to."""
    return ["--url", f"ws://127.0.0.1:{node.port}"]


def subscriber(node, directory, *arguments: str) -> Command:
    """`fanwire sub` that listens already."""
    command = Command(directory, "sub", *here(node), *arguments)
    command.wait_for_notice("listening")
    return command


def test_two_terminals(node, tmp_path):
    with subscriber(node, tmp_path, "news") as sub:
        assert run("pub", *here(node), "news", "hello", cwd=tmp_path).returncode == 0
        assert run("pub", *here(node), "elsewhere", "not here", cwd=tmp_path).returncode == 0
        assert run("pub", *here(node), "--broadcast", "to all 广播", cwd=tmp_path).returncode == 0
        assert run("pub", *here(node), "--json", "news", '{"a": [1, null]}', cwd=tmp_path).returncode == 0
        lines = sub.wait_for_lines(3)
        assert set(lines) == {"news\thello", "*\tto all 广播", 'news\t{"a":[1,null]}'}
        sub.interrupt()
        assert sub.wait() == 0


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_json_lines_can_be_read_by_programs(node, tmp_path, encoding):
    with subscriber(node, tmp_path, "--encoding", encoding, "--json", "--count", "2", "news", "sport") as sub:
        for channel in ("news", "sport"):
            sent = run("pub", *here(node), "--encoding", encoding, "--json", channel, "[1.5,true]", cwd=tmp_path)
            assert sent.returncode == 0, sent
        assert sub.wait() == 0
        assert sorted(map(json.loads, sub.lines()), key=lambda event: event["channel"]) == [
            {"type": "message", "channel": channel, "content": [1.5, True]} for channel in ("news", "sport")
        ]


def test_each_line_of_standard_input_is_published_in_order(node, tmp_path):
    count = 300
    with subscriber(node, tmp_path, "--count", str(count), "news") as sub:
        typed = "".join(f"line {number}\n" for number in range(count))
        assert run("pub", *here(node), "news", "-", cwd=tmp_path, typed=typed).returncode == 0
        assert sub.wait() == 0
        assert sub.lines() == [f"news\tline {number}" for number in range(count)]


async def test_what_it_publishes_reaches_clients_that_are_not_ours(node, tmp_path):
    async with native(node) as client, plain(node) as text:
        await client.ok("subscribe", channel="news")
        assert run("pub", *here(node), "news", "", cwd=tmp_path).returncode == 0
        assert await client.contents(1) == [""]
        assert run("pub", *here(node), "news", "--", "-5", cwd=tmp_path).returncode == 0
        assert await client.contents(1) == ["-5"]
        assert run("pub", *here(node), "--broadcast", "hello", cwd=tmp_path).returncode == 0
        assert await text.receive() == "广播消息: hello"


async def test_it_prints_what_clients_that_are_not_ours_publish(node, tmp_path):
    with subscriber(node, tmp_path, "--encoding", "msgpack", "news") as sub:
        async with native(node) as client:
            await client.ok("publish", channel="news", content_base64="/+8=")
            await client.ok("publish", channel="news", content="two\nlines\x1b[31m")
            assert sub.wait_for_lines(2) == ["news\t/+8=", "news\ttwo\\nlines\\u{1b}[31m"]


def test_what_the_node_refuses_is_exit_code_1(node, tmp_path):
    for arguments, named in (
        (["pub", "no space", "x"], "bad_request"),
        (["pub", "nowhere:news", "x"], "unknown_namespace"),
        (["sub", "$fanwire"], "bad_request"),
        (["pub", "--json", "news", "{"], "JSON"),
    ):
        result = run(arguments[0], *here(node), *arguments[1:], cwd=tmp_path)
        assert result.returncode == REFUSED and named in result.stderr and not result.stdout, result


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["pub"],
        ["pub", "news"],
        ["pub", "--broadcast", "news", "x"],
        ["sub", "--count", "0"],
        ["sub", "--timeout", "soon"],
        ["serve", "--colour"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(tmp_path, arguments):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == USAGE and result.stderr and not result.stdout, result


def test_no_connection_is_exit_code_3(tmp_path):
    for url in (f"ws://127.0.0.1:{free_port()}", "http://127.0.0.1", "nonsense"):
        for command in (["pub", "news", "x"], ["sub", "news"]):
            result = run(command[0], "--url", url, *command[1:], cwd=tmp_path)
            assert result.returncode == NOT_CONNECTED and url in result.stderr, result


def test_a_peer_that_never_answers_is_exit_code_3_too(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        result = run("pub", "--url", url, "--timeout", "300ms", "news", "x", cwd=tmp_path)
        assert result.returncode == NOT_CONNECTED, result


def test_a_full_node_is_exit_code_3_with_its_reason(start_node, tmp_path):
    node = start_node(limits__connections=1)
    with subscriber(node, tmp_path, "news"):
        result = run("pub", *here(node), "news", "x", cwd=tmp_path)
        assert result.returncode == NOT_CONNECTED and "503" in result.stderr, result


def test_waiting_in_vain_is_exit_code_4(node, tmp_path):
    result = run("sub", *here(node), "--count", "1", "--timeout", "300ms", "silence", cwd=tmp_path)
    assert result.returncode == TIMED_OUT and "timed out" in result.stderr, result


def test_a_node_that_goes_ends_sub_with_the_reason(start_node, tmp_path):
    node = start_node(drain__grace="0ms", drain__window="0ms")
    with subscriber(node, tmp_path, "--no-reconnect", "news") as sub:
        node.terminate()
        assert sub.wait() == REFUSED
        sub.wait_for_notice("1012")
    assert node.wait() == 0


def test_a_broker_that_is_away_is_told(redis, start_node, tmp_path):
    node = start_node(redis)
    redis.kill()
    wait_until(lambda: not node.ready(), "readiness lost")
    result = run("pub", *here(node), "news", "x", cwd=tmp_path)
    assert result.returncode == REFUSED and "broker_unavailable" in result.stderr, result


def health(node, directory, *arguments: str):
    """`fanwire health` with the node's configuration."""
    config = {"internal__listen": f"127.0.0.1:{node.internal_port}"}
    return run("health", *arguments, config=config, cwd=directory)


def test_health_is_told_by_one_word_and_the_exit_code(node, tmp_path):
    for arguments, word in (([], "live"), (["--ready"], "ready")):
        result = health(node, tmp_path, *arguments)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"{word}\n", ""), result


def test_a_node_whose_redis_is_away_lives_and_says_why_it_is_not_ready(redis, start_node, tmp_path):
    redis.kill()
    node = start_node.make(redis).start()
    starting = wait_until(lambda: said(health(node, tmp_path, "--ready"), "refused"), "why it is not ready")
    assert starting.returncode == 1 and "not ready: starting: " in starting.stderr and not starting.stdout, starting
    redis.start()
    node.wait_ready()
    redis.kill()
    wait_until(lambda: not node.ready(), "readiness lost")
    away = health(node, tmp_path, "--ready")
    assert away.returncode == 1 and "not ready: broker: " in away.stderr, away
    assert health(node, tmp_path).returncode == 0


def said(result, text: str):
    """The result if it has `text` on standard error."""
    return result if text in result.stderr else None


def test_a_node_that_drains_is_not_ready(start_node, tmp_path):
    node = start_node(drain__grace="60s", drain__deadline="100s")
    with subscriber(node, tmp_path, "news"):
        node.terminate()
        wait_until(lambda: not node.ready(), "readiness lost")
        result = health(node, tmp_path, "--ready")
        assert result.returncode == 1 and result.stderr == "fanwire: not ready: draining\n", result
        assert health(node, tmp_path).returncode == 0


def test_a_node_that_is_gone_or_hangs_does_not_live(start_node, tmp_path):
    node = start_node()
    node.freeze()
    hangs = health(node, tmp_path, "--timeout", "300ms")
    assert hangs.returncode == 1 and "within 300ms" in hangs.stderr and not hangs.stdout, hangs
    node.kill()
    gone = health(node, tmp_path)
    assert gone.returncode == 1 and "nothing listens" in gone.stderr and str(node.internal_port) in gone.stderr, gone


def test_a_wrong_configuration_is_exit_code_78(tmp_path):
    for command in ("check", "serve", "health"):
        result = run(command, "--set", "outbox.limit=much", cwd=tmp_path)
        assert result.returncode == CONFIG_ERROR and "outbox.limit" in result.stderr and "--set" in result.stderr, (
            result
        )


def test_flags_win_over_the_environment(tmp_path):
    result = run(
        "check",
        "--listen",
        "127.0.0.1:4001",
        "--set",
        "log.level=debug",
        cwd=tmp_path,
        config={"server__listen": "127.0.0.1:4002"},
    )
    assert result.returncode == 0 and "127.0.0.1:4001" in result.stdout and "debug" in result.stdout, result
    assert "4002" not in result.stdout


def test_without_a_command_it_serves(start_node):
    node = start_node.make(arguments=()).start().wait_ready()
    node.terminate()
    assert node.wait() == 0


def test_help_and_version_need_no_node(tmp_path):
    for arguments in (
        ["--help"],
        ["--version"],
        ["serve", "--help"],
        ["check", "--help"],
        ["health", "--help"],
        ["pub", "--help"],
        ["sub", "--help"],
    ):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 0 and result.stdout and not result.stderr, result
    assert "Exit codes" in run("--help", cwd=tmp_path).stdout
