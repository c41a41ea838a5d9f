"""A client that comes back whenever its connection ends, as crates/protocol/README.md says."""

import asyncio
import random
import socket
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ..clients import Native

# What the README says, but for the longest wait: in a short run nobody is to be away for most of it.
_FIRST_BOUND = 0.5
_LONGEST_BOUND = 2.0
_LASTED = 10.0
_GOING_AWAY = 1012
# Small, so that who does not read is slow soon.
_RECEIVE_BUFFER = 8 << 10
_QUEUED = 16

FAILURES = (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, asyncio.TimeoutError, EOFError)


class Visitor:
    """Connects to one of `nodes` after the other and visits; `silence` is how long a node may say nothing."""

    def __init__(self, name: str, nodes: list, codec, silence: float):
        self.name = name
        self.nodes = nodes
        self.codec = codec
        self.silence = silence
        self.visits = 0
        self.client: Native | None = None
        #: While it is not set, nothing is read.
        self.reads = asyncio.Event()
        self.reads.set()
        #: Where it is, or was last.
        self.node = None
        self._heard = 0.0
        self._task: asyncio.Task | None = None

    async def visit(self, client: Native) -> None:
        """What it does while it is connected, until it has done it all."""
        raise NotImplementedError

    def left(self, why: str) -> None:
        """Called at the end of each visit."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def check_running(self) -> None:
        """Fails with what ended it, if something did."""
        if self._task.done():
            self._task.result()

    async def end(self) -> None:
        """Makes it leave for good."""
        # A wait that is over in the moment of its cancellation may swallow that.
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)

    def cut(self) -> None:
        """Ends its connection as a broken line would."""
        if self.client is not None:
            self.client.socket.transport.abort()

    async def _run(self) -> None:
        bound = _FIRST_BOUND
        while True:
            began, code = time.monotonic(), None
            try:
                async with await self._connect() as connection:
                    code = await self._visit(connection)
                    if code is None:
                        return
            except FAILURES:
                pass
            if time.monotonic() - began >= _LASTED:
                bound = _FIRST_BOUND
            await asyncio.sleep(random.uniform(0, 1.0 if code == _GOING_AWAY else bound))
            bound = min(2 * bound, _LONGEST_BOUND)

    async def _connect(self):
        """A connection to another node than the last one."""
        self.node = random.choice([node for node in self.nodes if node is not self.node])
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        line.setblocking(False)
        try:
            connected = asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self.node.port))
            await asyncio.wait_for(connected, self.silence)
        except BaseException:
            line.close()
            raise
        options = {"compression": None, "ping_interval": None, "max_size": None, "proxy": None, "max_queue": _QUEUED}
        options |= {"close_timeout": 1, "open_timeout": self.silence, "subprotocols": [self.codec.subprotocol]}
        return connect(self.node.url, sock=line, **options)

    async def _visit(self, connection) -> int | None:
        """The close code, 1006 without one; `None` when the visit was all there is to do."""
        self.client, self._heard = Native(connection, self.codec), time.monotonic()
        watch = asyncio.create_task(self._watch(self.client))
        self.visits += 1
        try:
            self.client.welcome = await self.event(self.client)
            await self.visit(self.client)
            return None
        except ConnectionClosed:
            return connection.close_code or 1006
        finally:
            watch.cancel()
            self.client = None
            self.left(f"{connection.close_code} {connection.close_reason}".strip())

    async def event(self, client: Native) -> dict:
        """The next event."""
        await self.reads.wait()
        event = client.codec.decode(await client.socket.recv())
        self._heard = time.monotonic()
        return event

    async def _watch(self, client: Native) -> None:
        """Ends a connection on which nothing arrives: `ping` makes sure that something would."""
        while True:
            await asyncio.sleep(self.silence / 4)
            silent = time.monotonic() - self._heard if self.reads.is_set() else 0.0
            if silent > self.silence:
                client.socket.transport.abort()
                return
            if silent > self.silence / 3:
                await client.send("ping")
