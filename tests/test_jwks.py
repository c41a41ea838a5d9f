"""Keys that an issuer publishes at an address."""

import asyncio
import ssl

import pytest
from websockets.exceptions import InvalidStatus

from harness.certificates import Authority
from harness.clients import native
from harness.command import run
from harness.issuer import Issuer, counted_keys, fetches, jwk
from harness.tokens import EVERYTHING, Key
from harness.waiting import until

ALGORITHMS = ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key of each algorithm, called like it, and one that comes later."""
    directory = tmp_path_factory.mktemp("keys")
    return {name: Key(directory, name, name) for name in ALGORITHMS} | {"later": Key(directory, "later", "EdDSA")}


@pytest.fixture
def issuer(keys):
    """One that publishes all keys but the later one."""
    issuer = Issuer([jwk(keys[name], alg=name) for name in ALGORITHMS]).start()
    yield issuer
    issuer.stop()


def client(node, token: str):
    return native(node, additional_headers={"Authorization": f"Bearer {token}"})


async def enter(node, token: str) -> None:
    async with client(node, token) as entered:
        await entered.ok("ping")


async def refused(node, token: str, status: int = 401) -> str:
    with pytest.raises(InvalidStatus) as info:
        await enter(node, token)
    assert info.value.response.status_code == status, info.value.response
    return info.value.response.body.decode()


async def test_tokens_by_published_keys_hold_beside_those_by_files(start_node, issuer, keys, tmp_path):
    own, taken = Key(tmp_path, "own"), Key(tmp_path, "RS256", secret="another secret that has the name of a published key")
    node = start_node(auth__jwks=issuer.url, auth__keys=own.source)
    assert counted_keys(node) == {"used": len(ALGORITHMS)} and fetches(node) == 1
    assert node.metrics().value("fanwire_jwks_success_timestamp_seconds") > 1.7e9
    for name in ALGORITHMS:
        await enter(node, keys[name].token(rights=EVERYTHING))
    await enter(node, own.token())
    assert "known" in await refused(node, keys["RS256"].token(headers={"kid": "none"}))
    # A file wins, so that nobody who publishes can take its place.
    node = start_node(auth__jwks=issuer.url, auth__keys=taken.source)
    await enter(node, taken.token())
    assert "algorithm" in await refused(node, keys["RS256"].token())


async def test_a_key_that_is_added_is_known_with_its_first_token_and_one_that_is_gone_is_none(start_node, issuer, keys):
    node = start_node(auth__jwks=issuer.url, auth__jwks_interval="1d")
    old, new = keys["RS256"].token(), keys["later"].token()
    async with client(node, old) as stays:
        issuer.keys = [jwk(keys["later"])]
        # What it names has them read again, though no interval has passed.
        await enter(node, new)
        assert (fetches(node), counted_keys(node)) == (2, {"used": 1})
        # Its end is the token's.
        await stays.ok("ping")
    assert "known" in await refused(node, old)


async def test_whatever_happens_to_the_issuer_changes_nothing(start_node, issuer, keys):
    node = start_node(auth__jwks=issuer.url, auth__jwks_interval="10s")
    token = keys["ES256"].token()
    issuer.stop()
    try:
        # An unknown key asks for a read; nothing answers.
        assert "known" in await refused(node, keys["later"].token())
        await until(lambda: fetches(node, "unreachable") >= 1, "a read that failed")
        await enter(node, token)
        assert node.ready() and counted_keys(node) == {"used": len(ALGORITHMS)}
        assert "auth.jwks can't be read, the keys stay what they were" in node.output()
    finally:
        issuer.start()
    issuer.keys.append(jwk(keys["later"]))
    await until(lambda: counted_keys(node) == {"used": len(ALGORITHMS) + 1}, "keys from an issuer that is back", 40)
    await enter(node, keys["later"].token())


async def test_a_node_without_keys_takes_nobody(start_node, issuer, keys, tmp_path):
    issuer.stop()
    own = Key(tmp_path, "own")
    try:
        node = start_node.make(auth__jwks=issuer.url, auth__keys=own.source, auth__anonymous="true").start()
        await until(lambda: fetches(node, "unreachable") >= 1, "a read that failed")
        health = node.health("ready")
        assert health.status == 503 and health.body["reason"] == "starting", health
        assert health.body["detail"].startswith("reading auth.jwks: no connection"), health
        for token in (own.token(), keys["RS256"].token()):
            await refused(node, token, 503)
        assert node.alive()
    finally:
        issuer.start()
    node.wait_ready(40)
    await enter(node, own.token())
    await enter(node, keys["RS256"].token())


async def test_many_unknown_keys_are_few_requests(start_node, issuer, keys):
    node = start_node(auth__jwks=issuer.url, auth__jwks_interval="1d")
    tokens = [keys["RS256"].token(headers={"kid": f"none-{number}"}) for number in range(300)]
    told = await asyncio.gather(*(refused(node, token) for token in tokens))
    assert all("known" in text for text in told)
    # One at the start, one that they have asked for, and one more for those that came while it was under way.
    assert 2 <= len(issuer.asked) <= 3, len(issuer.asked)
    await enter(node, keys["RS256"].token())


async def test_over_tls_only_a_trusted_issuer_is_believed(start_node, keys, tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate = authority.sign("issuer")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    issuer = Issuer([jwk(keys["ES256"])], tls=context).start()
    try:
        node = start_node.make(auth__jwks=issuer.url, auth__jwks_ca=stranger.cert).start()
        await until(lambda: fetches(node, "unreachable") >= 1, "a read that failed")
        detail = node.health("ready").body["detail"]
        assert "certificate" in detail and "auth.jwks_ca" in detail, detail
        assert not issuer.asked
        node = start_node(auth__jwks=issuer.url, auth__jwks_ca=authority.cert)
        await enter(node, keys["ES256"].token())
    finally:
        issuer.stop()


async def test_a_login_is_sent_and_told_nowhere(start_node, issuer, keys, tmp_path):
    url = issuer.url.replace("://", "://app:hunter2@") + "?secret=hunter3"
    node = start_node(auth__jwks=url, log__level="trace")
    await enter(node, keys["RS256"].token())
    path, headers = issuer.asked[0]
    assert path == "/keys?secret=hunter3" and headers["Authorization"] == "Basic YXBwOmh1bnRlcjI="
    assert "@" not in headers["Host"] and "jwk-set+json" in headers["Accept"]
    issuer.stop()
    try:
        await refused(node, keys["RS256"].token(headers={"kid": "none"}))
        shown = run("check", cwd=tmp_path, config={"auth__jwks": url}).stdout
        assert 'jwks = "http://app:***@127.0.0.1' in shown, shown
        for text in (node.output(), node.get("/metrics")[1], shown):
            assert "hunter" not in text and "YXBwOmh1bnRlcjI" not in text
    finally:
        issuer.start()


def test_a_token_can_be_checked_with_published_keys(issuer, keys, tmp_path):
    config = {"auth__jwks": issuer.url}
    good = run("token", "check", keys["PS256"].token("42"), cwd=tmp_path, config=config)
    assert good.returncode == 0 and '"user":"42"' in good.stdout, good
    unknown = run("token", "check", keys["later"].token(), cwd=tmp_path, config=config)
    assert unknown.returncode == 1 and "names no key" in unknown.stderr, unknown
    issuer.keys.append({"kty": "oct", "kid": "oct", "k": "AQAB"})
    tried = run("check", "--connect", cwd=tmp_path, config=config)
    assert tried.returncode == 0 and "ok     auth.jwks: 6 keys are used, 1 not: secret" in tried.stdout, tried
    issuer.answer = lambda _: asyncio.sleep(0)
    tried = run("check", "--connect", cwd=tmp_path, config=config)
    assert tried.returncode == 1 and "WRONG  auth.jwks: answered with 500" in tried.stdout, tried
    failed = run("token", "check", keys["PS256"].token(), cwd=tmp_path, config=config)
    assert failed.returncode == 1 and "auth.jwks can't be read: answered with 500" in failed.stderr, failed


# What is configured, and what is said of it.
WRONG = [
    ({"auth__jwks": "http://issuer.example/keys"}, "is http:// to another machine"),
    ({"auth__jwks": "file:///etc/passwd"}, "begins neither with https://"),
    ({"auth__jwks": "issuer.example/keys"}, "is no URL"),
    ({"auth__jwks": "https://issuer.example/#keys"}, "has a fragment"),
    ({"auth__jwks": "http://localhost/keys", "auth__jwks_ca": "ca.pem"}, "has no use without auth.jwks = \"https://"),
    ({"auth__jwks": "https://localhost/keys", "auth__jwks_ca": "none.pem"}, "can't be read"),
    ({"auth__jwks": "http://localhost/keys", "auth__jwks_interval": "1s"}, "must be from 10s to 1d"),
    ({"auth__jwks": "http://localhost/keys", "server__user_header": "X-User", "server__trusted_proxies": "127.0.0.1"}, "auth.jwks"),
]


@pytest.mark.parametrize("config, expected", WRONG)
def test_a_wrong_address_is_told_at_the_start(tmp_path, config, expected):
    authority = Authority(tmp_path)
    authority.cert.rename(tmp_path / "ca.pem")
    refused = run("check", cwd=tmp_path, config=config)
    assert refused.returncode == 78 and expected in refused.stderr, refused


def reloads(node, keys: str, result: str) -> int:
    return int(node.metrics().value("fanwire_key_reloads_total", keys=keys, result=result))


async def test_keys_in_files_are_read_again_when_they_change_and_at_a_signal(start_node, tmp_path):
    key = Key(tmp_path)
    api = tmp_path / "api"
    api.write_text("a key of the API that is long enough")
    node = start_node(auth__keys=key.source, api__keys=api)
    first = key.token()
    async with client(node, first) as stays:
        renewed = Key(tmp_path, secret="another secret of the tests that is long enough for HS256")
        await until(lambda: reloads(node, "auth", "loaded") >= 1, "keys that were read again")
        await enter(node, renewed.token())
        assert "signature" in await refused(node, first)
        await stays.ok("ping")
        # What can't be used is kept out, and all that was before stays.
        key.file.write_text("short")
        await until(lambda: reloads(node, "auth", "refused") >= 1, "keys that were kept out")
        assert f"{key.file}: a secret for HS256 has at least 32 bytes" in node.output()
        await enter(node, renewed.token())
        api.write_text("another key of the API that is long enough")
        node.hang_up()
        await until(lambda: reloads(node, "api", "loaded") >= 1, "keys of the API that were read again")
        await until(lambda: reloads(node, "auth", "refused") >= 2, "keys that were kept out again")
        await enter(node, renewed.token())


async def test_a_node_with_keys_alone_heeds_the_signal_and_lives(start_node, tmp_path):
    node = start_node(auth__keys=Key(tmp_path).source)
    node.hang_up()
    await until(lambda: reloads(node, "auth", "loaded") >= 1, "keys that were read again")
    assert node.ready()
