"""Tables in Markdown, and what stands in them."""

import os
import platform
import subprocess
import time
from pathlib import Path

from harness.node import binary


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(value: dict | None, digits: int = 2, unit: str = "") -> str:
    """A median with the smallest and largest value."""
    if value is None:
        return "-"
    median, least, most = (f"{value[part]:,.{digits}f}" for part in ("median", "least", "most"))
    return f"{median}{unit}" if least == most else f"{median}{unit} ({least} to {most})"


def milliseconds(value: dict | None) -> str:
    """The same, of a time in microseconds."""
    return spread(value and {part: number / 1000 for part, number in value.items()}, 2, " ms")


def verdict(result: dict) -> str:
    """Whether a result is clean and the load generator's own."""
    rounds = [*result.get("rounds", []), result.get("finale", {})]
    limit = any(round.get("generator", {}).get("was_the_limit") for round in rounds)
    return ("clean" if result["clean"] else "**NOT CLEAN**") + (", **the generator was the limit**" if limit else "")


def machine() -> str:
    """Where, when and what was measured."""
    cores, memory = os.cpu_count(), _line("/proc/meminfo", "MemTotal:").split()[0]
    model = _line("/proc/cpuinfo", "model name").lstrip(": ") or platform.machine()
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    root = Path(__file__).resolve().parents[3]
    commit = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return (
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; {version}, commit {commit.stdout.strip() or 'unknown'}; "
        f"{cores} cores ({model}), {int(memory) / 2**20:.0f} GiB, Linux {platform.release()}; "
        f"load before {os.getloadavg()[0]:.2f}"
    )


def _line(path: str, begin: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.removeprefix(begin).strip() for line in lines if line.startswith(begin)), "")
