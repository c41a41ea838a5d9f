"""What happens to a primary under the watch of Sentinels."""

import asyncio

from ..sentinels import MASTER
from ..waiting import until


async def killed(stage, draw, happened) -> None:
    """It dies, another takes over, and it comes back as a replica."""
    old = await asyncio.to_thread(stage.redis.primary)
    await _replace(stage, old, happened)


async def _replace(stage, old, happened) -> None:
    died = stage.timeline.now()
    old.kill()
    new = await _other_than(stage, old)
    happened.details += f"{old.port} gave way to {new.port} after {stage.timeline.now() - died:.1f} s"
    await asyncio.to_thread(old.start)
    await until(stage.redis.trio.is_complete, "both replicas", 90)


async def _other_than(stage, old):
    await until(lambda: stage.redis.primary() is not old, "another primary", 60)
    return await asyncio.to_thread(stage.redis.primary)


async def restarted(stage, draw, happened) -> None:
    """It loses all it has before anybody takes it for dead, and its replicas follow."""
    server = await asyncio.to_thread(stage.redis.primary)
    server.kill()
    await asyncio.to_thread(server.start)
    await until(stage.redis.trio.is_complete, "both replicas", 90)


async def lagging(stage, draw, happened) -> None:
    """One takes over that lacks what was acknowledged."""
    old = await asyncio.to_thread(stage.redis.primary)
    # Replicas may not follow any more. Restarted, it knows nothing of that.
    await asyncio.to_thread(old.command, "ACL", "SETUSER", "default", "-psync", "-sync")
    await asyncio.to_thread(old.command, "CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(draw.uniform(1, 4))
    behind = await asyncio.to_thread(_behind, stage.redis.trio.servers, old)
    happened.details = f"{behind} bytes behind, "
    await _replace(stage, old, happened)


def _behind(servers, primary) -> int:
    """How much the replicas lack."""
    offsets = [int(server.command("ROLE")[4]) for server in servers if server is not primary]
    return int(primary.command("ROLE")[1]) - max(offsets)


async def failover(stage, draw, happened) -> None:
    """It is told to give way, and works on until it does."""
    old = await asyncio.to_thread(stage.redis.primary)
    await until(lambda: _begins(stage.redis.trio), "a failover", 60)
    new = await _other_than(stage, old)
    happened.details = f"{old.port} gave way to {new.port}"
    await until(stage.redis.trio.is_complete, "both replicas", 90)


def _begins(trio) -> bool:
    try:
        return trio.sentinels[0].command("SENTINEL", "FAILOVER", MASTER) == "OK"
    except RuntimeError:
        # NOGOODSLAVE while it doesn't know its replicas well, INPROG while another one is under way.
        return False
