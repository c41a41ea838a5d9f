"""Histories: what clients get that resume at a place, and what they are told where that can't be had."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from harness.clients import CODECS, Json, native
from harness.redis_server import RedisServer
from harness.waiting import Deadline, until

KEPT = {"namespaces__kept__history__size": 20_000, "namespaces__kept__history__ttl": "10m"}
BROADCASTS = {"broadcast__history__size": 1000}
CHANNEL = "kept:1"


def place(event: dict) -> dict:
    """The place that an event names."""
    return {"epoch": event["epoch"], "offset": event["offset"]}


def offset_of(event) -> int:
    """The offset of a message."""
    assert event["type"] == "message", event
    return event["offset"]


async def publish(client, numbers, channel=CHANNEL) -> list[int]:
    """Publishes numbers, all at once, and returns their offsets."""
    ids = list(numbers)
    for number in ids:
        await client.send("publish", id=number, channel=channel, content=number)
    answers = [await client.answer(number) for number in ids]
    assert {answer["type"] for answer in answers} <= {"ok"}, answers
    return [answer["offset"] for answer in answers]


class Reader:
    """A client that resumes wherever it was, on one node after the other."""

    def __init__(self, nodes, name: str, codec=Json):
        self.nodes = nodes
        self.name = name
        self.codec = codec
        self.position: dict | None = None
        self.contents: list = []
        self.offsets: list[int] = []
        self.recovered: list[bool] = []
        self.lost: list[dict] = []
        self.other: list[dict] = []
        self._rounds = 0

    @asynccontextmanager
    async def connected(self):
        """A subscription behind what it has, which it reads meanwhile."""
        node = self.nodes[self._rounds % len(self.nodes)]
        self._rounds += 1
        async with native(node, self.codec) as client:
            recover = {"recover": self.position} if self.position else {}
            answer = await client.request("subscribe", channel=CHANNEL, **recover)
            assert answer["type"] == "ok", answer
            self.position = place(answer)
            if recover:
                self.recovered.append(answer["recovered"])
            task = asyncio.create_task(self._read(client))
            try:
                yield client
            finally:
                if task.done():
                    await task
                task.cancel()

    async def _read(self, client) -> None:
        while True:
            self._take(await client.receive(3600))

    def _take(self, event: dict) -> None:
        if event["type"] == "message":
            assert event["offset"] == self.position["offset"] + 1, f"{self.name}: {event} behind {self.position}"
            self.position["offset"] = event["offset"]
            self.offsets.append(event["offset"])
            self.contents.append(event["content"])
        elif event["type"] == "lost":
            self.lost.append(event)
            self.position = place(event)
        else:
            self.other.append(event)

    async def has(self, content, within: float = 30.0) -> None:
        """Waits for a message."""
        async with Deadline(within, f"{content} at {self.name}, which has {self.contents[-3:]}"):
            while content not in self.contents[-20_000:]:
                await asyncio.sleep(0.01)


class Stream:
    """Publishes numbers until told to stop, each until it is acknowledged."""

    def __init__(self, node):
        self.node = node
        self.acknowledged: list[int] = []
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def flowing(self):
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self._stop.set()
            await task

    async def _run(self) -> None:
        async with native(self.node) as client:
            number = 0
            while not self._stop.is_set():
                fields = {"channel": CHANNEL, "content": number, "idempotency_key": f"key-{number}"}
                answer = await client.request("publish", **fields)
                if answer["type"] == "ok":
                    self.acknowledged.append(number)
                    number += 1
                else:
                    assert answer["code"] in ("broker_unavailable", "broker_timeout"), answer
                await asyncio.sleep(0.002)

    async def more(self, count: int = 50) -> None:
        """Waits until so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, f"{count} more publications", 30)


@pytest.fixture
def cluster(redis, start_node):
    """Two nodes on one Redis."""
    return [start_node(redis, **KEPT, **BROADCASTS) for _ in range(2)]


def lost_total(nodes) -> float:
    return sum(node.metrics().value("fanwire_history_lost_total") for node in nodes)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("broker", ["memory", "redis"])
async def test_a_client_that_resumes_gets_what_it_missed(broker, codec, request, start_node):
    redis = request.getfixturevalue("redis") if broker == "redis" else None
    node = start_node(redis, **KEPT)
    async with native(node) as publisher, native(node, codec) as client:
        answer = await client.request("subscribe", channel=CHANNEL)
        assert (answer["offset"], "recovered" in answer) == (0, False)
        assert await publish(publisher, [1, 2, 3]) == [1, 2, 3]
        assert await client.contents(3) == [1, 2, 3]
        await publish(publisher, [4, 5])
        async with native(node, codec) as other:
            again = await other.request("subscribe", channel=CHANNEL, recover={"epoch": answer["epoch"], "offset": 3})
            assert again == {**again, "recovered": True, "offset": 3, "epoch": answer["epoch"]}
            await publish(publisher, [6])
            events = [await other.receive() for _ in range(3)]
            assert [(event["offset"], event["content"]) for event in events] == [(4, 4), (5, 5), (6, 6)]


async def test_everything_exactly_once_over_reconnects_under_traffic(cluster):
    readers = [Reader(cluster, f"reader {number}", list(CODECS.values())[number % 2]) for number in range(3)]
    async with Stream(cluster[0]).flowing() as stream:

        async def come_and_go(reader):
            for _ in range(6):
                async with reader.connected():
                    await stream.more(40)
                await stream.more(20)

        await asyncio.gather(*(come_and_go(reader) for reader in readers))
    last = stream.acknowledged[-1]
    for reader in readers:
        async with reader.connected():
            await reader.has(last)
        assert reader.contents == list(range(reader.contents[0], last + 1))
        assert reader.recovered == [True] * 6
        assert not reader.lost
    assert lost_total(cluster) == 0
    values = [node.metrics().value("fanwire_recoveries_total", result="recovered") for node in cluster]
    assert sum(values) == 18


async def test_two_clients_recover_the_same_place(cluster):
    async with native(cluster[0]) as publisher:
        offsets = await publish(publisher, range(250))
        epoch = (await publisher.request("history", channel=CHANNEL, limit=1))["epoch"]
        recover = {"epoch": epoch, "offset": 10}

        async def one(node):
            async with native(node) as client:
                assert (await client.request("subscribe", channel=CHANNEL, recover=recover))["recovered"]
                events = [await client.receive() for _ in range(240)]
                return [offset_of(event) for event in events]

        assert await asyncio.gather(one(cluster[1]), one(cluster[1]), one(cluster[0])) == [offsets[10:]] * 3


async def test_what_was_trimmed_is_told(redis, start_node):
    node = start_node(redis, namespaces__kept__history__size=10)
    async with native(node) as publisher, native(node) as client:
        epoch = (await client.request("history", channel=CHANNEL))["epoch"]
        await publish(publisher, range(30))
        answer = await client.request("subscribe", channel=CHANNEL, recover={"epoch": epoch, "offset": 19})
        assert (answer["recovered"], answer["offset"]) == (False, 30)
        await publish(publisher, [30])
        assert offset_of(await client.receive()) == 31
        async with native(node) as other:
            answer = await other.request("subscribe", channel=CHANNEL, recover={"epoch": epoch, "offset": 21})
            assert answer["recovered"]
            assert [offset_of(await other.receive()) for _ in range(10)] == list(range(22, 32))
    assert node.metrics().value("fanwire_recoveries_total", result="incomplete") == 1


async def test_what_has_expired_is_told(redis, start_node):
    node = start_node(redis, namespaces__kept__history__size=10, namespaces__kept__history__ttl="1s")
    async with native(node) as publisher:
        epoch = (await publisher.request("history", channel=CHANNEL))["epoch"]
        await publish(publisher, range(3))

        async def kept():
            return len((await publisher.request("history", channel=CHANNEL))["publications"])

        assert await kept() == 3
        async with Deadline(10, "expiry"):
            while await kept():
                await asyncio.sleep(0.1)
        for offset, recovered in ((1, False), (3, True)):
            async with native(node) as client:
                answer = await client.request(
                    "subscribe", channel=CHANNEL, recover={"epoch": epoch, "offset": offset}
                )
                assert (answer["recovered"], answer["epoch"], answer["offset"]) == (recovered, epoch, 3)


async def test_a_flush_is_told_to_those_who_resume_and_to_those_who_stayed(cluster, redis):
    resuming, staying = Reader(cluster, "resuming"), Reader([cluster[1]], "staying")
    async with native(cluster[0]) as publisher, staying.connected():
        async with resuming.connected():
            await publish(publisher, range(3))
            await resuming.has(2)
        await staying.has(2)
        redis.command("FLUSHALL")
        await publish(publisher, range(3, 5))
        async with resuming.connected():
            await publish(publisher, [5])
            await asyncio.gather(resuming.has(5), staying.has(5))
    assert (resuming.recovered, len(staying.lost)) == ([False], 1)
    assert staying.contents == list(range(6))
    assert lost_total(cluster) >= 1


async def test_a_flush_that_nobody_published_after_is_noticed_by_who_resumes(cluster, redis):
    staying = Reader([cluster[0]], "staying")
    async with native(cluster[0]) as publisher, native(cluster[0]) as client, staying.connected():
        await publish(publisher, range(3))
        await staying.has(2)
        before = dict(staying.position)
        redis.command("FLUSHALL")
        answer = await client.request("subscribe", channel=CHANNEL, recover=before)
        assert (answer["recovered"], answer["offset"]) == (False, 0)
        assert answer["epoch"] != before["epoch"]
        await until(lambda: staying.lost, "that who stayed is told")
        await publish(publisher, [3])
        assert offset_of(await client.receive()) == 1
        await staying.has(3)
    assert staying.contents == [0, 1, 2, 3]


async def test_a_history_is_read_in_pages_and_backwards(cluster):
    async with native(cluster[0]) as client:
        await publish(client, range(10))
        first = await client.request("history", channel=CHANNEL, limit=4)
        assert [entry["offset"] for entry in first["publications"]] == [1, 2, 3, 4]
        since = {"epoch": first["epoch"], "offset": 4}
        rest = await client.request("history", channel=CHANNEL, since=since)
        assert [entry["content"] for entry in rest["publications"]] == list(range(4, 10))
        back = await client.request("history", channel=CHANNEL, since=since, reverse=True, limit=2)
        assert [entry["offset"] for entry in back["publications"]] == [3, 2]
        newest = await client.request("history", channel=CHANNEL, reverse=True, limit=1)
        assert (newest["offset"], newest["publications"]) == (10, [{"offset": 10, "content": 9}])


async def test_a_publication_with_a_key_is_carried_out_once(cluster):
    async with native(cluster[0]) as publisher, native(cluster[1]) as client:
        await client.ok("subscribe", channel=CHANNEL)
        answers = [
            await publisher.request("publish", channel=CHANNEL, content=number, idempotency_key=key)
            for number, key in ((1, "a"), (2, "a"), (3, "b"))
        ]
        assert [answer["offset"] for answer in answers] == [1, 1, 2]
        assert await client.contents(2) == [1, 3]


async def test_on_disk_keys_outlive_a_restart_and_histories_do_not(tmp_path, start_node):
    redis = RedisServer(tmp_path, options={"appendonly": "yes"}).start()
    try:
        node = start_node(redis, **KEPT)
        async with native(node) as client:
            first = await client.request("publish", channel=CHANNEL, content=1, idempotency_key="a")
            redis.stop()
            redis.start()
            await until(node.ready, "the node has its link again")
            again = await client.request("publish", channel=CHANNEL, content=1, idempotency_key="a")
            assert place(again) == place(first)
            later = await client.request("publish", channel=CHANNEL, content=2, idempotency_key="b")
            assert later["epoch"] != first["epoch"] and later["offset"] == 1
            history = await client.request("history", channel=CHANNEL)
            assert history["publications"] == [{"offset": 1, "content": 2}]
    finally:
        redis.kill()


async def test_what_needs_a_history_is_refused_without_one(start_node):
    node = start_node(**KEPT, namespaces__fixed__history__size=5, namespaces__fixed__recover="false")
    nowhere = {"epoch": "a", "offset": 1}
    async with native(node) as client:
        await client.refused("no_history", "history", channel="news")
        await client.refused("no_history", "subscribe", channel="news", recover=nowhere)
        await client.refused("no_history", "publish", channel="news", content=1, idempotency_key="k")
        await client.refused("no_history", "broadcast", content=1, idempotency_key="k")
        await client.refused("no_history", "recover_broadcast", **nowhere)
        await client.refused("no_history", "subscribe", channel="fixed:1", recover=nowhere)
        text = await client.refused("unknown_namespace", "subscribe", channel="other:1")
        assert 'known are "fixed", "kept", "default"' in text
        await client.ok("subscribe", channel="news")
        await client.ok("subscribe", channel="fixed:1")


async def test_broadcasts_are_recovered_up_to_the_welcome(cluster):
    async with native(cluster[0]) as sender:
        begin = sender.welcome["broadcast"]
        for number in range(150):
            answer = await sender.request("broadcast", content=number)
            assert answer["offset"] == begin["offset"] + number + 1
        async with native(cluster[1]) as client:
            assert client.welcome["broadcast"]["epoch"] == begin["epoch"]
            answer = await client.request("recover_broadcast", **begin)
            assert answer["recovered"], answer
            await sender.ok("broadcast", content=150)
            events = [await client.receive() for _ in range(151)]
            assert {event["type"] for event in events} == {"broadcast"}
            contents = [event["content"] for event in events]
            assert sorted(contents) == list(range(151))
            # Only what a node that lagged has told after its welcome, and before it was asked, may stand before the others.
            assert [after for before, after in zip(contents, contents[1:]) if after < before] in ([], [0]), contents
        async with native(cluster[1]) as client:
            answer = await client.request("recover_broadcast", epoch="unheard", offset=3)
            assert not answer["recovered"]
            await sender.ok("broadcast", content=151)
            assert (await client.receive())["content"] == 151


def check_complete(readers, last: int) -> None:
    """Nothing is missing or doubled up to `last`, and nobody was told of a loss."""
    for reader in readers:
        have = [number for number in reader.contents if number <= last]
        assert have == list(range(have[0], last + 1)), reader.name
        assert not reader.lost


async def test_a_cut_link_loses_nothing_for_those_who_stay(cluster, redis):
    readers = [Reader([cluster[number % 2]], f"reader {number}") for number in range(4)]
    async with Stream(cluster[0]).flowing() as stream:
        async with readers[0].connected(), readers[1].connected(), readers[2].connected(), readers[3].connected():
            for _ in range(4):
                await stream.more()
                redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                await until(lambda: all(node.ready() for node in cluster), "readiness of both nodes")
            await stream.more()
            last = stream.acknowledged[-1]
            await asyncio.gather(*(reader.has(last) for reader in readers))
    check_complete(readers, last)
    assert sum(node.metrics().value("fanwire_fills_total", result="filled") for node in cluster) > 0
    assert lost_total(cluster) == 0


@pytest.mark.limit(120)
async def test_a_redis_that_hangs_loses_nothing(cluster, redis):
    readers = [Reader(cluster, "resuming"), Reader([cluster[1]], "staying")]
    async with Stream(cluster[0]).flowing() as stream, readers[1].connected():
        async with readers[0].connected():
            await stream.more()
            redis.freeze()
            await until(lambda: not any(node.ready() for node in cluster), "that the nodes notice")
            await asyncio.sleep(3)
        redis.thaw()
        await until(lambda: all(node.ready() for node in cluster), "readiness of both nodes", 30)
        async with readers[0].connected():
            await stream.more()
            last = stream.acknowledged[-1]
            await asyncio.gather(*(reader.has(last) for reader in readers))
    check_complete(readers, last)
    assert readers[0].recovered == [True]


@pytest.mark.limit(120)
async def test_a_slow_client_that_recovers_much_is_not_closed_and_disturbs_nobody(redis, start_node):
    node = start_node(redis, **KEPT, outbox__limit="64KiB", outbox__kernel="16KiB")
    async with native(node) as publisher, native(node) as other:
        await other.ok("subscribe", channel=CHANNEL)
        epoch = (await publisher.request("history", channel=CHANNEL))["epoch"]
        for begin in range(0, 5000, 50):
            numbers = range(begin, begin + 50)
            for number in numbers:
                await publisher.send("publish", id=number, channel=CHANNEL, content=[number, "x" * 200])
            for number in numbers:
                assert (await publisher.answer(number))["type"] == "ok"
            assert [(await other.receive())["offset"] for _ in numbers] == [number + 1 for number in numbers]
        async with native(node, max_queue=1) as slow:
            answer = await slow.request("subscribe", channel=CHANNEL, recover={"epoch": epoch, "offset": 0})
            assert answer["recovered"]
            for count in range(5000):
                event = await slow.next()
                assert (event["type"], event["offset"]) == ("message", count + 1)
                if count % 500 == 0:
                    await publish(publisher, [10_000 + count])
                    assert (await other.receive())["content"] == 10_000 + count
                    await asyncio.sleep(0.2)
            for count in range(10):
                assert (await slow.next())["offset"] == 5001 + count
            await slow.ok("ping")
    assert node.metrics().value("fanwire_outbox_bytes") == 0


async def test_unsubscribing_ends_a_recovery(redis, start_node):
    node = start_node(redis, **KEPT, outbox__limit="64KiB", outbox__kernel="16KiB")
    async with native(node) as publisher:
        epoch = (await publisher.request("history", channel=CHANNEL))["epoch"]
        for begin in range(0, 3000, 50):
            await publish(publisher, range(begin, begin + 50))
        async with native(node, max_queue=1) as client:
            await client.ok("subscribe", channel=CHANNEL, recover={"epoch": epoch, "offset": 0})
            await client.ok("unsubscribe", channel=CHANNEL)
            await client.ok("subscribe", channel=CHANNEL)
            await publish(publisher, [5000])
            events = []
            while not events or events[-1]["offset"] != 3001:
                events.append(await client.receive())
            offsets = [event["offset"] for event in events]
            assert offsets == sorted(set(offsets))


async def test_a_subscription_whose_place_can_not_be_read_is_refused(redis, start_node):
    node = start_node(redis, **KEPT)
    async with native(node) as client:
        redis.freeze()
        await until(lambda: not node.ready(), "that the node notices")
        answer = await client.request("subscribe", channel=CHANNEL, recover={"epoch": "a", "offset": 0})
        assert answer["code"] in ("broker_unavailable", "broker_timeout")
        assert node.metrics().value("fanwire_subscriptions") == 0
        redis.thaw()
        await until(node.ready, "readiness", 30)
        async with Deadline(15, "a subscription"):
            while (await client.request("subscribe", channel=CHANNEL))["type"] != "ok":
                await asyncio.sleep(0.1)
        assert node.metrics().value("fanwire_subscriptions") == 1
        await publish(client, [1])
        while (event := await client.receive())["type"] == "gap":
            pass
        assert event["content"] == 1
