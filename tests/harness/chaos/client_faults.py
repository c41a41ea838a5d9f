"""What clients do."""

import asyncio

_SLOW = 6


async def storm(stage, draw, happened) -> None:
    """All connections of all nodes end at once."""
    for client in [*stage.subscribers, *stage.publishers]:
        client.cut()
    happened.details = f"{len(stage.subscribers) + len(stage.publishers)} clients"


async def slow(stage, draw, happened) -> None:
    """Some subscribers don't read for a while."""
    chosen = draw.sample(stage.subscribers, _SLOW)
    happened.details = " ".join(sorted(one.name for one in chosen))
    for one in chosen:
        one.reads.clear()
    try:
        await asyncio.sleep(draw.uniform(3, 7))
    finally:
        for one in chosen:
            one.reads.set()
