"""Events on their way to the user."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar

from .error import FanwireError
from .event import Dropped

E = TypeVar("E")


class Stream(Generic[E]):
    """A bounded queue for `async for`, and a context manager that ends what fills it."""

    def __init__(self, limit: int):
        self._limit = limit
        self._queue: deque[E | Dropped] = deque()
        self._arrived = asyncio.Event()
        self._error: FanwireError | None = None
        self._over = False

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= self._limit

    def _tell(self, event: E, *, must: bool = False) -> None:
        """Tells `event`. When the queue is full it is counted instead, in its place, unless it `must` be told."""
        if self._over:
            return
        if must or not self._is_full:
            self._queue.append(event)
        else:
            self._drop(event.count if isinstance(event, Dropped) else 1)
        self._arrived.set()

    def _drop(self, count: int) -> None:
        last = self._queue[-1]
        if isinstance(last, Dropped):
            self._queue[-1] = Dropped(last.count + count)
        else:
            self._queue.append(Dropped(count))

    def _end(self, error: FanwireError | None = None) -> None:
        """Nothing follows what has been told."""
        if not self._over:
            self._over, self._error = True, error
            self._arrived.set()

    def _drained(self) -> None:
        """Half of the queue is free."""

    def unsubscribe(self) -> None:
        """Ends it."""
        self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E | Dropped:
        """The next event; waits until there is one. Safe to cancel."""
        while not self._queue:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event = self._queue.popleft()
        if len(self._queue) <= self._limit / 2:
            self._drained()
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unsubscribe()
