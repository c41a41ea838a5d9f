"""Who a client is: the peer, or whom a trusted proxy speaks for."""

import pytest

from harness.raw import raw_socket, upgrade_request
from harness.waiting import until


def log_line(node, event: str) -> str:
    """The line of the log that tells `event`."""
    return next((line for line in node.output().splitlines() if event in line), "")


async def client_of(node, *lines: str, header: str = "X-Forwarded-For") -> str:
    """Whom the node takes a client for that comes with these lines of a header."""
    forwarded = "".join(f"{header}: {line}\r\n" for line in lines)
    request = upgrade_request(node.port).replace(b"\r\n\r\n", f"\r\n{forwarded}\r\n".encode())
    async with raw_socket(node.port) as raw:
        assert (await raw.request(request)).status == 101
    opened = await until(lambda: log_line(node, "connection opened"), "the connection in the log")
    ended = await until(lambda: log_line(node, "connection ended"), "its end in the log")
    client = opened.partition(" client=")[2].partition(" ")[0]
    assert f" client={client} " in ended
    return client


@pytest.mark.parametrize(
    "trusted, lines, client",
    [
        ("", ["203.0.113.9"], "127.0.0.1"),
        ("10.0.0.0/8", ["203.0.113.9"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.0/8, 10.0.0.0/8", ["198.51.100.1, 203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        ("127.0.0.0/8", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("127.0.0.0/8", ["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
async def test_the_client_is_whom_trusted_proxies_name(start_node, trusted, lines, client):
    node = start_node(server__trusted_proxies=trusted, log__level="debug")
    assert await client_of(node, *lines) == client


@pytest.mark.parametrize(
    "trusted, lines, client",
    [
        ("10.0.0.0/8", ["for=203.0.113.9"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["for=203.0.113.9;proto=https"], "203.0.113.9"),
        ("127.0.0.0/8, 10.0.0.0/8", ["for=198.51.100.1, For=203.0.113.9", 'for="10.1.2.3:80"'], "203.0.113.9"),
        ("127.0.0.0/8", ['for="[2001:db8::9]:4711";by=_here'], "2001:db8::9"),
        ("127.0.0.0/8", ["for=203.0.113.9, for=unknown"], "127.0.0.1"),
        ("127.0.0.0/8", ["for=203.0.113.9, for=_hidden"], "127.0.0.1"),
        ("127.0.0.0/8", ['for=203.0.113.9;host="a, for=198.51.100.1"'], "203.0.113.9"),
    ],
)
async def test_forwarded_names_the_client_where_it_is_chosen(start_node, trusted, lines, client):
    node = start_node(server__trusted_proxies=trusted, server__forwarded_header="Forwarded", log__level="debug")
    assert await client_of(node, *lines, header="Forwarded") == client


@pytest.mark.parametrize("chosen, other, line", [
    ("X-Forwarded-For", "Forwarded", "for=203.0.113.9"),
    ("Forwarded", "X-Forwarded-For", "203.0.113.9"),
])
async def test_the_header_that_was_not_chosen_is_the_clients_own_and_ignored(start_node, chosen, other, line):
    node = start_node(server__trusted_proxies="127.0.0.1", server__forwarded_header=chosen, log__level="debug")
    assert await client_of(node, line, header=other) == "127.0.0.1"


async def test_forwarded_tells_the_scheme(start_node):
    node = start_node(server__trusted_proxies="127.0.0.1", server__forwarded_header="Forwarded")
    for headers, status in [
        ({"Forwarded": "for=203.0.113.9;proto=https"}, 101),
        ({"Forwarded": "for=203.0.113.9;proto=https, for=127.0.0.1"}, 403),
        ({"Forwarded": "for=203.0.113.9", "X_Forwarded_Proto": "https"}, 403),
        ({}, 403),
    ]:
        async with raw_socket(node.port) as raw:
            origin = f"https://127.0.0.1:{node.port}"
            assert (await raw.request(upgrade_request(node.port, Origin=origin, **headers))).status == status, headers


async def test_who_is_refused_is_told(start_node):
    node = start_node(server__trusted_proxies="127.0.0.1", log__level="debug")
    async with raw_socket(node.port) as raw:
        request = upgrade_request(node.port, subprotocol="mqtt", X_Forwarded_For="203.0.113.9")
        assert (await raw.request(request)).status == 400
    line = await until(lambda: log_line(node, "not upgraded"), "the refusal in the log")
    assert "client=203.0.113.9" in line and 'result="unknown_subprotocol"' in line


async def test_connections_that_end_as_usual_leave_no_address_in_the_ordinary_log(start_node):
    node = start_node(server__trusted_proxies="127.0.0.1")
    async with raw_socket(node.port) as raw:
        await raw.upgrade(X_Forwarded_For="203.0.113.9")
    await until(lambda: node.metrics().value("fanwire_disconnects_total") == 1, "the end of the connection")
    node.terminate()
    assert node.wait() == 0
    assert "drained" in node.output() and "203.0.113.9" not in node.output()
