"""A node with its Redis and its guests: before, while and after a hostile crowd is there."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .. import process
from ..metrics import Metrics
from ..node import Node
from ..redis_server import RedisServer
from ..waiting import wait_until
from .guests import Guests, Newcomers

_TESTS = Path(__file__).resolve().parents[2]
#: What memory may differ by without a reason; and what each of the crowd may cost. In bytes.
_SLACK, _COST = 4 << 20, 8 << 10
#: How long the guests are there before the crowd comes, and the crowd before anything is measured, in seconds.
_ARRIVAL, _BUILD_UP = 4, 12
_SAMPLE = 0.5


@dataclass(frozen=True)
class Plan:
    """How many there are of each, and for how long, in seconds."""

    guests: int = 1000
    processes: int = 4
    rate: float = 20
    half_open: int = 10_000
    slow: int = 1000
    calm: int = 20
    attack: int = 60


@dataclass
class Phase:
    """What was measured while something was so."""

    guests: list[dict]
    seconds: float
    cpu_seconds: tuple[float, float]

    @property
    def lost(self) -> int:
        return sum(one["integrity"]["lost"] for one in self.guests)

    @property
    def received(self) -> int:
        return sum(one["integrity"]["received"] for one in self.guests)

    @property
    def disturbed(self) -> int:
        """Deliveries that were doubled, out of order or left out, and connections that ended."""
        names = "duplicated", "out_of_order", "told_dropped", "told_gaps"
        books = [one["integrity"] for one in self.guests]
        return sum(sum(book[name] for name in names) + sum(book["ended"].values()) + len(book["errors"]) for book in books)

    def latency(self, quantile: str) -> float:
        """That of the process that had it worst, in milliseconds."""
        return max(one["latency"][f"{quantile}_us"] for one in self.guests) / 1000


@dataclass
class Result:
    """All of it; memory is what the node shares with nobody, in bytes."""

    plan: Plan
    calm: Phase
    attack: Phase
    newcomers: Newcomers
    crowd: dict[str, int]
    memory: dict[str, int]
    files: dict[str, int]
    #: By how much the node's counters of upgrades and sockets rose during the attack.
    counted: dict[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """What each of the crowd costs, in bytes."""
        return (self.memory["attack"] - self.memory["guests"]) / max(1, self.files["attack"] - self.files["guests"])

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        # An allocator may keep what was freed; then the next crowd takes that, and no more.
        kept = self.memory["after"] - self.memory["before"] > _SLACK
        grew = self.memory["again"] > self.memory["attack"] * 1.1 + _SLACK
        checks = {
            "guests lost messages": not (self.calm.lost or self.attack.lost),
            "guests were disturbed": not (self.calm.disturbed or self.attack.disturbed),
            "newcomers were not served": not self.newcomers.failed and self.newcomers.served,
            "memory was lost": not (kept and grew),
            "a connection that says nothing costs too much": self.cost <= _COST,
            "files did not come back": self.files["after"] <= self.files["before"] + 4,
        }
        return [fault for fault, holds in checks.items() if not holds]


@contextmanager
def crowd(node: Node, half_open: int, slow_upgrades: int, slow_frames: int, rate: int = 2000):
    """A process full of attackers, which come one after the other; see `stand` and `disperse`."""
    command = [
        sys.executable, "-m", "harness.hostile.crowd", "--port", str(node.port), "--half-open", str(half_open),
        "--slow-upgrades", str(slow_upgrades), "--slow-frames", str(slow_frames), "--rate", str(rate),
    ]  # fmt: skip
    environment = process.clean_environment() | {"PYTHONPATH": str(_TESTS)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    attackers = subprocess.Popen(command, env=environment, cwd=node.directory, text=True, **pipes)
    try:
        yield attackers
    finally:
        process.end(attackers)


async def stand(attackers: subprocess.Popen) -> None:
    """Waits until each of a crowd was there."""
    line = await asyncio.wait_for(asyncio.to_thread(attackers.stdout.readline), 60)
    assert line == "ready\n", f"the crowd never stood: {line!r}"


async def disperse(attackers: subprocess.Popen) -> dict[str, int]:
    """Ends a crowd; what became of it, by kind and outcome."""
    output, _ = await asyncio.to_thread(attackers.communicate, timeout=30)
    return json.loads(output)


def counters(metrics: Metrics) -> dict[str, float]:
    """How upgrades have ended, and what became of sockets before them."""
    return {
        f"{name}{{{','.join(labels.values())}}}" if labels else name: value
        for name, labels, value in metrics.samples
        if name.startswith(("fanwire_upgrades_", "fanwire_accept_", "fanwire_handshakes_")) and name.endswith("_total")
    }


def measure(directory: Path, plan: Plan, tell) -> Result:
    """Plays the whole of it with real processes."""
    with ExitStack() as stack:
        redis = RedisServer(directory).start()
        stack.callback(redis.kill)
        node = Node(directory, "node", {"redis__url": redis.url}).start().wait_ready()
        stack.callback(node.kill)
        return asyncio.run(_measure(node, plan, tell))


async def _measure(node: Node, plan: Plan, tell) -> Result:
    tell(f"{plan.guests} guests alone for {plan.calm} s")
    calm = await _calm(node, plan)
    memory, files = {"before": node.private_memory()}, {"before": node.files()}
    tell(f"{plan.half_open} half-open and {plan.slow} slow ones come for {plan.attack} s")
    guests = Guests(node, plan.guests, plan.processes, plan.rate, _ARRIVAL + _BUILD_UP, plan.attack)
    try:
        attack, newcomers, dispersed, counted = await _attack(node, plan, guests, memory, files, tell)
    finally:
        guests.end()
    await _emptied(node, files["before"])
    # Freed memory goes back to the system with a later turn of the allocator at the latest.
    memory["after"] = min([await _sampled(node) for _ in range(6)])
    files["after"] = node.files()
    tell("the crowd comes again")
    memory["again"] = await _again(node, plan)
    return Result(plan, calm, attack, newcomers, dispersed, memory, files, counted)


async def _emptied(node: Node, files: int) -> None:
    await asyncio.to_thread(wait_until, lambda: node.files() <= files + 4, "the end of all sockets", 60)


async def _again(node: Node, plan: Plan) -> int:
    """The same crowd once more, for a short time: the most memory that the node has then."""
    with _crowd_of(node, plan) as attackers:
        watch = _Peak(node)
        await asyncio.gather(stand(attackers), watch.look(_BUILD_UP))
        await disperse(attackers)
    return watch.memory


def _crowd_of(node: Node, plan: Plan):
    slow_upgrades = plan.slow // 2
    return crowd(node, plan.half_open, slow_upgrades, plan.slow - slow_upgrades)


async def _sampled(node: Node) -> int:
    await asyncio.sleep(_SAMPLE)
    return node.private_memory()


async def _calm(node: Node, plan: Plan) -> Phase:
    guests = Guests(node, plan.guests, plan.processes, plan.rate, _ARRIVAL, plan.calm)
    try:
        await asyncio.sleep(_ARRIVAL)
        return await _phase(node, guests, plan.calm)
    finally:
        guests.end()


async def _phase(node: Node, guests: Guests, seconds: float) -> Phase:
    """Waits for `seconds`, in which the processor time is measured, and then for what the guests say."""
    began, spent = time.monotonic(), node.cpu_seconds()
    await asyncio.sleep(seconds)
    elapsed, cpu = time.monotonic() - began, node.cpu_seconds()
    return Phase(await asyncio.to_thread(guests.results), elapsed, (cpu[0] - spent[0], cpu[1] - spent[1]))


async def _attack(node: Node, plan: Plan, guests: Guests, memory: dict, files: dict, tell):
    await asyncio.sleep(_ARRIVAL)
    memory["guests"], files["guests"], before = node.private_memory(), node.files(), counters(node.metrics())
    began = time.monotonic()
    with _crowd_of(node, plan) as attackers:
        await stand(attackers)
        tell(f"the crowd stood after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(max(0.0, began + _BUILD_UP - time.monotonic()))
        newcomers, watch = Newcomers(node), _Peak(node)
        phase = asyncio.create_task(_phase(node, guests, plan.attack))
        await asyncio.gather(newcomers.come(plan.attack), watch.look(plan.attack))
        memory["attack"], files["attack"] = watch.memory, watch.files
        after = counters(node.metrics())
        dispersed = await disperse(attackers)
    counted = {name: value - before.get(name, 0) for name, value in after.items() if value > before.get(name, 0)}
    return await phase, newcomers, dispersed, counted


class _Peak:
    """The most that the node has had."""

    def __init__(self, node: Node):
        self._node = node
        self.memory = self.files = 0

    async def look(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.memory = max(self.memory, self._node.private_memory())
            self.files = max(self.files, self._node.files())
            await asyncio.sleep(_SAMPLE)
