"""Publishers and subscribers that keep books."""

import asyncio
from collections import deque

from .clients import Native
from .ledger import Ledger, Reader
from .waiting import Deadline

_BATCH = 5
_PAUSE = 0.02


class Publisher:
    """Sends numbered messages into one channel and books every answer."""

    def __init__(self, client: Native, name: str, channel: str, ledger: Ledger):
        self.client = client
        self.name = name
        self.channel = channel
        self.ledger = ledger
        self._number = 0
        self._answers = asyncio.create_task(self._book_answers())

    async def _book_answers(self) -> None:
        while True:
            event = self.client.codec.decode(await self.client.socket.recv())
            if event["type"] in ("ok", "error"):
                self.ledger.answer((self.name, event["id"]), event)

    async def send(self) -> tuple[str, int]:
        """Sends the next message without waiting for its answer."""
        key = (self.name, self._number)
        self._number += 1
        self.ledger.publish(key)
        await self.client.send("publish", id=key[1], channel=self.channel, content=list(key))
        return key

    async def ask(self) -> str:
        """Sends the next message and returns its outcome."""
        key = await self.send()
        await self.settled([key])
        return self.ledger.outcomes[key][0]

    async def burst(self, count: int) -> None:
        """Sends `count` messages without waiting for answers."""
        for _ in range(count):
            await self.send()

    async def stream(self, stop: asyncio.Event) -> None:
        """Sends at a steady pace until told to stop."""
        while not stop.is_set():
            await self.burst(_BATCH)
            await asyncio.sleep(_PAUSE)

    async def settled(self, keys=None, within: float = 15.0) -> None:
        """Waits until each of `keys` (all by default) is answered."""
        waiting = deque(keys or [key for key in self.ledger.sent if key[0] == self.name])
        async with Deadline(within, f"answers to {self.name}"):
            while waiting:
                if self._answers.done():
                    await self._answers
                if waiting[0] in self.ledger.outcomes:
                    waiting.popleft()
                else:
                    await asyncio.sleep(0.005)

    def end(self) -> None:
        self._answers.cancel()


class Subscriber:
    """Receives everything of one channel into a reader's books."""

    def __init__(self, client: Native, reader: Reader):
        self.client = client
        self.reader = reader
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def join(cls, client: Native, name: str, channel: str, ledger: Ledger) -> "Subscriber":
        """Subscribes, then begins to read."""
        await client.ok("subscribe", channel=channel)
        return cls(client, ledger.reader(name))

    async def _read(self) -> None:
        while True:
            self.reader.take(self.client.codec.decode(await self.client.socket.recv()))

    def check_running(self) -> None:
        """Fails with what ended the reading, if something did."""
        if self._task.done():
            self._task.result()

    def end(self) -> None:
        self._task.cancel()
