"""Nodes, a Redis, a proxy between, and coroutines for the tests; from the harness of the checkout's own tests."""

import asyncio
import inspect
import os

import pytest
from harness.chaos.proxy import Proxy
from harness.node import Node
from harness.redis_server import RedisServer

# Whatever proxy there is, it is not for loopback.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

FULL = bool(os.environ.get("TESTS_FULL"))
_LIMIT = 600 if FULL else 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine function, for a bounded time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), _LIMIT))
    return True


@pytest.fixture
def start_node(tmp_path):
    """Starts nodes that are ready; `namespaces__chat__history__size=10` configures one. They end with the test."""
    nodes = []

    def start(**config) -> Node:
        nodes.append(Node(tmp_path, f"node{len(nodes)}", config))
        return nodes[-1].start().wait_ready()

    yield start
    for node in nodes:
        node.kill()


@pytest.fixture
def redis(tmp_path):
    """A Redis that runs."""
    server = RedisServer(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def start_proxy():
    """Starts proxies before nodes."""
    proxies = []

    def start(*nodes: Node) -> Proxy:
        proxies.append(Proxy([node.port for node in nodes]).start())
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.end()
