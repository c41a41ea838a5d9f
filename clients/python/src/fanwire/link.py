"""One connection after the other, to one URL after the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Protocol

from .backoff import Backoff
from .codec import Codec
from .connection import Hearer, UpgradeRefused, open_connection
from .error import FanwireError
from .options import Options
from .retry import Pace, after_close, after_refusal
from .tokens import expiry, obtain, renewal

# Tokens that nodes refuse one after the other before that is final.
_REFUSALS = 2
_UNAUTHORIZED = 401


class User(Hearer, Protocol):
    """Who hears of connections, and of the time without one."""

    def away(self, error: FanwireError, wait: float | None) -> None:
        """There is no connection; another is tried after `wait` seconds, or none if that is `None`."""

    async def refresh(self, token: str) -> bool:
        """Renews the token of this connection; tells whether the node has taken it."""


class Link:
    """Keeps a client connected."""

    def __init__(self, urls: Sequence[str], options: Options, codec: Codec, user: User):
        self._urls = urls
        self._url = random.randrange(len(urls))
        self._options = options
        self._codec = codec
        self._user = user
        self._backoff = Backoff(options.first_wait, options.longest_wait)
        self._away_since = time.monotonic()
        self._refusals = 0

    async def run(self) -> None:
        """Works until no other attempt helps, or this is cancelled."""
        while True:
            error, pace = await self._attempt()
            wait = self._next_wait(pace)
            self._user.away(error, wait)
            if wait is None:
                return
            await asyncio.sleep(wait)

    def _next_wait(self, pace: Pace | None) -> float | None:
        if pace is None or self._refusals >= _REFUSALS:
            return None
        wait = self._backoff.wait(pace, random.random())
        late = time.monotonic() + wait - self._away_since > self._options.give_up_after
        return None if late else wait

    async def _attempt(self) -> tuple[FanwireError, Pace | None]:
        """How a connection, or the attempt at one, ended, and when to try again."""
        renewable = callable(self._options.token)
        try:
            await self._live()
        except UpgradeRefused as refused:
            status = refused.error.status or 0
            self._refusals += status == _UNAUTHORIZED
            return refused.error, after_refusal(status, refused.retry_after, renewable=renewable)
        except FanwireError as error:
            hopeless = error.code in ("not_understood", "bad_options")
            return error, None if hopeless else after_close(error.close_code or 1006, renewable=renewable)
        raise AssertionError("a connection ends with an error")

    async def _live(self) -> None:
        source = self._options.token
        token = None if source is None else await obtain(source, self._options.connect_timeout)
        url = self._urls[self._url % len(self._urls)]
        self._url += 1
        async with open_connection(url, self._options, self._codec, token) as connection:
            began = time.monotonic()
            self._refusals = 0
            renewing = asyncio.create_task(self._renew(token))
            try:
                await connection.run(self._user)
            finally:
                renewing.cancel()
                self._away_since = time.monotonic()
                self._backoff.ended(self._away_since - began)

    async def _renew(self, token: str | None) -> None:
        """Sends a newer token before one ends. If that fails it is tried again, sooner and sooner."""
        source = self._options.token
        if token is None or not callable(source):
            return
        while (ends := expiry(token)) is not None and (left := ends - time.time()) > 0:
            await asyncio.sleep(renewal(left, random.random()))
            try:
                newer = await obtain(source, self._options.connect_timeout)
            except FanwireError:
                continue
            if await self._user.refresh(newer):
                token = newer
