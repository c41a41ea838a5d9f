"""What happens on the way between nodes and their Redis."""

import asyncio


def _some(stage, draw, happened) -> list:
    """The proxies of some nodes, or of all."""
    proxies = stage.redis.proxies
    chosen = draw.sample(range(len(proxies)), draw.randint(1, len(proxies)))
    happened.details = " ".join(f"node{number}" for number in sorted(chosen))
    return [proxies[number] for number in chosen]


async def _while(proxies, seconds: float) -> None:
    await asyncio.sleep(seconds)
    for proxy in proxies:
        proxy.heal()


async def cut(stage, draw, happened) -> None:
    """Links end, and none can be made for a while."""
    proxies = _some(stage, draw, happened)
    for proxy in proxies:
        proxy.cut()
    await _while(proxies, draw.uniform(0.1, 4))


async def slow(stage, draw, happened) -> None:
    """Everything takes longer, from what nobody notices to what is taken for dead."""
    proxies, seconds = _some(stage, draw, happened), draw.choice([0.05, 0.3, 0.7, 1.2])
    happened.details += f" by {seconds} s"
    for proxy in proxies:
        proxy.slow(seconds)
    await _while(proxies, draw.uniform(2, 5))


def _direction(proxy, draw, happened):
    to_server = draw.random() < 0.5
    happened.details += " to Redis" if to_server else " from Redis"
    return proxy.to_server if to_server else proxy.to_client


async def held(stage, draw, happened) -> None:
    """Nothing comes through in one direction, until all of it does."""
    proxies = _some(stage, draw, happened)
    for proxy in proxies:
        proxy.hold(_direction(proxy, draw, happened))
    await _while(proxies, draw.uniform(0.5, 5))


async def lost(stage, draw, happened) -> None:
    """What is sent in one direction is lost, and at last the link with it."""
    proxies = _some(stage, draw, happened)
    for proxy in proxies:
        proxy.drop(_direction(proxy, draw, happened))
    await _while(proxies, draw.uniform(0.2, 4))
