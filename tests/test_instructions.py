"""Whether more instructions than before would be noticed."""

import pytest

from harness.instructions import Counts

BEFORE = Counts("rustc 1.95.0, x86_64", {"fan-out": 300, "decode": 4000})


def judge(toolchain: str = BEFORE.toolchain, **cases: float) -> tuple[int, int]:
    failed, lower = BEFORE.judge(Counts(toolchain, {"fan-out": 300, "decode": 4000} | cases))
    return len(failed), len(lower)


def test_figures_are_read_as_they_are_written():
    assert Counts.read(BEFORE.text()) == BEFORE


@pytest.mark.parametrize("decode, verdict", [(4199, (0, 0)), (4201, (1, 0)), (3801, (0, 0)), (3799, (0, 1))])
def test_more_fails_and_fewer_is_told(decode, verdict):
    assert judge(decode=decode) == verdict


def test_another_compiler_may_differ_by_more():
    assert judge("rustc 1.99.0, x86_64", decode=4900) == (0, 0)
    assert judge("rustc 1.99.0, x86_64", decode=5100) == (1, 0)


def test_what_goes_by_the_clock_may_differ_by_more():
    before = Counts(BEFORE.toolchain, {"heartbeat": 2000})
    assert before.judge(Counts(BEFORE.toolchain, {"heartbeat": 3199})) == ([], [])
    assert len(before.judge(Counts(BEFORE.toolchain, {"heartbeat": 3201}))[0]) == 1


def test_a_case_without_a_figure_fails_and_so_does_a_figure_without_a_case():
    assert judge(encode=1) == (1, 0)
    assert BEFORE.judge(Counts(BEFORE.toolchain, {"fan-out": 300}))[0] == ["decode is not counted any more"]
