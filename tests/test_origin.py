"""Which web pages may connect: requests by hand, and real pages in Chromium."""

import pytest

from harness.browser import chromium, web_server
from harness.raw import raw_socket, upgrade_request

REFUSED = 1006


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages():
    """The port of a web server that has nothing to do with the node."""
    with web_server() as port:
        yield port


def counted(node, result: str) -> int:
    return int(node.metrics().value("fanwire_upgrades_total", result=result))


async def status(node, **headers) -> int:
    return (await answer(node, **headers))[0]


async def answer(node, **headers) -> tuple[int, str]:
    """Status and text of the answer to an upgrade."""
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, **headers))
        return response.status, await raw.body(response) if "content-length" in response.headers else ""


@pytest.mark.parametrize(
    "origin, expected",
    [
        (None, 101),
        ("http://127.0.0.1:{port}", 101),
        ("https://127.0.0.1:{port}", 403),
        ("http://127.0.0.1", 403),
        ("http://localhost:{port}", 403),
        ("http://evil.example", 403),
        ("http://127.0.0.1:{port}.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_without_configuration_only_the_same_origin_may(node, answered, origin, expected):
    before = counted(node, "foreign_origin")
    got, text = await answer(node, Origin=origin and origin.format(port=node.port))
    answered("pages of other origins", f"{got} {text}".strip(), f"Origin: {origin}" if origin is not None else "no Origin")
    assert got == expected
    assert counted(node, "foreign_origin") - before == (expected == 403)


async def test_a_refusal_says_what_is_wrong_and_nothing_else(node):
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, Origin="http://evil.example"))
        body = await raw.body(response)
        assert "server.origins" in body and "evil" not in body


@pytest.mark.parametrize("host", ["evil.example:{port}", "localhost.evil.example", "10.0.0.1:{port}", ""])
async def test_on_loopback_another_host_is_refused(node, host):
    before = counted(node, "foreign_host")
    host = host.format(port=node.port)
    assert await status(node, Host=host, Origin=f"http://{host}") == 403
    assert await status(node, Host=host) == 403
    assert counted(node, "foreign_host") - before == 2


async def test_configured_origins_are_those_that_may(start_node):
    node = start_node(server__origins="https://example.com, https://*.example.com")
    for origin, expected in [
        ("https://example.com", 101),
        ("https://a.example.com", 101),
        ("https://a.b.example.com", 403),
        ("http://example.com", 403),
        (f"http://127.0.0.1:{node.port}", 403),
    ]:
        assert await status(node, Host="ws.example.com", Origin=origin) == expected, origin


async def test_who_names_no_origin_is_refused_where_one_is_required(start_node):
    node = start_node(server__require_origin="true")
    assert await status(node) == 403
    assert counted(node, "missing_origin") == 1
    assert await status(node, Origin=f"http://127.0.0.1:{node.port}") == 101


@pytest.mark.parametrize("trusted, expected", [("127.0.0.1", 101), ("10.0.0.0/8", 403)])
async def test_a_trusted_proxy_tells_the_scheme(start_node, trusted, expected):
    node = start_node(server__trusted_proxies=trusted)
    headers = {"Host": "example.com", "Origin": "https://example.com", "X_Forwarded_Proto": "https"}
    assert await status(node, **headers) == expected
    assert await status(node, **(headers | {"X_Forwarded_Proto": "http"})) == 403


def test_a_page_of_another_site_can_not_connect(browser, pages, node):
    before = counted(node, "foreign_origin")
    assert browser.connect(f"http://evil.example:{pages}/", node.url) == REFUSED
    assert browser.connect(f"http://127.0.0.1:{pages}/", node.url) == REFUSED
    assert browser.connect(f"http://evil.example:{pages}/", node.url, "fanwire.v1.json") == REFUSED
    assert counted(node, "foreign_origin") - before == 3


def test_a_page_without_an_origin_of_its_own_can_not_connect(browser, pages, node):
    before = counted(node, "foreign_origin")
    assert browser.connect_sandboxed(f"http://127.0.0.1:{pages}/", node.url) == REFUSED
    assert counted(node, "foreign_origin") - before == 1


def test_a_name_that_was_made_to_point_here_does_not_help(browser, node):
    """DNS rebinding: the page and the WebSocket are of the same host, which is not this machine's own name."""
    before = counted(node, "foreign_host")
    rebound = f"evil.example:{node.port}"
    assert browser.connect(f"http://{rebound}/", f"ws://{rebound}/") == REFUSED
    assert counted(node, "foreign_host") - before == 1


def test_pages_of_the_same_origin_and_configured_ones_can(browser, pages, node, start_node):
    assert browser.connect(f"http://127.0.0.1:{node.port}/", node.url, "fanwire.v1.json") == "open"
    configured = start_node(server__origins=f"http://app.example:{pages}")
    assert browser.connect(f"http://app.example:{pages}/", configured.url, "fanwire.v1.json") == "open"
    assert browser.connect(f"http://other.example:{pages}/", configured.url, "fanwire.v1.json") == REFUSED
