"""`tests/hostile`: a node among clients that mean no good, and what its other clients notice of them."""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from . import report
from .run import Plan, measure


def _plan() -> tuple[Plan, bool]:
    parser = argparse.ArgumentParser(prog="tests/hostile", description=__doc__)
    for option in fields(Plan):
        kind = float if option.name == "rate" else int
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default, help=f"{option.default}")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a report")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    return Plan(**arguments), as_json


def main() -> int:
    plan, as_json = _plan()
    directory = Path(tempfile.mkdtemp(prefix="hostile-"))
    result = measure(directory, plan, tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(report.as_json(result)) if as_json else report.text(result), flush=True)
    if result.faults:
        print(f"logs: {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return int(bool(result.faults))


if __name__ == "__main__":
    sys.exit(main())
