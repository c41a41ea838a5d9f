"""Whether all saw the same order."""

import bisect
from collections import defaultdict

from .books import Publication, Received, Track
from .verdict import Verdict


def check_publishers(publications: list[Publication], verdict: Verdict) -> None:
    """What was sent after something was acknowledged stands behind it."""
    by_epoch: dict[str, list[Publication]] = defaultdict(list)
    for one in publications:
        if one.acknowledged is not None and one.position:
            by_epoch[one.position.epoch].append(one)
    for one_epoch in by_epoch.values():
        _check_epoch(one_epoch, verdict)


def _check_epoch(publications: list[Publication], verdict: Verdict) -> None:
    acknowledged = sorted(publications, key=lambda one: one.acknowledged)
    times, furthest = [one.acknowledged for one in acknowledged], []
    for one in acknowledged:
        furthest.append(max(one, furthest[-1], key=_offset) if furthest else one)
    for one in publications:
        before = bisect.bisect_left(times, one.sent) - 1
        if before >= 0 and furthest[before].position.offset > one.position.offset:
            verdict.violate("out of order", "the later one stands before", furthest[before].line(), one.line())


def _offset(publication: Publication) -> int:
    return publication.position.offset


def check_epochs(walks, verdict: Verdict) -> None:
    """No two readers saw epochs in different orders, and nobody came back to one."""
    follows = defaultdict(set)
    for walk in walks:
        for one, two in zip(walk.epochs, walk.epochs[1:]):
            follows[one].add(two)
    if circle := _circle(follows):
        seen = [f"{walk.track.reader}: {' '.join(walk.epochs)}" for walk in walks]
        verdict.violate("out of order", f"epochs in a circle: {' '.join(circle)}", *seen)


def _circle(follows: dict[str, set[str]]) -> list[str]:
    """Nodes of a directed graph that lie on a circle, none if it has none."""
    left = {one: set(twos) for one, twos in follows.items()}
    while ends := [one for one, twos in left.items() if not twos & left.keys()]:
        for one in ends:
            del left[one]
    return sorted(left)


def check_same_order(tracks: list[Track], verdict: Verdict) -> None:
    """Whatever two readers both got, they got in one order."""
    orders = {track.reader: _numbered(track) for track in tracks}
    names = sorted(orders)
    for at, one in enumerate(names):
        for two in names[at + 1 :]:
            _check_pair((one, orders[one]), (two, orders[two]), verdict)


def _numbered(track: Track) -> dict:
    keys = [entry.key for entry in track.entries if isinstance(entry, Received)]
    return {key: number for number, key in enumerate(keys)}


def _check_pair(one, two, verdict: Verdict) -> None:
    (first, order), (second, other) = one, two
    last, last_key = -1, None
    for key in order:
        number = other.get(key)
        if number is None:
            continue
        if number < last:
            verdict.violate("out of order", f"{first} got {last_key} before {key}, {second} the other way round")
            return
        last, last_key = number, key
