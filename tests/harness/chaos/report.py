"""The result of a run, for people and for programs."""

from collections import Counter

from .run import Result
from .verdict import VIOLATIONS, Verdict

_COLUMNS = [
    "published",
    "acknowledged",
    "delivered",
    "lost",
    "duplicated",
    "out of order",
    "contradiction",
    "told without cause",
    "not live",
    "unacknowledged but delivered",
    "duplicated after a fault",
    "epochs",
    "resumed",
    "recovered: false",
    "lost told",
    "missed and told",
    "missed in a split",
    "came again, told",
    "skipped",
    "late",
    "missed: away",
    "missed: gap",
    "missed: dropped",
    "missed: split",
]
_SHOWN = 12


def text(result: Result) -> str:
    """All of it."""
    verdicts = [verdict for verdict in result.verdicts if verdict.figures["published"]]
    lines = [_title(result), *_table(verdicts)]
    for violation in result.violations[:_SHOWN]:
        lines.append(violation.text())
    if len(result.violations) > _SHOWN:
        lines.append(f"… and {len(result.violations) - _SHOWN} more")
    return "\n".join([*lines, summary(result)])


def _title(result: Result) -> str:
    return f"{result.kind}, seed {result.seed}: {len(result.happened)} faults in {result.seconds:.0f} s"


def _table(verdicts: list[Verdict]) -> list[str]:
    width = max(map(len, _COLUMNS))
    rows = [f"{'':{width}}" + "".join(f"{verdict.channel:>10}" for verdict in verdicts)]
    for column in _COLUMNS:
        rows.append(f"{column:{width}}" + "".join(f"{verdict.figures[column]:10}" for verdict in verdicts))
    return rows


def books(result: Result) -> str:
    """Every line of the books."""
    lines = [one.line() for one in result.books.publications.values()]
    for track in result.books.tracks:
        lines += [track.line(line) for line in range(len(track.entries))]
    return "\n".join([*(one.line() for one in result.happened), *lines, ""])


def totals(result: Result) -> Counter:
    """The figures of all channels together, those with a history and those without apart."""
    sums: Counter = Counter()
    for verdict in result.verdicts:
        kind = "plain" if verdict.channel.startswith("plain") else "kept"
        for name in _COLUMNS:
            sums[f"{kind} {name}"] += verdict.figures[name]
    return sums


def summary(result: Result) -> str:
    """One line."""
    sums = totals(result)
    names = "acknowledged", "lost", "duplicated", "out of order"
    kept = ", ".join(f"{name} {sums[f'kept {name}']}" for name in names)
    told = f"recovered: false {sums['kept recovered: false']}, lost told {sums['kept lost told']}"
    outcome = f"{len(result.violations)} VIOLATIONS" if result.violations else "kept its promises"
    return f"{result.kind} seed {result.seed}: {outcome}; with history: {kept}; {told}"


def as_json(result: Result) -> dict:
    """All of it, as JSON takes it."""
    return {
        "kind": result.kind,
        "seed": result.seed,
        "seconds": round(result.seconds, 1),
        "faults": [
            {
                "name": one.name,
                "began": round(one.began, 3),
                "ended": round(one.ended, 3),
                "harm": one.harm_text(),
                "channel": one.channel,
                "details": one.details.strip(),
            }
            for one in result.happened
        ],
        "channels": {verdict.channel: dict(verdict.figures) for verdict in result.verdicts},
        "totals": dict(totals(result)),
        "violations": [vars(violation) for violation in result.violations],
        "kept": not any(verdict.figures[name] for verdict in result.verdicts for name in VIOLATIONS),
    }
