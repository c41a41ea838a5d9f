"""The broadcasts as a client keeps them."""

from collections.abc import Callable

from .books import BROADCASTS, Begun, Key, Position, Repeated, Resumed, Track, position_of
from .channel import Channel


class Broadcasts(Channel):
    """What was missed before a welcome comes behind what is live already, which waits here until then."""

    def __init__(self, track: Track):
        super().__init__(track, kept=True)
        self._until: Position | None = None
        #: What came before the answer, in order.
        self._early: list[Callable[[float], None]] = []

    def command(self) -> dict:
        """What is sent to recover."""
        return {"id": BROADCASTS, **self.place._asdict()}

    def takes(self) -> bool:
        return self.begun

    def left(self, at: float, why: str) -> None:
        super().left(at, why)
        self._early.clear()

    def welcomed(self, at: float, event: dict, node: str) -> None:
        """Takes the welcome; a client that has a place goes on with `command`."""
        self._until = position_of(event["broadcast"])
        if not self.begun:
            self.track.note(Begun(at, self._until, node))
            self.place, self.begun, self.here = self._until, True, True

    def joined(self, at: float, event: dict, node: str) -> None:
        """Takes `ok`."""
        position, self.here = position_of(event), True
        self.track.note(Resumed(at, self.place, position, event["recovered"], node))
        self.place = position
        self._release(at)

    def arrived(self, at: float, key: Key, offset: int) -> None:
        if not self.here:
            self._early.append(lambda at: self._live(at, key, offset))
            return
        super().arrived(at, key, offset)
        self._release(at)

    def lost(self, at: float, position: Position) -> None:
        if not self.here:
            self._early.append(lambda at: self._live_lost(at, position))
            return
        super().lost(at, position)
        self._release(at)

    def _release(self, at: float) -> None:
        """Lets in what is live once all before it has come."""
        if self._early and (self.place.epoch != self._until.epoch or self.place.offset >= self._until.offset):
            early, self._early = self._early, []
            for take in early:
                take(at)

    def _live(self, at: float, key: Key, offset: int) -> None:
        """Something live of the welcome's epoch, or of one that began since."""
        position = Position(self._until.epoch, offset)
        if self.place.epoch == position.epoch:
            super().arrived(at, key, offset)
        else:
            # The client was led past that epoch.
            self.track.note(Repeated(at, key, position))

    def _live_lost(self, at: float, position: Position) -> None:
        self._until = position
        if self.place.epoch != position.epoch or self.place.offset < position.offset:
            super().lost(at, position)
