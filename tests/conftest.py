"""Nodes, a Redis and coroutines for the tests."""

import asyncio
import inspect
import os
from pathlib import Path

import pytest

from harness.attacks import Attempts
from harness.haproxy import HAProxy
from harness.nginx import Nginx
from harness.node import Node
from harness.nodes import Nodes
from harness.ports import free_port
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer
from harness.sentinels import Trio

FULL = bool(os.environ.get("TESTS_FULL"))
_LOG_TAIL = 6000


_attempts = Attempts()


def pytest_addoption(parser):
    parser.addoption("--attacks", type=Path, metavar="FILE", help="write what attacks were answered to FILE, as Markdown")


def pytest_sessionfinish(session):
    file = session.config.getoption("--attacks")
    if file is not None and len(_attempts) > 0:
        _attempts.write(file)


@pytest.fixture
def answered(request):
    """Notes what an attempt got: `answered("a kind", answer)`; the test's id is its name, unless that is given."""

    def note(kind: str, answer: str, name: str | None = None) -> None:
        _attempts.note(kind, name or request.node.callspec.id, answer)

    return note


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="runs with TESTS_FULL=1")
    for item in items:
        if item.get_closest_marker("full") and not FULL:
            item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine function, for a bounded time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    marker = pyfuncitem.get_closest_marker("limit")
    limit = marker.args[0] if marker else 60
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), limit))
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of each log beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for subject in _subjects(item):
            text = subject.log.read_text(errors="replace") if subject.log.exists() else ""
            report.sections.append((f"{subject.log}", text[-_LOG_TAIL:]))


def _subjects(item):
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, (HAProxy, Nginx, Node, RedisServer)):
            yield value
        elif isinstance(value, Nodes):
            yield from value.nodes


def _nodes(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    yield nodes
    nodes.end()


start_node = pytest.fixture(_nodes, name="start_node")
module_nodes = pytest.fixture(_nodes, name="module_nodes", scope="module")


@pytest.fixture(scope="module")
def node(module_nodes):
    """A node with the memory broker and every default, shared by the tests of a file."""
    return module_nodes()


@pytest.fixture
def redis(tmp_path_factory):
    """A Redis that runs."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def trio(tmp_path_factory):
    """A primary, two replicas and three Sentinels that know each other."""
    trio = Trio(tmp_path_factory.mktemp("trio"))
    try:
        yield trio.start()
    finally:
        trio.end()


@pytest.fixture
def cluster_of(tmp_path_factory):
    """Starts a Redis Cluster: `cluster_of(replicas=1)`; it ends with the test."""
    clusters = []

    def start(**options) -> RedisCluster:
        clusters.append(RedisCluster(tmp_path_factory.mktemp("cluster"), **options))
        return clusters[-1].start()

    yield start
    for cluster in clusters:
        cluster.end()


@pytest.fixture
def address() -> int:
    """The port at which one node after the other listens."""
    return free_port()
