"""What was sent, acknowledged, received and told; by whom, and when."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Union

from .timeline import Happened

#: What stands for the channel where everybody listens.
BROADCASTS = "broadcast"

#: A publication's name: its publisher, and its number there.
Key = tuple[str, int]


class Position(NamedTuple):
    """A place in a history."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}"


def position_of(event: dict) -> Position:
    """The place that an event names."""
    return Position(event["epoch"], event["offset"])


class Begun(NamedTuple):
    """A first subscription; without a position where the client doesn't show it, before anything was published."""

    at: float
    position: Position | None
    node: str = ""


class Resumed(NamedTuple):
    """Another connection's subscription; `asked` and `recovered` are `None` where there is no history."""

    at: float
    asked: Position | None
    position: Position | None
    recovered: bool | None
    node: str = ""


class Received(NamedTuple):
    """A message; without a position where there is no history."""

    at: float
    key: Key
    position: Position | None


class Repeated(NamedTuple):
    """A message that is not above the place kept: the protocol says to skip it."""

    at: float
    key: Key
    position: Position


class Lost(NamedTuple):
    """`lost`: what stands before the position can't be had any more."""

    at: float
    position: Position


class Gap(NamedTuple):
    """`gap`: messages of the last seconds may be missing."""

    at: float
    seconds: float


class Dropped(NamedTuple):
    """`dropped`: so many messages were left out, in all channels without history of the connection."""

    at: float
    count: int


class Left(NamedTuple):
    """The end of a connection."""

    at: float
    why: str


Entry = Union[Begun, Resumed, Received, Repeated, Lost, Gap, Dropped, Left]


@dataclass
class Track:
    """All that a reader went through in a channel, over all of its connections."""

    reader: str
    channel: str
    entries: list[Entry] = field(default_factory=list)

    def note(self, entry: Entry) -> None:
        self.entries.append(entry)

    def line(self, index: int) -> str:
        """An entry as people read it."""
        entry = self.entries[index]
        fields = ", ".join(f"{name} {_text(value)}" for name, value in zip(entry._fields[1:], entry[1:]))
        return f"{self.reader} {self.channel} line {index + 1}, {entry.at:.3f} s: {type(entry).__name__} {fields}"


def _text(value) -> str:
    return f"{value[0]}/{value[1]}" if type(value) is tuple else str(value)


@dataclass
class Publication:
    """A message from its first sending on."""

    key: Key
    channel: str
    #: Which connection of its publisher sent it first.
    visit: int
    sent: float
    attempts: int = 1
    acknowledged: float | None = None
    position: Position | None = None
    #: Every attempt was answered with certainly not.
    refused: bool = False

    def line(self) -> str:
        """As people read it."""
        what = f"acknowledged at {self.acknowledged:.3f} s" if self.acknowledged is not None else "not acknowledged"
        where = f" as {self.position}" if self.position else ""
        return f"{_text(self.key)} into {self.channel}, sent at {self.sent:.3f} s, {self.attempts} times, {what}{where}"


@dataclass
class Books:
    """All books of a run."""

    publications: dict[Key, Publication] = field(default_factory=dict)
    tracks: list[Track] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    #: The nodes that leave out what their clients don't take in time.
    dropping: set[str] = field(default_factory=set)
    #: What nobody should have been told, in words.
    unexpected: list[str] = field(default_factory=list)
    #: What the broker has of each channel in the end.
    streams: dict[str, dict[Position, Key]] = field(default_factory=dict)
    #: The newest place of each channel with a history in the end.
    newest: dict[str, Position] = field(default_factory=dict)

    def track(self, reader: str, channel: str) -> Track:
        """A new track."""
        self.tracks.append(Track(reader, channel))
        return self.tracks[-1]

    def tracks_of(self, channel: str) -> list[Track]:
        return [track for track in self.tracks if track.channel == channel]

    def publications_of(self, channel: str) -> list[Publication]:
        return [publication for publication in self.publications.values() if publication.channel == channel]


class Signature:
    """Signs contents, so that what was mixed up or made up on the way shows."""

    def __init__(self, secret: str, padding: int = 0):
        self.secret = secret
        self.padding = "." * padding

    def content(self, channel: str, key: Key) -> list:
        """What is published."""
        return [*key, self._of(channel, key), self.padding]

    def read(self, channel: str, content) -> Key:
        """Whose it is; a `ValueError` if nobody has published it there."""
        try:
            publisher, number, signature, padding = content
        except (TypeError, ValueError):
            raise ValueError(f"{content!r} in {channel} is no content of ours") from None
        key = (publisher, number)
        if (signature, padding) != (self._of(channel, key), self.padding):
            raise ValueError(f"{content!r} in {channel} is not what was published there")
        return key

    def _of(self, channel: str, key: Key) -> str:
        return hashlib.sha256(f"{self.secret}/{channel}/{key[0]}/{key[1]}".encode()).hexdigest()[:16]


@dataclass
class Notes:
    """What every client of a run writes with: the books, the time, and how contents are signed."""

    books: Books
    now: Callable[[], float]
    signature: Signature

    def read(self, name: str, channel: str, event: dict) -> Key | None:
        """Whose content an event has; what is nobody's is booked, and `None`."""
        try:
            return self.signature.read(channel, event["content"])
        except ValueError as error:
            self.unexpected(name, error)
            return None

    def unexpected(self, name: str, what) -> None:
        """Books what `name` should not have been told."""
        self.books.unexpected.append(f"{name} at {self.now():.3f} s: {what}")
