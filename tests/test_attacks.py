"""What an attacker might try, each with the answer that it gets. A row is an attempt; add rows freely."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time

import jwt
import pytest
from aiohttp import web

from harness import frames
from harness.clients import native
from harness.issuer import Issuer, counted_keys, fetches, jwk
from harness.raw import raw_socket, upgrade_request
from harness.redis_server import RedisServer
from harness.tokens import EVERYTHING, SECRET, Key
from harness.waiting import until

NATIVE = "fanwire.v1.json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A shared secret and a key pair that the node knows, and one of each that it doesn't."""
    directory = tmp_path_factory.mktemp("keys")
    return {
        "secret": Key(directory, "secret"),
        "pair": Key(directory, "pair", "RS256"),
        "curve": Key(directory, "curve", "ES256"),
        "guessed": Key(directory, "guessed", secret="not the secret, though it has as many bytes as one needs"),
        "other": Key(directory, "other", "RS256"),
    }


@pytest.fixture(scope="module")
def guarded(module_nodes, keys):
    """A node that wants tokens."""
    sources = ",".join(keys[name].source for name in ("secret", "pair", "curve"))
    return module_nodes(auth__keys=sources, auth__audiences="fanwire", auth__issuers="issuer")


def claims(**changes) -> dict:
    """Claims that hold and grant everything, but for these."""
    holds = {"aud": "fanwire", "iss": "issuer", "sub": "admin", "exp": int(time.time()) + 600, "rights": EVERYTHING}
    return {name: value for name, value in (holds | changes).items() if value is not None}


def part(value) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: dict, secret: bytes | None, **changes) -> str:
    """A token that no library would make: signed by HMAC with any bytes, or not at all."""
    message = f"{part(header)}.{part(claims(**changes))}"
    signature = part(hmac.new(secret, message.encode(), hashlib.sha256).digest()) if secret is not None else ""
    return f"{message}.{signature}"


def signed(key: Key, headers: dict | None = None, **changes) -> str:
    return jwt.encode(claims(**changes), key.signing, key.algorithm, headers={"kid": key.kid} | (headers or {}))


def tampered(token: str) -> str:
    """The same token with other claims under the same signature."""
    header, _, signature = token.split(".")
    return ".".join([header, part(claims(sub="root")), signature])


async def status(node, token: str | None, path: str = "/", subprotocol: str | None = NATIVE, **headers) -> tuple[int, str]:
    """Status and body of the answer to an upgrade."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with raw_socket(node.port) as raw:
        response = await raw.request(upgrade_request(node.port, path, subprotocol, **headers))
        return response.status, await raw.body(response) if "content-length" in response.headers else ""


# What is tried, how the token is made, and how the node counts what it got.
TOKENS = [
    ("a token that holds, by HS256", lambda k: signed(k["secret"]), 101, "accepted"),
    ("a token that holds, by RS256", lambda k: signed(k["pair"]), 101, "accepted"),
    ("a token that holds, by ES256", lambda k: signed(k["curve"]), 101, "accepted"),
    ("no token at all, garbage", lambda k: "garbage", 401, "malformed"),
    ("an empty token", lambda k: "", 401, "malformed"),
    ("parts that are no base64", lambda k: "!.!.!", 401, "malformed"),
    ("a token of 9,000 bytes", lambda k: signed(k["secret"], more="x" * 7000), 401, "malformed"),
    ("forged with a guessed secret", lambda k: signed(k["guessed"], {"kid": "secret"}), 401, "signature"),
    ("forged with another pair", lambda k: signed(k["other"], {"kid": "pair"}), 401, "signature"),
    ("claims exchanged under a true signature", lambda k: tampered(signed(k["secret"])), 401, "signature"),
    ("the signature cut off", lambda k: signed(k["secret"]).rpartition(".")[0] + ".", 401, "signature"),
    ("the signature cut short", lambda k: signed(k["pair"])[:-10], 401, {"signature", "malformed"}),
    ("an ECDSA signature of zeros", lambda k: signed(k["curve"]).rpartition(".")[0] + "." + part(bytes(64)), 401, "signature"),
    ("alg none", lambda k: by_hand({"alg": "none", "kid": "secret"}, None), 401, "malformed"),
    ("alg None, spelt otherwise", lambda k: by_hand({"alg": "nOnE", "kid": "secret"}, None), 401, "malformed"),
    ("no alg", lambda k: by_hand({"kid": "secret"}, SECRET.encode()), 401, "malformed"),
    ("the RSA public key as an HMAC secret", lambda k: by_hand({"alg": "HS256", "kid": "pair"}, k["pair"].public.encode()), 401, "algorithm"),
    ("the EC public key as an HMAC secret", lambda k: by_hand({"alg": "HS256", "kid": "curve"}, k["curve"].public.encode()), 401, "algorithm"),
    ("RSA with PSS for a key of PKCS #1", lambda k: jwt.encode(claims(), k["pair"].signing, "PS256", headers={"kid": "pair"}), 401, "algorithm"),
    ("the secret with another hash", lambda k: jwt.encode(claims(), SECRET, "HS512", headers={"kid": "secret"}), 401, "algorithm"),
    ("a kid that there is not", lambda k: signed(k["secret"], {"kid": "old"}), 401, "unknown_key"),
    ("no kid, with several keys", lambda k: by_hand({"alg": "HS256"}, SECRET.encode()), 401, "unknown_key"),
    ("a kid that is a path", lambda k: by_hand({"alg": "HS256", "kid": "../../dev/null"}, b""), 401, "unknown_key"),
    ("a kid that is SQL", lambda k: by_hand({"alg": "HS256", "kid": "' or 1=1 --"}, b""), 401, "unknown_key"),
    ("a key in the header (jwk)", lambda k: signed(k["other"], {"kid": "pair", "jwk": {"kty": "oct", "k": part(b"x" * 32)}}), 401, "signature"),
    ("a key to be fetched (jku)", lambda k: signed(k["other"], {"kid": "pair", "jku": "http://evil.example/keys"}), 401, "signature"),
    ("a critical header", lambda k: signed(k["secret"], {"crit": ["exp"]}), 401, "malformed"),
    ("expired", lambda k: signed(k["secret"], exp=int(time.time()) - 60), 401, "expired"),
    ("expired in 1970", lambda k: signed(k["secret"], exp=0), 401, "expired"),
    ("without an end", lambda k: signed(k["secret"], exp=None), 401, "no_end"),
    ("an end that is a text", lambda k: by_hand({"alg": "HS256", "kid": "secret"}, SECRET.encode(), exp="never"), 401, "malformed"),
    ("not valid yet (nbf)", lambda k: signed(k["secret"], nbf=int(time.time()) + 600), 401, "not_yet"),
    ("made in the future (iat)", lambda k: signed(k["secret"], iat=int(time.time()) + 600), 401, "not_yet"),
    ("for another audience", lambda k: signed(k["secret"], aud="elsewhere"), 401, "audience"),
    ("for no audience", lambda k: signed(k["secret"], aud=None), 401, "audience"),
    ("by another issuer", lambda k: signed(k["secret"], iss="evil"), 401, "issuer"),
    ("by no issuer", lambda k: signed(k["secret"], iss=None), 401, "issuer"),
    ("a user with a line break", lambda k: signed(k["secret"], sub="admin\r\nX: y"), 401, "claim"),
    ("a user of 1,000 bytes", lambda k: signed(k["secret"], sub="x" * 1000), 401, "claim"),
    ("rights for 1,000 patterns", lambda k: signed(k["secret"], rights={"subscribe": ["a"] * 1000}), 401, "malformed"),
    ("a pattern of stars", lambda k: signed(k["secret"], rights={"subscribe": ["*" * 50]}), 401, "malformed"),
    ("a pattern of reserved channels", lambda k: signed(k["secret"], rights={"subscribe": ["$fanwire*"]}), 401, "malformed"),
    ("a claim twice", lambda k: twice(k["secret"]), 401, "malformed"),
]


def twice(key: Key) -> str:
    """A token whose JSON has `sub` twice, of which two parsers might take different ones."""
    text = json.dumps(claims())[:-1] + ', "sub": "root"}'
    message = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part(text.encode())}"
    return f"{message}.{part(hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest())}"


@pytest.mark.parametrize("make, expected, counted", [row[1:] for row in TOKENS], ids=[row[0] for row in TOKENS])
async def test_a_token(guarded, keys, answered, make, expected, counted):
    token = make(keys)
    results = {counted} if isinstance(counted, str) else counted
    count = lambda: sum(guarded.metrics().value("fanwire_tokens_total", result=result) for result in results)
    before = count()
    got, body = await status(guarded, token)
    answered("tokens", f"{got} {body}")
    assert got == expected, body
    assert count() == before + 1, {line for line in guarded.get("/metrics")[1].splitlines() if "tokens_total" in line}
    # The refusal repeats nothing of the token, nor does the log.
    secrets = [piece for piece in token.split(".") if len(piece) > 8]
    assert not any(piece in body or piece in guarded.output() for piece in secrets)


def _without_token(path: str = "/", subprotocol: str | None = NATIVE, **headers):
    return lambda token: (None, path, subprotocol, headers)


# How the request is made of a token that holds, and the answer.
REQUESTS = [
    ("no token, plain dialect", _without_token(subprotocol=None), 401),
    ("a token in the query, which is off", lambda token: (None, f"/?token={token}", None, {}), 401),
    ("a token as user information", lambda token: (None, "/", None, {"Authorization": "Basic " + base64.b64encode(f"{token}:".encode()).decode()}), 401),
    ("a token as subprotocol", lambda token: (None, "/", f"{NATIVE}, bearer.{token}", {}), 101),
    ("two tokens", lambda token: (token, "/", f"{NATIVE}, bearer.{token}", {}), 400),
    ("a user's name from the outside", _without_token(subprotocol=None, X_User="admin", X_Forwarded_User="admin"), 401),
    ("a foreign page with a token that holds", lambda token: (token, "/", NATIVE, {"Origin": "https://evil.example"}), 403),
    ("a rebound name with a token that holds", lambda token: (token, "/", NATIVE, {"Host": "evil.example"}), 403),
]


@pytest.mark.parametrize("make, expected", [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
async def test_a_request(guarded, keys, answered, make, expected):
    token, path, subprotocol, headers = make(signed(keys["secret"]))
    got, body = await status(guarded, token, path, subprotocol, **headers)
    answered("who one is", f"{got} {body}")
    assert got == expected, body


def answers(data: bytes) -> list[int]:
    """The statuses of the answers in what a node has sent."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", data)]


async def answers_to(port: int, request: bytes) -> tuple[list[int], bytes]:
    """All that is answered to these bytes until the connection ends, or is upgraded."""
    async with raw_socket(port) as raw:
        try:
            await raw.send(request)
        except ConnectionError:
            pass
        data = b""
        while b" 101 " not in data and (more := await raw.receive()):
            data += more
        return answers(data), data


def first_line(data: bytes) -> str:
    """What an answer says: its status, and its text where there is one."""
    head, _, body = data.partition(b"\r\n\r\n")
    return " ".join([head.split(b"\r\n")[0].decode("latin-1"), body.decode("utf-8", "replace")]).strip() or "the end of the connection"


def changed(old: bytes, new: bytes):
    return lambda request: request.replace(old, new, 1)


# A request with a token that holds, changed so that two readers might see two different requests in it; `b"GET /smuggled"`
# must never be answered. The statuses that are right; none is the end of the connection.
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SMUGGLED = [
    ("a host twice", changed(b"\r\nHost:", b"\r\nHost: evil.example\r\nHost:"), {400, 403}),
    ("a second request behind one with a length", lambda r: r.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(SECOND)) + SECOND, {400}),
    ("a second request in chunks", lambda r: r.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + SECOND, {400}),
    ("a length and chunks", lambda r: r.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + SECOND, {400}),
    ("two lengths", changed(b"\r\n\r\n", b"\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n"), {400}),
    ("a length that is no number", changed(b"\r\n\r\n", b"\r\nContent-Length: +0\r\n\r\n"), {400}),
    ("a header folded onto a second line", changed(b"\r\nUpgrade:", b"\r\nX: a\r\n b\r\nUpgrade:"), {400}),
    ("a space before a colon", changed(b"\r\nHost:", b"\r\nHost :"), {400}),
    ("a lone CR in a header", changed(b"\r\nUpgrade:", b"\r\nX: a\rHost: evil.example\r\nUpgrade:"), {400}),
    ("a NUL in a header", changed(b"\r\nUpgrade:", b"\r\nX: a\0b\r\nUpgrade:"), {400}),
    ("a name of a header with a line break", changed(b"\r\nUpgrade:", b"\r\nX\x0bY: a\r\nUpgrade:"), {400}),
    ("another request instead, in absolute form", changed(b"GET / ", b"GET http://evil.example/ "), {400, 403}),
    ("a tunnel", lambda r: r.replace(b"GET / ", b"CONNECT 169.254.169.254:80 ", 1), {400, 405}),
    ("HTTP/2 by upgrade", changed(b"Upgrade: websocket", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"), {400, 426}),
    ("HTTP/2 at once", lambda r: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", set()),
    ("HTTP/1.0", changed(b"HTTP/1.1", b"HTTP/1.0"), {400}),
    ("a method with a body", changed(b"GET /", b"POST /"), {405}),
]


@pytest.mark.parametrize("change, expected", [row[1:] for row in SMUGGLED], ids=[row[0] for row in SMUGGLED])
async def test_a_request_is_one_request_for_every_reader(guarded, keys, answered, change, expected):
    request = upgrade_request(guarded.port, "/", NATIVE, Authorization=f"Bearer {signed(keys['secret'])}")
    statuses, data = await answers_to(guarded.port, change(request))
    answered("smuggling", first_line(data))
    assert len(statuses) == bool(expected) and set(statuses) <= expected, data


# What is too much, and the statuses that are right; none is the end of the connection.
OVERSIZE = [
    ("a target of 100 kB", changed(b"GET / ", b"GET /" + b"a" * 100_000 + b" "), {414, 431}),
    ("a header of 1 MB", changed(b"\r\nUpgrade:", b"\r\nX: " + b"a" * 1_000_000 + b"\r\nUpgrade:"), {431}),
    ("5,000 headers", changed(b"\r\nUpgrade:", b"\r\n" + b"X: y\r\n" * 5000 + b"Upgrade:"), {431}),
    ("a line that never ends", lambda r: b"GET /" + b"a" * 200_000, {414, 431}),
    ("1,000 subprotocols", changed(NATIVE.encode(), b",".join(b"p%d" % n for n in range(1000))), {400}),
]


@pytest.mark.parametrize("change, expected", [row[1:] for row in OVERSIZE], ids=[row[0] for row in OVERSIZE])
async def test_too_much_before_the_upgrade(guarded, keys, answered, change, expected):
    request = upgrade_request(guarded.port, "/", NATIVE, Authorization=f"Bearer {signed(keys['secret'])}")
    statuses, data = await answers_to(guarded.port, change(request))
    answered("oversize", first_line(data))
    assert len(statuses) <= 1 and set(statuses) <= expected, data[:500]


# Frames that no client needs, and the close codes that are right.
FRAMES = [
    ("a frame that says it has 2^63 bytes", b"\x82\xff\x80" + bytes(7) + bytes(4), {1002, 1009}),
    ("a frame that says it has 1 TB", b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), {1009}),
    ("a message of 100 kB", frames.client_frame(frames.TEXT, b" " * 100_000), {1009}),
    ("10,000 fragments of a message", frames.client_frame(frames.TEXT, b" " * 10, fin=False) + frames.client_frame(0, b" " * 10, fin=False) * 10_000, {1008, 1009}),
    ("a ping of 126 bytes", frames.client_frame(frames.PING, b"x" * 126), {1002}),
    ("a frame without a mask", b"\x81\x02{}", {1002}),
    ("a reserved bit", b"\xc1\x80" + bytes(4), {1002}),
    ("a reserved opcode", b"\x83\x80" + bytes(4), {1002}),
    ("text that is no UTF-8", frames.client_frame(frames.TEXT, b"\xed\xa0\x80"), {1007}),
]


@pytest.mark.parametrize("data, expected", [row[1:] for row in FRAMES], ids=[row[0] for row in FRAMES])
async def test_frames_that_no_client_needs(guarded, keys, answered, data, expected):
    async with raw_socket(guarded.port) as raw:
        await raw.upgrade("/", NATIVE, Authorization=f"Bearer {signed(keys['secret'])}")
        try:
            await raw.send(data)
        except ConnectionError:
            pass
        seen = await raw.frames_until_end()
        code = int.from_bytes(seen[-1].payload[:2], "big")
        answered("oversize" if 1009 in expected else "frames", f"closed with {code}: {seen[-1].payload[2:].decode()}")
        assert seen[-1].opcode == frames.CLOSE and code in expected, seen


# What a client may try at the public port to get what is only at the internal one.
INTERNAL = ["/metrics", "/health/ready", "/api/disconnect", "/../metrics", "//metrics", "/%6detrics", "/debug/pprof/", "/.git/config", "/etc/passwd"]


@pytest.mark.parametrize("path", INTERNAL)
async def test_the_public_port_has_nothing_but_websockets(guarded, answered, path):
    statuses, data = await answers_to(guarded.port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\n\r\n".encode())
    answered("internal endpoints from outside", first_line(data))
    assert statuses == [426] and b"fanwire_" not in data


# Names of channels that might mean something to Redis, or to whoever reads names from it; and what they get.
CHANNELS = [
    ("a command of Redis", "a\r\nFLUSHALL\r\n", "bad_request"),
    ("another reply of Redis", "a\r\n*3\r\n$7\r\nmessage", "bad_request"),
    ("a hash tag of its own", "kept:{all}", "bad_request"),
    ("the end of a hash tag", "kept:}x{", "bad_request"),
    ("a pattern", "kept:*", "bad_request"),
    ("a pattern with brackets", "kept:[a-z]?", None),
    ("the nodes' own channel", "$fanwire:control", "bad_request"),
    ("a channel of the nodes to come", "$fanwirex", "bad_request"),
    ("a NUL", "kept:a\0b", "bad_request"),
    ("a space", "kept:a b", "bad_request"),
    ("a letter that looks like another", "kept:n\u0435ws", "bad_request"),
    ("201 characters", "kept:" + "x" * 196, "bad_request"),
    ("nothing", "", "bad_request"),
    ("an unknown namespace", "admin:all", "unknown_namespace"),
    ("a namespace of another writing", "KEPT:x", "unknown_namespace"),
    ("a path", "kept:../../../etc/passwd", None),
    ("the prefix of keys", "kept:fanwire:heartbeat", None),
    ("a keyspace event", "__keyspace@0__:x", "unknown_namespace"),
    ("Lua", "kept:');redis.call('FLUSHALL')--", None),
    ("a list instead of a name", ["kept:a"], "bad_request"),
]


@pytest.fixture(scope="module")
def keeping(module_nodes, tmp_path_factory):
    """A node whose histories and members are at a Redis, and that Redis, in which there is a key of somebody else's."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    server.command("SET", "another", "kept")
    history = {"namespaces__kept__history__size": 10, "namespaces__kept__presence": "true"}
    yield module_nodes(server, **history), server
    server.kill()


def strangers(server) -> list[str]:
    """Keys that a node did not make as it makes keys: with its prefix and a hash tag."""
    ours = re.compile(r"fanwire:\{(\d+|all|[a-z0-9.-]+)\}:.*", re.DOTALL)
    return [key for key in server.command("KEYS", "*") if not ours.fullmatch(key) and key != "another"]


@pytest.mark.parametrize("channel, expected", [row[1:] for row in CHANNELS], ids=[row[0] for row in CHANNELS])
async def test_a_name_of_a_channel_is_nothing_but_a_name(keeping, answered, channel, expected):
    node, server = keeping
    async with native(node) as client:
        for kind, more in [("subscribe", {}), ("publish", {"content": "x", "idempotency_key": "a\r\nFLUSHALL"}), ("history", {}), ("presence", {})]:
            answer = await client.request(kind, channel=channel, **more)
            if expected is not None:
                assert (answer["type"], answer.get("code")) == ("error", expected), (kind, answer)
        answered("names of channels", answer.get("message") or answer["type"])
        assert expected is not None or answer["type"] == "ok", answer
    assert server.command("GET", "another") == "kept"
    assert strangers(server) == []


async def test_what_is_published_stays_what_it_is(keeping, answered):
    node, server = keeping
    content = "x\r\n*1\r\n$8\r\nFLUSHALL\r\n\0{all}"
    async with native(node) as client:
        await client.ok("subscribe", channel="kept:bytes")
        await client.ok("publish", channel="kept:bytes", content=content)
        [got] = await client.contents(1)
    answered("names of channels", f"delivered as it was: {got!r}", "commands of Redis as content")
    assert got == content
    assert server.command("GET", "another") == "kept" and strangers(server) == []


async def trickle(request):
    """Begins an answer that never ends, a byte at a time."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.2)


async def endless(request):
    """As many keys as anybody takes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"keys":[')
    while True:
        await response.write(b'{"kty":"RSA","kid":"x"},' * 1000)


def says(body="", status: int = 200, **headers):
    """Makes the same answer always."""
    text = body if isinstance(body, str) else json.dumps(body)

    async def answer(_):
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    return answer


def oct_of(secret: bytes, kid: str = "oct") -> dict:
    return {"kty": "oct", "kid": kid, "k": part(secret), "alg": "HS256", "use": "sig"}


# What an address answers that is not the issuer's any more, and how a node that starts counts it.
ANSWERS = [
    ("keys without end", lambda k, other: endless, "too_large"),
    ("1 MiB of blanks", lambda k, other: says(" " * (1 << 20)), "too_large"),
    ("a byte now and then", lambda k, other: trickle, "timed_out"),
    ("a redirect to a file", lambda k, other: says(status=302, Location="file:///etc/passwd"), "redirect"),
    ("a redirect to another host", lambda k, other: says(status=307, Location=other.url), "redirect"),
    ("a redirect to Redis", lambda k, other: says(status=301, Location="redis://127.0.0.1:6379"), "redirect"),
    ("500 headers", lambda k, other: says({"keys": [jwk(k["curve"])]}, **{f"X-{n}": "y" for n in range(500)}), "broken"),
    ("a header of 64 KiB", lambda k, other: says({"keys": [jwk(k["curve"])]}, **{f"X-{n}": "y" * 8000 for n in range(8)}), "broken"),
    ("an error", lambda k, other: says({"keys": [jwk(k["curve"])]}, status=500), "status"),
    ("nothing", lambda k, other: says(status=204), "status"),
    ("a page", lambda k, other: says("<html>"), "malformed"),
    ("JSON that is something else", lambda k, other: says([]), "malformed"),
    ("keys twice", lambda k, other: says('{"keys":[],"keys":[%s]}' % json.dumps(jwk(k["curve"]))), "malformed"),
    ("a thousand keys", lambda k, other: says({"keys": [jwk(k["curve"], kid=str(n)) for n in range(1000)]}), "too_many_keys"),
    ("no keys", lambda k, other: says({"keys": []}), "no_keys"),
    ("a secret for all to read", lambda k, other: says({"keys": [oct_of(SECRET.encode())]}), "no_keys"),
    ("one name for two keys", lambda k, other: says({"keys": [jwk(k["curve"]), jwk(k["other"], kid="curve")]}), "no_keys"),
    ("an RSA key for HMAC", lambda k, other: says({"keys": [jwk(k["pair"], alg="HS256")]}), "no_keys"),
]


@pytest.fixture
def issuers():
    """The one that a node asks, and one that it is not to ask."""
    pair = [Issuer().start(), Issuer().start()]
    yield pair
    for issuer in pair:
        issuer.stop()


@pytest.mark.parametrize("make, counted", [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
async def test_an_answer_instead_of_keys(start_node, keys, issuers, answered, make, counted):
    issuer, other = issuers
    issuer.answer = make(keys, other)
    node = start_node.make(auth__jwks=issuer.url, auth__anonymous="true").start()
    await until(lambda: fetches(node, counted) >= 1, f"a read that is {counted}", 20)
    assert fetches(node) == 0 and node.health("ready").status == 503
    for token in (signed(keys["curve"]), by_hand({"alg": "HS256", "kid": "oct"}, SECRET.encode()), None):
        got, body = await status(node, token)
        assert got == 503, body
    answered("keys to be fetched", f"{got} {body}")
    assert not other.asked and {path for path, _ in issuer.asked} == {"/keys"}
    assert node.private_memory() < 100 << 20


# Bad keys beside a good one, tokens that would be theirs, and how the node counts those.
PUBLISHED = [
    ("by the key beside them", lambda k: signed(k["curve"]), 101, "accepted"),
    ("by a published secret", lambda k: by_hand({"alg": "HS256", "kid": "oct"}, SECRET.encode()), 401, "unknown_key"),
    ("by one of two keys of a name", lambda k: signed(k["pair"], {"kid": "twice"}), 401, "unknown_key"),
    ("by a key whose private half is there", lambda k: signed(k["pair"], {"kid": "private"}), 401, "unknown_key"),
    ("by a key for encryption", lambda k: signed(k["pair"], {"kid": "enc"}), 401, "unknown_key"),
    ("by an RSA key that says HS256", lambda k: by_hand({"alg": "HS256", "kid": "confused"}, k["pair"].public.encode()), 401, "unknown_key"),
    ("the published key as a secret", lambda k: by_hand({"alg": "HS256", "kid": "curve"}, k["curve"].public.encode()), 401, "algorithm"),
    ("the JWK itself as a secret", lambda k: by_hand({"alg": "HS256", "kid": "rsa"}, json.dumps(jwk(k["pair"])).encode()), 401, "algorithm"),
    ("PSS by a key without alg", lambda k: jwt.encode(claims(), k["pair"].signing, "PS256", headers={"kid": "rsa"}), 401, "algorithm"),
    ("no kid", lambda k: jwt.encode(claims(), k["curve"].signing, "ES256"), 401, "unknown_key"),
    ("a kid that is a path", lambda k: signed(k["curve"], {"kid": "../../../dev/null"}), 401, "unknown_key"),
    ("a kid that is an address", lambda k: signed(k["curve"], {"kid": "http://127.0.0.1:1/keys?"}), 401, "unknown_key"),
    ("a kid with a line break", lambda k: signed(k["curve"], {"kid": "curve\r\nX: y"}), 401, "unknown_key"),
    ("a jku of one's own", lambda k: signed(k["other"], {"kid": "rsa", "jku": "http://127.0.0.1:1/"}), 401, "signature"),
]


@pytest.fixture(scope="module")
def publishing(keys):
    """An issuer that publishes what it should not, beside one good key."""
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(keys["pair"].signing)) | {"kid": "private"}
    pair = lambda kid, **changes: jwk(keys["pair"], kid=kid, **changes)
    bad = [oct_of(SECRET.encode()), pair("twice"), jwk(keys["curve"], kid="twice"), private, pair("enc", use="enc")]
    issuer = Issuer([jwk(keys["curve"]), pair("rsa"), pair("confused", alg="HS256"), *bad]).start()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def trusting(module_nodes, publishing):
    """A node that believes that issuer."""
    return module_nodes(auth__jwks=publishing.url, auth__jwks_interval="1d", auth__audiences="fanwire", auth__issuers="issuer")


@pytest.mark.parametrize("make, expected, counted", [row[1:] for row in PUBLISHED], ids=[row[0] for row in PUBLISHED])
async def test_a_token_where_bad_keys_are_published(trusting, publishing, keys, answered, make, expected, counted):
    assert counted_keys(trusting) == {"used": 2, "secret": 1, "duplicate": 2, "private": 1, "use": 1, "algorithm": 1}
    count = lambda: trusting.metrics().value("fanwire_tokens_total", result=counted)
    before = count()
    got, body = await status(trusting, make(keys))
    answered("keys that are published", f"{got} {body}")
    assert got == expected and count() == before + 1, body
    assert {path for path, _ in publishing.asked} == {"/keys"}
