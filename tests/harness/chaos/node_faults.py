"""What happens to nodes."""

import asyncio
from contextlib import contextmanager

_FROZEN = 5.0


@contextmanager
def _victim(stage, draw, happened):
    """A node that can be spared, whose name is written down; none if there is none."""
    with stage.spare_node(draw) as node:
        if node is not None:
            happened.details = node.name
        yield node


async def killed(stage, draw, happened) -> None:
    """It crashes, and is started again."""
    with _victim(stage, draw, happened) as node:
        if node is not None:
            node.kill()
            await asyncio.sleep(draw.uniform(0.2, 3))
            await _starts_again(node)


async def drained(stage, draw, happened) -> None:
    """It is asked to end, does so, and is started again."""
    with _victim(stage, draw, happened) as node:
        if node is not None:
            node.terminate()
            code = await asyncio.to_thread(node.wait, 30)
            if code != 0:
                stage.books.unexpected.append(f"{node.name} ended with {code} when it was drained")
            await _starts_again(node)


async def frozen(stage, draw, happened) -> None:
    """It hangs with its sockets open, and goes on."""
    with _victim(stage, draw, happened) as node:
        if node is not None:
            node.freeze()
            await asyncio.sleep(_FROZEN)
            node.thaw()


async def _starts_again(node) -> None:
    await asyncio.to_thread(node.start_again)
    await asyncio.to_thread(node.wait_ready, 60)
