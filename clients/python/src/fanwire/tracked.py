"""Streams that know where the user stands in a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .error import FanwireError
from .event import Dropped, Gap, Lost, Subscribed
from .position import Position
from .stream import Stream
from .track import Track

E = TypeVar("E")
Answer = dict[str, Any]


class Ask(Protocol):
    """Asks the node for something, if there is a connection; the next one begins with all that is wanted."""

    def __call__(
        self,
        command: dict[str, Any],
        done: Callable[[Answer], object] = ...,
        failed: Callable[[FanwireError], object] = ...,
    ) -> None: ...


class Tracked(Stream[E | Subscribed | Lost | Gap | Dropped]):
    """A stream of what may have a history."""

    def __init__(self, limit: int, since: Position | None, ask: Ask, forget: Callable[[], object], *, pauses: bool):
        super().__init__(limit)
        self._track = Track(since)
        self._ask = ask
        self._forget = forget
        #: Whether it is left while the queue is full, so that what it tells of its place always has room.
        self._pauses = pauses

    @property
    def position(self) -> Position | None:
        """The place up to which events were told or wait in the queue, where there is a history."""
        return self._track.place

    def _begin(self, granted: Position | None, recovered: bool | None = None, newest: int | None = None) -> None:
        outcome = self._track.begin(granted, recovered)
        if outcome == "lost":
            self._tell_lost()
        self._tell_place(Subscribed(outcome, self._track.place, newest if outcome == "recovered" else None))

    def _tell_lost(self) -> None:
        self._tell_place(Lost(self._track.place))

    def _tell_place(self, event: Subscribed | Lost) -> None:
        self._tell(event, must=self._pauses and self._track.place is not None)

    def _general(self, event: Gap | Dropped) -> None:
        """Something concerns all that has no history."""
        if self._track.place is None:
            self._tell(event)

    def _finish(self, error: FanwireError | None = None) -> None:
        """Nothing follows any more."""
        if not self._over:
            self._forget()
            self._end(error)

    def unsubscribe(self) -> None:
        """Ends it."""
        self._finish()
