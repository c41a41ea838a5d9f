"""`tests/chaos`: breaks clusters by seed, and says what became of the messages."""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from . import report
from .redises import KINDS
from .run import run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/chaos", description=__doc__)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="single", help="the Redis behind the nodes")
    parser.add_argument("--seed", type=int, help="what decides on the faults; drawn unless given")
    parser.add_argument("--minutes", type=float, help="for how long faults come; a few of them unless given")
    parser.add_argument("--runs", type=int, default=1, help="how many runs, each with the next seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="adds each result to this file, a line each")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where logs go that are to be kept")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    first = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    kinds = [*KINDS] if arguments.kind == "all" else [arguments.kind]
    results = []
    for seed in range(first, first + arguments.runs):
        for kind in kinds:
            results.append(_run(arguments, kind, seed))
    print("\n".join(["", *map(report.summary, results)]))
    return int(any(result.violations for result in results))


def _run(arguments: argparse.Namespace, kind: str, seed: int):
    print(f"\n{kind}, seed {seed}", flush=True)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"chaos-{kind}-{seed}-", dir=arguments.keep))
    try:
        result = asyncio.run(run(directory, kind, seed, arguments.minutes, tell=lambda line: print(line, flush=True)))
    except BaseException:
        print(f"logs: {directory}", flush=True)
        raise
    print(report.text(result), flush=True)
    if arguments.json:
        with open(arguments.json, "a") as file:
            file.write(json.dumps(report.as_json(result)) + "\n")
    if result.violations:
        (directory / "books").write_text(report.books(result))
        print(f"logs, and all the books: {directory}")
    elif arguments.keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
