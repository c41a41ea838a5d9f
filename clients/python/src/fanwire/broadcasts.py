"""The broadcasts as the user sees them, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .error import FanwireError
from .event import Broadcast
from .position import Position, place_of
from .tracked import Answer, Ask, Tracked

# Live broadcasts that are held back at most while missed ones come.
_HELD = 1024
_PAUSE = 1.0


@dataclass(eq=False)
class _Hold:
    """The time from a welcome until all that was missed before it, up to its place, has come."""

    until: Position
    live: list[dict[str, Any]] = field(default_factory=list)


class Broadcasts(Tracked[Broadcast]):
    """All broadcasts: `async for event in broadcasts`."""

    def __init__(self, limit: int, since: Position | None, ask: Ask, forget: Callable[[], object]):
        super().__init__(limit, since, ask, forget, pauses=False)
        self._hold: _Hold | None = None

    def _welcomed(self, place: Position | None) -> None:
        """A connection begins at `place`."""
        own = self._track.place
        # What an earlier connection held comes again.
        self._hold = _Hold(place) if own is not None and place is not None and not own.reaches(place) else None
        if self._hold is None:
            self._begin(place)

    def _connected(self) -> None:
        """Commands can be sent."""
        hold, place = self._hold, self._track.place
        if hold is None or place is None:
            return
        self._ask(
            {"type": "recover_broadcast", **place.spelt()},
            lambda answer: self._answered(answer, hold),
            lambda error: self._refused(error, hold),
        )

    def _answered(self, answer: Answer, hold: _Hold) -> None:
        if hold is not self._hold:
            return
        if answer.get("recovered"):
            self._begin(place_of(answer), True, hold.until.offset)
        else:
            self._give_up(place_of(answer))

    def _refused(self, error: FanwireError, hold: _Hold) -> None:
        if hold is not self._hold:
            return
        if error.is_final:
            self._give_up(hold.until)
        else:
            asyncio.get_running_loop().call_later(_PAUSE * random.random(), self._ask_again, hold)

    def _ask_again(self, hold: _Hold) -> None:
        if hold is self._hold:
            self._connected()

    def _give_up(self, place: Position | None) -> None:
        """What was missed up to `place` can't be had."""
        self._begin(place, False)
        self._release()

    def _event(self, event: dict[str, Any]) -> None:
        """The node sent a broadcast, or lost some."""
        offset: int | None = event.get("offset")
        if event["type"] == "lost":
            if self._track.lost(Position(event["epoch"], event["offset"])):
                self._tell_lost()
            self._catch_up()
        elif self._hold is not None and offset is not None and offset > self._hold.until.offset:
            self._keep(event, self._hold)
        else:
            if offset is None or self._track.see(offset):
                self._tell(Broadcast(event["content"], self._track.place))
            self._catch_up()

    def _keep(self, event: dict[str, Any], hold: _Hold) -> None:
        hold.live.append(event)
        if len(hold.live) > _HELD:
            self._give_up(hold.until)

    def _catch_up(self) -> None:
        """Goes on with the live ones once everything before them has come."""
        hold, place = self._hold, self._track.place
        if hold is not None and place is not None and (place.reaches(hold.until) or place.epoch != hold.until.epoch):
            self._release()

    def _release(self) -> None:
        live = [] if self._hold is None else self._hold.live
        self._hold = None
        for event in live:
            self._event(event)

    def _finish(self, error: FanwireError | None = None) -> None:
        self._hold = None
        super()._finish(error)
