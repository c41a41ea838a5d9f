"""Clients that come back when their connection ends, and the books of what they went through.

Needs a URL and nothing else: `crowd` connects clients that keep a log, `Source` publishes numbered messages to them,
`Account` says what the logs come to.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .clients import Json

# As simple as a client can be that does not come back in step with all others: the first wait is up to _FIRST_WAIT,
# each one that follows a failure up to twice as long.
_FIRST_WAIT = 0.5
# After a close that says that other nodes take over (crates/protocol/README.md).
_AFTER_DRAIN = 0.2
_LONGEST_WAIT = 5.0
# Clocks of a node and of a client, and what is under way between them, in seconds.
_SLACK = 0.5
# How long after the fact a client of a very busy machine may notice its end, in seconds.
_LATE = 2.0


@dataclass
class Visit:
    """One connection of a client: from the answer to its subscription to its end."""

    began: float
    # The messages' numbers, in the order in which they came, and when.
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    ended: float | None = None
    close_code: int | None = None


def _options(**options):
    settings = {"compression": None, "proxy": None, "ping_interval": None, "max_queue": None, "close_timeout": 5}
    return settings | {"open_timeout": 10, "subprotocols": [Json.subprotocol]} | options


async def _visits(url: str, refused: list[tuple[float, str]], **options):
    """Connections one after another, with a jittered wait between them, for ever."""
    wait = _FIRST_WAIT
    while True:
        try:
            socket = await connect(url, **_options(**options))
        except (OSError, InvalidHandshake, TimeoutError, asyncio.TimeoutError, ConnectionClosed) as error:
            refused.append((time.monotonic(), _told(error)))
        else:
            async with socket:
                yield socket
            wait = _AFTER_DRAIN if socket.close_code == 1012 else _FIRST_WAIT
        await asyncio.sleep(random.uniform(0, wait))
        wait = min(max(2 * wait, _FIRST_WAIT), _LONGEST_WAIT)


def _told(error: Exception) -> str:
    response = getattr(error, "response", None)
    return f"status {response.status_code}" if response is not None else type(error).__name__


class Client:
    """A subscriber that comes back for as long as it runs."""

    def __init__(self, url: str, channel: str, **options):
        self.url = url
        self.channel = channel
        self.visits: list[Visit] = []
        # Attempts to connect that failed: when, and with what.
        self.refused: list[tuple[float, str]] = []
        self.here = asyncio.Event()
        self._options = options
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for socket in _visits(self.url, self.refused, **self._options):
            try:
                await self._visit(socket)
            except ConnectionClosed:
                pass

    async def _visit(self, socket) -> None:
        visit = None
        try:
            await socket.send(json.dumps({"type": "subscribe", "id": "s", "channel": self.channel} | self._from()))
            async for text in socket:
                event = json.loads(text)
                if event["type"] == "message":
                    visit.numbers.append(event["content"])
                    visit.times.append(time.monotonic())
                    self._stand_at(event)
                elif event["type"] == "ok":
                    visit = Visit(time.monotonic())
                    self._stand_at(event)
                    self.visits.append(visit)
                    self.here.set()
                elif event["type"] != "welcome":
                    raise AssertionError(f"a subscriber was told {event}")
        finally:
            self.here.clear()
            if visit is not None:
                visit.ended, visit.close_code = time.monotonic(), socket.close_code

    def _from(self) -> dict:
        """What else it asks for."""
        return {}

    def _stand_at(self, event: dict) -> None:
        """Takes in the answer to a subscription, or a message."""

    def check_running(self) -> None:
        """Fails with what ended it, if something did."""
        if self._task.done():
            self._task.result()

    async def end(self) -> None:
        """Makes it leave for good; its last visit counts as one that has not ended."""
        last = self.visits[-1] if self.visits else None
        was_here = last is not None and last.ended is None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if was_here:
            last.ended = last.close_code = None


class Resuming(Client):
    """A subscriber of a channel with history, which goes on where it was."""

    _position: dict | None = None

    def _from(self) -> dict:
        return {"recover": self._position} if self._position else {}

    def _stand_at(self, event: dict) -> None:
        if event["type"] == "ok":
            assert event.get("recovered", True), f"not recovered from {self._position}: {event}"
            self._position = {"epoch": event["epoch"], "offset": event["offset"]}
        self._position["offset"] = event["offset"]


@dataclass
class Sent:
    """A publication: when it was sent, and when it was acknowledged."""

    sent: float
    acknowledged: float | None = None


class Source:
    """A publisher that comes back. It repeats nothing, and books what was acknowledged."""

    def __init__(self, url: str, channel: str, rate: float, **options):
        self.url = url
        self.channel = channel
        self.rate = rate
        self.publications: dict[int, Sent] = {}
        self.refused: list[tuple[float, str]] = []
        self.errors: Counter[str] = Counter()
        self._options = options
        self._numbers = itertools.count()
        self._stopped = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for socket in _visits(self.url, self.refused, **self._options):
            reader = asyncio.create_task(self._book(socket))
            try:
                await self._send(socket)
                await self._settled(socket)
                return
            except ConnectionClosed:
                pass
            finally:
                reader.cancel()

    async def _send(self, socket) -> None:
        due = time.monotonic()
        while not self._stopped:
            number = next(self._numbers)
            self.publications[number] = Sent(time.monotonic())
            command = {"type": "publish", "id": number, "channel": self.channel, "content": number}
            await socket.send(json.dumps(command))
            # To the pace, not to the pauses: what a busy machine has missed is made up for.
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _book(self, socket) -> None:
        async for text in socket:
            event = json.loads(text)
            if event["type"] == "ok":
                self.publications[event["id"]].acknowledged = time.monotonic()
            elif event["type"] == "error":
                self.errors[event["code"]] += 1

    async def _settled(self, socket) -> None:
        """Waits for the answers: they come in order, so a ping's comes last."""
        last = max(self.publications, default=None)
        while last is not None and self.publications[last].acknowledged is None and not self.errors:
            if socket.close_code is not None:
                return
            await asyncio.sleep(0.01)

    @property
    def acknowledged(self) -> dict[int, Sent]:
        """What certainly was published, by number."""
        return {number: sent for number, sent in self.publications.items() if sent.acknowledged is not None}

    async def end(self) -> None:
        """Stops publishing and waits for the last answers."""
        self._stopped = True
        await asyncio.wait_for(self._task, 30)


@asynccontextmanager
async def crowd(url: str, count: int, channel: str, within: float = 60.0, kind: type[Client] = Client, **options):
    """`count` clients that are all subscribed; they leave with the block, and then their logs are complete."""
    clients = [kind(url, channel, **options) for _ in range(count)]
    try:
        await all_here(clients, within)
        yield clients
    finally:
        for client in clients:
            await client.end()
    for client in clients:
        assert client.visits, f"a client never got in: {client.refused[-3:]}"


async def all_here(clients: list[Client], within: float = 60.0) -> None:
    """Waits until all of them are subscribed."""
    waiting = asyncio.gather(*(client.here.wait() for client in clients))
    try:
        await asyncio.wait_for(waiting, within)
    except asyncio.TimeoutError:
        away = [client.refused[-3:] for client in clients if not client.here.is_set()]
        raise AssertionError(f"{len(away)} of {len(clients)} clients are away after {within} s: {away[:5]}") from None
    for client in clients:
        client.check_running()


async def all_caught_up(clients: list[Client], source: Source, within: float = 60.0) -> None:
    """Waits until every client has something that is published from now on: so it is back, whatever came before."""
    have = max(source.publications, default=-1)
    await _all_received(clients, lambda last: last > have, f"anything after {have}", within)


async def all_complete(clients: list[Client], source: Source, within: float = 30.0) -> None:
    """Ends the source and waits until its last publication has come to every client."""
    await source.end()
    last = max(source.acknowledged)
    await _all_received(clients, lambda number: number >= last, f"{last}", within)


async def _all_received(clients: list[Client], enough, what: str, within: float) -> None:
    deadline = time.monotonic() + within
    while missing := [c for c in clients if not (c.visits and any(map(enough, c.visits[-1].numbers[-1:])))]:
        assert time.monotonic() < deadline, f"{len(missing)} of {len(clients)} clients never received {what}"
        for client in missing:
            client.check_running()
        await asyncio.sleep(0.05)


@dataclass
class Account:
    """What became of all clients, in seconds since `began`."""

    began: float
    clients: int
    published: int
    acknowledged: int
    received: int
    # Acknowledged publications that a client missed while it was away.
    lost: int
    # When clients were back.
    reconnects: list[float]
    closes: Counter
    refused: Counter
    # The longest time from one message to the next, of each client.
    silences: list[float]
    # How long each absence was.
    absences: list[float]

    @classmethod
    def of(cls, clients: list[Client], source: Source) -> "Account":
        """The account of clients that have left; fails where a promise was broken (see `check`)."""
        check(clients, source)
        began = min(sent.sent for sent in source.publications.values())
        absences = [(one.ended, two.began) for c in clients for one, two in itertools.pairwise(c.visits)]
        acknowledged = source.acknowledged
        return cls(
            began=began,
            clients=len(clients),
            published=len(source.publications),
            acknowledged=len(acknowledged),
            received=sum(len(visit.numbers) for client in clients for visit in client.visits),
            lost=sum(len(lost_by(client, acknowledged)) for client in clients),
            reconnects=sorted(back - began for _, back in absences),
            closes=Counter(v.close_code for c in clients for v in c.visits if v.ended is not None),
            refused=Counter(what for client in clients for _, what in client.refused),
            silences=[silence(client) for client in clients],
            absences=[back - gone for gone, back in absences],
        )

    def histogram(self, width: float = 1.0) -> list[tuple[float, int]]:
        """How many were back in each `width` seconds, from the first to the last, empty ones too."""
        return histogram(self.reconnects, width)

    def text(self, width: float = 1.0) -> str:
        """All of it for people."""
        rows = self.histogram(width)
        scale = max((count for _, count in rows), default=1) / 50
        bars = [f"{start:7.1f} s {count:5d} {'#' * round(count / max(scale, 1))}" for start, count in rows]
        waits = sorted(self.absences) or [0.0]
        return "\n".join(
            [
                f"{self.clients} clients, {self.published} published, {self.acknowledged} acknowledged, "
                f"{self.received} received, {self.lost} lost while away",
                f"closes {dict(self.closes)}, failed attempts {dict(self.refused)}",
                f"away: median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s; "
                f"greatest silence {max(self.silences):.2f} s",
                f"{len(self.reconnects)} came back:",
                *bars,
            ]
        )


def histogram(times: list[float], width: float) -> list[tuple[float, int]]:
    """How many of `times` fall into each `width`, from the first to the last that has any."""
    counts = Counter(int(moment // width) for moment in times)
    return [(n * width, counts[n]) for n in range(min(counts, default=0), max(counts, default=-1) + 1)]


def greatest_share(times: list[float], part: float) -> float:
    """The greatest share of `times` that lies within any stretch of `part` of their whole span."""
    ordered = sorted(times)
    width = (ordered[-1] - ordered[0]) * part
    first, most = 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] > width:
            first += 1
        most = max(most, last - first + 1)
    return most / len(ordered)


def silence(client: Client) -> float:
    """The longest time from one message to the next."""
    times = [moment for visit in client.visits for moment in visit.times]
    return max((two - one for one, two in itertools.pairwise(times)), default=0.0)


def lost_by(client: Client, acknowledged: dict[int, Sent]) -> list[int]:
    """The acknowledged publications since its first that a client did not get."""
    received = {number for visit in client.visits for number in visit.numbers}
    began = client.visits[0].began
    return [number for number, sent in acknowledged.items() if number not in received and sent.sent > began]


def check(clients: list[Client], source: Source) -> None:
    """The promises about a channel without history, for every client.

    At most once and in order, over all of its connections; and what was acknowledged and did not come falls into a time
    when the client was away.
    """
    acknowledged = source.acknowledged
    for client in clients:
        numbers = [number for visit in client.visits for number in visit.numbers]
        backwards = [(one, two) for one, two in itertools.pairwise(numbers) if two <= one]
        assert not backwards, f"repeated or out of order: {backwards[:5]}"
        assert set(numbers) <= source.publications.keys(), "a client got what nobody has published"
        away = [(_gone_since(one, source), two.began) for one, two in itertools.pairwise(client.visits)]
        lost = [(number, acknowledged[number]) for number in lost_by(client, acknowledged)]
        unexplained = [(number, sent) for number, sent in lost if not any(_touches(sent, *times) for times in away)]
        assert not unexplained, f"lost without having been away {away}: {unexplained[:5]}"
        _check_visits(client, acknowledged)


def _gone_since(visit: Visit, source: Source) -> float:
    """When the node let it go: behind the last message that came, and not long before the client noticed."""
    last = source.publications[visit.numbers[-1]].sent if visit.numbers else visit.began
    return max(last, visit.ended - _LATE)


def _touches(publication: Sent, gone: float, back: float) -> bool:
    return publication.acknowledged >= gone - _SLACK and publication.sent <= back


def _check_visits(client: Client, acknowledged: dict[int, Sent]) -> None:
    """Within one connection nothing is missing between what came."""
    for visit in client.visits:
        for one, two in itertools.pairwise(visit.numbers):
            missing = [number for number in range(one + 1, two) if number in acknowledged]
            assert not missing, f"missing inside of a connection: {missing[:5]} between {one} and {two}"
