"""Nodes, a Redis and clients, all of which come to life, come to harm, and have to come together again."""

import asyncio
import os
import random
import time
from contextlib import contextmanager
from pathlib import Path

from ..clients import CODECS, native
from ..node import Node
from ..waiting import until
from .books import BROADCASTS, Books, Notes, Position, Received, Signature, position_of
from .command import SubCommand
from .proxy import Proxy
from .publisher import Publisher
from .redises import KINDS
from .subscriber import Subscriber
from .timeline import Happened, Harm, Timeline

# Those that have readers on every node all the time, and those whose few readers come and go.
BUSY = [f"kept:{number}" for number in range(4)]
RARE = [f"kept:{number}" for number in range(4, 6)]
KEPT = [*BUSY, *RARE, BROADCASTS]
PLAIN = [f"plain{number}" for number in range(2)]
CHANNELS = dict.fromkeys(KEPT, True) | dict.fromkeys(PLAIN, False)
# What publishers publish into in turn: the first channel is so busy that who was away for long needs several pages.
TURNS = [*CHANNELS, *[BUSY[0]] * 3]

_NODES = 3
# The one that leaves out what slow clients don't take; the others send those away.
_DROPS = 2
_PUBLISHERS = 4
_SUBSCRIBERS = 20
_COMMANDS = 4
# How many subscribers never stay for long, and for how long at most, in seconds.
_RESTLESS = 8
_STAYS = 3.0
# Enough of it that who doesn't read is slow within seconds.
_PADDING = 400
_HEARTBEAT = 2
_SETTLED_WITHIN = 60.0
# From which delay of our own on, in seconds, clients may have been slow without being told to.
_STALL = 0.7

CONFIG = {
    "namespaces__kept__history__size": 20_000,
    "namespaces__kept__history__ttl": "10m",
    "broadcast__history__size": 20_000,
    "broadcast__history__ttl": "10m",
    "heartbeat__interval": f"{_HEARTBEAT}s",
    "heartbeat__timeout": "4s",
    "drain__grace": "500ms",
    "drain__window": "2s",
    "drain__deadline": "10s",
    "limits__message": "4KiB",
    "outbox__limit": "64KiB",
    "outbox__kernel": "4KiB",
}


class Stage:
    """Everything of a run."""

    def __init__(self, directory: Path, kind: str, timeline: Timeline):
        self.directory = directory
        self.timeline = timeline
        self.books = Books(happened=timeline.happened)
        self.redis = KINDS[kind](directory)
        self.nodes: list[Node] = []
        self.publishers: list[Publisher] = []
        self.subscribers: list[Subscriber] = []
        self.commands: list[SubCommand] = []
        self.notes = Notes(self.books, timeline.now, Signature(os.urandom(4).hex(), _PADDING))
        self._busy: set[str] = set()
        self._stalls: asyncio.Task | None = None

    channels = CHANNELS

    @property
    def readers(self) -> list:
        return [*self.subscribers, *self.commands]

    async def start(self) -> None:
        """Everything up, everybody subscribed, and messages flowing."""
        await asyncio.to_thread(self.redis.start)
        for number in range(_NODES):
            config = CONFIG | self.redis.config() | ({"outbox__policy": "drop_oldest"} if number == _DROPS else {})
            self.nodes.append(Node(self.directory, f"node{number}", config))
        self.books.dropping.add(self.nodes[_DROPS].name)
        for node in self.nodes:
            await asyncio.to_thread(lambda node=node: node.start().wait_ready(30))
        # The commands don't say where they are, so they are where nothing is dropped.
        self._balancer = Proxy([node.port for node in self.nodes if node.name not in self.books.dropping]).start()
        self._stalls = asyncio.create_task(self._book_stalls())
        self._start_readers()
        await until(self._all_here, "everybody subscribed", 60)
        self._start_publishers()
        await self.flows()

    def _start_readers(self) -> None:
        for number in range(_SUBSCRIBERS):
            codec = list(CODECS.values())[number % 2]
            restless = _STAYS if number >= _SUBSCRIBERS - _RESTLESS else None
            options = {"channels": _channels(number), "restless": restless, "notes": self.notes}
            self.subscribers.append(Subscriber(f"s{number}", self.nodes, codec, 2.5 * _HEARTBEAT, **options))
        for number in range(_COMMANDS):
            options = {"channels": _channels(number), "notes": self.notes}
            self.commands.append(SubCommand(f"r{number}", self.directory, self._balancer.port, **options))
        for reader in self.readers:
            reader.start()

    def _start_publishers(self) -> None:
        for number in range(_PUBLISHERS):
            codec = list(CODECS.values())[number % 2]
            options = {"channels": CHANNELS, "turns": TURNS, "notes": self.notes}
            self.publishers.append(Publisher(f"p{number}", self.nodes, codec, 2.5 * _HEARTBEAT, **options))
        for publisher in self.publishers:
            publisher.start()

    async def _book_stalls(self) -> None:
        """Who does not run does not read, which for a node is a slow client."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            late = time.monotonic() - before - 0.1
            if late > _STALL:
                now = self.timeline.now()
                stall = Happened("the clients' own process stalled", now - late, now, Harm.SLOW)
                self.timeline.happened.append(stall)
                self.timeline.tell(stall.line())

    def _all_here(self) -> bool:
        return all(reader.is_here() for reader in self.readers)

    def check_running(self) -> None:
        """Fails with what ended a client, if something did."""
        for client in [*self.readers, *self.publishers]:
            client.check_running()

    @contextmanager
    def spare_node(self, draw: random.Random):
        """A node that no other fault has; `None` if there is none."""
        free = [node for node in self.nodes if node.name not in self._busy]
        node = draw.choice(free) if free else None
        self._busy |= {node.name} if node else set()
        try:
            yield node
        finally:
            self._busy -= {node.name} if node else set()

    async def heal(self) -> None:
        """Undoes whatever is still broken."""
        await asyncio.to_thread(self.redis.heal)
        for node in self.nodes:
            node.thaw()
            if node.exit_code is not None:
                await asyncio.to_thread(node.start_again)
        for subscriber in self.subscribers:
            subscriber.reads.set()
            subscriber.restless = None
        for node in self.nodes:
            await asyncio.to_thread(node.wait_ready, 60)

    async def flows(self) -> None:
        """Waits until every reader has something new of each of its channels; books who never gets it."""
        since, deadline = self.timeline.now(), time.monotonic() + _SETTLED_WITHIN
        while waiting := [track for track in self.books.tracks if not self._has_newer(track, since)]:
            self.check_running()
            if time.monotonic() > deadline:
                for track in waiting:
                    said = f"{track.reader} gets nothing of {track.channel} since {since:.3f} s"
                    self.books.unexpected.append(f"{said}; {track.line(len(track.entries) - 1)}")
                return
            await asyncio.sleep(0.05)

    def _has_newer(self, track, since: float) -> bool:
        last = next((entry for entry in reversed(track.entries) if isinstance(entry, Received)), None)
        return last is not None and self.books.publications[last.key].sent >= since

    async def settle(self) -> None:
        """Ends publishing, and waits until every reader is where the stream is, for a bounded time."""
        await asyncio.gather(*(publisher.stop(_SETTLED_WITHIN) for publisher in self.publishers))
        deadline = time.monotonic() + _SETTLED_WITHIN
        while True:
            async with native(self.nodes[0]) as client:
                await self._read_newest(client)
                if self._all_live() or time.monotonic() > deadline:
                    for channel in BUSY + RARE:
                        self.books.streams[channel] = await self._stream(client, channel)
                    return
            await asyncio.sleep(0.1)

    async def _read_newest(self, client) -> None:
        self.books.newest = {channel: await self._newest(client, channel) for channel in BUSY + RARE}
        self.books.newest[BROADCASTS] = position_of(client.welcome["broadcast"])

    def _all_live(self) -> bool:
        places = {(track.reader, track.channel) for track in self.books.tracks if track.channel in KEPT}
        readers = {reader.name: reader for reader in self.readers}
        return all(readers[name].place(channel) == self.books.newest[channel] for name, channel in places)

    async def _newest(self, client, channel: str) -> Position:
        answer = await client.request("history", channel=channel, limit=1, reverse=True)
        return position_of(answer)

    async def _stream(self, client, channel: str) -> dict:
        """All that the broker has of a channel."""
        stream, since = {}, {}
        while True:
            page = await client.request("history", channel=channel, limit=1000, **since)
            if not page["publications"]:
                return stream
            for entry in page["publications"]:
                key = self.notes.signature.read(channel, entry["content"])
                stream[Position(page["epoch"], entry["offset"])] = key
            since = {"since": {"epoch": page["epoch"], "offset": page["publications"][-1]["offset"]}}

    async def end(self) -> None:
        """Everything down."""
        if self._stalls:
            self._stalls.cancel()
        for client in [*self.publishers, *self.readers]:
            await client.end()
        for node in self.nodes:
            node.kill()
        if self.commands:
            self._balancer.end()
        await asyncio.to_thread(self.redis.end)
        for node in self.nodes:
            if node.log.exists() and "panicked at" in node.output():
                self.books.unexpected.append(f"{node.name} panicked: {node.log}")


def _channels(number: int) -> dict[str, bool]:
    """Those of a reader: two that have a history, and one that has none."""
    kept = RARE if number >= _SUBSCRIBERS - 2 else (BUSY[number % 4], BUSY[(number + 1) % 4])
    names = *kept, PLAIN[number // 4 % 2]
    return {name: CHANNELS[name] for name in names}
