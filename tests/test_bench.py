"""`fanwire bench`: every scenario in small against real servers. What is counted is asserted, never how long it took."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import process
from harness.certificates import Authority, settings
from harness.command import run
from harness.node import binary
from harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "crates/bench"))

SHORT = ("--seconds", "1", "--warmup", "0")


def bench(*words: object, cwd: Path, code: int = 0) -> dict:
    """The result of a scenario that ends with `code`."""
    done = run("bench", words[0], "--json", *map(str, words[1:]), cwd=cwd, within=60)
    assert done.returncode == code, (done.stdout[-2000:], done.stderr)
    result = json.loads(done.stdout)
    assert result["scenario"] == words[0] and result["clean"] == (code == 0)
    return result


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def counted(round: dict) -> tuple[int, int, int, int]:
    integrity = round["integrity"]
    return tuple(integrity[part] for part in ("published", "expected", "received", "lost"))


def test_a_fan_out_beside_the_floor(node, tmp_path):
    words = ["--subscribers", 10, "--rate", 20, "--floor", "--rounds", 2, "--pid", node.pid]
    result = bench("fanout", "--url", node.url, *words, *SHORT, cwd=tmp_path)
    assert [counted(round) for round in result["rounds"] + result["floor_rounds"]] == [(20, 200, 200, 0)] * 4
    (server,) = {cost["pid"] for round in result["rounds"] for cost in round["servers"]}
    (floor,) = {cost["pid"] for round in result["floor_rounds"] for cost in round["servers"]}
    assert server == node.pid != floor
    assert set(result["ratios"]) <= set(result["summary"]) == set(result["floor_summary"])
    assert result["ratios"]["deliveries_per_second"]["least"] > 0
    wait_until(lambda: has_ended(floor), "the end of the floor")


@pytest.mark.parametrize("dialect", ["json", "msgpack"])
def test_bursts_saturation_and_several_processes(node, dialect, tmp_path):
    common = ["--url", node.url, "--dialect", dialect, "--subscribers", 7, *SHORT]
    bursts = bench("fanout", *common, "--rate", 100, "--burst", 10, "--processes", 3, cwd=tmp_path)["rounds"][0]
    assert counted(bursts) == (100, 700, 700, 0)
    assert len({cost["pid"] for cost in bursts["generator"]["processes"]}) == 3
    full = bench("fanout", *common, "--saturate", "--floor", "--rounds", 1, cwd=tmp_path)
    for round in full["rounds"] + full["floor_rounds"]:
        published, expected, received, lost = counted(round)
        assert published > 4 and (expected, lost) == (7 * published, 0) and received == expected


def test_each_channel_gets_its_own(node, tmp_path):
    words = ["--channels", 30, "--rate", 100, "--processes", 2, "--floor", "--rounds", 1]
    result = bench("channels", "--url", node.url, *words, *SHORT, cwd=tmp_path)
    assert [counted(round) for round in result["rounds"] + result["floor_rounds"]] == [(100, 100, 100, 0)] * 2


def test_what_two_nodes_add_to_redis(start_node, redis, tmp_path):
    nodes = [start_node(redis), start_node(redis)]
    words = [word for node in nodes for word in ("--url", node.url)]
    words += ["--redis", f"127.0.0.1:{redis.port}", "--rate", 100, "--subscribers", 3, "--rounds", 2]
    result = bench("latency", *words, *SHORT, cwd=tmp_path)
    assert [counted(round) for round in result["rounds"]] == [(100, 300, 300, 0)] * 2
    assert [counted(round) for round in result["redis_rounds"]] == [(100, 100, 100, 0)] * 2
    assert set(result["added"]) == {"mean_us", "p50_us", "p90_us", "p99_us"}


def test_echoes_are_all_answered(node, tmp_path):
    common = ["--url", node.url, "--connections", 5, "--floor", "--rounds", 1, *SHORT]
    by_rate = bench("echo", *common, "--rate", 50, cwd=tmp_path)
    assert [(round["asked"], round["answered"]) for round in by_rate["rounds"] + by_rate["floor_rounds"]] == [(50, 50)] * 2
    for round in bench("echo", *common, "--window", 3, cwd=tmp_path)["rounds"]:
        assert round["asked"] == round["answered"] > 15


def test_connections_that_come_and_go_or_come_all_at_once(node, tmp_path):
    cycles = bench("connect", "--url", node.url, "--cycles", 50, "--floor", "--rounds", 2, cwd=tmp_path)
    rounds = cycles["rounds"] + cycles["floor_rounds"]
    assert [(round["attempted"], round["succeeded"], round["failed"]) for round in rounds] == [(50, 50, {})] * 4
    (at_once,) = bench("connect", "--url", node.url, "--at-once", 100, cwd=tmp_path)["rounds"]
    assert (at_once["succeeded"], at_once["upgrade"]["count"], at_once["failed"]) == (100, 100, {})


def test_connections_that_can_not_be_opened_are_counted(start_node, tmp_path):
    node = start_node(limits__connections=30)
    (round,) = bench("connect", "--url", node.url, "--at-once", 50, cwd=tmp_path, code=1)["rounds"]
    assert round["succeeded"] == 30 and sum(round["failed"].values()) == 20
    assert all("503" in how for how in round["failed"])


def test_idle_connections_are_all_there_in_the_end(node, tmp_path):
    words = ["--connections", 20, "--processes", 2, "--seconds", 1, "--settle", 0, "--ramp", 100, "--messages", 2]
    result = bench("idle", "--url", node.url, "--pid", node.pid, *words, "--patience", 2, cwd=tmp_path)
    assert result["connections"] == 20 and counted(result["finale"]) == (2, 40, 40, 0)
    assert isinstance(result["bytes_per_connection"], float) and result["cpu_us_per_connection_second"] >= 0


def test_no_more_are_opened_than_memory_allows(node, tmp_path):
    words = ["--connections", 20, "--seconds", 1, "--settle", 0, "--least-memory", 1 << 24]
    result = bench("idle", "--url", node.url, *words, cwd=tmp_path, code=1)
    assert result["connections"] == 0


@pytest.mark.parametrize(
    "scenario, words, part",
    [
        ("storm", ("--clients", 20, "--staying", 2, "--rate", 50, "--before", 1, "--after", 1), "returned"),
        ("stall", ("--subscribers", 3, "--messages", 50, "--rate", 100, "--resume", "--wait", 1), "with"),
        ("chatter", ("--connections", 5, "--messages", 50, "--rate", 100), None),
    ],
)
def test_scenarios_of_nodes_alone(module_nodes, scenario, words, part, tmp_path):
    node = module_nodes(namespaces__kept__history__size=1000)
    result = bench(scenario, "--url", node.url, *words, cwd=tmp_path)
    integrity = (result[part] if part else result).get("integrity") or result[part]
    assert integrity["received"] == integrity["expected"] > 0 and integrity["lost"] == 0


def test_publications_with_a_history_and_without(module_nodes, tmp_path):
    node = module_nodes(namespaces__kept__history__size=10)
    result = bench("publish", "--url", node.url, "--publishers", 2, "--seconds", 1, "--rounds", 1, cwd=tmp_path)
    assert all(result[kind]["published"] == result[kind]["answered"] > 0 for kind in ("without", "with"))


def test_tls(start_node, tmp_path):
    authority = Authority(tmp_path)
    node = start_node(**settings(authority.sign("node")))
    words = ["--url", node.url, "--ca", authority.cert, "--subscribers", 5, "--rate", 20, "--processes", 2]
    assert counted(bench("fanout", *words, *SHORT, cwd=tmp_path)["rounds"][0]) == (20, 100, 100, 0)


def test_a_template_makes_another_server_of_it(node, tmp_path):
    # Fanwire itself, told of as if it were a stranger.
    (tmp_path / "stranger.toml").write_text(
        'name = "stranger"\nsubprotocol = "fanwire.v1.json"\n'
        'open = [{ wait = "welcome" }, { send = \'{"type":"subscribe","id":1,"channel":"{channel}"}\' }, { wait = \'"ok"\' }]\n'
        'publish.frame = \'{"type":"publish","channel":"{channel}","content":"{content}"}\'\n'
    )
    words = ["--url", node.url, "--template", "stranger.toml"]
    result = bench("fanout", *words, "--subscribers", 5, "--rate", 20, *SHORT, cwd=tmp_path)
    assert counted(result["rounds"][0]) == (20, 100, 100, 0) and result["settings"]["dialect"] == "stranger"
    echo = run("bench", "echo", *words, cwd=tmp_path)
    assert echo.returncode == 2 and "the template has no echo" in echo.stderr


def test_the_summary_is_for_people(node, tmp_path):
    done = run("bench", "fanout", "--url", node.url, "--subscribers", "5", "--floor", "--rounds", "1", *SHORT, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    for text in ("lost 0, duplicated 0", "-- floor", "medians of 1 rounds", "ratio ", "busiest thread", "\nclean\n"):
        assert text in done.stdout, done.stdout


@pytest.mark.parametrize(
    "words, expected",
    [
        (("fanout", "--url", "ws://10.0.0.1:1/"), "only loopback addresses are measured"),
        (("fanout", "--url", "ws://127.0.0.1:1/"), "no connection to 127.0.0.1:1"),
        (("fanout", "--size", "47"), "47 is not in 48..=1048576"),
        (("fanout", "--saturate", "--burst", "2"), "cannot be used with"),
        (("fanout", "--pid", "4194304"), "process 4194304"),
        (("fanout", "--template", "nothing.toml"), "template nothing.toml"),
        (("fanout", "--processes", "2", "--url", "ws://127.0.0.1:1/"), "no connection to 127.0.0.1:1"),
        (("latency", "--redis", "example.org:1"), "such as 127.0.0.1:6379"),
        (("connect", "--at-once", "5", "--cycles", "5"), "cannot be used with"),
    ],
)
def test_what_can_not_be_measured_is_said(words, expected, tmp_path):
    done = run("bench", *words, cwd=tmp_path)
    assert done.returncode == 2 and expected in done.stderr, done.stderr


def table(script: str, *words: object, within: float = 240) -> str:
    """What a script of crates/bench prints."""
    env = process.clean_environment() | {"TESTS_BIN": binary()}
    done = subprocess.run(
        [str(ROOT / "crates/bench" / script), *map(str, words)], env=env, capture_output=True, text=True, timeout=within
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_the_table_of_goals(tmp_path):
    rows = ["bursts", "latency", "tls", "at-once", "hold"]
    only = [word for row in rows for word in ("--only", row)]
    printed = table("goals", "--scale", 0.001, "--seconds", 1, "--rounds", 1, "--json", tmp_path / "results", *only)
    assert printed.count("| clean") == len(rows) and "NOT" not in printed
    assert sorted(path.stem for path in (tmp_path / "results").iterdir()) == sorted(rows)


def test_a_million_in_small():
    printed = table("million", "--connections", 50, "--minutes", 0.02, "--messages", 2, "--least-memory", 100)
    assert "| connections held | 50 of 50 |" in printed
    assert "| broadcasts expected, received, missing | 100 / 100 / 0 |" in printed


def test_what_a_machine_lacks_for_a_million_is_said():
    from lab import kernel, million

    assert million.shortage(50, 0) is None and million.too_few_ports(50) is None
    assert million.shortage(10**12, 0).startswith("memory: 1,000,000,000,000 connections take")
    assert [setting.name for setting in kernel.needed(10**15) if setting.lacks()][0] == "fs.file-max"
    assert not any(setting.lacks() for setting in kernel.needed(50))


def test_a_comparison_with_itself():
    words = ["--only", "fanwire", "--subscribers", 20, "--connections", 20, "--cycles", 20, "--seconds", 1, "--rounds", 1]
    printed = table("compare", *words)
    assert "| Fanwire |" in printed and "all clean" in printed


@pytest.mark.full
@pytest.mark.parametrize("name", ["nchan", "socketio", "websockets"])
def test_a_comparison_with_others(name):
    words = ["--only", name, "--subscribers", 20, "--connections", 20, "--cycles", 20, "--seconds", 1, "--rounds", 1]
    assert "all clean" in table("compare", *words, within=600)
