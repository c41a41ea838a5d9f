"""Decisions that need no node."""

import base64
import json
import re
from pathlib import Path

import pytest
from fanwire import Dropped, FanwireError, Position
from fanwire.backoff import Backoff
from fanwire.codec import Json
from fanwire.retry import Pace, after_close, after_refusal
from fanwire.stream import Stream
from fanwire.tokens import expiry, renewal
from fanwire.track import Track

ROOT = Path(__file__).resolve().parents[3]
BACKOFF, SOON, TOO_SLOW = Pace(), Pace(soon=True), Pace(least=1.0)


def waits(backoff: Backoff, *paces: Pace) -> list[float]:
    return [backoff.wait(pace, 1.0) for pace in paces]


def test_bounds_double_up_to_the_most():
    assert waits(Backoff(0.5, 10), *[BACKOFF] * 7) == [0.5, 1, 2, 4, 8, 10, 10]
    assert waits(Backoff(3, 1), BACKOFF) == [1]
    assert waits(Backoff(0.001, 0.001), BACKOFF, BACKOFF) == [0.01, 0.01]
    assert Backoff(0.5, 10).wait(BACKOFF, 0.0) == 0


def test_a_drained_node_is_left_soon_but_not_again_and_again():
    assert waits(Backoff(0.5, 10), SOON, SOON, BACKOFF) == [0.2, 1, 2]
    backoff = Backoff(0.5, 10)
    for lived in (0.0, 1.0, 5.0):
        backoff.ended(lived)
        assert waits(backoff, SOON) == [0.2]
    backoff.ended(10.0)
    assert waits(backoff, BACKOFF) == [0.5]


def test_what_a_node_asks_for_is_waited_at_least():
    assert waits(Backoff(0.5, 10), Pace(least=3.0), Pace(least=3600.0)) == [6, 3630]
    assert Backoff(0.5, 10).wait(TOO_SLOW, 0.0) == 1


def test_close_codes():
    for code in (1000, 1002, 1003, 1007, 1008, 1010, 3000, 3003, 4403):
        assert after_close(code, renewable=True) is None, code
    for code in (1001, 1005, 1006, 1009, 1011, 1014, 4000, 4429):
        assert after_close(code, renewable=False) == BACKOFF, code
    for code in (4401, 4408):
        assert (after_close(code, renewable=False), after_close(code, renewable=True)) == (None, BACKOFF)
    assert (after_close(1012, renewable=False), after_close(1013, renewable=False)) == (SOON, TOO_SLOW)


@pytest.mark.parametrize(
    "status, retry_after, expected",
    [
        (400, None, None),
        (401, None, None),
        (403, "3", None),
        (426, None, None),
        (408, None, BACKOFF),
        (429, "3", Pace(least=3.0)),
        (503, " 7 ", Pace(least=7.0)),
        (503, "86400", Pace(least=3600.0)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", BACKOFF),
        (503, "-1", BACKOFF),
        (502, None, BACKOFF),
        (302, None, BACKOFF),
    ],
)
def test_refused_upgrades(status, retry_after, expected):
    assert after_refusal(status, retry_after, renewable=False) == expected


def test_a_refused_token_may_be_replaced():
    assert after_refusal(401, None, renewable=True) == BACKOFF


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the protocol."""
    section = (ROOT / "crates" / "protocol" / "README.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in cells] for cells in lines[2:]]


def test_every_error_code_of_the_protocol_is_known():
    source = (ROOT / "clients" / "js" / "src" / "error.ts").read_text()
    codes = rows("Error codes")
    assert len(codes) > 10
    for code, _, done, _ in codes:
        assert FanwireError(code, "").maybe_done == (done == "perhaps"), code
        assert f'"{code}"' in source, code
    assert FanwireError("a_newer_one", "").maybe_done


def test_every_close_code_of_the_protocol_is_judged_as_it_says():
    source = (ROOT / "clients" / "js" / "src" / "retry.ts").read_text()
    codes = rows("Close codes")
    assert len(codes) > 10
    for code, _, _, advice in codes:
        # "As above": 1013 has two reasons.
        is_final = "don't connect again" in advice or "as the client wishes" in advice
        assert (after_close(int(code), renewable=True) is None) == is_final, code
        assert not is_final or re.search(rf"FINAL = .*\b{code}\b", source), code


OWN, LATER, OTHER = Position("a", 5), Position("a", 9), Position("b", 5)


@pytest.mark.parametrize(
    "place, granted, recovered, outcome, after",
    [
        (None, None, None, "new", None),
        (None, LATER, None, "new", LATER),
        (OWN, OWN, True, "recovered", OWN),
        (OWN, LATER, False, "lost", LATER),
        (OWN, OTHER, False, "lost", OTHER),
        (LATER, OWN, False, "lost", OWN),
        (OWN, OWN, None, "recovered", OWN),
        (LATER, OWN, None, "recovered", LATER),
        (OWN, LATER, None, "lost", LATER),
        (OWN, OTHER, None, "lost", OTHER),
        (OWN, None, None, "lost", None),
    ],
)
def test_what_an_answer_to_subscribe_means(place, granted, recovered, outcome, after):
    track = Track(place)
    assert (track.begin(granted, recovered), track.place) == (outcome, after)


def test_without_a_history_nobody_knows():
    track = Track(None)
    assert [track.begin(None, None), track.begin(None, None)] == ["new", "unknown"]


@pytest.mark.parametrize("place, offset, is_new", [(5, 6, True), (5, 5, False), (5, 1, False), (5, 7, True), (0, 1, True)])
def test_offsets_are_judged(place, offset, is_new):
    track = Track(Position("a", place))
    assert track.see(offset) == is_new and track.place == Position("a", max(place, offset))


@pytest.mark.parametrize(
    "place, lost, is_loss",
    [
        (OWN, OWN, False),
        (LATER, OWN, False),
        (OWN, LATER, True),
        (OTHER, OWN, True),
        (None, OWN, True),
    ],
)
def test_a_loss_that_is_behind_is_none(place, lost, is_loss):
    track = Track(place)
    assert track.lost(lost) == is_loss and track.place == (lost if is_loss else place)


async def test_what_finds_no_room_is_counted_in_its_place():
    stream = Stream(2)
    for number in range(4):
        stream._tell(number)
    stream._tell(Dropped(3))
    taken = [await anext(stream) for _ in range(2)]
    stream._tell(4)
    stream._end()
    assert taken + [event async for event in stream] == [0, 1, Dropped(5), 4]


def test_binary_content_is_base64_in_json():
    text = Json().encode({"type": "publish", "content": bytes(range(256))})
    assert json.loads(text)["content_base64"] == base64.b64encode(bytes(range(256))).decode()
    assert Json().decode(text)["content"] == bytes(range(256))


def test_a_token_is_renewed_well_before_its_end():
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 100.5, "sub": "ÿ~?"}).encode()).decode().rstrip("=")
    assert expiry(f"x.{claims}.y") == 100.5
    assert [expiry(wrong) for wrong in ("", "x", "x.y.z", "x.e30.y", "x.W10.y")] == [None] * 5
    assert (renewal(1000, 0.0), renewal(1000, 1.0), renewal(0.1, 0.0)) == (750, 900, 1)
