"""Where the user stands in a history, and what that makes of what a node tells."""

from __future__ import annotations

from typing import Literal

from .position import Position

Outcome = Literal["new", "recovered", "unknown", "lost"]
"""What became of the messages since a subscription was last in force.

- `new`: it wasn't before, and no place was given
- `recovered`: nothing is missing, all of it has arrived or follows
- `unknown`: anything may be missing, for there is no history
- `lost`: something is missing that can't be had any more; the event `Lost` says so, too
"""


class Track:
    """The place up to which the user has everything, as far as it is known."""

    def __init__(self, place: Position | None):
        self.place = place
        self._established = place is not None

    def see(self, offset: int) -> bool:
        """Goes to `offset`, unless the user has it; tells whether the user doesn't."""
        if self.place is None:
            return True
        if offset <= self.place.offset:
            return False
        self.place = self.place.at(offset)
        return True

    def begin(self, granted: Position | None, recovered: bool | None) -> Outcome:
        """What follows comes behind `granted`, if there is a history; the node may have said if all is `recovered`."""
        outcome = self._judge(granted, recovered)
        if outcome != "recovered":
            self.place = granted
        self._established = True
        return outcome

    def _judge(self, granted: Position | None, recovered: bool | None) -> Outcome:
        if self.place is None:
            return "unknown" if self._established else "new"
        if granted is None:
            return "lost"
        # Without a word of the node: nothing was missed if nothing has happened.
        nothing_missed = self.place.reaches(granted) if recovered is None else recovered
        return "recovered" if nothing_missed else "lost"

    def lost(self, place: Position) -> bool:
        """The node can't give what is up to `place`, and goes on behind it; tells whether the user misses any of it."""
        if self.place is not None and self.place.reaches(place):
            return False
        self.place = place
        return True
