"""All that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Codes with which a node refuses a command, and will refuse it again.
_FINAL = {
    "bad_request", "unknown_command", "unauthorized", "forbidden", "unknown_namespace", "no_history", "no_presence",
    "channel_limit", "message_too_large",
}  # fmt: skip
# Codes, of nodes and of this client, for what certainly hasn't been carried out either.
_NOT_DONE = {
    "rate_limited", "user_limit", "user_limit_everywhere", "not_subscribed", "already_subscribed",
    "broker_unavailable",
    "not_connected", "closed", "too_many_commands", "bad_options", "token",
}  # fmt: skip


class FanwireError(Exception):
    """Why something did not happen. Branch on `code`: one of the protocol, or this client's own.

    - `not_connected`: there was no connection in time, nothing was sent
    - `timed_out`: sent, and not answered in time
    - `disconnected`: the connection ended before the answer came, or none came about
    - `upgrade_refused`: the node answered the upgrade with an HTTP status
    - `closed`: this client is closed
    - `too_many_commands`: more commands wait for their answers than `commands` allows
    - `not_understood`: the node sent what is not of the protocol
    - `token`: the function `token` failed
    - `bad_options`: what was given to `connect` can't work
    """

    def __init__(self, code: str, message: str, *, close_code: int | None = None, status: int | None = None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        #: The WebSocket's close code, where a connection has ended; 1006 without a Close frame.
        self.close_code = close_code
        #: The HTTP status of a refused upgrade.
        self.status = status

    @property
    def maybe_done(self) -> bool:
        """Whether the command may have been carried out all the same. Codes that are not known count as `internal`."""
        return self.code not in _FINAL | _NOT_DONE

    @property
    def is_final(self) -> bool:
        """Whether the node will refuse it again."""
        return self.code in _FINAL


def refusal(answer: Mapping[str, Any]) -> FanwireError:
    """What a node answered with `error`."""
    return FanwireError(answer["code"], answer["message"])
