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


# A secret in each place that may hold one, mostly with something wrong beside it: variables.
VARIABLES = {
    "a password": {"redis__url": f"redis://app:{PASSWORD}@127.0.0.1:1"},
    "a password and no host": {"redis__url": f"redis://app:{PASSWORD}@"},
    "a password and no scheme": {"redis__url": f"app:{PASSWORD}@127.0.0.1:1"},
    "a password and a wrong scheme": {"redis__url": f"redisss://:{PASSWORD}@127.0.0.1:1"},
    "a password and a wrong port": {"redis__url": f"redis://:{PASSWORD}@127.0.0.1:port"},
    "a password with what must be escaped": {"redis__url": f"redis://:{PASSWORD}/@?#@127.0.0.1:1"},
    "a password in the query": {"redis__url": f"redis+unix:///nowhere?user=app&pass={PASSWORD}"},
    "a misspelt name": {"redis_url": f"redis://app:{PASSWORD}@127.0.0.1:1"},
    "a key that is none": {"redis__password": f"redis://app:{PASSWORD}@127.0.0.1:1"},
    "Sentinels": {"redis__mode": "sentinel", "redis__urls": f"redis://:{PASSWORD}@127.0.0.1:1,redis://:{PASSWORD}@[::1"},
    "Sentinels without a mode": {"redis__urls": f"redis://:{PASSWORD}@127.0.0.1:1"},
    "several": {"redis__mode": "spread", "redis__urls": f"redis://:{PASSWORD}@127.0.0.1:1,redis://:{PASSWORD}@[::1"},
    "one twice": {"redis__mode": "spread", "redis__urls": ",".join([f"redis://:{PASSWORD}@127.0.0.1:1"] * 2)},
    "a cluster": {"redis__mode": "cluster", "redis__urls": f"redis://:{PASSWORD}@127.0.0.1:1/2"},
    "a password and a file with one": {"redis__url": f"redis://:{PASSWORD}@127.0.0.1:1", "redis__password_file": "key.pem"},
    "the primary's login": {
        "redis__mode": "sentinel",
        "redis__urls": "redis://127.0.0.1:1",
        "redis__master": f"redis://app:{PASSWORD}@primary/0",
    },
    "a login and no name": {
        "redis__mode": "sentinel",
        "redis__urls": "redis://127.0.0.1:1",
        "redis__master": f"redis://app:{PASSWORD}@",
    },
    "the wrong key": {"redis__master": f"redis://app:{PASSWORD}@primary"},
}

# And files.
FILES = {
    "a password": f'redis.url = "redis://app:{PASSWORD}@127.0.0.1:1"',
    "a broken line": f'[redis]\nurl = "redis://app:{PASSWORD}@127.0.0.1:1\n',
    "no quotes": f"[redis]\nurl = redis://app:{PASSWORD}@127.0.0.1:1\n",
    "the wrong type": f'redis.url = ["redis://app:{PASSWORD}@127.0.0.1:1"]',
    "a table": f'redis.url = {{ value = "redis://app:{PASSWORD}@127.0.0.1:1" }}',
    "a text for a list": f'redis.urls = "redis://app:{PASSWORD}@127.0.0.1:1"',
    "twice": f'redis.url = "redis://app:{PASSWORD}@127.0.0.1:1"\nredis.url = "redis://app:{PASSWORD}@127.0.0.1:2"',
    "no such key": f'redis.uri = "redis://app:{PASSWORD}@127.0.0.1:1"',
    "no such group": f'reddis.url = "redis://app:{PASSWORD}@127.0.0.1:1"',
}


def tells_no_secret(*arguments, **options) -> None:
    for command in (("check",), ("check", "--connect"), ("serve", "--set", "server.listen=127.0.0.1:1x")):
        result = run(*command, *arguments, **options)
        assert result.stdout + result.stderr, "it says nothing: this proves nothing"
        assert PASSWORD not in result.stdout + result.stderr, (command, result.stdout, result.stderr)


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES.keys())
def test_no_secret_of_the_environment_is_told(tmp_path, variables):
    tells_no_secret(cwd=tmp_path, config=variables)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_no_secret_of_a_file_is_told(tmp_path, text):
    (tmp_path / "f.toml").write_text(text)
    tells_no_secret("--config", "f.toml", cwd=tmp_path)


@pytest.mark.parametrize("value", [case["redis__url"] for case in VARIABLES.values() if "redis__url" in case])
def test_no_secret_of_a_flag_is_told(tmp_path, value):
    tells_no_secret("--set", f"redis.url={value}", cwd=tmp_path)


@pytest.mark.parametrize("text", ["{}", "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"])
def test_no_part_of_a_private_key_is_told(tmp_path, text):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text(text.format(PASSWORD))
    files = {"redis__tls__cert": "cert.pem", "redis__tls__key": "key.pem", "redis__tls__ca": "key.pem"}
    tells_no_secret(cwd=tmp_path, config={"redis__url": "rediss://127.0.0.1:1"} | files)
