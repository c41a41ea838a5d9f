"""The client: what its user calls."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from .broadcasts import Broadcasts
from .codec import codec_of
from .commands import Commands, Repeat
from .error import FanwireError, refusal
from .event import (
    ClientEvent, Closed, Connected, ConnectionId, Disconnected, Dropped, Gap, Member, Refused, Welcome, member_of,
)  # fmt: skip
from .link import Link
from .options import Options
from .position import Position, place_of
from .results import Members, Page, PresenceStats, Publication
from .subscription import Subscription
from .tracked import Answer

_log = logging.getLogger("fanwire")
_URL = re.compile(r"wss?://[^@/?#]+([/?][^#]*)?")
_ABSENT: Any = object()


def connect(urls: str | Sequence[str], options: Options = Options()) -> Client:
    """A client for `async with`. Several URLs are taken in turn.

    It connects by itself, and stays connected until the end of the block.
    """
    return Client([urls] if isinstance(urls, str) else list(urls), options)


class Client:
    """A client of a cluster. It belongs to the event loop in which it was entered."""

    def __init__(self, urls: list[str], options: Options):
        wrong = [url for url in urls if not _URL.fullmatch(url)]
        if wrong or not urls:
            shown = repr(re.sub("//.*@", "//***@", wrong[0])) if wrong else "none"
            raise FanwireError("bad_options", f"{shown} is no URL of a node, such as wss://example.com/ without a login")
        self._options = options
        self._codec = codec_of(options.encoding)
        self._commands = Commands(self._codec.encode, options.answer_timeout, options.commands)
        self._wanted: dict[str, Subscription] = {}
        self._broadcasts: Broadcasts | None = None
        self._place: Position | None = None
        self._listeners: list[Callable[[ClientEvent], object]] = []
        self._welcome: Welcome | None = None
        self._is_ready = False
        self._closed: FanwireError | None = FanwireError("closed", "this client has not been entered: async with")
        self._link = Link(urls, options, self._codec, _Hearing(self))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise FanwireError("bad_options", "a client can be entered once")
        self._closed = None
        self._task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        try:
            await self._link.run()
        except Exception as error:
            _log.exception("the client failed")
            self._away(FanwireError("internal", f"the client failed: {error!r}"), None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection and everything that was asked for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._closed is None:
            self._away(FanwireError("closed", "closed by this client"), None)

    def on(self, listener: Callable[[ClientEvent], object]) -> Callable[[], None]:
        """Calls `listener` with what concerns the client as a whole; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def welcome(self) -> Welcome | None:
        """What the node said of itself, while there is a connection."""
        return self._welcome if self._is_ready else None

    async def connected(self) -> Welcome:
        """Waits for a connection and an answer of its node, `answer_timeout` at most."""
        await self._request({"type": "ping"}, "reconnect")
        assert self._welcome is not None
        return self._welcome

    def subscribe(self, channel: str, *, since: Position | None = None, info: Any = _ABSENT) -> Subscription:
        """Subscribes to `channel`, now and on every connection to come, until the end of its block or `unsubscribe`.

        What was published `since` comes first. `info` is what others see of this connection on a channel with presence.
        """
        self._check_open()
        if channel in self._wanted:
            raise FanwireError("already_subscribed", f"already subscribed to {channel}")
        extra = {} if info is _ABSENT else {"info": info}
        self._codec.encode({"channel": channel, **extra})
        forget = lambda: self._wanted.pop(channel, None)
        subscription = Subscription(channel, self._options.queue, since, extra, self._ask, forget)
        self._wanted[channel] = subscription
        if self._is_ready:
            subscription._connected()
        return subscription

    def broadcasts(self, *, since: Position | None = None) -> Broadcasts:
        """The broadcasts, from now on, or from `since` on, which has to be given before there is a connection."""
        self._check_open()
        if self._broadcasts is not None:
            raise FanwireError("already_subscribed", "already subscribed to broadcasts")
        if since is not None and self._welcome is not None:
            raise FanwireError("bad_options", "since has to be given before there is a connection")
        self._broadcasts = made = Broadcasts(self._options.queue, since, self._ask, self._forget_broadcasts)
        if self._is_ready:
            made._welcomed(self._place)
        return made

    def _forget_broadcasts(self) -> None:
        self._broadcasts = None

    async def publish(
        self, channel: str, content: Any, *, echo: bool = True, once: bool | str = False
    ) -> Position | None:
        """Publishes `content`, any JSON value or bytes; returns its place where the channel has a history.

        Without `echo` this connection doesn't get it. With `once` it is published at most once, however often it has to be
        sent: with a random key, or the one given (1 to 64 bytes). It is then sent until it is answered or
        `answer_timeout` is over. Only where there is a history.
        """
        return await self._send({"type": "publish", "channel": channel, "content": content, "echo": echo}, once)

    async def broadcast(self, content: Any, *, echo: bool = False, once: bool | str = False) -> Position | None:
        """The same to every connection of the cluster."""
        return await self._send({"type": "broadcast", "content": content, "echo": echo}, once)

    async def _send(self, command: dict[str, Any], once: bool | str) -> Position | None:
        if not once:
            return place_of(await self._request(command, "never"))
        key = secrets.token_hex(16) if once is True else once
        return place_of(await self._request(command | {"idempotency_key": key}, "insist"))

    async def history(
        self, channel: str, *, since: Position | None = None, limit: int = 100, reverse: bool = False
    ) -> Page:
        """A part of a channel's history: those behind `since`, or before it with `reverse`, newest first."""
        begin = {} if since is None else {"since": since.spelt()}
        command = {"type": "history", "channel": channel, "limit": limit, "reverse": reverse, **begin}
        answer = await self._request(command, "reconnect")
        publications = [Publication(each["offset"], each["content"]) for each in answer["publications"]]
        return Page(Position(answer["epoch"], answer["offset"]), publications)

    async def pages(self, channel: str, *, since: Position | None = None, limit: int = 100) -> AsyncIterator[Page]:
        """The whole history, page by page, behind `since` or from the oldest one kept, up to the newest.

        If a page's epoch is another than that of `since`, `since` counted for nothing; if its first offset is beyond the one
        after `since`, what lies between is not kept any more.
        """
        while (page := await self.history(channel, since=since, limit=limit)).publications:
            yield page
            last = page.publications[-1].offset
            if last >= page.position.offset:
                return
            since = page.position.at(last)

    async def presence(self, channel: str, *, limit: int = 100, after: ConnectionId | None = None) -> Members:
        """Who is on `channel`, behind the connection `after`."""
        begin = {} if after is None else {"after": after}
        answer = await self._request({"type": "presence", "channel": channel, "limit": limit, **begin}, "reconnect")
        return Members([member_of(each) for each in answer["members"]], answer["more"])

    async def members(self, channel: str) -> AsyncIterator[Member]:
        """All who are on `channel`."""
        page = Members([], more=True)
        while page.more:
            after = page.members[-1].connection if page.members else None
            page = await self.presence(channel, limit=1000, after=after)
            for member in page.members:
                yield member

    async def presence_stats(self, channel: str) -> PresenceStats:
        """How many are on `channel`."""
        answer = await self._request({"type": "presence_stats", "channel": channel}, "reconnect")
        return PresenceStats(answer["connections"], answer["users"])

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed

    def _ask(
        self,
        command: dict[str, Any],
        done: Callable[[Answer], object] = lambda _: None,
        failed: Callable[[FanwireError], object] = lambda _: None,
    ) -> None:
        # The next connection begins with all that is wanted.
        if self._is_ready:
            self._commands.give(command, "never", done, failed)

    async def _request(self, command: dict[str, Any], repeat: Repeat) -> Answer:
        self._check_open()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(given: Answer) -> None:
            if not answer.done():
                answer.set_result(given)

        def failed(error: FanwireError) -> None:
            if not answer.done():
                answer.set_exception(error)

        self._commands.give(command, repeat, done, failed)
        return await answer

    def _away(self, error: FanwireError, wait: float | None) -> None:
        self._is_ready = False
        if wait is None:
            self._closed = error
        for subscription in list(self._wanted.values()):
            subscription._disconnected()
        self._commands.disconnected(error, for_good=wait is None)
        if wait is not None:
            return self._tell(Disconnected(error, wait))
        reason = None if error.code == "closed" else error
        for subscription in list(self._wanted.values()):
            subscription._finish(reason)
        if self._broadcasts is not None:
            self._broadcasts._finish(reason)
        self._tell(Closed(error))

    def _tell(self, event: ClientEvent) -> None:
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception:
                _log.exception("a listener failed")


class _Hearing:
    """What the link tells the client."""

    def __init__(self, client: Client):
        self._client = client

    def welcome(self, welcome: Welcome) -> None:
        client = self._client
        client._welcome, client._place = welcome, welcome.broadcast
        if client._broadcasts is not None:
            client._broadcasts._welcomed(welcome.broadcast)

    def ready(self, send: Callable[[bytes], None]) -> None:
        client = self._client
        client._is_ready = True
        client._commands.connected(send, self._ask_again)
        assert client._welcome is not None
        client._tell(Connected(client._welcome))

    def _ask_again(self) -> None:
        """Missed broadcasts first, then channels."""
        if self._client._broadcasts is not None:
            self._client._broadcasts._connected()
        for subscription in list(self._client._wanted.values()):
            subscription._connected()

    def event(self, event: dict[str, Any]) -> None:
        client = self._client
        match event:
            case {"id": _}:
                client._commands.answered(event)
            case {"channel": channel}:
                if subscription := client._wanted.get(channel):
                    subscription._event(event)
            case {"type": "broadcast" | "lost"}:
                self._broadcast(event)
            case {"type": "gap", "seconds": seconds}:
                self._general(Gap(seconds))
            case {"type": "dropped", "count": count}:
                self._general(Dropped(count))
            case {"type": "error"}:
                client._tell(Refused(refusal(event)))

    def _broadcast(self, event: dict[str, Any]) -> None:
        client = self._client
        if "epoch" in event:
            client._place = place_of(event)
        elif client._place is not None and "offset" in event:
            client._place = client._place.at(event["offset"])
        if client._broadcasts is not None:
            client._broadcasts._event(event)

    def _general(self, event: Gap | Dropped) -> None:
        client = self._client
        for subscription in client._wanted.values():
            subscription._general(event)
        if client._broadcasts is not None:
            client._broadcasts._general(event)
        client._tell(event)

    def away(self, error: FanwireError, wait: float | None) -> None:
        self._client._away(error, wait)

    async def refresh(self, token: str) -> bool:
        try:
            await self._client._request({"type": "refresh", "token": token}, "never")
        except FanwireError as error:
            self._client._tell(Refused(error))
            return False
        return True
