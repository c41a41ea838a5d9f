"""Waiting for a condition, never for a time."""

import asyncio
import inspect
import time

_PAUSE = 0.02


def wait_until(condition, what: str, within: float = 10.0):
    """Returns the first true value of `condition()`, or fails saying `what` did not come."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what} (last seen: {value!r})")
        time.sleep(_PAUSE)


async def until(condition, what: str, within: float = 10.0):
    """Like `wait_until`, while the other tasks go on; the condition may be a coroutine function.

    A plain function runs on a thread: it may block.
    """
    deadline = time.monotonic() + within
    while True:
        value = await (condition() if inspect.iscoroutinefunction(condition) else asyncio.to_thread(condition))
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what} (last seen: {value!r})")
        await asyncio.sleep(_PAUSE)


class Deadline:
    """Fails when its body takes longer; for Python without `asyncio.timeout`.

    Unlike `asyncio.wait_for` before Python 3.12 it never swallows a cancellation that comes together with a result, so
    that a task that waits in a loop always ends when it is told to.
    """

    def __init__(self, seconds: float, what: str):
        self.seconds = seconds
        self.what = what
        self._late = False

    async def __aenter__(self):
        task = asyncio.current_task()

        def expire():
            self._late = True
            task.cancel()

        self._timer = asyncio.get_running_loop().call_later(self.seconds, expire)

    async def __aexit__(self, kind, *_):
        self._timer.cancel()
        if self._late and kind is asyncio.CancelledError:
            raise AssertionError(f"not within {self.seconds} s: {self.what}")
