"""What happens to a Redis, whoever may watch it."""

import asyncio
from contextlib import suppress

from .books import BROADCASTS

_MEMORY_SHORT = 2.0


async def killed(stage, draw, happened) -> None:
    """It crashes, and is started again."""
    server = stage.redis.server
    server.kill()
    await asyncio.sleep(draw.choice([0.0, draw.uniform(0.5, 4)]))
    await asyncio.to_thread(server.start)


async def frozen_1(stage, draw, happened) -> None:
    """It hangs for less than a node takes to notice."""
    await _frozen(stage, draw, happened, 1.0)


async def frozen_5(stage, draw, happened) -> None:
    """It hangs, and everybody notices."""
    await _frozen(stage, draw, happened, 5.0)


async def frozen_20(stage, draw, happened) -> None:
    """It hangs for long."""
    await _frozen(stage, draw, happened, 20.0)


async def _frozen(stage, draw, happened, seconds: float) -> None:
    server = await _one(stage, draw)
    happened.details = str(server.port)
    server.freeze()
    await asyncio.sleep(seconds)
    server.thaw()


async def links_killed(stage, draw, happened) -> None:
    """Only the links by which nodes listen end."""
    await _clients_killed(stage, "pubsub", draw, happened)


async def connections_killed(stage, draw, happened) -> None:
    """Only the links by which nodes publish and ask end."""
    await _clients_killed(stage, "normal", draw, happened)


async def _clients_killed(stage, kind: str, draw, happened) -> None:
    for _ in range(draw.randint(1, 3)):
        # It accompanies other faults: a server that hangs or is away has none that could be killed.
        with suppress(OSError):
            for server in await asyncio.to_thread(stage.redis.primaries):
                happened.details += f"{await asyncio.to_thread(_kill_nodes, server, kind)} "
        await asyncio.sleep(draw.uniform(0.1, 1.5))


def _kill_nodes(server, kind: str) -> int:
    """Ends the connections of nodes alone: Sentinels whose links end may take a primary for dead."""
    lines = server.command("CLIENT", "LIST", "TYPE", kind).splitlines()
    clients = (dict(field.partition("=")[::2] for field in line.split()) for line in lines)
    ids = [client["id"] for client in clients if client["name"].startswith("fanwire-")]
    return sum(server.command("CLIENT", "KILL", "ID", one) for one in ids)


async def flushed(stage, draw, happened) -> None:
    """All keys go."""
    await _everywhere(stage, "FLUSHALL")


async def evicted(stage, draw, happened) -> None:
    """Memory is short, and keys go to make room."""
    policy, server = draw.choice(["allkeys-random", "allkeys-lru"]), await _one(stage, draw)
    before = await asyncio.to_thread(_evict, server, policy)
    await asyncio.sleep(_MEMORY_SHORT)
    await asyncio.to_thread(server.command, "CONFIG", "SET", "maxmemory", 0)
    evicted = await asyncio.to_thread(_figure, server, "stats", "evicted_keys") - before
    happened.details = f"{policy}, {evicted} keys"


def _evict(server, policy: str) -> int:
    used, least = _figure(server, "memory", "used_memory"), _figure(server, "memory", "used_memory_startup")
    before = _figure(server, "stats", "evicted_keys")
    server.command("CONFIG", "SET", "maxmemory-policy", policy)
    server.command("CONFIG", "SET", "maxmemory", least + (used - least) * 2 // 3)
    return before


def _figure(server, section: str, name: str) -> int:
    lines = server.command("INFO", section).splitlines()
    return int(next(line.partition(":")[2] for line in lines if line.startswith(f"{name}:")))


async def stream_deleted(stage, draw, happened) -> None:
    """What is kept of a channel goes."""
    await _with_key(stage, "s", draw, happened, "DEL")


async def stream_expired(stage, draw, happened) -> None:
    """What is kept of a channel goes, since its time is over."""
    await _with_key(stage, "s", draw, happened, "PEXPIRE", 1)


async def place_deleted(stage, draw, happened) -> None:
    """Redis forgets where a channel stands."""
    await _with_key(stage, "m", draw, happened, "DEL")


async def _with_key(stage, kind: str, draw, happened, command: str, *arguments) -> None:
    """Does something to the key of this kind of a channel."""
    happened.channel = draw.choice([channel for channel, kept in stage.channels.items() if kept])
    pattern = f"*}}:{kind}" if happened.channel == BROADCASTS else f"*:{kind}:{happened.channel}"
    for server in await asyncio.to_thread(stage.redis.primaries):
        for key in await asyncio.to_thread(server.command, "KEYS", pattern):
            await asyncio.to_thread(server.command, command, key, *arguments)
            happened.details += f"{key} "


async def _one(stage, draw):
    """One of the servers that take writes."""
    return draw.choice(await asyncio.to_thread(stage.redis.primaries))


async def _everywhere(stage, *words) -> list:
    """The answers of all servers that take writes."""
    servers = await asyncio.to_thread(stage.redis.primaries)
    return [await asyncio.to_thread(server.command, *words) for server in servers]
