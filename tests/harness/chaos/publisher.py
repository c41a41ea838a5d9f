"""A publisher that sends each message until it is acknowledged, where that does no harm."""

import asyncio
import random
import time

from ..clients import Native
from .books import BROADCASTS, Notes, Publication, position_of
from .subscriber import LATER
from .visitor import FAILURES, Visitor

_CERTAINLY_NOT = "broker_unavailable"
# How many messages may be unanswered.
_WINDOW = 32
# Messages a second.
_RATE = 40


class Publisher(Visitor):
    """Publishes into `channels`, each with whether it has a history, one after the other as `turns` has them."""

    def __init__(
        self,
        name: str,
        nodes: list,
        codec,
        silence: float,
        *,
        channels: dict[str, bool],
        turns: list[str],
        notes: Notes,
    ):
        super().__init__(name, nodes, codec, silence)
        self.channels = channels
        self.turns = turns
        self.notes = notes
        self.now = notes.now
        #: What is neither acknowledged nor given up, in order.
        self.pending: dict[int, Publication] = {}
        self._number = 0
        self._stopped = False
        self._flows = asyncio.Event()

    async def stop(self, within: float) -> None:
        """Waits until all is answered; what isn't, stays unacknowledged."""
        self._stopped = True
        await asyncio.wait([self._task], timeout=within)
        self.check_running()

    async def visit(self, client: Native) -> None:
        await self._send_again(client)
        sending = asyncio.create_task(self._stream(client))
        try:
            await self._read(client, sending)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _read(self, client: Native, sending: asyncio.Task) -> None:
        while not (sending.done() and not self.pending):
            # The last answer may have come before the sending was seen to be over.
            try:
                event = await asyncio.wait_for(self.event(client), 0.5)
            except asyncio.TimeoutError:
                continue
            self._take(client, event)
        if error := sending.exception():
            raise error

    async def _send_again(self, client: Native) -> None:
        for publication in list(self.pending.values()):
            publication.attempts += 1
            publication.refused = False
            await self._send(client, publication)

    async def _stream(self, client: Native) -> None:
        due = time.monotonic()
        while not self._stopped:
            await self._window()
            publication = self._next()
            await self._send(client, publication)
            due = max(due + 1 / _RATE, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _window(self) -> None:
        while len(self.pending) >= _WINDOW:
            self._flows.clear()
            await self._flows.wait()

    def _next(self) -> Publication:
        number = self._number
        self._number += 1
        key, channel = (self.name, number), self.turns[number % len(self.turns)]
        publication = Publication(key, channel, self.visits, self.now())
        self.notes.books.publications[key] = self.pending[number] = publication
        return publication

    async def _send(self, client: Native, publication: Publication) -> None:
        key, channel = publication.key, publication.channel
        fields = {"id": key[1], "content": self.notes.signature.content(channel, key)}
        if self.channels[channel]:
            fields["idempotency_key"] = f"{self.notes.signature.secret}/{key[0]}/{key[1]}"
        if channel == BROADCASTS:
            await client.send("broadcast", **fields)
        else:
            await client.send("publish", channel=channel, **fields)

    def _take(self, client: Native, event: dict) -> None:
        publication = self.pending.get(event.get("id"))
        if event["type"] == "ok" and publication:
            self._acknowledge(publication, event)
        elif event["type"] == "error" and publication and event["code"] in LATER:
            self._refuse(client, publication, event["code"])
        elif event["type"] not in ("pong", "gap", "broadcast", "lost"):
            self.notes.unexpected(self.name, event)

    def _acknowledge(self, publication: Publication, event: dict) -> None:
        publication.acknowledged = self.now()
        publication.refused = False
        publication.position = position_of(event) if self.channels[publication.channel] else None
        self._settle(publication)

    def _refuse(self, client: Native, publication: Publication, code: str) -> None:
        publication.refused = code == _CERTAINLY_NOT and publication.attempts == 1
        if not self.channels[publication.channel]:
            self._settle(publication)
            return
        asyncio.get_running_loop().call_later(random.uniform(0.1, 0.5), self._once_more, client, publication)

    def _once_more(self, client: Native, publication: Publication) -> None:
        if client is self.client:
            publication.attempts += 1
            asyncio.ensure_future(self._try(client, publication))

    async def _try(self, client: Native, publication: Publication) -> None:
        try:
            await self._send(client, publication)
        except FAILURES:
            pass  # It is sent again on the next connection.

    def left(self, why: str) -> None:
        """Where nothing is kept, what is unanswered stays so."""
        for publication in list(self.pending.values()):
            if not self.channels[publication.channel]:
                self._settle(publication)

    def _settle(self, publication: Publication) -> None:
        self.pending.pop(publication.key[1], None)
        self._flows.set()
