"""The commands that wait for an answer or for a connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .error import FanwireError, refusal
from .tracked import Answer

Repeat = Literal["never", "reconnect", "insist"]
"""When a command is sent again: never, on the next connection if this one took the answer along, or until it is done."""

_PAUSE = 0.5
_MESSAGE_TOO_BIG = 1009


@dataclass(eq=False)
class _Command:
    message: bytes
    repeat: Repeat
    done: Callable[[Answer], object]
    failed: Callable[[FanwireError], object]
    timer: asyncio.TimerHandle
    sent: bool = False


class Commands:
    """All of them, in their order."""

    def __init__(self, encode: Callable[[dict[str, Any]], bytes], timeout: float, most: int):
        self._encode = encode
        self._timeout = timeout
        self._most = most
        self._waiting: dict[int, _Command] = {}
        self._last = 0
        self._send: Callable[[bytes], None] | None = None

    def give(
        self,
        command: dict[str, Any],
        repeat: Repeat,
        done: Callable[[Answer], object],
        failed: Callable[[FanwireError], object],
    ) -> None:
        """Gives a command; its answer comes to `done` before anything that the node sends after it."""
        if len(self._waiting) >= self._most:
            failed(FanwireError("too_many_commands", f"{self._most} commands wait for their answers"))
            return
        self._last = number = self._last + 1
        message = self._encode(command | {"id": number})
        timer = asyncio.get_running_loop().call_later(self._timeout, self._late, number)
        self._waiting[number] = given = _Command(message, repeat, done, failed, timer)
        self._go(given)

    def _go(self, command: _Command) -> None:
        if self._send is not None and not command.sent:
            command.sent = True
            self._send(command.message)

    def _late(self, number: int) -> None:
        command = self._waiting.pop(number)
        if command.sent:
            command.failed(FanwireError("timed_out", f"no answer within {self._timeout:g} s"))
        else:
            command.failed(FanwireError("not_connected", f"no connection within {self._timeout:g} s"))

    def answered(self, event: Answer) -> None:
        """Takes in an answer."""
        number = event["id"]
        command = self._waiting.get(number)
        if command is None:
            return
        error = refusal(event) if event["type"] == "error" else None
        if error is not None and command.repeat == "insist" and not error.is_final:
            command.sent = False
            pause = _PAUSE * random.uniform(0.5, 1.5)
            asyncio.get_running_loop().call_later(pause, self._insist, number)
            return
        self._take(number)
        if error is not None:
            command.failed(error)
        else:
            command.done(event)

    def _insist(self, number: int) -> None:
        if number in self._waiting:
            self._go(self._waiting[number])

    def _take(self, number: int) -> None:
        self._waiting.pop(number).timer.cancel()

    def connected(self, send: Callable[[bytes], None], first: Callable[[], None]) -> None:
        """There is a connection. What `first` gives goes out before what has waited."""
        waiting = list(self._waiting.values())
        self._send = send
        first()
        for command in waiting:
            self._go(command)

    def disconnected(self, error: FanwireError, *, for_good: bool) -> None:
        """There is none any more; what may be sent again waits for the next, unless none will come."""
        self._send = None
        for number, command in list(self._waiting.items()):
            if not for_good and not command.sent:
                continue
            if not for_good and command.repeat != "never" and error.close_code != _MESSAGE_TOO_BIG:
                command.sent = False
            else:
                self._take(number)
                command.failed(error)
