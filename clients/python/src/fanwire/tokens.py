"""Getting and renewing tokens."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json

from .error import FanwireError
from .options import Token

_SHORTEST = 1.0


async def obtain(source: Token, within: float) -> str:
    """What `source` gives, in bounded time."""
    if isinstance(source, str):
        return source
    try:
        async with asyncio.timeout(within):
            given = source()
            return await given if inspect.isawaitable(given) else given
    except TimeoutError:
        raise FanwireError("token", f"no token could be had within {within:g} s") from None
    except Exception as error:
        raise FanwireError("token", f"no token could be had: {error}") from error


def expiry(token: str) -> float | None:
    """When a token ends (`exp` of RFC 7519), in seconds since 1970; `None` if that can't be read."""
    try:
        part = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]
        return float(ends)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def renewal(left: float, random: float) -> float:
    """How long to wait before a token that ends in `left` seconds is renewed; `random` is in 0 to 1."""
    return max(left * (0.75 + 0.15 * random), _SHORTEST)
