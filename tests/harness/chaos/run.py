"""A run: from a seed to its result."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from .books import Books
from .check import check
from .plan import Round, rounds
from .stage import KEPT, PLAIN, Stage
from .timeline import Happened, Timeline
from .verdict import Verdict, Violation

#: How many faults a short run has at least.
FAULTS = 6


@dataclass
class Result:
    """What a run has come to."""

    kind: str
    seed: int
    seconds: float
    happened: list[Happened]
    verdicts: list[Verdict]
    books: Books = field(repr=False)

    @property
    def violations(self) -> list[Violation]:
        return [violation for verdict in self.verdicts for violation in verdict.violations]


async def run(directory: Path, kind: str, seed: int, minutes: float | None = None, tell=print) -> Result:
    """Does what the seed says to a cluster of its own, for so long or for a few faults, and checks the books."""
    began = time.monotonic()
    stage = Stage(directory, kind, Timeline(tell))
    try:
        await stage.start()
        tell(f"{stage.timeline.now():7.2f} s  everybody is here, messages flow")
        await _faults(stage, kind, seed, minutes)
        await stage.heal()
        tell(f"{stage.timeline.now():7.2f} s  everything is healed")
        await stage.flows()
        await stage.settle()
        tell(f"{stage.timeline.now():7.2f} s  all is said")
    finally:
        await stage.end()
    verdicts = check(stage.books, KEPT, PLAIN)
    return Result(kind, seed, time.monotonic() - began, stage.timeline.happened, verdicts, stage.books)


async def _faults(stage: Stage, kind: str, seed: int, minutes: float | None) -> None:
    done, ends = 0, time.monotonic() + 60 * (minutes or 0)
    for one in rounds(kind, seed, long=minutes is not None):
        await _round(stage, kind, one)
        stage.check_running()
        done += one.faults
        if done >= FAULTS and time.monotonic() >= ends:
            return


async def _round(stage: Stage, kind: str, one: Round) -> None:
    seeds = itertools.count()

    async def fault(fault, later: float) -> None:
        draw = random.Random(f"{one.seed}/{next(seeds)}")
        await asyncio.sleep(later)
        with stage.timeline.happening(fault.name, fault.harm[kind]) as happened:
            await fault.run(stage, draw, happened)

    others = [fault(one.other, one.later)] if one.other else []
    await asyncio.gather(fault(one.fault, 0.0), *others)
    await asyncio.sleep(one.pause)
