"""Options of a client."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields

from .codec import Encoding
from .error import FanwireError

Token = str | Callable[[], str | Awaitable[str]]
"""A token (JWT), or a function that gets one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `connect`; times in seconds."""

    #: A function is asked before each connection and before the token ends; with it a connection goes on past the end of
    #: its token, and one that ended with it is made again.
    token: Token | None = field(default=None, repr=False)
    #: "json", or "msgpack" with the package of that name installed.
    encoding: Encoding = "json"
    #: Whom to trust with wss://; the system's authorities unless set.
    ssl: tls.SSLContext | None = None
    #: Time of one attempt up to the node's welcome, and for `token`.
    connect_timeout: float = 15.0
    #: Time for the answer to a command, including the wait for a connection.
    answer_timeout: float = 10.0
    #: Time for the node's agreement to a close.
    close_timeout: float = 5.0
    #: The bound of the first wait before another attempt, at least 0.01. Waits are random below it.
    first_wait: float = 0.5
    #: The greatest bound, up to which it doubles with each failure.
    longest_wait: float = 10.0
    #: How long after the last connection's end no further attempt is made.
    give_up_after: float = float("inf")
    #: Events that may wait in each stream.
    queue: int = 1024
    #: Commands that may wait for their answers.
    commands: int = 1024

    def __post_init__(self) -> None:
        if self.encoding not in ("json", "msgpack"):
            raise FanwireError("bad_options", f'encoding is {self.encoding!r}; expected "json" or "msgpack"')
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(option.default, int | float) and not value > 0:
                raise FanwireError("bad_options", f"{option.name} is {value}; expected a number above 0")
