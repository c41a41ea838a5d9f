"""Fixtures for the tests of nginx; a file that imports them has them."""

from types import SimpleNamespace

import pytest

from .nginx import BINARY, Nginx, addresses

needs_nginx = pytest.mark.skipif(BINARY is None, reason="nginx is not installed; tests/run installs it")


@pytest.fixture
def start_nginx(tmp_path):
    """Starts nginx before some nodes."""
    started = []

    def start(nodes, **settings) -> Nginx:
        started.append(Nginx(tmp_path, addresses(nodes), **settings))
        return started[-1].start()

    yield start
    for one in started:
        one.end()


@pytest.fixture
def cluster(redis, start_node, start_nginx):
    """Three nodes on one Redis behind nginx."""
    nodes = [start_node(redis) for _ in range(3)]
    return SimpleNamespace(nodes=nodes, nginx=start_nginx(nodes))
