"""A channel that the user wants, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, TypeVar

from .error import FanwireError
from .event import Join, Leave, Message, member_of
from .position import Position, place_of
from .tracked import Answer, Ask, Tracked

T = TypeVar("T")

_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


class Subscription(Tracked[Message | Join | Leave]):
    """What a channel tells: `async for event in subscription`. It holds until `unsubscribe`, over all connections."""

    def __init__(
        self,
        channel: str,
        limit: int,
        since: Position | None,
        extra: dict[str, Any],
        ask: Ask,
        forget: Callable[[], object],
    ):
        super().__init__(limit, since, ask, forget, pauses=True)
        self.channel = channel
        self._extra = extra
        #: Whether it is in force on this connection.
        self._in_force = False
        #: Left because the queue is full, until half of it is free.
        self._paused = False
        #: The newest attempt to subscribe; the answers to others matter no longer.
        self._asked = 0
        self._failures = 0
        self._again: asyncio.TimerHandle | None = None

    def unsubscribe(self) -> None:
        """Ends it."""
        if not self._over:
            self._leave()
            self._finish()

    def _leave(self) -> None:
        """Leaves the channel on this connection; whatever it was asked for before is of no matter."""
        self._disconnected()
        self._ask({"type": "unsubscribe", "channel": self.channel})

    def _connected(self) -> None:
        """There is a connection."""
        self._cancel_timer()
        place = self._track.place
        # A full queue has no room for what recovering brings.
        self._paused = self._paused or (self._is_full and place is not None)
        if self._over or self._paused:
            return
        self._asked += 1
        recover = {} if place is None else {"recover": place.spelt()}
        self._ask(
            {"type": "subscribe", "channel": self.channel, **recover, **self._extra},
            self._unless_outdated(self._granted),
            self._unless_outdated(self._refused),
        )

    def _unless_outdated(self, take: Callable[[T], None]) -> Callable[[T], None]:
        asked = self._asked

        def taking(given: T) -> None:
            if asked == self._asked:
                take(given)

        return taking

    def _disconnected(self) -> None:
        """There is none any more."""
        self._cancel_timer()
        self._asked += 1
        self._in_force = False

    def _cancel_timer(self) -> None:
        if self._again is not None:
            self._again.cancel()

    def _granted(self, answer: Answer) -> None:
        self._failures = 0
        self._in_force = True
        self._begin(place_of(answer), answer.get("recovered"), answer.get("newest"))

    def _refused(self, error: FanwireError) -> None:
        if error.code == "no_history" and self._track.place is not None:
            # It keeps none any more: the node has to be asked without a place.
            self._track.place = None
            self._tell_lost()
            self._connected()
        elif error.is_final:
            self._finish(error)
        else:
            self._ask_later(error)

    def _ask_later(self, error: FanwireError) -> None:
        # An answer that was too late: what came behind it is not known.
        if error.code == "already_subscribed":
            self._leave()
        bound = min(_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 32)
        self._again = asyncio.get_running_loop().call_later(bound * random.random(), self._connected)

    def _event(self, event: dict[str, Any]) -> None:
        """The node sent an event of the channel."""
        match event["type"]:
            case "message":
                self._message(event["content"], event.get("offset"))
            case "lost":
                place = Position(event["epoch"], event["offset"])
                if self._takes() and self._track.lost(place):
                    self._tell_lost()
            case "join":
                self._tell(Join(member_of(event), event.get("first", False)))
            case "leave":
                self._tell(Leave(member_of(event), event.get("last", False)))

    def _message(self, content: Any, offset: int | None) -> None:
        if offset is None:
            self._tell(Message(content))
        elif self._takes() and self._track.see(offset):
            self._tell(Message(content, self._track.place))

    def _takes(self) -> bool:
        """Whether what has a place is to be told. With a full queue the channel is left, to be resumed later."""
        if self._in_force and self._is_full:
            self._paused = True
            self._leave()
        return self._in_force

    def _drained(self) -> None:
        if self._paused:
            self._paused = False
            self._connected()

    def _finish(self, error: FanwireError | None = None) -> None:
        self._disconnected()
        super()._finish(error)
