"""Python's websockets with Redis, as its documentation would have it: a set of connections a channel, and broadcast().

Arguments: port, port of Redis. Texts: `sub CHANNEL` is answered with `ok`, `pub CHANNEL CONTENT` is published, anything
else comes back.
"""

import asyncio
import collections
import sys

import redis.asyncio
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

PORT, REDIS = map(int, sys.argv[1:])
PREFIX = "peer:"
subscribers = collections.defaultdict(set)
store = redis.asyncio.Redis(port=REDIS)


async def converse(connection):
    channels = []
    try:
        async for text in connection:
            command, _, rest = text.partition(" ")
            if command == "sub":
                subscribers[rest].add(connection)
                channels.append(rest)
                await connection.send("ok")
            elif command == "pub":
                channel, _, content = rest.partition(" ")
                await store.publish(PREFIX + channel, content)
            else:
                await connection.send(text)
    except ConnectionClosed:
        pass
    finally:
        for channel in channels:
            subscribers[channel].discard(connection)


async def relay(pubsub):
    async for message in pubsub.listen():
        if message["type"] == "pmessage":
            channel = message["channel"].decode().removeprefix(PREFIX)
            broadcast(subscribers[channel], message["data"].decode())


async def main():
    pubsub = store.pubsub()
    await pubsub.psubscribe(PREFIX + "*")
    async with serve(converse, "127.0.0.1", PORT, compression=None, backlog=65535):
        await relay(pubsub)


asyncio.run(main())
