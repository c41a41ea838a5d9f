"""Clients that mean well: those that are there all the time, and those that come meanwhile."""

import asyncio
import json
import subprocess
import time
from dataclasses import dataclass, field

from .. import process
from ..clients import native
from ..node import Node, binary

#: Between two newcomers, in seconds.
_PAUSE = 0.2


class Guests:
    """Processes of subscribers with a publisher each; they measure for `seconds` after `warmup`."""

    def __init__(self, node: Node, count: int, processes: int, rate: float, warmup: int, seconds: int):
        self._outputs = [node.directory / f"guests{number}.json" for number in range(processes)]
        self._within = warmup + seconds + 60
        self._processes = []
        for number, output in enumerate(self._outputs):
            output.unlink(missing_ok=True)
            command = [
                binary(), "bench", "fanout", "--json", "--allow-loss", "--url", node.url, "--source", f"127.0.2.{number + 1}",
                "--subscribers", str(count // processes), "--rate", str(rate),
                "--warmup", str(warmup), "--seconds", str(seconds),
            ]  # fmt: skip
            errors = output.with_suffix(".log")
            self._processes.append(
                process.spawn(command, env=process.clean_environment(), cwd=node.directory, log=output, errors=errors)
            )

    def results(self) -> list[dict]:
        """What each process measured, once it has ended."""
        deadline = time.monotonic() + self._within
        for one, output in zip(self._processes, self._outputs):
            try:
                code = one.wait(max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"the guests of {output} still wait after {self._within} s") from None
            assert code == 0, f"the guests ended with {code}: {output.with_suffix('.log').read_text()}"
        return [json.loads(output.read_text())["rounds"][0] for output in self._outputs]

    def end(self) -> None:
        for one in self._processes:
            process.end(one)


@dataclass
class Newcomers:
    """One after the other connects, asks something and leaves."""

    node: Node
    #: Seconds that each took from the first byte to its answer.
    served: list[float] = field(default_factory=list)
    #: What went wrong with the others.
    failed: list[str] = field(default_factory=list)

    async def come(self, seconds: float) -> None:
        """Goes on for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            since = time.monotonic()
            try:
                await asyncio.wait_for(self._visit(), 10)
                self.served.append(time.monotonic() - since)
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE)

    async def _visit(self) -> None:
        async with native(self.node) as client:
            await client.ok("ping")
