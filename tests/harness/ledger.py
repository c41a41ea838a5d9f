"""The books of a load: who sent what when, what was said to it, and who received it."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

# The clocks of a test and of a node are read at different places.
_SLACK = 0.5


@dataclass
class Reader:
    """What one subscriber saw."""

    name: str
    received: list[tuple[str, int]] = field(default_factory=list)
    # When a gap was told, and how long it was.
    gaps: list[tuple[float, float]] = field(default_factory=list)

    def take(self, event: dict) -> None:
        """Books an event."""
        if event["type"] == "message":
            publisher, number = event["content"][:2]
            self.received.append((publisher, number))
        elif event["type"] == "gap":
            self.gaps.append((time.monotonic(), event["seconds"]))

    def missed_something_at(self, begin: float, end: float) -> bool:
        """Whether the time from `begin` to `end` touches a gap that was told."""
        return any(begin <= told + _SLACK and end >= told - seconds - _SLACK for told, seconds in self.gaps)


@dataclass
class Ledger:
    """All readers of one channel, and all that was published into it."""

    readers: list[Reader] = field(default_factory=list)
    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    outcomes: dict[tuple[str, int], tuple[str, float]] = field(default_factory=dict)

    def reader(self, name: str) -> Reader:
        """A new reader."""
        self.readers.append(Reader(name))
        return self.readers[-1]

    def publish(self, key: tuple[str, int]) -> None:
        """Books that `key` is being sent."""
        self.sent[key] = time.monotonic()

    def answer(self, key: tuple[str, int], event: dict) -> None:
        """Books what was said to it."""
        assert key not in self.outcomes, f"{key} was answered twice"
        self.outcomes[key] = (event["code"] if event["type"] == "error" else "ok", time.monotonic())

    def count(self, outcome: str) -> int:
        """How many publications had this outcome."""
        return sum(have == outcome for have, _ in self.outcomes.values())

    def slowest_answer(self) -> float:
        """The longest time from sending to the answer, in seconds."""
        return max((told - self.sent[key] for key, (_, told) in self.outcomes.items()), default=0.0)

    def check(self) -> None:
        """Every promise about delivery, for every reader."""
        assert self.sent.keys() == self.outcomes.keys(), (
            f"unanswered: {sorted(self.sent.keys() - self.outcomes.keys())[:5]}"
        )
        assert {o for o, _ in self.outcomes.values()} <= {"ok", "broker_unavailable", "broker_timeout"}
        for reader in self.readers:
            self._check_order(reader)
            self._check_delivery(reader)

    def _check_order(self, reader: Reader) -> None:
        last: dict[str, int] = defaultdict(lambda: -1)
        for publisher, number in reader.received:
            assert number > last[publisher], f"{reader.name}: {publisher} {number} came after {last[publisher]}"
            last[publisher] = number

    def _check_delivery(self, reader: Reader) -> None:
        received = set(reader.received)
        refused = [key for key in received if self.outcomes[key][0] == "broker_unavailable"]
        assert not refused, f"{reader.name} got what was said not to be published: {sorted(refused)[:5]}"
        missed = [key for key, (outcome, _) in self.outcomes.items() if outcome == "ok" and key not in received]
        lost = [key for key in missed if not reader.missed_something_at(self.sent[key], self.outcomes[key][1])]
        details = [(key, self.sent[key], self.outcomes[key]) for key in sorted(lost)[:3]]
        assert not lost, f"{reader.name} missed {len(lost)} outside of its gaps {reader.gaps}: {details}"

    def missed(self) -> int:
        """How many acknowledged deliveries did not happen."""
        acknowledged = {key for key, (outcome, _) in self.outcomes.items() if outcome == "ok"}
        return sum(len(acknowledged - set(reader.received)) for reader in self.readers)

    def same_order_everywhere(self) -> None:
        """Every reader saw the whole of it in one and the same order."""
        first = self.readers[0].received
        for reader in self.readers[1:]:
            assert reader.received == first, f"{reader.name} saw another order than {self.readers[0].name}"
