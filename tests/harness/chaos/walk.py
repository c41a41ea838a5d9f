"""A reader's way through a channel with a history."""

from typing import NamedTuple

from .books import Begun, Key, Left, Lost, Position, Received, Repeated, Resumed, Track
from .verdict import Verdict


class Told(NamedTuple):
    """That a reader was told of a loss: its place before and after, and when it last had a sign of the channel.

    `node` told it to a connection that it had, not to one that resumed.
    """

    line: int
    node: str | None
    at: float
    heard: float
    before: Position | None
    after: Position


class Walk:
    """Follows a track from place to place: behind each place comes the next offset, or word of a loss.

    `torn` tells whether nodes may have been at different primaries from one time to another. Who changes nodes then is
    sent to the other one's epoch and back, and told so each time.
    """

    def __init__(self, track: Track, verdict: Verdict, torn=lambda since, until: False):
        self.torn = torn
        self.track = track
        self.verdict = verdict
        self.place: Position | None = None
        self.began: float | None = None
        self.received: dict[Position, Key] = {}
        self.told: list[Told] = []
        #: The epochs in the order in which they were seen.
        self.epochs: list[str] = []
        self._node = ""
        self._heard = 0.0
        self._last_line = 0

    def run(self) -> "Walk":
        steps = {Begun: self._begin, Resumed: self._resume, Received: self._receive, Lost: self._lose}
        for line, entry in enumerate(self.track.entries):
            if step := steps.get(type(entry)):
                step(line, entry)
            if not isinstance(entry, (Left, Repeated)):
                self._heard, self._last_line = entry.at, line
        return self

    def _begin(self, line: int, entry: Begun) -> None:
        self.began, self._node = entry.at, entry.node
        if entry.position:
            self._move(entry.position)

    def _resume(self, line: int, entry: Resumed) -> None:
        self.verdict.figures["resumed"] += 1
        self._node = entry.node
        if entry.asked != self.place and self.place is not None:
            self._violate("contradiction", f"asked for {entry.asked} at {self.place}", line)
        if not entry.recovered:
            self.verdict.figures["recovered: false"] += 1
            self._tell(line, entry)
        elif entry.position != entry.asked:
            self._violate("contradiction", "recovered, but another place than the one asked for", line)

    def _lose(self, line: int, entry: Lost) -> None:
        self.verdict.figures["lost told"] += 1
        self._tell(line, entry)

    def _tell(self, line: int, entry: Resumed | Lost) -> None:
        before, after = self.place, entry.position
        if before and before.epoch == after.epoch and after.offset < before.offset:
            self._violate("out of order", f"sent back from {before} to {after}", line)
        node = self._node if isinstance(entry, Lost) else None
        self.told.append(Told(line, node, entry.at, self._heard, before, after))
        self._move(after)

    def _receive(self, line: int, entry: Received) -> None:
        self.verdict.figures["delivered"] += 1
        at, before = entry.position, self.place
        if before is None:
            before = Position(at.epoch, 0)
        if at.epoch != before.epoch:
            self._violate("lost", f"from {before} to {at} without a word", line)
        elif at.offset > before.offset + 1:
            missing = at.offset - before.offset - 1
            self._violate("lost", f"{missing} between {before} and {at}", line, count=missing)
        elif at in self.received and self.told and self.torn(self.told[-1].heard, self.told[-1].at):
            self.verdict.figures["came again, told"] += 1
        elif at in self.received:
            self._violate("duplicated", f"{at} came again", line)
        elif at.offset <= before.offset:
            self._violate("out of order", f"{at} came behind {before}", line)
        self.received[at] = entry.key
        self._move(at)

    def _move(self, place: Position) -> None:
        self.place = place
        if self.epochs[-1:] != [place.epoch]:
            self.epochs.append(place.epoch)

    def _violate(self, what: str, why: str, line: int, count: int = 1) -> None:
        lines = [self.track.line(self._last_line), self.track.line(line)]
        self.verdict.violate(what, f"{self.track.reader}: {why}", *lines, count=count)
