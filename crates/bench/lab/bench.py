"""`fanwire bench` as a function."""

import json
import subprocess
import time
from collections.abc import Callable

from harness import process
from harness.node import binary

# What a scenario may take beyond what it was asked to take.
_PATIENCE = 900


class Failed(Exception):
    """A measurement could not be carried out."""


def bench(scenario: str, *arguments: object, seconds: float = 0, meanwhile: Callable[[], None] | None = None) -> dict:
    """Runs a scenario and returns its result, clean or not; `seconds` is about how long it should take.

    `meanwhile` is called once a second; should it fail, so does the measurement, at once.
    """
    words = [binary(), "bench", scenario, "--json", "--allow-loss", *map(str, arguments)]
    running = subprocess.Popen(words, env=process.clean_environment(), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + seconds + _PATIENCE
    try:
        while True:
            try:
                output, _ = running.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise Failed(f"{' '.join(words)} still runs after {seconds + _PATIENCE:.0f} s") from None
                if meanwhile:
                    meanwhile()
    finally:
        process.end(running)
    if running.returncode != 0:
        raise Failed(f"{' '.join(words)} ended with {running.returncode}")
    return json.loads(output)


def pids(*processes: int) -> list[object]:
    """The arguments that have these processes watched."""
    return [word for pid in processes for word in ("--pid", pid)]


def urls(*addresses: str) -> list[object]:
    """The arguments that name these servers."""
    return [word for address in addresses for word in ("--url", address)]
