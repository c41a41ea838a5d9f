"""A subscriber that keeps its places, resumes behind them, and books all that it is told."""

import asyncio
import random

from ..clients import Native
from .books import Begun, Books, Dropped, Gap, Left, Lost, Position, Received, Repeated, Resumed, Signature, Track
from .visitor import Visitor

#: Codes after which the same is tried again.
LATER = ("broker_unavailable", "broker_timeout", "internal")

# What ids of commands to leave begin with; those to subscribe are the channel's name.
_LEAVE = "leave "
# Until when what was refused is tried again, in seconds.
_SOON = 0.5


def position_of(event: dict) -> Position:
    """The place that an event names."""
    return Position(event["epoch"], event["offset"])


class Channel:
    """A channel as a subscriber keeps it."""

    def __init__(self, track: Track, kept: bool):
        self.track = track
        self.kept = kept
        self.place: Position | None = None
        self.begun = False
        #: Whether this connection's subscription was answered.
        self.here = False
        #: Whether it asked to leave, and was not answered.
        self.leaves = False

    def command(self) -> dict:
        """What is sent to subscribe."""
        recover = {"recover": self.place._asdict()} if self.place else {}
        return {"channel": self.track.channel, "id": self.track.channel, **recover}

    def left(self, at: float, why: str) -> None:
        """Its subscription has ended."""
        if self.here:
            self.track.note(Left(at, why))
        self.here = self.leaves = False

    def joined(self, at: float, event: dict) -> None:
        """Takes `ok`."""
        position = position_of(event) if self.kept else None
        if not self.begun:
            self.track.note(Begun(at, position))
        else:
            self.track.note(Resumed(at, self.place, position, event.get("recovered")))
        self.begun = self.here = True
        self.place = position


class Subscriber(Visitor):
    """Subscribes to `channels`, each with whether it has a history.

    One that is `restless` leaves again after a while, its connection or a channel, of up to so many seconds.
    """

    def __init__(
        self,
        name: str,
        nodes: list,
        codec,
        silence: float,
        *,
        channels: dict[str, bool],
        books: Books,
        now,
        signature: Signature,
        restless: float | None = None,
    ):
        super().__init__(name, nodes, codec, silence)
        self.restless = restless
        self.books = books
        self.now = now
        self.signature = signature
        self.channels = {channel: Channel(books.track(name, channel), kept) for channel, kept in channels.items()}

    def is_here(self) -> bool:
        """Whether it is subscribed to all channels."""
        return all(channel.here for channel in self.channels.values())

    def place(self, channel: str) -> Position | None:
        """Where it is in a channel with a history."""
        return self.channels[channel].place

    async def visit(self, client: Native) -> None:
        for channel in self.channels.values():
            await client.send("subscribe", **channel.command())
        restless = asyncio.ensure_future(self._leave_now_and_then(client))
        try:
            while True:
                self._take(client, await self.event(client))
        finally:
            restless.cancel()

    async def _leave_now_and_then(self, client: Native) -> None:
        while self.restless:
            await asyncio.sleep(random.uniform(0.1, self.restless))
            channel = random.choice([*self.channels.values()])
            if random.random() < 0.5:
                client.socket.transport.abort()
            elif channel.here and not channel.leaves:
                channel.leaves = True
                name = channel.track.channel
                await _quietly(client.send("unsubscribe", channel=name, id=_LEAVE + name))

    def left(self, why: str) -> None:
        for channel in self.channels.values():
            channel.left(self.now(), why)

    def _take(self, client: Native, event: dict) -> None:
        take = getattr(self, f"_take_{event['type']}", self._take_unknown)
        take(client, event)

    def _take_unknown(self, client: Native, event: dict) -> None:
        self.books.unexpected.append(f"{self.name} at {self.now():.3f} s: {event}")

    def _take_pong(self, client: Native, event: dict) -> None:
        pass

    def _take_ok(self, client: Native, event: dict) -> None:
        if event["id"].startswith(_LEAVE):
            self._take_leave(client, self.channels[event["id"].removeprefix(_LEAVE)])
            return
        channel = self.channels[event["id"]]
        if channel.kept and channel.place and "recovered" not in event:
            self._take_unknown(client, event)
        channel.joined(self.now(), event)

    def _take_leave(self, client: Native, channel: Channel) -> None:
        channel.left(self.now(), "unsubscribed")
        self._subscribe_later(client, channel, self.restless or _SOON)

    def _take_error(self, client: Native, event: dict) -> None:
        channel = self.channels.get(event.get("id"))
        if channel is None or event["code"] not in LATER:
            self._take_unknown(client, event)
            return
        self._subscribe_later(client, channel, _SOON)

    def _subscribe_later(self, client: Native, channel: Channel, within: float) -> None:
        asyncio.get_running_loop().call_later(random.uniform(0, within), self._subscribe, client, channel)

    def _subscribe(self, client: Native, channel: Channel) -> None:
        if client is self.client:
            asyncio.ensure_future(_quietly(client.send("subscribe", **channel.command())))

    def _take_message(self, client: Native, event: dict) -> None:
        channel = self.channels.get(event["channel"])
        try:
            key = self.signature.read(event["channel"], event["content"])
        except ValueError as error:
            self.books.unexpected.append(f"{self.name} at {self.now():.3f} s: {error}")
            return
        if not channel.kept:
            channel.track.note(Received(self.now(), key, None))
        elif not channel.here:
            self._take_unknown(client, event)
        else:
            self._take_kept(channel, Position(channel.place.epoch, event["offset"]), key)

    def _take_kept(self, channel: Channel, position: Position, key) -> None:
        if position.offset <= channel.place.offset:
            channel.track.note(Repeated(self.now(), key, position))
            return
        channel.track.note(Received(self.now(), key, position))
        channel.place = position

    def _take_lost(self, client: Native, event: dict) -> None:
        channel = self.channels[event["channel"]]
        channel.place = position_of(event)
        channel.track.note(Lost(self.now(), channel.place))

    def _take_gap(self, client: Native, event: dict) -> None:
        for channel in self.channels.values():
            channel.track.note(Gap(self.now(), event["seconds"]))

    def _take_dropped(self, client: Native, event: dict) -> None:
        for channel in self.channels.values():
            if not channel.kept:
                channel.track.note(Dropped(self.now(), event["count"]))


async def _quietly(sending) -> None:
    """For what the end of a connection makes needless."""
    await asyncio.gather(sending, return_exceptions=True)
