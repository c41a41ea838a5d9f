"""One limit, driven over on real nodes."""

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ..nodes import Nodes
from ..redis_server import RedisServer
from ..tokens import EVERYTHING, Key
from ..waiting import until
from .bystander import CHANNEL, Bystander
from .table import Limit


@dataclass
class Outcome:
    """What was seen of a limit."""

    seen: str
    #: By how much the counter rose.
    rise: float
    #: How long messages of a client that did nothing wrong were on their way, in seconds.
    before: list[float]
    during: list[float]


class Stage:
    """The node that is put to the test, another one beside it, and what they need."""

    def __init__(self, directory: Path, nodes: Nodes, limit: Limit):
        self.directory, self.limit = directory, limit
        self.key = Key(directory)
        self._redises = [_redis(directory, number) for number in range(2 if limit.spread else 1)]
        config = limit.config | ({"auth__keys": self.key.source} if limit.tokens else {})
        self.node, self.other = (nodes(**self._at(), **more) for more in (config, limit.elsewhere))
        self._before = self._counted()

    def _at(self) -> dict:
        urls = [server.url for server in self._redises]
        return {"redis__url": urls[0]} if len(urls) == 1 else {"redis__mode": "spread", "redis__urls": ",".join(urls)}

    def options(self) -> dict:
        """How a client connects that may."""
        token = self.key.token("bystander", rights=EVERYTHING)
        return {"additional_headers": {"Authorization": f"Bearer {token}"}} if self.limit.tokens else {}

    def _frozen(self) -> RedisServer:
        """The Redis without the bystander's channel."""
        return next(server for server in self._redises if not _has(server, CHANNEL))

    def freeze(self) -> None:
        """Makes a Redis hang that the bystander does not need."""
        self._frozen().freeze()

    def is_at_the_other_redis(self, channel: str) -> bool:
        """Whether a channel that somebody is subscribed to is at the Redis that is frozen."""
        return _has(self._frozen(), channel)

    def is_leased_at_the_other_redis(self, user: str) -> bool:
        """Whether the connections of a user that has some are counted there."""
        return bool(self._frozen().command("KEYS", f"*:p:$fanwire:user:{user}"))

    def _counted(self) -> float:
        return self.node.metrics().value(self.limit.metric, **self.limit.labels)

    def risen(self) -> float:
        """By how much the limit's counter rose."""
        return self._counted() - self._before

    def has_risen(self) -> bool:
        return self.risen() > 0

    def end(self) -> None:
        for server in self._redises:
            server.kill()


def _redis(directory: Path, number: int) -> RedisServer:
    home = directory / f"redis{number}"
    home.mkdir()
    return RedisServer(home).start()


def _has(server: RedisServer, channel: str) -> bool:
    return any(name.endswith(f":c:{channel}") for name in server.command("PUBSUB", "CHANNELS", "*"))


@asynccontextmanager
async def stage(directory: Path, nodes: Nodes, limit: Limit):
    made = Stage(directory, nodes, limit)
    try:
        yield made
    finally:
        made.end()


async def play(directory: Path, nodes: Nodes, limit: Limit, messages: int = 10) -> Outcome:
    """Drives a client over the limit, while another one goes on: for so many messages before, and as many at least from
    then on."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(stage(directory, nodes, limit))
        bystander = await stack.enter_async_context(Bystander.between(made.node, made.other, **made.options()))
        await bystander.goes_on(messages)
        begun = len(bystander.latencies)
        seen = await limit.drive(made)
        await until(made.has_risen, f"a rise of {limit.metric} {limit.labels}")
        await bystander.goes_on(max(messages - (len(bystander.latencies) - begun), 10))
        latencies = bystander.latencies
        return Outcome(seen, made.risen(), latencies[:begun], latencies[begun:])
