"""What must never be written down: secrets, and what people say to each other."""

import json

import pytest

from harness import frames
from harness.clients import MessagePack, native, plain
from harness.command import run
from harness.raw import raw_websocket
from harness.redis_server import RedisServer
from harness.waiting import until

PASSWORD = "hunter2-the-password"
CONTENT = "planted-content-7f3a"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_secret_and_no_content_reaches_the_log(tmp_path, start_node, form):
    redis = RedisServer(tmp_path, PASSWORD).start()
    try:
        node = start_node(redis, log__level="trace", log__format=form, outbox__limit="128KiB", limits__message="64KiB")
        await _talk(node)
        redis.kill()
        await until(lambda: not node.ready(), "readiness lost")
        async with native(node) as client:
            await client.refused("broker_unavailable", "publish", channel="news", content=CONTENT)
        _, metrics = node.get("/metrics")
        health = json.dumps(node.health("ready").body)
        node.terminate()
        assert node.wait() == 0
        for text in (node.output(), metrics, health):
            assert PASSWORD not in text and CONTENT not in text
        assert len(node.output()) > 1000, "trace says nothing: this proves nothing"
    finally:
        redis.kill()


async def _talk(node) -> None:
    """Plants the content wherever a client can put it."""
    async with native(node) as one, native(node, MessagePack) as two, plain(node) as three:
        for client in (one, two):
            await client.ok("subscribe", channel="news")
            await client.ok("publish", channel="news", content={"text": CONTENT})
            await client.ok("broadcast", content=CONTENT)
            await client.refused("bad_request", "publish", channel="news", content=CONTENT, echo=CONTENT)
        await three.ask(CONTENT)
        await three.broadcast(CONTENT)
        await one.socket.send('{"type":"publish","content":"%s' % CONTENT)
    for data in (CONTENT.encode() + b"\xff", CONTENT.encode() * 5000):
        async with raw_websocket(node) as raw:
            await raw.send_frame(frames.TEXT, data)
            await raw.frames_until_end()


async def test_a_wrong_password_is_told_without_telling_it(tmp_path, start_node):
    redis = RedisServer(tmp_path, PASSWORD).start()
    try:
        url = f"redis://:wrong-{PASSWORD}@127.0.0.1:{redis.port}"
        node = start_node.make(redis__url=url, log__level="trace").start()
        assert node.health("ready").status == 503
        assert PASSWORD not in json.dumps(node.health("ready").body)
        await until(lambda: "WRONGPASS" in node.output() or "password" in node.output(), "the reason in the log")
        assert PASSWORD not in node.output()
    finally:
        redis.kill()


async def test_a_password_in_a_file_is_read_for_each_link_and_told_nowhere(tmp_path, start_node):
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    redis = RedisServer(tmp_path, PASSWORD).start()
    try:
        bare = f"redis://default@127.0.0.1:{redis.port}"
        node = start_node(redis__url=bare, redis__password_file=secret, log__level="trace")
        await _talk(node)
        # Renewed: first here, and at Redis with its next start.
        renewed = f"renewed-{PASSWORD}"
        secret.write_text(renewed)
        redis.kill()
        redis.password = renewed
        await until(lambda: not node.ready(), "readiness lost")
        redis.start()
        await until(node.ready, "a link with the renewed password")
        secret.unlink()
        redis.kill()
        redis.start()
        await until(lambda: f"{secret}: can't be read" in node.output(), "what is wrong with the file, in the log")
        told = node.output() + json.dumps(node.health("ready").body)
        assert PASSWORD not in told
    finally:
        redis.kill()


def test_a_file_without_a_password_is_told_at_the_start(tmp_path):
    secret = tmp_path / "secret"
    for text, wrong in (("", "is empty"), (f"{PASSWORD}\nmore", "has several lines")):
        secret.write_text(text)
        setting = f"redis.password_file={secret}"
        refused = run("check", "--set", "redis.url=redis://redis", "--set", setting, cwd=tmp_path)
        assert refused.returncode == 78 and f"redis.password_file = \"{secret}\"" in refused.stderr, refused
        assert wrong in refused.stderr and PASSWORD not in refused.stdout + refused.stderr, refused
