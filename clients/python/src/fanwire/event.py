"""What the client tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .error import FanwireError
from .position import Position
from .track import Outcome

ConnectionId = tuple[int, int]
"""A connection in the cluster: its node, and a sequence number there."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a node says of itself and of the connection."""

    connection: ConnectionId
    node: int
    version: str
    #: Seconds between two of the node's WebSocket pings.
    heartbeat: float
    #: Where broadcasts stand, if they have a history.
    broadcast: Position | None


@dataclass(frozen=True, slots=True)
class Member:
    """A connection that is seen on a channel."""

    connection: ConnectionId
    user: str | None = None
    #: What its token or itself says of it, any JSON value or bytes; `None` if nothing.
    info: Any = None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """It is in force, for the first time or again: whatever is published from now on arrives."""

    outcome: Outcome
    #: Behind which what follows comes, where there is a history.
    position: Position | None = None
    #: With `recovered`: the offset of the newest publication at that moment.
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A publication to a channel: any JSON value, or bytes; with its place where there is a history."""

    content: Any
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast to every connection, likewise."""

    content: Any
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Publications are missing here that can't be had any more; what follows comes behind `position`."""

    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """The node's link to its broker was away for so many seconds: messages of that time may be missing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """Messages were left out here, because they came faster than they were taken."""

    count: int


@dataclass(frozen=True, slots=True)
class Join:
    """Another connection has come to the channel; `first` if its user had no other one there."""

    member: Member
    first: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """Another connection has gone from it; `last` if its user has none any more."""

    member: Member
    last: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a connection."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended, or an attempt failed; the next begins after `wait` seconds."""

    error: FanwireError
    wait: float


@dataclass(frozen=True, slots=True)
class Closed:
    """No other attempt is made: after `close`, or because it would be useless."""

    error: FanwireError


@dataclass(frozen=True, slots=True)
class Refused:
    """The node refused something that belongs to no call, such as a newer token."""

    error: FanwireError


TrackedEvent = Subscribed | Lost | Gap | Dropped
ChannelEvent = TrackedEvent | Message | Join | Leave
BroadcastEvent = TrackedEvent | Broadcast
ClientEvent = Connected | Disconnected | Closed | Refused | Gap | Dropped


def member_of(fields: Mapping[str, Any]) -> Member:
    """The member in an answer or an event."""
    node, sequence = fields["connection"]
    return Member((node, sequence), fields.get("user"), fields.get("info"))
