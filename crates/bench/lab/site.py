"""Redis and nodes on loopback, which end with the measurement."""

import contextlib
import tempfile
from pathlib import Path

from harness.node import Node
from harness.redis_server import RedisServer


class Site:
    """Starts what a measurement needs, and ends it."""

    def __init__(self):
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Site":
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fanwire-bench-")))
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def on_end(self, end) -> None:
        """Has `end` called in the end, before what was started earlier is ended."""
        self._stack.callback(end)

    def folder(self, name: str) -> Path:
        """A folder that is gone in the end."""
        folder = self.directory / name
        folder.mkdir()
        return folder

    def redis(self) -> RedisServer:
        """A Redis that answers. What subscribers have not read may be more than usual, as in a production setup."""
        server = RedisServer(self.directory, options={"client-output-buffer-limit": "pubsub 256mb 64mb 60"})
        self.on_end(server.kill)
        return server.start()

    def node(self, redis: RedisServer | None, name: str = "node", **config: object) -> Node:
        """A node that is ready."""
        if redis is not None:
            config["redis__url"] = redis.url
        node = Node(self.directory, name, {"log__level": "warn", **config})
        self.on_end(node.kill)
        return node.start().wait_ready()
