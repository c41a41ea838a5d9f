"""The table of goals, in one command: every row is measured, nothing is carried over."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.certificates import Authority, settings

from .bench import Failed, bench, pids, urls
from .markdown import machine, milliseconds, spread, table, verdict
from .site import Site


@dataclass(frozen=True)
class Extent:
    """How thoroughly it is measured."""

    rounds: int
    seconds: int
    warmup: int
    #: Of holding idle connections.
    idle: int
    hold: int
    #: What the numbers of connections are multiplied by; rates to many channels as well.
    scale: float = 1.0

    def of(self, count: int) -> int:
        """`count`, scaled down."""
        return max(10, int(count * self.scale))


FULL = Extent(rounds=9, seconds=60, warmup=3, idle=120, hold=600)
QUICK = Extent(rounds=5, seconds=5, warmup=2, idle=30, hold=30)


class Goals:
    """The rows. Each is a scenario's result and what of it stands in the table."""

    def __init__(self, site: Site, extent: Extent):
        self.site = site
        self.extent = extent
        self.redis = site.redis()

    def _load(self, scenario: str, *arguments: object, rounds: int | None = None) -> dict:
        extent, node = self.extent, self._node()
        rounds = rounds or extent.rounds
        shape = ["--rounds", rounds, "--seconds", extent.seconds, "--warmup", extent.warmup, "--floor"]
        seconds = 2 * rounds * (extent.seconds + extent.warmup + 30)
        try:
            return bench(scenario, *urls(node.url), *pids(node.pid), *shape, *arguments, seconds=seconds)
        finally:
            node.kill()

    def _node(self, name: str = "node", **config: object):
        return self.site.node(self.redis, name, **config)

    def fan_out(self):
        result = self._load("fanout", "--subscribers", self.extent.of(1000), "--rate", 20)
        return result, f"{_ratio(result)} of the floor's CPU; {_user(result)}; {_latency(result)}"

    def bursts(self):
        result = self._load("fanout", "--subscribers", self.extent.of(200), "--rate", 500, "--burst", 10)
        return result, f"{_ratio(result)} of the floor's CPU; {_user(result)}"

    def many_subscribers(self):
        count = self.extent.of(19_000)
        result = self._load("fanout", "--subscribers", count, "--rate", 1, "--processes", 2)
        return result, f"{_ratio(result)} of the floor's CPU; {_user(result)}; {_latency(result)}"

    def saturation(self, subscribers: int):
        result = self._load("fanout", "--subscribers", self.extent.of(subscribers), "--saturate")
        pace, ratio = (result[part].get("deliveries_per_second") for part in ("summary", "ratios"))
        return result, f"{spread(pace, 0)} deliveries/s, {spread(ratio)} of the floor's; {_ratio(result)} of its CPU each"

    def channels(self):
        count = self.extent.of(10_000)
        result = self._load("channels", "--channels", count, "--rate", 2 * count, rounds=min(5, self.extent.rounds))
        return result, f"{_user(result, 'message')}; {_latency(result)}"

    def latency(self):
        extent, nodes = self.extent, [self._node("first"), self._node("second")]
        shape = ["--rounds", extent.rounds, "--seconds", extent.seconds, "--warmup", extent.warmup]
        redis = ["--redis", f"127.0.0.1:{self.redis.port}"]
        seconds = 2 * extent.rounds * (extent.seconds + extent.warmup + 30)
        result = bench("latency", *urls(*(node.url for node in nodes)), *redis, *shape, seconds=seconds)
        for node in nodes:
            node.kill()
        parts = [f"{name} {milliseconds(result['added'][f'{name}_us'])}" for name in ("p50", "p99")]
        alone = milliseconds(result["redis_summary"]["p50_us"])
        return result, f"added {', '.join(parts)}; Redis alone p50 {alone}"

    def idle(self):
        return self._idle(self._node(), 10_000)

    def idle_with_tls(self):
        authority = Authority(self.site.folder("certificates"))
        node = self._node("secured", **settings(authority.sign("node")))
        return self._idle(node, 10_000, "--ca", authority.cert)

    def _idle(self, node, connections: int, *arguments: object):
        seconds = self.extent.idle
        words = ["--connections", self.extent.of(connections), "--seconds", seconds, *arguments]
        result = bench("idle", *urls(node.url), *pids(node.pid), *words, seconds=seconds)
        node.kill()
        cpu = result["cpu_us_per_connection_second"]
        return result, f"{result['bytes_per_connection']:,.0f} bytes a connection; {cpu:.2f} µs/s of CPU each"

    def connect(self):
        node = self._node()
        words = ["--cycles", self.extent.of(20_000), "--rounds", self.extent.rounds, "--floor"]
        result = bench("connect", *urls(node.url), *pids(node.pid), *words, seconds=self.extent.rounds * 60)
        node.kill()
        pace = spread(result["summary"]["per_second"], 0)
        return result, f"{_ratio(result)} of the floor's CPU; {pace} a second"

    def at_once(self):
        node, rounds = self._node(), min(5, self.extent.rounds)
        words = ["--at-once", self.extent.of(5000), "--rounds", rounds]
        result = bench("connect", *urls(node.url), *pids(node.pid), *words, seconds=rounds * 60)
        node.kill()
        failed = sum(sum(round["failed"].values()) for round in result["rounds"])
        return result, f"{failed} failed; the last upgraded after {milliseconds(result['summary']['upgrade_max_us'])}"

    def hold(self):
        node, count, seconds = self._node(), self.extent.of(19_500), self.extent.hold
        words = ["--connections", count, "--seconds", seconds, "--processes", 2]
        result = bench("idle", *urls(node.url), *pids(node.pid), *words, seconds=seconds)
        node.kill()
        integrity = result["finale"]["integrity"]
        return result, f"{integrity['received']:,} of {integrity['expected']:,} got the broadcast, {integrity['lost']} missing"

    def rows(self):
        """Each row's name, its goal, and the function that measures it."""
        of = self.extent.of
        return {
            "fanout": (f"fan-out, {of(1000):,} × 20/s × 128 B", "CPU ≤ 1.05 × floor, user ≤ 0.3 µs", self.fan_out),
            "bursts": (f"bursts of 10, 50 a second × {of(200)}", "CPU ≤ 0.4 × floor", self.bursts),
            "many": (f"{of(19_000):,} × 1/s", "user within 10 % of the first row", self.many_subscribers),
            "saturation": (f"saturation, {of(1000):,}", "≥ 2 × floor, CPU ≤ 0.7 ×", lambda: self.saturation(1000)),
            "saturation5000": (f"saturation, {of(5000):,}", "≥ 2 × floor, CPU ≤ 0.7 ×", lambda: self.saturation(5000)),
            "channels": (f"{of(10_000):,} channels × 1, {2 * of(10_000):,}/s", "user ≤ 6 µs a message", self.channels),
            "latency": ("two nodes, 1,000/s to 10", "little added to Redis alone", self.latency),
            "idle": (f"idle, {of(10_000):,}", "≤ 3,072 bytes, CPU ≤ 0.7 µs/s", self.idle),
            "tls": (f"idle with TLS, {of(10_000):,}", "≤ 12 KiB", self.idle_with_tls),
            "connect": (f"upgrade and close, {of(20_000):,} cycles", "CPU ≤ 1.6 × floor", self.connect),
            "at-once": (f"{of(5000):,} dialled at once", "none fails", self.at_once),
            "hold": (f"{of(19_500):,} held {self.extent.hold} s, then a broadcast", "none missing", self.hold),
        }


def _ratio(result: dict) -> str:
    return spread(result["ratios"].get("cpu_us_each"), 2, " ×")


def _user(result: dict, unit: str = "delivery") -> str:
    return f"user {spread(result['summary'].get('cpu_user_us_each'), 3, ' µs')} a {unit}"


def _latency(result: dict) -> str:
    parts = (f"{name} {milliseconds(result['summary'].get(f'latency_{name}_us'))}" for name in ("p50", "p99"))
    return ", ".join(parts)


def main(words: list[str]) -> int:
    """Measures what was asked for and prints the table; exit code 1 if a row is missing or not clean."""
    parser = argparse.ArgumentParser(prog="crates/bench/goals", description=__doc__)
    parser.add_argument("--full", action="store_true", help="9 rounds of 60 s, 10 minutes of holding: about two and a half hours")
    parser.add_argument("--only", action="append", metavar="ROW", help="this row; can be repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="what numbers of connections are multiplied by")
    parser.add_argument("--rounds", type=int, help="rounds of each row, instead of 5 or 9")
    parser.add_argument("--seconds", type=int, help="seconds of everything that takes time")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="where each row's whole result goes")
    asked = parser.parse_args(words)
    with Site() as site:
        goals = Goals(site, _extent(asked))
        return _measure(goals, asked.only, asked.json, parser)


def _extent(asked: argparse.Namespace) -> Extent:
    basis = FULL if asked.full else QUICK
    seconds = asked.seconds
    times = (seconds, min(seconds, basis.warmup), seconds, seconds) if seconds else None
    seconds, warmup, idle, hold = times or (basis.seconds, basis.warmup, basis.idle, basis.hold)
    return Extent(asked.rounds or basis.rounds, seconds, warmup, idle, hold, asked.scale)


def _measure(goals: Goals, only: list[str] | None, folder: Path | None, parser) -> int:
    known = goals.rows()
    if unknown := set(only or ()) - set(known):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; rounds {goals.extent.rounds}, {goals.extent.seconds} s each\n", flush=True)
    rows, all_clean = [], True
    for name in only or known:
        what, goal, measure = known[name]
        print(f"measuring {name}: {what}", file=sys.stderr, flush=True)
        try:
            result, shown = measure()
        except (Failed, AssertionError) as error:
            rows.append([what, goal, f"could not be measured: {error}".splitlines()[0], "**NOT MEASURED**"])
            all_clean = False
            continue
        if folder:
            (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        rows.append([what, goal, shown, verdict(result)])
        all_clean &= result["clean"]
    print(table(["what", "goal", "measured: median (least to most)", "verdict"], rows))
    return 0 if all_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
