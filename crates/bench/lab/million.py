"""Very many connections at once: a cluster of nodes joined by one Redis, dialled from as many addresses of loopback; held
for a while, and then all get a broadcast."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from harness.redis_server import RedisServer

from . import kernel
from .bench import Failed, bench, pids, urls
from .markdown import machine, table
from .site import Site

# Descriptors of a process that are no connections.
SPARE = 700
# The most sockets that a process of the load generator opens.
MOST_SOCKETS = 19_000
# What a connection takes at both ends, in bytes: the kernel 12.3 KiB, the rest node and load generator. Measured, and
# rounded up.
EACH = 18 * 1024


def shares(connections: int) -> int:
    """How many nodes, and how many processes that dial them."""
    most = min(MOST_SOCKETS, kernel.files() - SPARE)
    if most < 100:
        raise Failed(f"a process may open {kernel.files()} files only (ulimit -Hn): raise that")
    return -(-connections // most)


def shortage(connections: int, least: int) -> str | None:
    """What is to be said of memory: if it does not suffice, fewer connections will be opened."""
    there = kernel.available() - least
    if there >= connections * EACH:
        return None
    return (
        f"memory: {connections:,} connections take about {connections * EACH / 2**30:.1f} GiB, and {there / 2**30:.1f} GiB "
        f"are there beside the {least / 2**30:.1f} GiB that stay free: about {max(0, there // EACH):,} will be opened"
    )


def too_few_ports(connections: int) -> str | None:
    """What is to be said of ports: each process dials all nodes from an address of its own."""
    least, there = -(-MOST_SOCKETS // shares(connections)), kernel.ports()
    if there >= least:
        return None
    return f"net.ipv4.ip_local_port_range has {there:,} ports, and {least:,} are needed: widen it"


class Million:
    """A run."""

    def __init__(self, site: Site, asked: argparse.Namespace):
        self.site = site
        self.asked = asked
        self.count = shares(asked.connections)
        self.lowest = self.before = kernel.available()

    def run(self) -> dict:
        """Starts the nodes and measures."""
        redis = self.site.redis()
        config = {"heartbeat__interval": "120s", "heartbeat__timeout": "120s", "limits__connections": MOST_SOCKETS + SPARE}
        say(f"starting {self.count} nodes")
        nodes = [self._node(redis, index, config) for index in range(self.count)]
        asked, least = self.asked, self.asked.least_memory
        seconds = round(60 * asked.minutes)
        words = [
            *urls(*(node.url for node in nodes)), *pids(*(node.pid for node in nodes)),
            "--connections", asked.connections, "--processes", self.count, "--ramp", asked.ramp,
            "--least-memory", least, "--seconds", seconds, "--messages", asked.messages, "--patience", 60,
        ]  # fmt: skip
        say(f"dialling {asked.connections:,} connections at {asked.ramp:,} a second, from {self.count} processes")
        result = bench("idle", *words, seconds=seconds + asked.connections / asked.ramp, meanwhile=self._look)
        return result | {"nodes": self.count, "lowest_available_bytes": self.lowest, "available_before_bytes": self.before}

    def _node(self, redis: RedisServer, index: int, config: dict[str, object]):
        return self.site.node(redis, f"node{index}", **config)

    def _look(self) -> None:
        """Ends it all when memory runs out though no more connections are opened."""
        available = kernel.available()
        self.lowest = min(self.lowest, available)
        if available < self.asked.least_memory * 2**20 // 2:
            raise Failed(f"stopped: only {available / 2**20:.0f} MiB of memory were left")


def told(result: dict) -> str:
    """The result as a table."""
    count, integrity, latency = result["connections"], result["finale"]["integrity"], result["finale"]["latency"]
    taken = (result["available_before_bytes"] - result["lowest_available_bytes"]) / max(1, count)
    rows = [
        ["connections held", f"{count:,} of {result['settings']['connections']:,}"],
        ["nodes, and processes that dialled them", f"{result['nodes']}"],
        ["opened in", f"{result['opening_seconds']:,.0f} s"],
        ["held for", f"{result['settings']['seconds']:,} s"],
        ["private memory of the nodes, each connection", f"{result['bytes_per_connection']:,.0f} bytes"],
        ["of the load generator", f"{result['generator_bytes_per_connection']:,.0f} bytes"],
        ["all memory that was taken, both ends and the kernel's", f"{taken:,.0f} bytes"],
        ["CPU of the nodes while held", f"{result['cpu_us_per_connection_second']:.2f} µs a connection and second"],
        ["broadcasts expected, received, missing", " / ".join(f"{integrity[part]:,}" for part in ("expected", "received", "lost"))],
        ["delay of the broadcast", f"p50 {latency['p50_us'] / 1e6:.2f} s, last {latency['max_us'] / 1e6:.2f} s"],
        ["connections that ended", ", ".join(f"{n:,} {how}" for how, n in integrity["ended"].items()) or "none"],
    ]
    return table(["what", "measured"], rows)


def say(text: str) -> None:
    """To whoever watches."""
    print(text, file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """Checks the machine, measures, prints the table; exit code 1 if a message is missing or a connection ended."""
    parser = argparse.ArgumentParser(prog="crates/bench/million", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=10, help="of holding them")
    parser.add_argument("--messages", type=int, default=3, help="broadcasts in the end, one a second")
    parser.add_argument("--ramp", type=int, default=3000, help="connections that are opened a second at most")
    parser.add_argument("--least-memory", type=int, default=2048, metavar="MIB",
                        help="no more are opened when less is available; at half of it all is ended")  # fmt: skip
    parser.add_argument("--raise", dest="raising", action="store_true",
                        help="raise settings of the kernel that are too small, and put them back in the end")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="say what the machine lacks, and measure nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the whole result goes")
    asked = parser.parse_args(words)
    lacking = [setting for setting in kernel.needed(asked.connections) if setting.lacks()]
    memory, ports = shortage(asked.connections, asked.least_memory * 2**20), too_few_ports(asked.connections)
    for setting in lacking:
        say(f"{setting.name} is {setting.value():,}, and {setting.least:,} are needed: {setting.because}")
    for problem in filter(None, (memory, ports)):
        say(problem)
    if lacking:
        say(f"{'' if asked.raising else 'with --raise '}these settings are raised for as long as this runs")
    if asked.check or ports or (lacking and not asked.raising):
        return 1 if lacking or memory or ports else 0
    with ExitStack() as stack:
        stack.enter_context(kernel.Raised(lacking))
        try:
            result = Million(stack.enter_context(Site()), asked).run()
        except (Failed, AssertionError) as error:
            say(str(error))
            return 2
    print(f"{machine()}\n\n{told(result)}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["clean"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
