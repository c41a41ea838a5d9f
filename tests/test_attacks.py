"""What an attacker might try, each with the answer that it gets. A row is an attempt; add rows freely."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from aiohttp import web

from harness.issuer import Issuer, counted_keys, fetches, jwk
from harness.raw import raw_socket, upgrade_request
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
async def test_a_token(guarded, keys, make, expected, counted):
    token = make(keys)
    results = {counted} if isinstance(counted, str) else counted
    count = lambda: sum(guarded.metrics().value("fanwire_tokens_total", result=result) for result in results)
    before = count()
    got, body = await status(guarded, token)
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
async def test_a_request(guarded, keys, make, expected):
    token, path, subprotocol, headers = make(signed(keys["secret"]))
    got, body = await status(guarded, token, path, subprotocol, **headers)
    assert got == expected, body


async def test_a_host_that_is_named_twice_is_refused(guarded, keys):
    request = upgrade_request(guarded.port, "/", NATIVE, Authorization=f"Bearer {signed(keys['secret'])}")
    async with raw_socket(guarded.port) as raw:
        response = await raw.request(request.replace(b"\r\nHost:", b"\r\nHost: evil.example\r\nHost:", 1))
        assert response.status in (400, 403)


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


def answers(body="", status: int = 200, **headers):
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
    ("1 MiB of blanks", lambda k, other: answers(" " * (1 << 20)), "too_large"),
    ("a byte now and then", lambda k, other: trickle, "timed_out"),
    ("a redirect to a file", lambda k, other: answers(status=302, Location="file:///etc/passwd"), "redirect"),
    ("a redirect to another host", lambda k, other: answers(status=307, Location=other.url), "redirect"),
    ("a redirect to Redis", lambda k, other: answers(status=301, Location="redis://127.0.0.1:6379"), "redirect"),
    ("500 headers", lambda k, other: answers({"keys": [jwk(k["curve"])]}, **{f"X-{n}": "y" for n in range(500)}), "broken"),
    ("a header of 64 KiB", lambda k, other: answers({"keys": [jwk(k["curve"])]}, **{f"X-{n}": "y" * 8000 for n in range(8)}), "broken"),
    ("an error", lambda k, other: answers({"keys": [jwk(k["curve"])]}, status=500), "status"),
    ("nothing", lambda k, other: answers(status=204), "status"),
    ("a page", lambda k, other: answers("<html>"), "malformed"),
    ("JSON that is something else", lambda k, other: answers([]), "malformed"),
    ("keys twice", lambda k, other: answers('{"keys":[],"keys":[%s]}' % json.dumps(jwk(k["curve"]))), "malformed"),
    ("a thousand keys", lambda k, other: answers({"keys": [jwk(k["curve"], kid=str(n)) for n in range(1000)]}), "too_many_keys"),
    ("no keys", lambda k, other: answers({"keys": []}), "no_keys"),
    ("a secret for all to read", lambda k, other: answers({"keys": [oct_of(SECRET.encode())]}), "no_keys"),
    ("one name for two keys", lambda k, other: answers({"keys": [jwk(k["curve"]), jwk(k["other"], kid="curve")]}), "no_keys"),
    ("an RSA key for HMAC", lambda k, other: answers({"keys": [jwk(k["pair"], alg="HS256")]}), "no_keys"),
]


@pytest.fixture
def issuers():
    """The one that a node asks, and one that it is not to ask."""
    pair = [Issuer().start(), Issuer().start()]
    yield pair
    for issuer in pair:
        issuer.stop()


@pytest.mark.parametrize("make, counted", [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
async def test_an_answer_instead_of_keys(start_node, keys, issuers, make, counted):
    issuer, other = issuers
    issuer.answer = make(keys, other)
    node = start_node.make(auth__jwks=issuer.url, auth__anonymous="true").start()
    await until(lambda: fetches(node, counted) >= 1, f"a read that is {counted}", 20)
    assert fetches(node) == 0 and node.health("ready").status == 503
    for token in (signed(keys["curve"]), by_hand({"alg": "HS256", "kid": "oct"}, SECRET.encode()), None):
        assert (await status(node, token))[0] == 503
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
async def test_a_token_where_bad_keys_are_published(trusting, publishing, keys, make, expected, counted):
    assert counted_keys(trusting) == {"used": 2, "secret": 1, "duplicate": 2, "private": 1, "use": 1, "algorithm": 1}
    count = lambda: trusting.metrics().value("fanwire_tokens_total", result=counted)
    before = count()
    got, body = await status(trusting, make(keys))
    assert got == expected and count() == before + 1, body
    assert {path for path, _ in publishing.asked} == {"/keys"}
