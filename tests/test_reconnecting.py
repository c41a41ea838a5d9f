"""The books of clients that come back: what they must object to."""

from types import SimpleNamespace

import pytest

from harness.reconnecting import Account, Sent, Visit, greatest_share, histogram


def source(count: int = 100, unacknowledged=()):
    """Publications a tenth of a second apart."""
    sent = {n: Sent(n / 10, None if n in unacknowledged else n / 10 + 0.01) for n in range(count)}
    acknowledged = {n: s for n, s in sent.items() if s.acknowledged is not None}
    return SimpleNamespace(publications=sent, acknowledged=acknowledged)


def visit(numbers, ended=None, began=None, code=1012) -> Visit:
    """A visit from just before its first message until `ended`."""
    numbers = list(numbers)
    began = numbers[0] / 10 - 0.05 if began is None else began
    times = [number / 10 + 0.02 for number in numbers]
    return Visit(began, numbers, times, ended, None if ended is None else code)


def account(*visits: Visit, **of) -> Account:
    return Account.of([SimpleNamespace(visits=list(visits), refused=[(1.0, "status 503")])], source(**of))


def test_an_absence_is_accounted_for():
    result = account(visit(range(0, 40), ended=4.0), visit(range(60, 100)))
    assert (result.published, result.acknowledged, result.received, result.lost) == (100, 100, 80, 20)
    assert result.reconnects == [pytest.approx(5.95)] and result.absences == [pytest.approx(1.95)]
    assert result.silences == [pytest.approx(2.1)]
    assert result.closes == {1012: 1} and result.refused == {"status 503": 1}
    assert "20 lost while away" in result.text() and "5.0 s     1 #" in result.text()


def test_what_was_not_acknowledged_may_be_missing():
    account(visit([*range(0, 50), *range(51, 100)]), unacknowledged=[50])


@pytest.mark.parametrize(
    "visits, objection",
    [
        ([visit([0, 1, 3, *range(4, 100)])], "lost without"),
        ([visit(range(0, 90))], "lost without"),
        ([visit(range(0, 20), ended=8.0), visit(range(80, 100))], "lost without"),
        ([visit(range(0, 40), ended=4.0), visit(range(50, 100), began=4.1)], "lost without"),
        ([visit([*range(0, 38), 39], ended=4.0), visit(range(42, 100))], "missing inside"),
        ([visit(range(0, 40), ended=4.0), visit(range(39, 100))], "repeated or out of order"),
        ([visit([0, 2, 1, *range(3, 100)])], "repeated or out of order"),
        ([visit(range(0, 101))], "nobody has published"),
    ],
    ids=["inside", "at the end", "before", "after", "inside, then away", "twice", "order", "invented"],
)
def test_broken_promises_are_found(visits, objection):
    with pytest.raises(AssertionError, match=objection):
        account(*visits)


def test_histograms_and_shares():
    assert histogram([1.2, 1.3, 3.9], 1.0) == [(1.0, 2), (2.0, 0), (3.0, 1)]
    assert histogram([], 1.0) == []
    assert greatest_share([float(n) for n in range(101)], 0.1) == pytest.approx(11 / 101)
    assert greatest_share([0.0, 5.0, 5.0, 5.0, 10.0], 0.1) == 0.6
