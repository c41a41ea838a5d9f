"""A process full of attackers: `python -m harness.hostile.crowd --port P --half-open 10000 …`.

It says `ready` when each of them was there once, and ends with its input, saying as JSON what became of them.
"""

import argparse
import json
import selectors
import sys
import time
from collections import Counter, deque

from .attackers import Attacker, HalfOpen, SlowFrame, SlowUpgrade

_STEP = 0.05


class Crowd:
    """All attackers of a process."""

    def __init__(self, attackers: list[Attacker], rate: int):
        self._most = max(1, round(rate * _STEP))
        self._selector = selectors.DefaultSelector()
        self._waiting = deque(attackers)
        self._absent = set(attackers)
        self._standing: set[Attacker] = set()
        self.counts: Counter = Counter()

    def run(self) -> None:
        """Goes on until the input ends."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        now = time.monotonic()
        tick, step = now + 1, now
        while True:
            for key, events in self._selector.select(_STEP):
                if key.data is None:
                    if not sys.stdin.buffer.read1(1):
                        return
                else:
                    self._serve(key.data, events)
            now = time.monotonic()
            if now >= step:
                step = now + _STEP
                self._top_up()
            if now >= tick:
                tick = now + 1
                self._tick()

    def _top_up(self) -> None:
        for _ in range(min(self._most, len(self._waiting))):
            attacker = self._waiting.popleft()
            try:
                attacker.open()
            except OSError:
                self.counts[f"{attacker.kind}: not opened"] += 1
                self._waiting.append(attacker)
                return
            self._selector.register(attacker.socket, selectors.EVENT_WRITE, attacker)

    def _serve(self, attacker: Attacker, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._selector.modify(attacker.socket, selectors.EVENT_READ, attacker)
            self._standing.add(attacker)
            self._arrived(attacker)
            self.counts[f"{attacker.kind}: opened"] += 1
            attacker.connected()
        if events & selectors.EVENT_READ and not attacker.read():
            self._selector.unregister(attacker.socket)
            self._standing.discard(attacker)
            self.counts[f"{attacker.kind}: ended, answer {attacker.close()}"] += 1
            self._waiting.append(attacker)

    def _arrived(self, attacker: Attacker) -> None:
        """Tells when each of them was there once, though the node may have ended some by then."""
        missing = len(self._absent)
        self._absent.discard(attacker)
        if missing > 0 and not self._absent:
            print("ready", flush=True)

    def _tick(self) -> None:
        for attacker in self._standing:
            attacker.tick()


def main() -> None:
    parser = argparse.ArgumentParser(prog="harness.hostile.crowd")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--source", default="127.0.3.1")
    parser.add_argument("--rate", type=int, default=2000, help="connections a second at most: those that are ended come again")
    for name in ("half-open", "slow-upgrades", "slow-frames"):
        parser.add_argument(f"--{name}", type=int, default=0)
    arguments = parser.parse_args()
    kinds = [
        (HalfOpen, arguments.half_open),
        (SlowUpgrade, arguments.slow_upgrades),
        (SlowFrame, arguments.slow_frames),
    ]
    crowd = Crowd([kind(arguments.port, arguments.source) for kind, count in kinds for _ in range(count)], arguments.rate)
    crowd.run()
    print(json.dumps(crowd.counts), flush=True)


if __name__ == "__main__":
    main()
