"""Clusters broken by seed keep their promises: the short form of `tests/chaos`."""

import random

import pytest

from harness.chaos import report
from harness.chaos.redises import KINDS
from harness.chaos.run import run

# A seed that is always the same, with the Redis that most people have, and one that is another each time.
FIXED = ("single", 2)
DRAWN = (random.choice([*KINDS]), random.randrange(1_000_000))


@pytest.mark.limit(300)
@pytest.mark.parametrize("kind, seed", [FIXED, DRAWN], ids=["fixed", "drawn"])
async def test_promises_are_kept_under_faults(kind, seed, tmp_path):
    print(f"repeat it with: tests/chaos --kind {kind} --seed {seed}")
    result = await run(tmp_path, kind, seed)
    print(report.text(result))
    assert len(result.happened) >= 5 and report.totals(result)["kept acknowledged"] > 100
    assert not result.violations
