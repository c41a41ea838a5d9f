"""The proxy of the fault harness does to connections what it says."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from harness.chaos.proxy import Proxy
from harness.waiting import Deadline, until


class Echo:
    """A server that sends back what it gets."""

    def __init__(self):
        self.got = b""

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    async def start(self) -> "Echo":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def _serve(self, reader, writer) -> None:
        try:
            while data := await reader.read(1024):
                self.got += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def has(self, data: bytes) -> None:
        await until(lambda: self.got == data, f"{data!r} at the server")


@asynccontextmanager
async def proxied():
    """A server, a proxy, and a connection through it that works."""
    server = await Echo().start()
    proxy = Proxy([server.port]).start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await said(reader, writer, b"hello") == b"hello"
        yield server, proxy, reader, writer
        writer.close()
    finally:
        proxy.end()
        server._server.close()


async def said(reader, writer, data: bytes) -> bytes:
    """What comes back for it; nothing if the connection ends."""
    writer.write(data)
    return await heard(reader, len(data))


async def heard(reader, count: int) -> bytes:
    async with Deadline(10, "an answer or the end"):
        try:
            return await reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionError:
            return b""


async def test_what_is_cut_ends_and_can_be_made_again_once_healed():
    async with proxied() as (_, proxy, reader, writer):
        proxy.cut()
        assert await heard(reader, 1) == b""
        refused = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await said(*refused, b"x") == b""
        proxy.heal()
        again = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await said(*again, b"again") == b"again"


async def test_what_is_slow_takes_its_time_in_both_directions():
    async with proxied() as (_, proxy, reader, writer):
        proxy.slow(0.1)
        began = time.monotonic()
        assert await said(reader, writer, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.2
        proxy.heal()
        assert await said(reader, writer, b"fast") == b"fast"


async def test_what_is_held_up_comes_whole_once_healed():
    async with proxied() as (server, proxy, reader, writer):
        proxy.hold(proxy.to_client)
        writer.write(b"a")
        await server.has(b"helloa")
        proxy.hold(proxy.to_server)
        writer.write(b"b")
        assert server.got == b"helloa"
        proxy.heal()
        assert await heard(reader, 2) == b"ab"


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_what_is_lost_takes_the_connection_with_it(direction):
    async with proxied() as (server, proxy, reader, writer):
        proxy.drop(getattr(proxy, direction))
        writer.write(b"a")
        if direction == "to_client":
            await server.has(b"helloa")
        await until(lambda: any(one.spoiled for one in proxy._connections), "a hole")
        proxy.heal()
        assert await heard(reader, 1) == b""
        assert server.got == (b"hello" if direction == "to_server" else b"helloa")


async def test_another_target_is_taken_when_one_is_away():
    server = await Echo().start()
    gone = await Echo().start()
    away = gone.port
    gone._server.close()
    await gone._server.wait_closed()
    proxy = Proxy([away, server.port]).start()
    try:
        for _ in range(8):
            assert await said(*await asyncio.open_connection("127.0.0.1", proxy.port), b"x") == b"x"
    finally:
        proxy.end()
        server._server.close()
