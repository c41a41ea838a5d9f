"""What happens to the servers of a Redis Cluster."""

import asyncio
import time

from ..redis_cluster import slot_of_channel
from ..waiting import until
from .books import BROADCASTS

_HALFWAY = 0.3


async def killed(stage, draw, happened) -> None:
    """A primary dies, its replica takes over, and it comes back as a replica."""
    cluster, slot = stage.redis.cluster, slot_of_channel(_channel(stage, draw))
    old, died = await asyncio.to_thread(cluster.owner, slot), stage.timeline.now()
    old.kill()
    await until(lambda: cluster.owner(slot) is not None, "a replica that has taken over", 60)
    happened.details = f"{old.port} gave way after {stage.timeline.now() - died:.1f} s"
    await asyncio.to_thread(old.start)
    await until(cluster.is_complete, "all replicas", 90)


async def failover(stage, draw, happened) -> None:
    """A replica takes over orderly, from the primary of some channel."""
    channel = _channel(stage, draw)
    new = await asyncio.to_thread(stage.redis.cluster.failover, channel)
    happened.details = f"to {new.port}"
    await until(stage.redis.cluster.is_complete, "all replicas", 90)


async def migrated(stage, draw, happened) -> None:
    """The slot of a channel moves to another primary, key by key."""
    cluster, channel = stage.redis.cluster, _channel(stage, draw)
    slot = slot_of_channel(channel)
    owner = await asyncio.to_thread(cluster.owner, slot)
    to = draw.choice([server for server in await asyncio.to_thread(cluster.primaries) if server is not owner])
    happened.details = f"slot {slot} of {channel or BROADCASTS} to {to.port}"
    # On its way it stays for a while: that is when keys are here and there.
    await asyncio.to_thread(cluster.migrate_slot, slot, to, lambda: time.sleep(_HALFWAY))


def _channel(stage, draw) -> str | None:
    """Any channel, as the harness of the cluster names it."""
    channel = draw.choice([*stage.channels])
    return None if channel == BROADCASTS else channel
