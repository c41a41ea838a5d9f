"""A client that gets messages all the time and must notice nothing."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

from ..clients import native
from ..waiting import until

CHANNEL = "others"
_PAUSE = 0.01


class Bystander:
    """A subscriber on the node that is put to the test, and a publisher elsewhere."""

    def __init__(self, subscriber, publisher):
        self.subscriber, self.publisher = subscriber, publisher
        #: How long each message was on its way, in seconds, in their order.
        self.latencies: list[float] = []
        self._tasks: list[asyncio.Task] = []

    @classmethod
    @asynccontextmanager
    async def between(cls, node, other, **options):
        """One that goes on as long as the block; then all its messages must have come, each once and in order."""
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(native(other))
            subscriber = await stack.enter_async_context(native(node, **options))
            await subscriber.ok("subscribe", channel=CHANNEL)
            bystander = cls(subscriber, publisher)
            bystander._tasks = [asyncio.create_task(work) for work in (bystander._publish(), bystander._read())]
            try:
                yield bystander
                await bystander.goes_on()
            finally:
                for task in bystander._tasks:
                    task.cancel()

    async def goes_on(self, count: int = 10) -> None:
        """Waits until it got so many more messages."""
        wanted = len(self.latencies) + count

        async def there() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return len(self.latencies) >= wanted

        await until(there, f"{count} more messages for a client that did nothing wrong", 15)

    async def _publish(self) -> None:
        number = 0
        while True:
            await self.publisher.send("publish", channel=CHANNEL, content=[number, time.perf_counter()])
            number += 1
            await asyncio.sleep(_PAUSE)

    async def _read(self) -> None:
        while True:
            event = await self.subscriber.next()
            if event["type"] == "gap":
                # Of broadcasts, where the Redis that has these is made to hang.
                continue
            number, sent = event["content"]
            assert (event["type"], number) == ("message", len(self.latencies)), event
            self.latencies.append(time.perf_counter() - sent)
