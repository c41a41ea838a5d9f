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
