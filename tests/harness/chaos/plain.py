"""What was promised of a channel without a history, held against the books."""

from collections import defaultdict
from typing import NamedTuple

from .books import Begun, Books, Dropped, Gap, Key, Left, Publication, Received, Resumed, Track
from .order import check_same_order
from .timeline import Harm
from .verdict import Verdict

# The clocks of clients and of nodes are read at different places, and what is under way between them takes a while.
_SLACK = 1.5


class Stretch(NamedTuple):
    """A time of which a reader may lack messages, and why."""

    since: float
    until: float
    why: str


def check_plain(books: Books, channel: str) -> Verdict:
    """Every promise, for every reader."""
    verdict, publications = Verdict(channel), {one.key: one for one in books.publications_of(channel)}
    tracks = books.tracks_of(channel)
    for track in tracks:
        _check_once(track, verdict)
        _check_refused(track, publications, verdict)
        _check_publishers(track, publications, verdict)
        _check_missed(track, publications, books, verdict)
    check_same_order(tracks, verdict)
    _count(tracks, publications, verdict)
    return verdict


def _messages(track: Track):
    return ((line, entry) for line, entry in enumerate(track.entries) if isinstance(entry, Received))


def _check_once(track: Track, verdict: Verdict) -> None:
    first: dict[Key, int] = {}
    for line, entry in _messages(track):
        if entry.key in first:
            lines = track.line(first[entry.key]), track.line(line)
            verdict.violate("duplicated", f"{track.reader} got it twice", *lines)
        first.setdefault(entry.key, line)


def _check_refused(track: Track, publications: dict[Key, Publication], verdict: Verdict) -> None:
    for line, entry in _messages(track):
        if publications[entry.key].refused:
            why = f"{track.reader} got what was said not to be published"
            verdict.violate("contradiction", why, publications[entry.key].line(), track.line(line))


def _check_publishers(track: Track, publications: dict[Key, Publication], verdict: Verdict) -> None:
    """What one connection published keeps its order; only what was not acknowledged may come late."""
    last: dict[tuple[str, int], int] = {}
    for line, entry in _messages(track):
        one = publications[entry.key]
        connection, number = (entry.key[0], one.visit), entry.key[1]
        if number >= last.get(connection, -1):
            last[connection] = number
        elif one.acknowledged is None:
            verdict.figures["late"] += 1
        else:
            verdict.violate("out of order", f"{track.reader}: behind number {last[connection]}", track.line(line))


def _check_missed(track: Track, publications: dict[Key, Publication], books: Books, verdict: Verdict) -> None:
    """What was acknowledged and has not come is explained."""
    received = {entry.key for _, entry in _messages(track)}
    stretches = list(_stretches(track, publications))
    began = next((entry.at for entry in track.entries if isinstance(entry, Begun)), float("inf"))
    left_out = 0
    for one in publications.values():
        if one.acknowledged is None or one.key in received or one.acknowledged < began:
            continue
        why = _explanation(one, stretches) or _split(one, books)
        verdict.figures[f"missed: {why}" if why else "missed"] += 1
        left_out += why == "dropped"
        if why is None:
            verdict.violate("lost", f"{track.reader} was here, and was told nothing", one.line(), *_around(track, one))
    _check_dropped(track, left_out, verdict)


def _explanation(one: Publication, stretches: list[Stretch]) -> str | None:
    touches = lambda since, until: one.acknowledged >= since - _SLACK and one.sent <= until + _SLACK
    reasons = {why for since, until, why in stretches if touches(since, until)}
    return next((why for why in ("away", "gap", "dropped") if why in reasons), None)


def _split(one: Publication, books: Books) -> str | None:
    """What goes to one of two primaries reaches only who is there, and nobody can tell."""
    split = any(fault.may(Harm.TORN, one.channel, one.sent, one.acknowledged) for fault in books.happened)
    return "split" if split else None


def _around(track: Track, one: Publication) -> list[str]:
    """The lines between which it is missing."""
    after = next((n for n, entry in enumerate(track.entries) if entry.at > one.acknowledged), len(track.entries))
    return [track.line(line) for line in range(max(0, after - 2), min(len(track.entries), after + 2))]


def _stretches(track: Track, publications: dict[Key, Publication]):
    """When the reader was away, in a gap, or was left out."""
    # Up to when all that was sent has come: nobody can tell what was on its way when a connection ends.
    complete, away = 0.0, False
    for entry in track.entries:
        if isinstance(entry, Received):
            complete = max(complete, publications[entry.key].sent)
        elif isinstance(entry, Left):
            away = True
        elif isinstance(entry, Resumed) and away:
            yield Stretch(complete, entry.at, "away")
            complete, away = entry.at, False
        elif isinstance(entry, Gap):
            yield Stretch(entry.at - entry.seconds, entry.at, "gap")
        elif isinstance(entry, Dropped):
            yield Stretch(complete, entry.at, "dropped")
    if away:
        yield Stretch(complete, float("inf"), "away")


def _check_dropped(track: Track, left_out: int, verdict: Verdict) -> None:
    told = sum(entry.count for entry in track.entries if isinstance(entry, Dropped))
    if left_out > told:
        why = f"{track.reader} was told of {told} dropped messages, and lacks {left_out} of this channel alone"
        verdict.violate("lost", why, count=left_out - told)


def _count(tracks: list[Track], publications: dict[Key, Publication], verdict: Verdict) -> None:
    figures = verdict.figures
    received = defaultdict(int)
    for track in tracks:
        for _, entry in _messages(track):
            received[entry.key] += 1
    figures["published"] = len(publications)
    figures["acknowledged"] = sum(one.acknowledged is not None for one in publications.values())
    figures["delivered"] = sum(received.values())
    figures["unacknowledged but delivered"] = sum(publications[key].acknowledged is None for key in received)
    figures["resumed"] = sum(isinstance(entry, Resumed) for track in tracks for entry in track.entries)
