"""A Redis Cluster: primaries, each with or without a replica."""

import binascii
import itertools
import subprocess
from pathlib import Path

from .ports import free_port
from .redis_server import RedisServer
from .waiting import wait_until

#: How many slots a cluster has.
SLOTS = 16_384
#: How many partitions channels are spread over.
PARTITIONS = 1_024
#: Milliseconds without an answer after which servers take one of them for dead.
NODE_TIMEOUT = 2_000


def slot_of(tag: str) -> int:
    """The slot of all names with this hash tag."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def tag_of(channel: str | None) -> str:
    """The hash tag of a channel's names; of the broadcasts' without one."""
    return "all" if channel is None else str(binascii.crc32(channel.encode()) % PARTITIONS)


def slot_of_channel(channel: str | None) -> int:
    """The slot that a channel, or without one the broadcasts, lives in."""
    return slot_of(tag_of(channel))


def _bus_port(used: set[int]) -> int:
    while (port := free_port()) in used:
        pass
    used.add(port)
    return port


class RedisCluster:
    """Servers on free ports, the first `primaries` of them primaries; `replicas` for each of these follow.

    `options` are more of every server's configuration, `options_of` of one, by its number.
    """

    def __init__(
        self,
        directory: Path,
        primaries: int = 3,
        replicas: int = 0,
        options: dict[str, object] | None = None,
        options_of: dict[int, dict[str, object]] | None = None,
    ):
        self.directory = directory
        self.count = primaries
        self.replicas = replicas
        self.options = options or {}
        self._used: set[int] = set()
        self.servers = [
            self._server(number, (options_of or {}).get(number, {})) for number in range(primaries * (1 + replicas))
        ]

    def _server(self, number: int, more: dict[str, object]) -> RedisServer:
        directory = self.directory / f"redis{number}"
        directory.mkdir(parents=True)
        options = {
            "cluster-enabled": "yes",
            "cluster-config-file": directory / "nodes.conf",
            "cluster-node-timeout": NODE_TIMEOUT,
            "cluster-announce-ip": "127.0.0.1",
            # The default, port + 10000, may be in the range of outgoing connections.
            "cluster-port": _bus_port(self._used),
            "repl-diskless-sync-delay": 0,
            # A primary without slots stays one.
            "cluster-allow-replica-migration": "no",
            # The servers that are left serve their slots.
            "cluster-require-full-coverage": "no",
        }
        return RedisServer(directory, options=options | self.options | more)

    def start(self) -> "RedisCluster":
        """Starts them all and waits until every slot is served and every replica follows."""
        for server in self.servers:
            server.start()
        primaries, others = self.servers[: self.count], self.servers[self.count :]
        for number, server in enumerate(primaries):
            low, high = SLOTS * number // self.count, SLOTS * (number + 1) // self.count - 1
            server.command("CLUSTER", "ADDSLOTSRANGE", low, high)
            # Different epochs, as there are when Redis makes a cluster by itself.
            server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            self.meet(server)
        wait_until(self.agrees, "a cluster whose servers know each other", 30)
        for number, replica in enumerate(others):
            replica.command("CLUSTER", "REPLICATE", self.id_of(primaries[number % self.count]))
        wait_until(self.is_complete, "a cluster with all its replicas", 30)
        return self

    def meet(self, server: RedisServer) -> None:
        """Makes a server one of the cluster."""
        server.command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port, self.servers[0].options["cluster-port"])

    def add(self) -> RedisServer:
        """Starts another server, which serves no slot yet, and waits until all know it."""
        server = self._server(len(self.servers), {}).start()
        self.servers.append(server)
        self.meet(server)
        wait_until(self.agrees, "a cluster that knows its new server", 30)
        return server

    def agrees(self) -> bool:
        """Whether every server that lives knows every other, and all slots are served."""
        alive = [server for server in self.servers if server.alive()]
        for server in alive:
            try:
                info = server.command("CLUSTER", "INFO")
                nodes = server.command("CLUSTER", "NODES").splitlines()
            except (OSError, RuntimeError):
                return False
            linked = [line for line in nodes if "handshake" not in line and " connected" in line]
            if "cluster_state:ok" not in info or len(linked) < len(alive) or "cluster_slots_ok:16384" not in info:
                return False
        return True

    def is_complete(self) -> bool:
        """Whether all agree, and every replica follows its primary."""
        try:
            roles = [server.command("ROLE") for server in self.servers if server.alive()]
        except OSError:
            return False
        follows = [role[3] == "connected" for role in roles if role[0] == "slave"]
        known = self.servers[0].alive() is False or self._replicas_are_known()
        return self.agrees() and all(follows) and known

    def _replicas_are_known(self) -> bool:
        nodes = self.servers[0].command("CLUSTER", "NODES").splitlines()
        return sum("slave" in line.split()[2] for line in nodes) == self.count * self.replicas

    @property
    def config(self) -> dict[str, str]:
        """What a node is told."""
        return {"redis__mode": "cluster", "redis__urls": ",".join(server.url for server in self.servers)}

    @staticmethod
    def id_of(server: RedisServer) -> str:
        return server.command("CLUSTER", "MYID")

    def primaries(self) -> list[RedisServer]:
        """The servers that live and are primaries with slots, by their own account."""
        return [server for server in self.servers if _owns(server)]

    def owner(self, slot: int) -> RedisServer | None:
        """The server that serves a slot by its own account, if one does."""
        owners = [server for server in self.servers if slot in _owns(server)]
        return owners[0] if len(owners) == 1 else None

    def owner_of(self, channel: str | None) -> RedisServer:
        """The primary of a channel, or without one of the broadcasts."""
        owner = self.owner(slot_of_channel(channel))
        assert owner, f"no one server owns the slot of {channel}"
        return owner

    def port_of(self, channel: str | None) -> int:
        """The port of the primary of a channel, or without one of the broadcasts."""
        return self.owner_of(channel).port

    def replica_of(self, primary: RedisServer) -> RedisServer:
        """A server that lives and follows `primary`."""
        for server in self.servers:
            if server is not primary and server.alive():
                role = server.command("ROLE")
                if role[0] == "slave" and role[2] == primary.port:
                    return server
        raise AssertionError(f"nobody follows the server at port {primary.port}")

    def kill(self, server: RedisServer) -> None:
        """Ends a server as a crash would."""
        server.kill()

    def failover(self, channel: str | None = None) -> RedisServer:
        """Has the replica take over from the primary of a channel, orderly, and returns it."""
        old = self.owner_of(channel)
        new = self.replica_of(old)
        new.command("CLUSTER", "FAILOVER")
        wait_until(lambda: self.owner(slot_of_channel(channel)) is new, "a replica that has taken over", 30)
        return new

    def migrate_slot(self, slot: int, to: RedisServer, pause=lambda: None) -> None:
        """Moves a slot with its keys, as `redis-cli --cluster reshard` does.

        `pause` is called while the slot is on its way: announced at both, and none of its keys moved; and again with
        half of them moved.
        """
        source = self.owner(slot)
        assert source, f"nobody serves slot {slot}"
        if source is to:
            return
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        pause()
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, 1_000_000)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            self._move(source, to, half)
            pause()
        self._move_rest(source, to, slot)
        for server in [to, source, *self.primaries()]:
            server.command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def _move_rest(self, source: RedisServer, to: RedisServer, slot: int) -> None:
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 1_000):
            self._move(source, to, keys)

    @staticmethod
    def _move(source: RedisServer, to: RedisServer, keys: list[str]) -> None:
        if keys:
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "KEYS", *keys)

    def channels_of(self, server: RedisServer, count: int, prefix: str = "c") -> list[str]:
        """Names of `count` channels that live at a server, in as many slots as there are partitions in its slots."""
        owned, names = _owns(server), (f"{prefix}{number}" for number in range(100_000))
        by_slot: dict[int, list[str]] = {}
        for name in names:
            if (slot := slot_of_channel(name)) in owned:
                by_slot.setdefault(slot, []).append(name)
            if len(by_slot) >= count:
                break
        assert by_slot, f"no channel lives at the server at port {server.port}"
        in_turn = [name for rank in itertools.zip_longest(*by_slot.values()) for name in rank if name]
        return in_turn[:count]

    def end(self) -> None:
        for server in self.servers:
            server.kill()

    def redis_cli(self, *words) -> str:
        """What `redis-cli --cluster` prints."""
        done = subprocess.run(
            ["redis-cli", "--cluster", *map(str, words)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class _Ranges(list):
    """Slots as ranges."""

    def __contains__(self, slot) -> bool:
        return any(low <= slot <= high for low, high in self)


def _owns(server: RedisServer) -> _Ranges:
    """The slots that a server serves by its own account; none while it doesn't answer."""
    try:
        nodes = server.command("CLUSTER", "NODES") if server.alive() else ""
    except (OSError, RuntimeError):
        return _Ranges()
    mine = next((line.split() for line in nodes.splitlines() if "myself" in line), None)
    if not mine or "master" not in mine[2]:
        return _Ranges()
    # What is on its way stands in brackets.
    ranges = [word.split("-") for word in mine[8:] if not word.startswith("[")]
    return _Ranges((int(words[0]), int(words[-1])) for words in ranges)
