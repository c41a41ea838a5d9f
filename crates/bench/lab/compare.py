"""Other servers beside a node: the same scenarios, the same load generator, the same machine."""

import argparse
import json
import sys
from pathlib import Path

from .bench import Failed, bench, pids, urls
from .markdown import machine, milliseconds, spread, table, verdict
from .peers import ALL, Peer
from .site import Site

HEAD = ["server", "fan-out: CPU of the floor's", "fan-out: p50", "p99", "saturated: deliveries/s", "of the floor's",
        "upgrade and close: a second", "CPU of the floor's", "bytes a connection", "verdicts"]  # fmt: skip


def measure(peer: Peer, asked: argparse.Namespace) -> tuple[list[str], dict[str, dict]]:
    """A row, and the results that it comes from."""
    common = [*urls(*peer.urls), *pids(*peer.pids)]
    if peer.template:
        common += ["--template", peer.template]
    repeat = ["--floor", "--rounds", asked.rounds]
    shape = ["--subscribers", asked.subscribers, "--seconds", asked.seconds, "--warmup", min(2, asked.seconds)]
    seconds = 2 * asked.rounds * (asked.seconds + 30)
    results = {
        # First, since memory that was in use once is not given back.
        "idle": bench("idle", *common, "--connections", asked.connections, "--seconds", asked.seconds),
        "fanout": bench("fanout", *common, *repeat, *shape, "--rate", 20, seconds=seconds),
        "saturation": bench("fanout", *common, *repeat, *shape, "--saturate", seconds=seconds),
        "connect": bench("connect", *common, *repeat, "--cycles", asked.cycles, seconds=seconds),
    }
    return _row(peer, results), results


def _row(peer: Peer, results: dict[str, dict]) -> list[str]:
    fanout, saturation, connect = (results[name] for name in ("fanout", "saturation", "connect"))
    unclean = [f"{name}: {verdict(result)}" for name, result in results.items() if verdict(result) != "clean"]
    return [
        peer.name,
        spread(fanout["ratios"].get("cpu_us_each"), 2, " ×"),
        milliseconds(fanout["summary"]["latency_p50_us"]),
        milliseconds(fanout["summary"]["latency_p99_us"]),
        spread(saturation["summary"]["deliveries_per_second"], 0),
        spread(saturation["ratios"]["deliveries_per_second"], 2, " ×"),
        spread(connect["summary"]["per_second"], 0),
        spread(connect["ratios"].get("cpu_us_each"), 2, " ×"),
        f"{results['idle']['bytes_per_connection']:,.0f}",
        ", ".join(unclean) or "all clean",
    ]


def main(words: list[str]) -> int:
    """Measures and prints the table; exit code 1 if a server could not be measured."""
    parser = argparse.ArgumentParser(prog="crates/bench/compare", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where other servers are installed")
    parser.add_argument("--only", action="append", choices=list(ALL), help="this server; can be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each round")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=5000, help="idle ones")
    parser.add_argument("--cycles", type=int, default=5000, help="of upgrade and close, in each round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all results go")
    asked = parser.parse_args(words)
    print(f"{machine()}; {asked.subscribers:,} subscribers, 20 messages a second of 128 bytes; "
          f"{asked.rounds} rounds of {asked.seconds} s\n", flush=True)  # fmt: skip
    rows, all_results, code = [], {}, 0
    for name in asked.only or ALL:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        try:
            with Site() as site:
                row, all_results[name] = measure(ALL[name](site, site.redis(), asked.home), asked)
        except (Failed, AssertionError) as error:
            row, code = [name, f"could not be measured: {error}".splitlines()[0], *["-"] * (len(HEAD) - 2)], 1
        rows.append(row)
    print(table(HEAD, rows))
    if asked.json:
        asked.json.write_text(json.dumps(all_results, indent=1) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
