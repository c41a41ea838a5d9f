"""A subscriber that keeps its places, resumes behind them, and books all that it is told."""

import asyncio
import random

from ..clients import Native
from .books import Begun, Books, Dropped, Gap, Left, Lost, Position, Received, Repeated, Resumed, Signature, Track
from .visitor import Visitor

#: Codes after which the same is tried again.
LATER = ("broker_unavailable", "broker_timeout", "internal")


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

    def command(self) -> dict:
        """What is sent to subscribe."""
        recover = {"recover": self.place._asdict()} if self.place else {}
        return {"channel": self.track.channel, "id": self.track.channel, **recover}

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
    """Subscribes to `channels`, each with whether it has a history."""

    def __init__(self, name: str, nodes: list, codec, silence: float, *, channels: dict[str, bool], books: Books, now, signature: Signature):
        super().__init__(name, nodes, codec, silence)
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
        while True:
            self._take(client, await self.event(client))

    def left(self, why: str) -> None:
        for channel in self.channels.values():
            if channel.here:
                channel.here = False
                channel.track.note(Left(self.now(), why))

    def _take(self, client: Native, event: dict) -> None:
        take = getattr(self, f"_take_{event['type']}", self._take_unknown)
        take(client, event)

    def _take_unknown(self, client: Native, event: dict) -> None:
        self.books.unexpected.append(f"{self.name} at {self.now():.3f} s: {event}")

    def _take_pong(self, client: Native, event: dict) -> None:
        pass

    def _take_ok(self, client: Native, event: dict) -> None:
        channel = self.channels[event["id"]]
        if channel.kept and channel.place and "recovered" not in event:
            self._take_unknown(client, event)
        channel.joined(self.now(), event)

    def _take_error(self, client: Native, event: dict) -> None:
        channel = self.channels.get(event.get("id"))
        if channel is None or event["code"] not in LATER:
            self._take_unknown(client, event)
            return
        asyncio.get_running_loop().call_later(random.uniform(0.1, 0.5), self._subscribe, client, channel)

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
