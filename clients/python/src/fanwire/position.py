"""Places in histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to publication `offset` (from 1; 0 is before the first) of history `epoch`."""

    epoch: str
    offset: int

    def at(self, offset: int) -> Position:
        """The place behind publication `offset` of the same history."""
        return replace(self, offset=offset)

    def reaches(self, other: Position) -> bool:
        """Whether everything up to `other` lies before this, in the same history."""
        return self.epoch == other.epoch and self.offset >= other.offset

    def spelt(self) -> dict[str, Any]:
        """The place as commands have it."""
        return {"epoch": self.epoch, "offset": self.offset}


def place_of(fields: Mapping[str, Any]) -> Position | None:
    """The place in an answer or an event, if it has one."""
    return Position(fields["epoch"], fields["offset"]) if "epoch" in fields and "offset" in fields else None
