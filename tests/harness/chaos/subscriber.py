"""A subscriber that keeps its places, resumes behind them, and books all that it is told."""

import asyncio
import random

from ..clients import Native
from .books import BROADCASTS, Dropped, Gap, Notes, Position, Received, position_of
from .broadcasts import Broadcasts
from .channel import Channel
from .visitor import Visitor

#: Codes after which the same is tried again.
LATER = ("broker_unavailable", "broker_timeout", "internal")

# What ids of commands to leave begin with; those to subscribe are the channel's name.
_LEAVE = "leave "
# Until when what was refused is tried again, in seconds.
_SOON = 0.5


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
        notes: Notes,
        restless: float | None = None,
    ):
        super().__init__(name, nodes, codec, silence)
        self.restless = restless
        self.notes = notes
        self.now = notes.now
        track = notes.books.track
        self.broadcasts = Broadcasts(track(name, BROADCASTS))
        self.channels = {channel: Channel(track(name, channel), kept) for channel, kept in channels.items()}
        self._all = {**self.channels, BROADCASTS: self.broadcasts}

    def is_here(self) -> bool:
        """Whether it is subscribed to all channels."""
        return all(channel.here for channel in self._all.values())

    def place(self, channel: str) -> Position | None:
        """Where it is in a channel with a history."""
        return self._all[channel].place

    async def visit(self, client: Native) -> None:
        self.broadcasts.welcomed(self.now(), client.welcome, self.node.name)
        if not self.broadcasts.here:
            await client.send("recover_broadcast", **self.broadcasts.command())
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
        for channel in self._all.values():
            channel.left(self.now(), why)

    def _take(self, client: Native, event: dict) -> None:
        take = getattr(self, f"_take_{event['type']}", self._take_unknown)
        take(client, event)

    def _take_unknown(self, client: Native, event: dict) -> None:
        self.notes.unexpected(self.name, event)

    def _take_pong(self, client: Native, event: dict) -> None:
        pass

    def _take_ok(self, client: Native, event: dict) -> None:
        if event["id"].startswith(_LEAVE):
            self._take_leave(client, self.channels[event["id"].removeprefix(_LEAVE)])
            return
        channel = self._all[event["id"]]
        if channel.kept and channel.place and "recovered" not in event:
            self._take_unknown(client, event)
        channel.joined(self.now(), event, self.node.name)

    def _take_leave(self, client: Native, channel: Channel) -> None:
        channel.left(self.now(), "unsubscribed")
        self._subscribe_later(client, channel, self.restless or _SOON)

    def _take_error(self, client: Native, event: dict) -> None:
        channel = self._all.get(event.get("id"))
        if channel is None or event["code"] not in LATER:
            self._take_unknown(client, event)
            return
        self._subscribe_later(client, channel, _SOON)

    def _subscribe_later(self, client: Native, channel: Channel, within: float) -> None:
        asyncio.get_running_loop().call_later(random.uniform(0, within), self._subscribe, client, channel)

    def _subscribe(self, client: Native, channel: Channel) -> None:
        if client is self.client:
            kind = "recover_broadcast" if channel is self.broadcasts else "subscribe"
            asyncio.ensure_future(_quietly(client.send(kind, **channel.command())))

    def _take_message(self, client: Native, event: dict) -> None:
        self._take_content(client, event, self.channels[event["channel"]])

    def _take_broadcast(self, client: Native, event: dict) -> None:
        self._take_content(client, event, self.broadcasts)

    def _take_content(self, client: Native, event: dict, channel: Channel) -> None:
        key = self.notes.read(self.name, channel.track.channel, event)
        if key is None:
            return
        if not channel.kept:
            channel.track.note(Received(self.now(), key, None))
        elif not channel.takes():
            self._take_unknown(client, event)
        else:
            channel.arrived(self.now(), key, event["offset"])

    def _take_lost(self, client: Native, event: dict) -> None:
        channel = self.channels[event["channel"]] if "channel" in event else self.broadcasts
        channel.lost(self.now(), position_of(event))

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
