"""`tests/limits-report`: drives clients over every limit, and prints what they and others saw."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from ..nodes import Nodes
from .stage import Outcome, play
from .table import LIMITS, Limit

_HEAD = ["limit", "configured", "what the client saw", "counted", "rise", "others' p99 before", "from then on"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/limits-report", description=__doc__)
    parser.add_argument("--limit", action="append", help="one that is reported on, as the table names it; all unless given")
    parser.add_argument("--messages", type=int, default=300, help="how many messages others get before, and from then on at least")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    chosen = [limit for limit in LIMITS if not arguments.limit or limit.name in arguments.limit]
    if not chosen:
        print(f"none of these is a limit: {arguments.limit}; there are {[limit.name for limit in LIMITS]}", file=sys.stderr)
        return 2
    print(_row(_HEAD), _row(["---"] * len(_HEAD)), sep="\n", flush=True)
    return int(not all([_report(limit, arguments.messages) for limit in chosen]))


def _report(limit: Limit, messages: int) -> bool:
    """Prints a row; whether what was seen is what is to be seen."""
    with tempfile.TemporaryDirectory(prefix="limits-") as directory:
        nodes = Nodes(Path(directory))
        try:
            outcome = asyncio.run(play(Path(directory), nodes, limit, messages))
        finally:
            nodes.end()
    print(_row(_cells(limit, outcome)), flush=True)
    return outcome.seen == limit.seen


def _cells(limit: Limit, outcome: Outcome) -> list[str]:
    labels = ", ".join(f'{name}="{value}"' for name, value in limit.labels.items())
    counter = f"`{limit.metric}{{{labels}}}`" if labels else f"`{limit.metric}`"
    seen = outcome.seen if outcome.seen == limit.seen else f"{outcome.seen}, **not {limit.seen}**"
    return [limit.name, limit.configured, seen, counter, f"{outcome.rise:.0f}", _p99(outcome.before), _p99(outcome.during)]


def _p99(seconds: list[float]) -> str:
    """Of so many deliveries."""
    return f"{sorted(seconds)[int(len(seconds) * 0.99)] * 1000:.1f} ms of {len(seconds)}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
