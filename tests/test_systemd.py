"""The unit of deploy/systemd: what systemd says of it, and whether a node can live with what it forbids."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from harness.clients import native
from harness.command import run
from harness.node import binary
from harness.waiting import until

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT = REPOSITORY / "deploy" / "systemd" / "fanwire.service"
ANALYZE, STRACE = shutil.which("systemd-analyze"), shutil.which("strace")
CONFIG = REPOSITORY / "config" / "fanwire.toml"
USAGE, CONFIG_ERROR = 2, 78

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="NO systemd-analyze ON THIS MACHINE: WAS NOT CHECKED")
needs_strace = pytest.mark.skipif(STRACE is None, reason="NO strace ON THIS MACHINE: WAS NOT CHECKED")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, env={"SYSTEMD_COLORS": "0"})


def setting(name: str) -> str:
    """The value of a setting that the unit has once."""
    [value] = re.findall(rf"(?m)^{name}=(.*)$", UNIT.read_text())
    return value


@pytest.fixture
def unit(tmp_path) -> Path:
    """The unit as installed on a machine that has the program elsewhere."""
    path = tmp_path / "fanwire.service"
    path.write_text(UNIT.read_text().replace("ExecStart=/usr/local/bin/fanwire ", f"ExecStart={binary()} "))
    return path


@pytest.fixture
def defaults(tmp_path) -> dict:
    return tomllib.loads(run("check", "--config", str(CONFIG), cwd=tmp_path).stdout)


def complaints(unit: Path) -> list[str]:
    """What systemd says against the unit; of the machine's other units it may say what it likes."""
    result = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    said = [line for line in result.stderr.splitlines() if unit.name in line]
    return said or [f"exit code {result.returncode}: {result.stderr}"] * (result.returncode != 0)


@needs_systemd
def test_systemd_understands_every_line(unit):
    assert complaints(unit) == []


@needs_systemd
def test_a_misspelled_setting_would_be_found(unit):
    unit.write_text(unit.read_text().replace("\nProtectHome=", "\nProtectHomes="))
    assert "ProtectHomes" in "".join(complaints(unit))


@needs_systemd
def test_systemd_finds_little_exposed(unit):
    # In tenths: 100 is everything, 20 is what systemd calls OK with room to spare.
    result = analyze("security", "--offline=true", "--threshold=20", unit)
    assert result.returncode == 0, result.stdout


def test_the_command_line_is_one_that_the_program_takes(tmp_path):
    command = setting("ExecStart").replace("/etc/fanwire/fanwire.toml", str(CONFIG)).split()
    assert command[:2] == ["/usr/local/bin/fanwire", "serve"]
    result = run("check", *command[2:], cwd=tmp_path)
    assert result.returncode == 0 and str(CONFIG) in result.stdout, result


def test_what_cannot_get_better_is_not_tried_again(tmp_path):
    assert setting("Restart") == "on-failure"
    final = {int(code) for code in setting("RestartPreventExitStatus").split()}
    missing = run("serve", "--config", str(tmp_path / "missing.toml"), cwd=tmp_path)
    misspelled = run("serve", "--confg", cwd=tmp_path)
    assert final == {missing.returncode, misspelled.returncode} == {CONFIG_ERROR, USAGE}


def test_there_is_time_to_drain_and_a_file_for_each_connection(defaults):
    [deadline] = re.findall(r"^(\d+)s$", defaults["drain"]["deadline"])
    [timeout] = re.findall(r"^(\d+)s$", setting("TimeoutStopSec"))
    assert int(timeout) > int(deadline) and setting("KillSignal") == "SIGTERM"
    # A hundred for the node itself, see the warning at its start.
    assert int(setting("LimitNOFILE")) >= defaults["limits"]["connections"] + 100


def test_every_variable_that_is_mentioned_exists():
    keys = tomllib.loads(CONFIG.read_text())
    known = {f"FANWIRE_{group}__{key}".upper() for group, values in keys.items() for key in values}
    mentioned = set(re.findall(r"FANWIRE_[A-Z]+__[A-Z_]+", UNIT.read_text()))
    assert mentioned and mentioned <= known


def allowed_calls(filters: str) -> set[str]:
    """The system calls of systemd's groups, groups within groups included."""
    lines = [line.strip() for line in analyze("syscall-filter", *filters.split()).stdout.splitlines()]
    names = [line for line in lines if line and not line.startswith(("#", "@"))]
    groups = {line for line in lines if line.startswith("@")} - set(filters.split())
    return set(names).union(*(allowed_calls(group) for group in groups))


@needs_systemd
@needs_strace
async def test_a_node_makes_no_call_that_the_unit_forbids(redis, start_node, tmp_path, monkeypatch):
    trace, wrapper = tmp_path / "trace", tmp_path / "fanwire"
    # With -D the node is the process that was started, and gets the signals.
    wrapper.write_text(f'#!/bin/sh\nexec "{STRACE}" -D -f -q -o "{trace}" "{binary()}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("TESTS_BIN", str(wrapper))
    # By its name, so that the resolver is in the trace too.
    node = start_node(redis__url=redis.url.replace("127.0.0.1", "localhost"), drain__grace="0s", drain__window="0s")
    async with native(node) as client:
        await client.ok("subscribe", channel="news")
        await client.ok("publish", channel="news", content=1)
        assert await client.contents(1) == [1]
        assert node.metrics().value("fanwire_connections") == 1
        node.terminate()
        assert await client.close_code() == 1012
    await until(lambda: re.search(rf"(?m)^{node.pid} .* exited with 0 ", trace.read_text()), "the end of the trace")
    text = trace.read_text()
    made = set(re.findall(r"(?m)^\d+ +(\w+)\(", text))
    assert {"accept4", "epoll_wait", "prlimit64"} <= made
    assert made <= allowed_calls(setting("SystemCallFilter"))
    families = set(re.findall(r"socket\((AF_\w+)", text))
    assert {"AF_INET"} <= families <= set(setting("RestrictAddressFamilies").split())
    assert not re.findall(r"PROT_WRITE\|PROT_EXEC|PROT_EXEC\|PROT_WRITE", text), "MemoryDenyWriteExecute"
