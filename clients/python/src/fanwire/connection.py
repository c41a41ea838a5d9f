"""One WebSocket to a node, from its making to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, ProxyError
from websockets.typing import Subprotocol

from .codec import Codec
from .error import FanwireError
from .event import Welcome
from .options import Options
from .position import place_of

# The longest message, in bytes; what a node sends may be several times as long as what it takes.
_LONGEST_MESSAGE = 64 * 1024 * 1024


class Hearer(Protocol):
    """Who hears of a connection."""

    def welcome(self, welcome: Welcome) -> None: ...
    def ready(self, send: Callable[[bytes], None]) -> None: ...
    def event(self, event: dict[str, Any]) -> None: ...


class UpgradeRefused(Exception):
    """The upgrade was answered with another HTTP status."""

    def __init__(self, error: FanwireError, retry_after: str | None):
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class Connection:
    """A connection that has been welcomed."""

    def __init__(self, socket: ClientConnection, codec: Codec, welcome: Welcome):
        self.welcome = welcome
        self._socket = socket
        self._codec = codec
        #: How many messages have come.
        self._heard = 0
        #: What is to be sent, bounded by the commands that may wait for answers.
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(self, hearer: Hearer) -> None:
        """Works until the connection ends, and raises how."""
        hearer.welcome(self.welcome)
        hearer.ready(self._outgoing.put_nowait)
        tasks = [asyncio.create_task(work) for work in (self._receive(hearer), self._send(), self._watch())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task in done:
                    task.result()
        except ConnectionClosed as error:
            raise closed(error) from None
        except FanwireError:
            # Nobody there would agree to a close.
            self._socket.transport.abort()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, hearer: Hearer) -> None:
        while True:
            event = decode(self._codec, await self._socket.recv())
            self._heard += 1
            try:
                hearer.event(event)
            except (KeyError, TypeError, ValueError) as error:
                raise FanwireError("not_understood", f"the node sent a broken {event['type']}: {error!r}") from error
            # What has arrived together must not fill the queues of those who would take it.
            await asyncio.sleep(0)

    async def _send(self) -> None:
        while True:
            await self._socket.send(await self._outgoing.get(), text=self._codec.is_text)

    async def _watch(self) -> None:
        """Two heartbeats without an answer of the node are its death."""
        while True:
            await asyncio.sleep(self.welcome.heartbeat)
            heard = self._heard
            try:
                async with asyncio.timeout(self.welcome.heartbeat):
                    await (await self._socket.ping())
            except TimeoutError:
                if self._heard == heard:
                    raise FanwireError("disconnected", "no sign of life for two heartbeats", close_code=1006) from None


@asynccontextmanager
async def open_connection(url: str, options: Options, codec: Codec, token: str | None) -> AsyncIterator[Connection]:
    """A connection to `url` whose welcome has been read; it is closed in the end."""
    # A query may be a secret.
    shown = url.partition("?")[0]
    try:
        async with asyncio.timeout(options.connect_timeout):
            socket = await connect(url, **_settings(options, codec, token))
            welcome = await _welcome(socket, codec)
    except TimeoutError:
        raise FanwireError("disconnected", f"no welcome within {options.connect_timeout:g} s", close_code=1006) from None
    except InvalidStatus as error:
        raise _refused(error) from None
    except ConnectionClosed as error:
        raise closed(error) from None
    except (OSError, EOFError, InvalidMessage, ProxyError) as error:
        raise FanwireError("disconnected", f"{shown} can't be reached: {error}", close_code=1006) from error
    except InvalidHandshake as error:
        raise FanwireError("not_understood", f"{shown} doesn't speak the protocol: {error}") from error
    try:
        yield Connection(socket, codec, welcome)
    finally:
        await socket.close()


def _settings(options: Options, codec: Codec, token: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "subprotocols": [Subprotocol(codec.subprotocol)],
        "additional_headers": {} if token is None else {"Authorization": f"Bearer {token}"},
        "ping_interval": None,
        "open_timeout": None,
        "close_timeout": options.close_timeout,
        "max_size": _LONGEST_MESSAGE,
    }
    # For ws:// it must not even be None.
    return settings if options.ssl is None else settings | {"ssl": options.ssl}


async def _welcome(socket: ClientConnection, codec: Codec) -> Welcome:
    try:
        if socket.subprotocol != codec.subprotocol:
            raise FanwireError("not_understood", f"the server speaks {socket.subprotocol!r}, not {codec.subprotocol!r}")
        while (event := decode(codec, await socket.recv()))["type"] != "welcome":
            pass
        return _read_welcome(event)
    except BaseException:
        socket.transport.abort()
        raise


def _read_welcome(event: dict[str, Any]) -> Welcome:
    try:
        node, sequence = event["connection"]
        place = place_of(event["broadcast"]) if "broadcast" in event else None
        return Welcome((node, sequence), event["node"], event["version"], float(event["heartbeat"]), place)
    except (KeyError, TypeError, ValueError) as error:
        raise FanwireError("not_understood", f"the node sent a broken welcome: {error!r}") from error


def decode(codec: Codec, message: str | bytes) -> dict[str, Any]:
    """An event; raises `not_understood` if it is none."""
    try:
        event = codec.decode(message)
    except (ValueError, TypeError) as error:
        raise FanwireError("not_understood", f"the node sent what can't be understood: {error}") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise FanwireError("not_understood", "the node sent what is no event")
    return event


def closed(error: ConnectionClosed) -> FanwireError:
    """How a connection ended."""
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (1006, "without a Close frame")
    return FanwireError("disconnected", f"the connection ended with {code}: {reason}".rstrip(": "), close_code=code)


def _refused(error: InvalidStatus) -> UpgradeRefused:
    response = error.response
    body = (response.body or b"").decode(errors="replace").strip()[:1000]
    message = f"the upgrade was refused with HTTP status {response.status_code}: {body}".rstrip(": ")
    refusal = FanwireError("upgrade_refused", message, status=response.status_code)
    return UpgradeRefused(refusal, response.headers.get("Retry-After"))
