"""The echo dialect, for conformance suites: off by default, told where it is on, and nothing but echoes."""

from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from harness.clients import native, plain
from harness.command import run
from harness.waiting import until

WARNING = 'conformance.echo = true (environment variable FANWIRE_CONFORMANCE__ECHO)'


def test_it_is_off_unless_asked_for_and_told_where_it_is_on(tmp_path, start_node):
    usual, echoing = run("check", cwd=tmp_path), run("check", config={"conformance__echo": "true"}, cwd=tmp_path)
    assert "[conformance]\necho = false # default" in usual.stdout and WARNING not in usual.stderr
    assert echoing.returncode == 0 and WARNING in echoing.stderr, echoing
    assert WARNING in start_node(conformance__echo="true").output()


async def test_a_command_comes_back_and_is_none(start_node):
    node = start_node(conformance__echo="true")
    broadcast = '{"type":"broadcast","content":"x"}'
    async with plain(node) as echoed, native(node) as other:
        assert await echoed.ask(broadcast) == broadcast
        await other.ok("broadcast", content="for all", echo=True)
        assert (await other.receive())["content"] == "for all"
        # Had the broadcast come here, it would have come before.
        assert await echoed.ask("hello") == "hello"


async def test_who_does_not_take_its_echoes_is_a_slow_consumer(start_node):
    node = start_node(conformance__echo="true", outbox__limit="64KiB", close__timeout="200ms")
    ended = lambda: node.metrics().value("fanwire_disconnects_total", reason="slow_consumer")
    async with plain(node, max_queue=1) as client:
        client.socket.transport.pause_reading()
        with suppress(ConnectionClosed):
            while not ended():
                await client.send("x" * 60_000)
        await until(ended, "its end")
        client.socket.transport.abort()
