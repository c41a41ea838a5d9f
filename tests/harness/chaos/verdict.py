"""What the books of a channel come to."""

from collections import Counter
from dataclasses import dataclass, field

#: What may go wrong, and never may.
VIOLATIONS = ("lost", "duplicated", "out of order", "contradiction", "told without cause", "not live", "unexpected")


@dataclass
class Violation:
    """A broken promise, with the lines of the books that show it."""

    what: str
    channel: str
    why: str
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        title = f"{self.what.upper()} in {self.channel}: {self.why}"
        return "\n".join([title, *(f"    {line}" for line in self.lines)])


@dataclass
class Verdict:
    """The account of a channel: figures by name, and what was broken."""

    channel: str
    figures: Counter = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def violate(self, what: str, why: str, *lines: str, count: int = 1) -> None:
        """Notes a broken promise."""
        assert what in VIOLATIONS, what
        self.figures[what] += count
        self.violations.append(Violation(what, self.channel, why, list(lines)))
