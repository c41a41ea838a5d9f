"""How long to wait before the next attempt."""

from __future__ import annotations

from .retry import Pace

_SOON = 0.2
# A connection that was closed so after this time was a good one: in a rolling restart the next node drains, too.
_LASTED = 1.0
_SPREAD = 30.0
_LEAST = 0.01


class Backoff:
    """Waits, in seconds, whose bound doubles with each failure, each drawn from the whole range below its bound."""

    def __init__(self, first: float, most: float):
        self._first = max(first, _LEAST)
        self._most = max(most, _LEAST)
        self._failures = 0
        self._lasted = False

    def ended(self, lived: float) -> None:
        """A connection has ended that lasted for `lived`. One that ends soon counts as a failure."""
        self._lasted = lived >= _LASTED
        if lived >= self._most:
            self._failures = 0

    def wait(self, pace: Pace, random: float) -> float:
        """How long to wait now; `random` is in 0 to 1. Counts a failure for the next time."""
        bound = min(self._first * 2.0**self._failures, self._most)
        if pace.soon and (not self._failures or self._lasted):
            bound = min(bound, _SOON)
        self._failures = min(self._failures + 1, 32)
        self._lasted = False
        # Many may have been told the same, at once.
        return pace.least + max(bound, min(pace.least, _SPREAD)) * random
