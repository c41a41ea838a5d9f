"""TCP connections that are cut, slowed and held up: a proxy on a thread of its own."""

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field

_CHUNK = 64 << 10


@dataclass
class Lane:
    """One direction of all connections of a proxy."""

    delay: float = 0.0
    #: What comes is thrown away.
    drops: bool = False
    #: While it is not set, nothing is passed on.
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        self.delay, self.drops = 0.0, False
        self.opened.set()


class Proxy:
    """Listens on 127.0.0.1 and connects to one of the ports of `targets` for each connection that it gets.

    Its methods may be called from any thread.
    """

    def __init__(self, targets: list[int]):
        self.targets = targets
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._refuses = False

    def start(self) -> "Proxy":
        self._thread.start()
        self._call(self._start())
        return self

    def end(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> None:
        """Ends all connections, and refuses others until `heal`."""
        self._refuses = True
        self._call(self._cut())

    def slow(self, seconds: float) -> None:
        """What passes from now on takes this long, in either direction."""
        self._call(self._set(self.to_server, delay=seconds))
        self._call(self._set(self.to_client, delay=seconds))

    def hold(self, lane: Lane) -> None:
        """Nothing passes in this direction until `heal`; then all of it does."""
        self._loop.call_soon_threadsafe(lane.opened.clear)

    def drop(self, lane: Lane) -> None:
        """What comes in this direction is thrown away until `heal`, which ends the connections that have lost some."""
        self._call(self._set(lane, drops=True))

    def heal(self) -> None:
        """All passes again."""
        self._refuses = False
        self._call(self._heal())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        self.to_server, self.to_client = Lane(), Lane()
        await self._heal()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set(self, lane: Lane, **values) -> None:
        for name, value in values.items():
            setattr(lane, name, value)

    async def _heal(self) -> None:
        for lane in (self.to_server, self.to_client):
            lane.reset()
        for connection in [one for one in self._connections if one.spoiled]:
            connection.abort()

    async def _cut(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _serve(self, reader, writer) -> None:
        # Whoever ends this one ends the connections first.
        with suppress(OSError, asyncio.CancelledError):
            server = None if self._refuses else await self._dial()
            if server is None:
                writer.transport.abort()
                return
            connection = _Connection((reader, writer), server)
            self._connections.add(connection)
            try:
                await connection.run(self.to_server, self.to_client)
            finally:
                self._connections.discard(connection)

    async def _dial(self):
        """A connection to a target that takes it; `None` if none does."""
        for port in random.sample(self.targets, len(self.targets)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None


class _Connection:
    """A connection on both sides of a proxy."""

    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.spoiled = False

    def abort(self) -> None:
        for _, writer in (self.client, self.server):
            writer.transport.abort()

    async def run(self, to_server: Lane, to_client: Lane) -> None:
        """Passes on until either side ends."""
        pumps = [
            asyncio.ensure_future(self._pump(self.client[0], self.server[1], to_server)),
            asyncio.ensure_future(self._pump(self.server[0], self.client[1], to_client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, writer in (self.client, self.server):
                # What was written before the end goes out, and then the end.
                writer.close()

    async def _pump(self, reader, writer, lane: Lane) -> None:
        hole = False
        while data := await reader.read(_CHUNK):
            await lane.opened.wait()
            if lane.delay:
                await asyncio.sleep(lane.delay)
            if lane.drops:
                # Nothing can follow a hole.
                hole = self.spoiled = True
            if not hole:
                writer.write(data)
                await writer.drain()
