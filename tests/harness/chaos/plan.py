"""Which faults come when: drawn by a seed, and by nothing else."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .faults import Fault, fitting

# How often another fault comes while one is under way.
_ACCOMPANIED = 0.35
_PAUSE = 0.3, 2.5
_LATER = 0.0, 2.0


@dataclass(frozen=True)
class Round:
    """A fault, perhaps another one that begins `later` seconds after it, and a pause behind both."""

    fault: Fault
    other: Fault | None
    later: float
    pause: float
    #: What the faults themselves draw from.
    seed: str

    @property
    def faults(self) -> int:
        return 1 + (self.other is not None)


def rounds(kind: str, seed: int, long: bool) -> Iterator[Round]:
    """Rounds without end: each fault that fits comes once before any comes again."""
    draw, number = random.Random(f"{kind}/{seed}"), 0
    while True:
        deck = fitting(kind, long)
        draw.shuffle(deck)
        for fault in deck:
            number += 1
            yield _round(fault, kind, draw, f"{kind}/{seed}/{number}")


def _round(fault: Fault, kind: str, draw: random.Random, seed: str) -> Round:
    others = [one for one in fitting(kind, False) if one.accompanies and one is not fault]
    other = draw.choice(others) if draw.random() < _ACCOMPANIED else None
    return Round(fault, other, draw.uniform(*_LATER), draw.uniform(*_PAUSE), seed)
