"""Clients for tests, and what they have heard."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

from fanwire import Client, Message, Options, connect
from harness.waiting import Deadline

QUICK = Options(first_wait=0.02, longest_wait=0.1)
PATIENCE = 15.0


def url_of(server) -> str:
    """The URL of a node or a proxy."""
    return f"ws://127.0.0.1:{server.port}/"


def client(*servers, **options) -> Client:
    """A client that comes back quickly."""
    return connect([url_of(server) for server in servers], replace(QUICK, **options))


class Heard:
    """All events of a stream."""

    def __init__(self):
        self.events = []
        self.error = None

    @property
    def contents(self) -> list:
        return [event.content for event in self.events if isinstance(event, Message)]

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    async def until(self, condition, what: str, within: float = PATIENCE) -> None:
        async with Deadline(within, f"{what}; heard {self.events[-5:]}"):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(stream, count: int = 1):
    """Takes all that `stream` tells, after its first `count` events."""
    heard = Heard()

    async def take():
        async for event in stream:
            heard.events.append(event)

    async with stream:
        task = asyncio.create_task(take())
        try:
            await heard.until(lambda: len(heard.events) >= count or task.done(), "a subscription")
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
