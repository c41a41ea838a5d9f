"""A channel as a subscriber keeps it."""

from .books import Begun, Key, Left, Lost, Position, Received, Repeated, Resumed, Track, position_of


class Channel:
    """Follows the places of a channel, as the README says in "Keeping a position", and books the way."""

    def __init__(self, track: Track, kept: bool):
        self.track = track
        self.kept = kept
        self.place: Position | None = None
        self.begun = False
        #: Whether this connection's subscription was answered.
        self.here = False
        #: Whether it asked to leave, and was not answered.
        self.leaves = False

    def command(self) -> dict:
        """What is sent to subscribe."""
        recover = {"recover": self.place._asdict()} if self.place else {}
        return {"channel": self.track.channel, "id": self.track.channel, **recover}

    def takes(self) -> bool:
        """Whether a message may come now."""
        return self.here

    def left(self, at: float, why: str) -> None:
        """Its subscription has ended."""
        if self.here:
            self.track.note(Left(at, why))
        self.here = self.leaves = False

    def joined(self, at: float, event: dict, node: str) -> None:
        """Takes `ok`."""
        position = position_of(event) if self.kept else None
        if not self.begun:
            self.track.note(Begun(at, position, node))
        else:
            self.track.note(Resumed(at, self.place, position, event.get("recovered"), node))
        self.begun = self.here = True
        self.place = position

    def arrived(self, at: float, key: Key, offset: int) -> None:
        """Takes a message of a history."""
        position = Position(self.place.epoch, offset)
        if offset <= self.place.offset:
            self.track.note(Repeated(at, key, position))
            return
        self.track.note(Received(at, key, position))
        self.place = position

    def lost(self, at: float, position: Position) -> None:
        """Takes `lost`."""
        self.track.note(Lost(at, position))
        self.place = position
