"""What commands return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .event import Member
from .position import Position


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication in a channel's history."""

    offset: int
    content: Any


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a history; `position` is the newest place, whose epoch is that of all publications."""

    position: Position
    publications: list[Publication]


@dataclass(frozen=True, slots=True)
class Members:
    """Who is on a channel, in the order of connections; with `more` there are others behind the last one."""

    members: list[Member]
    more: bool


@dataclass(frozen=True, slots=True)
class PresenceStats:
    """How many connections are on a channel, and of how many users."""

    connections: int
    users: int
