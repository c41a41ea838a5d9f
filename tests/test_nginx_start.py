"""The script `deploy/nginx/start`: what it accepts, and how it ends."""

import asyncio
import os
import signal
import subprocess


import pytest

from harness import process
from harness.clients import native
from harness.nginx import BINARY, START, runs
from harness.nginx_fixtures import needs_nginx, start_nginx  # noqa: F401
from harness.node import connections
from harness.waiting import until, wait_until

pytestmark = needs_nginx


def start_with(tmp_path, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs `start` to its end."""
    env = process.clean_environment() | {"NGINX_BINARY": BINARY, "NGINX_DIR": str(tmp_path / "prefix")}
    env |= {"LISTEN": "127.0.0.1:1", "NODES": "127.0.0.1:1"} | {key: str(value) for key, value in environment.items()}
    return subprocess.run([START, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(
    "environment",
    [
        {"LISTEN": "abc"},
        {"LISTEN": "70000"},
        {"LISTEN": "8765; }"},
        {"NODES": "nowhere"},
        {"NODES": "a:1;b"},
        {"NODES_FILE": "/nowhere"},
        {"CERTIFICATE": "/nowhere.pem", "KEY": "/nowhere.pem"},
        {"KEY": "/dev/null"},
        {"CONNECTION_RATE": "many"},
        {"CONNECTION_RATE": "0"},
        {"CONNECTION_BURST": "-1"},
        {"CONNECTIONS_PER_ADDRESS": "1k"},
        {"INTERVAL": "0.5"},
        {"READ_TIMEOUT": "soon"},
        {"WORKER_SHUTDOWN_TIMEOUT": "4 h"},
        {"WORKERS": "some"},
        {"NGINX_BINARY": "/nowhere/nginx"},
        {"NGINX_DIR": "/proc/nowhere"},
    ],
    ids=str,
)
def test_a_bad_environment_is_named_and_nothing_starts(tmp_path, environment):
    done = start_with(tmp_path, **environment)
    assert done.returncode == 2, done
    name, value = list(environment.items())[0] if "CERTIFICATE" in environment else list(environment.items())[-1]
    if name == "KEY":
        name, value = "CERTIFICATE", ""
    assert name in done.stderr and value.split(";")[0] in done.stderr, done.stderr


def test_unusable_certificates_are_refused(tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    done = start_with(tmp_path, CERTIFICATE="bad.pem", KEY="bad.pem")
    assert done.returncode == 2 and "nginx does not accept" in done.stderr and "bad.pem" in done.stderr


def test_newer_versions_follow_names_by_themselves(tmp_path):
    environment = {"NODES": "node:8765 10.0.0.1:8765", "RESOLVER": "127.0.0.11", "INTERVAL": 3}
    newer = start_with(tmp_path, "--print-upstream", "1.27.3", **environment).stdout
    assert newer.splitlines() == [
        "resolver 127.0.0.11 valid=3s ipv6=off;",
        "server node:8765 resolve max_fails=0;",
        "server 10.0.0.1:8765 max_fails=0;",
    ]
    for version in ("1.27.2", "1.22.1", "0.8.55"):
        older = start_with(tmp_path, "--print-upstream", version, NODES="10.0.0.2:1 10.0.0.1:1 10.0.0.2:1").stdout
        assert [line.split()[1] for line in older.splitlines()] == ["10.0.0.1:1", "10.0.0.2:1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
async def test_a_signal_ends_all_of_it(start_node, start_nginx, number):
    nginx = start_nginx([start_node()], STOP_TIMEOUT=1)
    async with native(nginx) as client:
        everything = nginx.processes()
        assert len(everything) >= 4
        nginx.signal(number)
        assert await client.close_code() == 1006
        assert await asyncio.to_thread(nginx.wait) == 0
    await until(lambda: not any(map(runs, everything)), f"the end of {everything}")


async def test_connections_are_left_a_while_and_a_second_signal_ends_them(start_node, start_nginx):
    nginx = start_nginx([start_node()], STOP_TIMEOUT=300)
    async with native(nginx) as client:
        nginx.signal(signal.SIGTERM)
        await until(lambda: not nginx.answers(), "no new connections")
        await client.ok("ping")
        nginx.signal(signal.SIGTERM)
        assert await client.close_code() == 1006
        assert await asyncio.to_thread(nginx.wait) == 0


def test_it_ends_when_nginx_dies(start_node, start_nginx):
    nginx = start_nginx([start_node()])
    everything = nginx.processes()
    os.kill(nginx.master, signal.SIGKILL)
    assert nginx.wait() not in (0, None)
    wait_until(lambda: not any(map(runs, everything)), f"the end of {everything}")
    assert "nginx has ended by itself" in nginx.output()


async def test_it_goes_on_when_a_look_at_the_nodes_is_killed(start_node, start_nginx):
    nodes = [start_node(), start_node()]
    nginx = start_nginx(nodes[:1])
    others = {nginx.pid, nginx.master, *nginx.workers()}
    for pid in await until(lambda: set(nginx.processes()) - others, "what waits or looks"):
        os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(nginx.use, nodes)
