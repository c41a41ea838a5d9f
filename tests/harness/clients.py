"""Clients as anybody would write them, on the `websockets` package."""

import asyncio
import itertools
import json
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from .waiting import Deadline

# Far more than any answer takes, so that only what never comes fails.
PATIENCE = 15.0


class Json:
    """`fanwire.v1.json`."""

    subprotocol = "fanwire.v1.json"

    @staticmethod
    def encode(command) -> str:
        return json.dumps(command)

    @staticmethod
    def decode(message):
        assert isinstance(message, str), f"JSON events are texts, this is {message!r}"
        return json.loads(message)


class MessagePack:
    """`fanwire.v1.msgpack`."""

    subprotocol = "fanwire.v1.msgpack"

    @staticmethod
    def encode(command) -> bytes:
        return msgpack.packb(command)

    @staticmethod
    def decode(message):
        assert isinstance(message, bytes), f"MessagePack events are binary, this is {message!r}"
        return msgpack.unpackb(message)


CODECS = {"json": Json, "msgpack": MessagePack}


class Native:
    """A client of a native dialect. What arrives while an answer is awaited is kept for `receive`."""

    def __init__(self, socket, codec):
        self.socket = socket
        self.codec = codec
        self.welcome: dict = {}
        self._waiting: deque[dict] = deque()
        self._ids = itertools.count(1)

    async def send(self, kind: str, **fields) -> None:
        """Sends a command and waits for nothing."""
        await self.socket.send(self.codec.encode({"type": kind, **fields}))

    async def next(self, within: float = PATIENCE) -> dict:
        """The next event off the socket."""
        async with Deadline(within, "an event"):
            return self.codec.decode(await self.socket.recv())

    async def receive(self, within: float = PATIENCE) -> dict:
        """The next event, those put aside first."""
        return self._waiting.popleft() if self._waiting else await self.next(within)

    async def request(self, kind: str, **fields) -> dict:
        """Sends a command with an id and returns its answer."""
        number = fields.setdefault("id", f"test-{next(self._ids)}")
        await self.send(kind, **fields)
        return await self.answer(number)

    async def answer(self, number) -> dict:
        """The answer to the command with this id."""
        while True:
            event = await self.next()
            if event["type"] in ("ok", "error", "pong") and event.get("id") == number:
                return event
            self._waiting.append(event)

    async def ok(self, kind: str, **fields) -> None:
        """A command that must succeed."""
        answer = await self.request(kind, **fields)
        assert answer["type"] == ("pong" if kind == "ping" else "ok"), answer

    async def refused(self, code: str, kind: str, **fields) -> str:
        """A command that must be refused with `code`; returns the text."""
        answer = await self.request(kind, **fields)
        assert (answer["type"], answer.get("code")) == ("error", code), answer
        return answer["message"]

    async def contents(self, count: int, within: float = PATIENCE) -> list:
        """The contents of the next `count` messages, where nothing else may come between."""
        events = [await self.receive(within) for _ in range(count)]
        assert {event["type"] for event in events} <= {"message"}, events
        return [event["content"] for event in events]

    async def close_code(self, within: float = PATIENCE) -> int:
        """Reads on to the end and returns the close code."""
        return (await closing(self.socket, within))[0]


class Plain:
    """A client without a subprotocol: texts in, texts out."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, message) -> None:
        await self.socket.send(message)

    async def broadcast(self, content) -> None:
        await self.send(json.dumps({"type": "broadcast", "content": content}))

    async def receive(self, within: float = PATIENCE) -> str:
        """The next text."""
        async with Deadline(within, "a text"):
            message = await self.socket.recv()
        assert isinstance(message, str), f"plain answers are texts, this is {message!r}"
        return message

    async def ask(self, message) -> str:
        """Sends a message and returns the next text."""
        await self.send(message)
        return await self.receive()

    async def close_code(self, within: float = PATIENCE) -> int:
        """Reads on to the end and returns the close code."""
        return (await closing(self.socket, within))[0]


async def closing(socket, within: float = PATIENCE) -> tuple[int | None, str | None]:
    """Reads on to the end and returns the code and the text of the close."""

    async def drain():
        async for _ in socket:
            pass

    try:
        await asyncio.wait_for(drain(), within)
    except asyncio.TimeoutError:
        raise AssertionError(f"not closed within {within} s") from None
    except ConnectionClosedError:
        pass  # An abnormal end is told by its code, too.
    return socket.close_code, socket.close_reason


def _connect(node, path: str = "", **options):
    # No pings of the library's own, no extension and no proxy: only what a test sends goes over the wire.
    settings = {"compression": None, "proxy": None, "ping_interval": None, "max_size": None, "max_queue": None}
    settings |= {"close_timeout": 5, "open_timeout": 30, "ssl": getattr(node, "public_tls", None)}
    return connect(node.url + path, **(settings | options))


@asynccontextmanager
async def native(node, codec=Json, **options):
    """A client of a native dialect that has been welcomed."""
    async with _connect(node, subprotocols=[codec.subprotocol], **options) as socket:
        assert socket.subprotocol == codec.subprotocol
        client = Native(socket, codec)
        client.welcome = await client.next()
        assert client.welcome["type"] == "welcome", client.welcome
        yield client


@asynccontextmanager
async def plain(node, path: str = "", **options):
    """A client without a subprotocol."""
    async with _connect(node, path, **options) as socket:
        yield Plain(socket)


async def crowd(stack: AsyncExitStack, make, count: int) -> list:
    """`count` clients from `make()`, connected a few at a time and closed with the stack."""
    gate = asyncio.Semaphore(20)
    clients: list = []

    async def one(number: int) -> None:
        async with gate:
            context = make(number)
            clients.append(await context.__aenter__())
            stack.push_async_exit(context)

    await asyncio.gather(*(one(number) for number in range(count)))
    return clients
