"""What happens to nodes."""

import asyncio

_FROZEN = 5.0


async def killed(stage, draw, happened) -> None:
    """It crashes, and is started again."""
    with stage.spare_node(draw) as node:
        if node is None:
            return
        happened.details = node.name
        node.kill()
        await asyncio.sleep(draw.uniform(0.2, 3))
        await _starts_again(node)


async def drained(stage, draw, happened) -> None:
    """It is asked to end, does so, and is started again."""
    with stage.spare_node(draw) as node:
        if node is None:
            return
        happened.details = node.name
        node.terminate()
        code = await asyncio.to_thread(node.wait, 30)
        if code != 0:
            stage.books.unexpected.append(f"{node.name} ended with {code} when it was drained")
        await _starts_again(node)


async def frozen(stage, draw, happened) -> None:
    """It hangs with its sockets open, and goes on."""
    with stage.spare_node(draw) as node:
        if node is None:
            return
        happened.details = node.name
        node.freeze()
        await asyncio.sleep(_FROZEN)
        node.thaw()


async def _starts_again(node) -> None:
    await asyncio.to_thread(node.start_again)
    await asyncio.to_thread(node.wait_ready, 60)
