"""What was promised of a channel with a history, held against the books."""

from collections import defaultdict

from .books import Books, Key, Position, Publication, Received, Repeated, Track
from .order import check_epochs, check_publishers
from .timeline import Harm
from .verdict import Verdict
from .walk import Told, Walk


def check_kept(books: Books, channel: str) -> Verdict:
    """Every promise, for every reader."""
    verdict = Verdict(channel)
    account = _Account(books, verdict)
    account.check_places()
    account.check_doubles()
    account.check_epochs()
    for walk in account.walks:
        account.check_told(walk)
        account.check_missed(walk)
        account.check_live(walk)
    check_publishers(account.publications, verdict)
    if not account.was_torn(0.0, float("inf")):
        check_epochs(account.walks, verdict)
    account.count()
    return verdict


class _Account:
    def __init__(self, books: Books, verdict: Verdict):
        self.books = books
        self.verdict = verdict
        self.channel = verdict.channel
        self.publications = books.publications_of(self.channel)
        self.tracks = books.tracks_of(self.channel)
        self.walks = [Walk(track, verdict, self.was_torn).run() for track in self.tracks]
        #: Where each publication was seen, and by what.
        self.seen: dict[Key, dict[Position, str]] = defaultdict(dict)

    def count(self) -> None:
        figures, received = self.verdict.figures, {key for walk in self.walks for key in walk.received.values()}
        figures["published"] = len(self.publications)
        figures["acknowledged"] = sum(one.acknowledged is not None for one in self.publications)
        unacknowledged = (one for one in self.publications if one.acknowledged is None)
        figures["unacknowledged but delivered"] = sum(one.key in received for one in unacknowledged)
        figures["epochs"] = len({place.epoch for places in self.seen.values() for place in places})
        figures["skipped"] = sum(isinstance(entry, Repeated) for track in self.tracks for entry in track.entries)

    def check_places(self) -> None:
        """No place carries two messages, whoever saw it."""
        holders: dict[Position, tuple[Key, str]] = {}
        for position, key, line in self._sightings():
            self.seen[key].setdefault(position, line)
            other, first = holders.setdefault(position, (key, line))
            if other != key:
                self.verdict.violate("contradiction", f"two messages at {position}", first, line)
                holders[position] = (key, line)

    def _sightings(self):
        for one in self.publications:
            if one.acknowledged is not None and one.position:
                yield one.position, one.key, one.line()
        for track in self.tracks:
            for line, entry in enumerate(track.entries):
                if isinstance(entry, (Received, Repeated)):
                    yield entry.position, entry.key, track.line(line)
        for position, key in self.books.streams.get(self.channel, {}).items():
            yield position, key, f"the stream has {key[0]}/{key[1]} at {position}"

    def check_doubles(self) -> None:
        """No message is at two places, unless its idempotency key may have been forgotten meanwhile."""
        for key, places in self.seen.items():
            if len(places) == 1:
                continue
            publication = self.books.publications[key]
            until = publication.acknowledged if publication.acknowledged is not None else float("inf")
            if self._may(Harm.KEYS, publication.sent, until):
                self.verdict.figures["duplicated after a fault"] += 1
            else:
                lines = publication.line(), *places.values()
                self.verdict.violate("duplicated", "one message at several places", *lines)

    def check_epochs(self) -> None:
        """Epochs begin only after faults that may have ended the one before."""
        for epoch, (at, line) in self._epochs_begin()[1:]:
            if not self._may(Harm.EPOCH, at, at):
                self.verdict.violate("told without cause", f"epoch {epoch} began and nothing had ended another", line)

    def _epochs_begin(self) -> list[tuple[str, tuple[float, str]]]:
        """The epochs in the order in which they were first seen, and by whom."""
        first: dict[str, tuple[float, str]] = {}
        for one in self.publications:
            if one.acknowledged is not None and one.position:
                _earlier(first, one.position.epoch, one.acknowledged, one.line())
        for track in self.tracks:
            for line, entry in enumerate(track.entries):
                if position := getattr(entry, "position", None):
                    if entry.at < first.get(position.epoch, (float("inf"),))[0]:
                        first[position.epoch] = entry.at, track.line(line)
        return sorted(first.items(), key=lambda item: item[1])

    def check_told(self, walk: Walk) -> None:
        """Who stays in an epoch is told of a loss where something had harmed the stream, or by a node that drops."""
        for told in walk.told:
            same = told.before is not None and told.before.epoch == told.after.epoch
            if same and not self._may(self._causes(told), told.heard, told.at):
                why = f"{walk.track.reader}: from {told.before} to {told.after}, and nothing had harmed the stream"
                self.verdict.violate("told without cause", why, walk.track.line(told.line))

    def _causes(self, told: Told) -> Harm:
        if told.node is None:
            # Who resumes may hear that what it asks for is gone before the node hears of the next epoch.
            return Harm.STREAM | Harm.EPOCH
        return Harm.STREAM | Harm.SLOW if told.node in self.books.dropping else Harm.STREAM

    def check_missed(self, walk: Walk) -> None:
        """What was acknowledged has come, or its loss was told."""
        received = set(walk.received.values())
        missed = (one for one in self.publications if one.acknowledged is not None and one.key not in received)
        for one in missed:
            if walk.began is None or one.acknowledged < walk.began:
                continue
            if any(_tells_of(told, one) for told in walk.told):
                self.verdict.figures["missed and told"] += 1
            elif self._may(Harm.SPLIT, one.sent, one.acknowledged):
                self.verdict.figures["missed in a split"] += 1
            else:
                self.verdict.violate("lost", f"{walk.track.reader} never got it, and was told nothing", one.line())

    def check_live(self, walk: Walk) -> None:
        """In the end every reader is where the stream is."""
        newest = self.books.newest.get(self.channel)
        if walk.place != newest:
            lines = [walk.track.line(len(walk.track.entries) - 1)] if walk.track.entries else []
            self.verdict.violate("not live", f"{walk.track.reader} is at {walk.place}, the stream at {newest}", *lines)

    def was_torn(self, since: float, until: float) -> bool:
        """Whether nodes may have been at different primaries."""
        return self._may(Harm.TORN, since, until)

    def _may(self, harm: Harm, since: float, until: float) -> bool:
        return any(fault.may(harm, self.channel, since, until) for fault in self.books.happened)


def _earlier(first: dict[str, tuple[float, str]], epoch: str, at: float, line: str) -> None:
    if at < first.get(epoch, (float("inf"),))[0]:
        first[epoch] = at, line


def _tells_of(told: Told, publication: Publication) -> bool:
    """Whether a loss that was told covers it: it stood behind what the reader had then, or was sent before the word."""
    place, before = publication.position, told.before
    behind = before is not None and place.epoch == before.epoch and place.offset > before.offset
    return behind or publication.sent <= told.at
