"""The client with real nodes, and a proxy between them that fails."""

import asyncio
import json
import urllib.request

import pytest
from clients import QUICK, client, listening, url_of
from fanwire import (
    Broadcast, Closed, Connected, Disconnected, Dropped, FanwireError, Join, Leave, Message, Options, Subscribed, connect,
)  # fmt: skip
from harness.ports import free_port
from websockets.asyncio.server import serve

WELCOME = '{"type":"welcome","connection":[1,1],"node":1,"version":"1","heartbeat":20}'
CONFIG = {
    "namespaces__chat__history__size": 1000,
    "namespaces__short__history__size": 5,
    "namespaces__room__presence": "true",
    "namespaces__room__join_leave": "true",
    "heartbeat__interval": "1s",
    "drain__grace": "0s",
    "drain__window": "0s",
}


async def refused(code: str, call, **attributes) -> None:
    """`call` must fail with `code`."""
    with pytest.raises(FanwireError) as failed:
        await call
    assert failed.value.code == code, failed.value
    assert {name: getattr(failed.value, name) for name in attributes} == attributes


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_all_commands(start_node, encoding):
    node = start_node(**CONFIG)
    contents = [{"text": "你好, \U0001f600", "list": [1, 1.5, None, True]}, b"\x00\xff", "x", 0]
    async with client(node, encoding=encoding) as one, client(node) as other:
        welcome = await one.connected()
        assert one.welcome == welcome and welcome.heartbeat == 1
        async with listening(one.subscribe("chat:1")) as chat:
            places = [await one.publish("chat:1", content) for content in contents]
            assert [place.offset for place in places] == [1, 2, 3, 4]
            await chat.until(lambda: len(chat.contents) == 4, "messages")
            assert chat.contents == contents and chat.events[-1].position == places[-1]
        page = await one.history("chat:1", since=places[0], limit=2)
        assert [each.content for each in page.publications] == contents[1:3] and page.position == places[-1]
        pages = [[each.offset for each in page.publications] async for page in one.pages("chat:1", limit=3)]
        assert pages == [[1, 2, 3], [4]] and not [page async for page in one.pages("chat:1", since=places[-1])]
        newest = await one.history("chat:1", limit=1, reverse=True)
        assert [each.offset for each in newest.publications] == [4]
        assert await one.publish("news", None, echo=False) is None
        assert await one.publish("chat:1", "k", once="key") == await one.publish("chat:1", "k", once="key")
        async with listening(one.subscribe("room:1", info={"device": "phone"})) as room:
            async with listening(other.subscribe("room:1")):
                await room.until(lambda: "Join" in room.kinds, "a join")
                page = await one.presence("room:1", limit=1)
                assert page.more and len(page.members) == 1
                infos = {member.connection: member.info async for member in one.members("room:1")}
                assert infos == {welcome.connection: {"device": "phone"}, other.welcome.connection: None}
                assert (await one.presence_stats("room:1")).connections == 2
            await room.until(lambda: "Leave" in room.kinds, "a leave")
            assert [event.member.connection for event in room.events if isinstance(event, Join | Leave)] == [
                other.welcome.connection
            ] * 2
        async with listening(one.broadcasts()) as heard:
            await other.broadcast("to all")
            await heard.until(lambda: Broadcast("to all") in heard.events, "a broadcast")


async def test_refusals_are_errors_with_the_codes_of_the_protocol(start_node):
    async with client(start_node(**CONFIG)) as one:
        await refused("unknown_namespace", one.publish("nowhere:1", 1), maybe_done=False)
        await refused("no_history", one.publish("news", 1, once=True))
        await refused("no_presence", one.presence("news"))
        await refused("unknown_namespace", anext(one.subscribe("nowhere:1")))
        one.subscribe("news")
        with pytest.raises(FanwireError, match="already_subscribed"):
            one.subscribe("news")
        for content in ({1, 2}, float("nan"), "\ud800"):
            with pytest.raises((TypeError, ValueError)):
                await one.publish("news", content)
        await one.publish("news", "still there")


async def test_another_run_goes_on_at_the_place_of_the_last(start_node):
    node = start_node(**CONFIG)
    async with client(node) as other:
        async with client(node) as one, one.subscribe("chat:1") as chat:
            assert (await anext(chat)).outcome == "new"
            for number in (1, 2, 3):
                await other.publish("chat:1", number)
            async for event in chat:
                if isinstance(event, Message) and event.content == 1:
                    place = event.position
                    break
        async with client(node) as one, listening(one.subscribe("chat:1", since=place), 3) as again:
            assert again.events[0] == Subscribed("recovered", place, 3) and again.contents == [2, 3]


async def test_what_is_not_kept_any_more_is_told_as_lost(start_node, start_proxy):
    node = start_node(**CONFIG)
    proxy = start_proxy(node)
    async with client(proxy) as one, client(node) as other:
        streams = [one.subscribe(channel) for channel in ("chat:1", "short:1", "news")]
        async with listening(streams[0]) as kept, listening(streams[1]) as short, listening(streams[2]) as plain:
            await other.publish("short:1", 0)
            await short.until(lambda: short.contents, "a message")
            proxy.cut()
            for number in range(20):
                await asyncio.gather(*(other.publish(stream.channel, number) for stream in streams))
            proxy.heal()
            await kept.until(lambda: len(kept.contents) == 20, "what was missed")
            await plain.until(lambda: len(plain.events) == 2, "a subscription")
            assert [event.outcome for event in plain.events] == ["new", "unknown"]
            await short.until(lambda: len(short.events) == 4, "a loss")
            await other.publish("short:1", "last")
            await short.until(lambda: "last" in short.contents, "what comes behind it")
            assert short.kinds == ["Subscribed", "Message", "Lost", "Subscribed", "Message"]
            assert short.events[3].outcome == "lost" and short.events[2].position.offset == 21


async def test_a_publication_with_a_key_is_sent_again_and_one_without_is_not(start_node, start_proxy):
    node = start_node(**CONFIG)
    proxy = start_proxy(node)
    async with client(proxy) as one, client(node) as other, listening(other.subscribe("chat:1")) as chat:
        await one.connected()
        # Answers get lost.
        proxy.drop(proxy.to_client)
        bare = asyncio.create_task(one.publish("chat:1", "bare"))
        once = asyncio.create_task(one.publish("chat:1", "once", once=True))
        await chat.until(lambda: "once" in chat.contents, "both at the node")
        proxy.heal()
        await refused("disconnected", bare, close_code=1006, maybe_done=True)
        assert (await once).offset == 2
        await one.publish("chat:1", "last")
        await chat.until(lambda: "last" in chat.contents, "what comes after")
        assert chat.contents == ["bare", "once", "last"]


async def test_a_publication_with_a_key_is_sent_until_it_is_taken(start_node):
    node = start_node(limits__commands__rate=10, limits__commands__burst=5, **CONFIG)
    async with client(node) as one:
        await refused("rate_limited", asyncio.gather(*(one.publish("chat:1", 0) for _ in range(20))))
        places = await asyncio.gather(*(one.publish("chat:2", number, once=True) for number in range(12)))
        assert sorted(place.offset for place in places) == list(range(1, 13))


async def test_what_was_never_sent_was_not_done_and_waiting_is_bounded(start_node, start_proxy):
    node = start_node(**CONFIG)
    proxy = start_proxy(node)
    async with client(proxy, answer_timeout=0.3, commands=2) as one:
        await one.connected()
        proxy.hold(proxy.to_client)
        waiting = [asyncio.create_task(one.publish("news", number)) for number in range(2)]
        await asyncio.sleep(0)
        await refused("too_many_commands", one.publish("news", 3))
        for task in waiting:
            await refused("timed_out", task, maybe_done=True)
        lost = asyncio.create_task(one.publish("news", 3))
        await asyncio.sleep(0)
        proxy.cut()
        await refused("disconnected", lost, maybe_done=True)
        await refused("not_connected", one.publish("news", 4), maybe_done=False)


async def test_who_takes_events_slowly_gets_all_of_a_history_and_is_told_what_else_was_left_out(start_node):
    node = start_node(**CONFIG)
    async with client(node, queue=8) as one, client(node) as other:
        chat, news = one.subscribe("chat:1"), one.subscribe("news")
        for stream in (chat, news):
            assert isinstance(await anext(stream), Subscribed)
        for number in range(100):
            await asyncio.gather(other.publish("chat:1", number), other.publish("news", number))
        await one.connected()
        got = []
        while len(got) < 100:
            event = await anext(chat)
            if isinstance(event, Message):
                got.append(event.content)
            else:
                assert isinstance(event, Subscribed) and event.outcome == "recovered"
        assert got == list(range(100))
        assert [await anext(news) for _ in range(9)] == [*map(Message, range(8)), Dropped(92)]


async def test_who_is_left_and_resumed_again_and_again_misses_nothing(redis, start_node):
    node = start_node(redis__url=redis.url, **CONFIG)
    async with client(node, queue=2) as one, client(node) as other, one.subscribe("chat:1") as chat:
        await anext(chat)

        async def publish():
            for first in range(0, 300, 10):
                await asyncio.gather(*(other.publish("chat:1", first + number) for number in range(10)))

        publishing = asyncio.create_task(publish())
        got, outcomes = [], []
        while len(got) < 300:
            event = await anext(chat)
            if isinstance(event, Message):
                got.append(event.content)
                # Others have their turn.
                await asyncio.sleep(0.001)
            else:
                outcomes.append(event.outcome)
        await publishing
        assert got == list(range(300)) and len(outcomes) > 10 and set(outcomes) == {"recovered"}


async def test_a_node_that_is_silent_for_two_heartbeats_is_dead(start_node, start_proxy):
    proxy = start_proxy(start_node(**CONFIG))
    ends = []
    async with client(proxy) as one:
        one.on(lambda event: ends.append(event) if isinstance(event, Disconnected) else None)
        await one.connected()
        proxy.hold(proxy.to_client)
        while not ends:
            await asyncio.sleep(0.05)
        assert "no sign of life" in ends[0].error.message
        proxy.cut()
        proxy.heal()
        await one.connected()


async def test_the_next_url_is_taken_when_a_node_goes(start_node):
    nodes = [start_node(**CONFIG) for _ in range(2)]
    events = []
    async with connect([f"ws://127.0.0.1:{free_port()}/", *map(url_of, nodes)], Options(first_wait=0.02)) as one:
        welcome = await one.connected()
        one.on(events.append)
        next(node for node in nodes if node.metrics().value("fanwire_connections")).terminate()
        while not any(isinstance(event, Connected) for event in events):
            await asyncio.sleep(0.05)
        assert events[0].error.close_code == 1012 and one.welcome.node != welcome.node


@pytest.mark.parametrize(
    "subprotocol, messages, reason",
    [
        (None, [], "the server speaks None"),
        ("fanwire.v1.json", ["garbage"], "can't be understood"),
        ("fanwire.v1.json", ["[]"], "no event"),
        ("fanwire.v1.json", ['{"type":"welcome"}'], "broken welcome"),
        ("fanwire.v1.json", [WELCOME, '{"type":"message","channel":"news"}'], "broken message"),
    ],
)
async def test_a_server_that_does_not_speak_the_protocol_is_left_for_good(subprotocol, messages, reason):
    async def serve_one(socket):
        for message in messages:
            await socket.send(message)
        await socket.wait_closed()

    async with serve(serve_one, "127.0.0.1", 0, subprotocols=subprotocol and [subprotocol], select_subprotocol=None if subprotocol else lambda *_: None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", QUICK) as one:
            with pytest.raises(FanwireError) as failed:
                async for _ in one.subscribe("news"):
                    pass
            assert failed.value.code == "not_understood" and reason in failed.value.message


async def test_whom_the_operator_wants_gone_does_not_come_back(start_node):
    node = start_node(**CONFIG)
    async with client(node) as one:
        welcome = await one.connected()
        chat = one.subscribe("chat:1")
        await anext(chat)
        body = json.dumps({"connection": welcome.connection}).encode()
        url = f"http://127.0.0.1:{node.internal_port}/api/disconnect"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=5).close())
        await refused("disconnected", anext(chat), close_code=4403)
        await refused("disconnected", one.publish("news", 1), close_code=4403)


async def test_close_ends_everything(start_node):
    events = []
    async with client(start_node(**CONFIG)) as one:
        one.on(events.append)
        chat = one.subscribe("chat:1")
        await anext(chat)
        waiting = asyncio.create_task(anext(chat))
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert isinstance(events[-1], Closed) and events[-1].error.code == "closed"
    await refused("closed", one.publish("news", 1))


async def test_a_broker_that_was_away_is_told_as_gap_and_as_lost_where_it_has_forgotten(redis, start_node):
    node = start_node(redis__url=redis.url, **CONFIG)
    async with client(node) as one:
        async with listening(one.subscribe("chat:1")) as chat, listening(one.subscribe("news")) as news:
            await one.publish("chat:1", "before")
            await chat.until(lambda: chat.contents, "a message")
            redis.kill()
            with pytest.raises(FanwireError, match="broker_"):
                await one.publish("news", 1)
            await asyncio.to_thread(redis.start)
            await one.publish("chat:1", "after", once=True)
            await chat.until(lambda: "after" in chat.contents, "a message behind the loss")
            assert chat.kinds == ["Subscribed", "Message", "Lost", "Message"]
            await news.until(lambda: "Gap" in news.kinds, "a gap")


@pytest.mark.parametrize(
    "urls, options, message",
    [
        ([], {}, "none is no URL"),
        ("http://localhost/", {}, "'http://localhost/' is no URL"),
        ("ws://me:secret@localhost/", {}, "'ws://***@localhost/' is no URL of a node, such as wss://example.com/ without a login"),
        ("ws://localhost/", {"queue": 0}, "queue is 0; expected a number above 0"),
        ("ws://localhost/", {"encoding": "xml"}, 'encoding is \'xml\'; expected "json" or "msgpack"'),
    ],
)
def test_options_that_cannot_work_are_named(urls, options, message):
    with pytest.raises(FanwireError) as failed:
        connect(urls, Options(**options))
    assert failed.value.code == "bad_options" and message in failed.value.message
