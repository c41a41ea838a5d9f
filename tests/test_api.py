"""The internal port's API: who may use it, and closing connections on every node."""

import json
import socket
from http.client import HTTPConnection

import pytest

from harness.clients import native
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

KEY = "a key of the API that is long enough"
OPERATOR = 4403


def post(node, path: str = "/api/disconnect", body=None, host: str = "127.0.0.1", method: str = "POST", **headers) -> tuple[int, dict]:
    """Status and body of a request; `_` in a header's name stands for `-`."""
    connection = HTTPConnection(host, node.internal_port, timeout=5)
    headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body), {k: v for k, v in headers.items() if v is not None})
        response = connection.getresponse()
        text = response.read().decode()
        kind = response.getheader("content-type", "")
        assert response.status < 400 or kind == "application/problem+json", (kind, text)
        problem = json.loads(text) if "json" in kind else {}
        assert response.status < 400 or (problem["status"] == response.status and problem["detail"]), problem
        return response.status, problem
    finally:
        connection.close()


def bearer(key=KEY) -> dict:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("api") / "key"
    file.write_text(KEY + "\n")
    return file


@pytest.fixture(scope="module")
def token_key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("keys"))


# What is sent, and the answer of a node without keys.
ATTEMPTS = [
    ("as it should be", {"user": "42"}, {}, 202),
    ("a name that was made to point here", {"user": "42"}, {"Host": "evil.example:8766"}, 403),
    ("a page of somewhere else", {"user": "42"}, {"Origin": "http://evil.example"}, 403),
    ("a page without an origin", {"user": "42"}, {"Origin": "null"}, 403),
    ("a form", "user=42", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ("JSON as text, which a page may send anywhere", {"user": "42"}, {"Content_Type": "text/plain"}, 415),
    ("no type", {"user": "42"}, {"Content_Type": None}, 415),
    ("no JSON", "{", {}, 400),
    ("nobody", {}, {}, 400),
    ("two at once", {"user": "42", "token": "t"}, {}, 400),
    ("something unknown", {"everybody": True}, {}, 422),
    ("no user", {"user": ""}, {}, 422),
    ("no token", {"token": ""}, {}, 422),
    ("a token that none is called", {"token": "x" * 129}, {}, 422),
    ("too much", {"user": "x" * 20_000}, {}, 413),
]


@pytest.mark.parametrize("body, headers, expected", [row[1:] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS])
def test_without_keys_it_is_for_the_machine_itself(node, answered, body, headers, expected):
    status, problem = post(node, body=body, **headers)
    answered("the internal API", f"{status} {problem.get('detail', '')}".strip())
    assert status == expected


@pytest.mark.parametrize("path", ["/api/disconnect/", "//api/disconnect", "/api/../api/disconnect", "/api/disconnect%00", "/API/disconnect", "/metrics/../api/disconnect"])
def test_tricks_with_paths_lead_nowhere(node, answered, path):
    status, problem = post(node, path, {"user": "42"})
    answered("paths of the API", f"{status} {problem['detail']}")
    assert status == 404


def test_another_method_is_refused(node):
    assert post(node, method="GET")[0] == 405


def test_with_keys_each_request_needs_one(start_node, answered, key_file):
    node = start_node(api__keys=key_file)
    for name, path, method, headers in [
        ("no key, where there is one", "/api/disconnect", "POST", {}),
        ("a guessed key", "/api/disconnect", "POST", bearer("x" * 36)),
        ("no key, for what is there", "/", "GET", {}),
        ("no key, for what is not there", "/none", "GET", {}),
    ]:
        status, problem = post(node, path, {"user": "42"} if method == "POST" else None, method=method, **headers)
        answered("the internal API", f"{status} {problem['detail']}", name)
        assert status == 401
    assert post(node, body={"user": "42"}, **bearer())[0] == 202
    # A key is not a thing that a page has, so it may come from anywhere.
    assert post(node, body={"user": "42"}, Host="ops.example", **bearer())[0] == 202
    assert node.get("/metrics")[0] == node.get("/health/live")[0] == 200
    assert node.metrics().value("fanwire_api_requests_total", status="denied") == 4
    assert KEY not in node.output() and KEY not in node.get("/metrics")[1]


def own_address() -> str | None:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def test_from_elsewhere_only_metrics_and_health_answer_without_a_key(start_node, answered):
    address = own_address()
    if address is None:
        pytest.skip("no address but loopback")
    node = start_node.make(internal__listen="0.0.0.0:0")
    node.config.pop("internal__listen")
    node.launch()
    node.kill()
    node.config["internal__listen"] = f"0.0.0.0:{node.internal_port}"
    node.start_again()
    status, problem = post(node, body={"user": "42"}, host=address, Host="localhost")
    answered("the internal API", f"{status} {problem['detail']}", "from another machine, by a Host of this one")
    assert status == 403
    assert post(node, "/", method="GET", host=address, Host="localhost")[0] == 403
    assert post(node, "/metrics", method="GET", host=address)[0] == 200
    assert post(node, "/health/ready", method="GET", host=address)[0] in (200, 503)


def closed(nodes) -> int:
    """How many connections were closed because somebody said so."""
    return sum(int(node.metrics().value("fanwire_disconnects_total", reason="disconnected")) for node in nodes)


async def test_connections_are_closed_on_every_node(start_node, redis, token_key):
    nodes = [start_node(redis, auth__keys=token_key.source) for _ in range(2)]

    def client(node, user, **claims):
        token = token_key.token(user, rights=EVERYTHING, **claims)
        return native(node, additional_headers={"Authorization": f"Bearer {token}"})

    async with client(nodes[0], "one") as here, client(nodes[1], "one") as there, client(nodes[1], "two", jti="t2") as two:
        async with client(nodes[1], "two", jti="t3") as three, client(nodes[0], "three") as stays:
            assert post(nodes[0], body={"user": "one"})[0] == 202
            assert [await here.close_code(), await there.close_code()] == [OPERATOR, OPERATOR]
            assert post(nodes[0], body={"token": "t2"})[0] == 202
            assert await two.close_code() == OPERATOR
            await three.ok("ping")
            assert post(nodes[0], body={"connection": three.welcome["connection"]})[0] == 202
            assert await three.close_code() == OPERATOR
            await stays.ok("ping")
    await until(lambda: closed(nodes) == 4, "four connections that were closed")


async def test_users_of_whom_a_proxy_tells_are_found_too(start_node, redis):
    nodes = [start_node(redis, server__trusted_proxies="127.0.0.1", server__user_header="X-User") for _ in range(2)]

    def client(node, user):
        return native(node, additional_headers={"X-User": user})

    async with client(nodes[0], "one") as here, client(nodes[1], "one") as there, client(nodes[1], "two") as stays:
        assert post(nodes[0], body={"user": "one"})[0] == 202
        assert [await here.close_code(), await there.close_code()] == [OPERATOR, OPERATOR]
        await stays.ok("ping")
    await until(lambda: closed(nodes) == 2, "two connections that were closed")


async def test_clients_can_not_reach_the_channel_of_nodes(node):
    async with native(node) as client:
        for kind, more in [("subscribe", {}), ("publish", {"content": {"disconnect": {"user": "x"}}})]:
            await client.refused("bad_request", kind, channel="$fanwire:control", **more)


def test_without_a_broker_it_is_said_that_nobody_was_told(start_node, redis):
    node = start_node(redis)
    redis.kill()
    status, problem = post(node, body={"user": "42"})
    assert status in (503, 504) and problem["title"]
