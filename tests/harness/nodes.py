"""Several nodes that end together."""

from .node import Node
from .redis_server import RedisServer


class Nodes:
    """Starts nodes; all of them end with the fixture."""

    def __init__(self, directory):
        self.directory = directory
        self.nodes: list[Node] = []

    def make(self, redis: RedisServer | None = None, arguments=("serve",), **config) -> Node:
        """A node that is not started yet; `outbox__limit="64KiB"` configures it."""
        if redis is not None:
            config["redis__url"] = redis.url
        node = Node(self.directory, f"node{len(self.nodes)}", config, arguments)
        self.nodes.append(node)
        return node

    def __call__(self, redis: RedisServer | None = None, **config) -> Node:
        """A node that is ready."""
        return self.make(redis, **config).start().wait_ready()

    def end(self) -> None:
        """Ends them all; none may ever have panicked."""
        for node in self.nodes:
            node.kill()
        panicked = [node.name for node in self.nodes if node.log.exists() and "panicked at" in node.output()]
        assert not panicked, f"{panicked} panicked: {self.directory}"
