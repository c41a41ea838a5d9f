"""What was done to the cluster, when, and what harm it may do."""

import enum
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

# How long after a fault's end its effects may begin to show, in seconds: links come back, others publish, somebody who
# was away asks. Generous, for the machine may be busy.
GRACE = 20.0


class Harm(enum.Flag):
    """What a fault may do to what is kept."""

    NONE = 0
    #: An epoch ends, and with it all that is kept.
    EPOCH = enum.auto()
    #: Answers to idempotency keys are forgotten, so that what is sent again is published again.
    KEYS = enum.auto()
    #: What is kept goes, or parts of it, and the epoch goes on.
    STREAM = enum.auto()
    #: Readers are too slow, or get too much at once, so that a node that is configured to drop does.
    SLOW = enum.auto()
    #: Nodes are at different primaries for a while: who changes nodes then is sent to the other one's epoch and back,
    #: and what is published where nothing is kept reaches only those who are at the same one.
    TORN = enum.auto()
    #: Both primaries take what is kept, and what the losing one has taken is gone.
    SPLIT = enum.auto()


# How long after a fault's end some nodes may yet be at another primary than others, in seconds: they ask Sentinels
# every two.
SPLIT_GRACE = 5.0

DESTROYED = Harm.EPOCH | Harm.KEYS


@dataclass
class Happened:
    """A fault, from its beginning to the end of what was done."""

    name: str
    began: float
    ended: float = float("inf")
    harm: Harm = Harm.NONE
    #: The only channel that it concerns, if not all.
    channel: str | None = None
    details: str = ""

    def may(self, harm: Harm, channel: str, since: float, until: float) -> bool:
        """Whether it may have done this to the channel somewhen from `since` to `until`."""
        concerned = self.channel in (None, channel)
        grace = SPLIT_GRACE if harm & (Harm.SPLIT | Harm.TORN) else GRACE
        return bool(self.harm & harm) and concerned and self.began <= until and self.ended + grace >= since

    def line(self) -> str:
        """As people read it."""
        harm = f" [{self.harm_text()}]" if self.harm else ""
        where = f" {self.channel}" if self.channel else ""
        return f"{self.began:7.2f} to {self.ended:7.2f} s  {self.name}{where}{harm} {self.details}".rstrip()

    def harm_text(self) -> str:
        return ", ".join(one.name.lower() for one in Harm if one and one in self.harm)


@dataclass
class Timeline:
    """The faults of a run, on a clock that begins with it."""

    tell: object = print
    happened: list[Happened] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def happening(self, name: str, harm: Harm = Harm.NONE, channel: str | None = None):
        """Books what the block does."""
        fault = Happened(name, self.now(), harm=harm, channel=channel)
        self.happened.append(fault)
        try:
            yield fault
        finally:
            fault.ended = self.now()
            self.tell(fault.line())
