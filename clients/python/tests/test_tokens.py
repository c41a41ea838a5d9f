"""Who a client is: tokens that are renewed, end, and are refused."""

import asyncio

import pytest
from clients import client
from fanwire import Closed, Connected, Disconnected, FanwireError
from harness.tokens import EVERYTHING, Key

CHAT = {"namespaces__chat__history__size": 100, "auth__leeway": "0s"}


@pytest.fixture
def key(tmp_path):
    return Key(tmp_path)


@pytest.fixture
def node(start_node, key):
    return start_node(auth__keys=key.source, **CHAT)


def heard(one) -> list:
    """What `one` tells from now on."""
    events = []
    one.on(events.append)
    return events


async def until_told(events, kind):
    """The first event of that kind."""
    while not (found := [event for event in events if isinstance(event, kind)]):
        await asyncio.sleep(0.02)
    return found[0]


async def test_a_token_is_renewed_before_it_ends_and_the_connection_stays(node, key):
    given = []

    async def token():
        given.append(key.token(lasts=4, rights=EVERYTHING))
        return given[-1]

    one = client(node, token=token)
    events = heard(one)
    async with one:
        await one.connected()
        while len(given) < 3:
            await asyncio.sleep(0.05)
        await one.publish("chat:1", 1)
        assert [type(event) for event in events] == [Connected]


async def test_a_connection_that_ended_with_its_token_is_made_again_with_another(node, key):
    given = 0

    async def token():
        nonlocal given
        given += 1
        # The second comes too late to renew.
        await asyncio.sleep(3 if given == 2 else 0)
        return key.token(lasts=1 + given, rights=EVERYTHING)

    one = client(node, token=token)
    events = heard(one)
    async with one, one.subscribe("chat:1") as chat:
        assert (await anext(chat)).outcome == "new"
        assert (await until_told(events, Disconnected)).error.close_code == 4401
        assert (await anext(chat)).outcome == "recovered"


async def test_a_fixed_token_that_has_ended_is_the_end(node, key):
    one = client(node, token=key.token(lasts=1))
    events = heard(one)
    async with one:
        assert (await until_told(events, Closed)).error.close_code == 4401


@pytest.mark.parametrize("renewable", [False, True])
async def test_a_token_that_nodes_refuse_is_told_why(node, key, renewable):
    expired = key.token(lasts=-60)
    one = client(node, token=(lambda: expired) if renewable else expired)
    events = heard(one)
    async with one:
        error = (await until_told(events, Closed)).error
        assert (error.code, error.status) == ("upgrade_refused", 401) and "expired" in error.message
        with pytest.raises(FanwireError, match="expired"):
            await one.connected()


async def test_what_a_token_does_not_grant_is_forbidden(node, key):
    async with client(node, token=key.token(rights={"subscribe": ["chat:1"]})) as one:
        with pytest.raises(FanwireError, match="forbidden"):
            await one.publish("chat:1", 1)
        with pytest.raises(FanwireError, match="forbidden"):
            await anext(one.subscribe("chat:2"))


async def test_a_function_that_gets_no_token_is_asked_again(node, key):
    failures = ["the service is away"] * 2

    def token():
        if failures:
            raise RuntimeError(failures.pop())
        return key.token()

    one = client(node, token=token)
    events = heard(one)
    async with one:
        await one.connected()
    ends = [event.error for event in events if isinstance(event, Disconnected)]
    assert [error.code for error in ends] == ["token"] * 2 and "the service is away" in ends[0].message
