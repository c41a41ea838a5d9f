"""An issuer of tokens that publishes its keys: a real HTTP server, on a thread of its own."""

import asyncio
import ssl
import threading
from dataclasses import dataclass, field

from aiohttp import web
from jwt import algorithms

from .ports import free_port
from .tokens import Key

_JWK = {"R": algorithms.RSAAlgorithm, "P": algorithms.RSAAlgorithm, "ES": algorithms.ECAlgorithm, "Ed": algorithms.OKPAlgorithm}


def jwk(key: Key, **changes) -> dict:
    """The public half of a key as it is published; a member that is `None` is left out."""
    kind = next(kind for start, kind in _JWK.items() if key.algorithm.startswith(start))
    whole = kind.to_jwk(key.signing.public_key(), as_dict=True)
    whole = {name: value for name, value in whole.items() if name != "key_ops"} | {"kid": key.kid} | changes
    return {name: value for name, value in whole.items() if value is not None}


@dataclass
class Issuer:
    """Answers `GET /keys` on a port of 127.0.0.1 that stays the same over every stop and start."""

    keys: list[dict] = field(default_factory=list)
    #: Makes another answer than the keys, from the request.
    answer: object = None
    tls: ssl.SSLContext | None = None
    port: int = field(default_factory=free_port)
    #: What was asked: path, and the headers.
    asked: list[tuple[str, dict]] = field(default_factory=list)

    def start(self) -> "Issuer":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="issuer", daemon=True)
        self._thread.start()
        self._call(self._start())
        return self

    def stop(self) -> None:
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/keys"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path_qs, dict(request.headers)))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"keys": self.keys})


def fetches(node, result: str = "read") -> int:
    """How many reads of the keys ended like this."""
    return int(node.metrics().value("fanwire_jwks_fetches_total", result=result))


def counted_keys(node) -> dict[str, int]:
    """How many keys are in which state, without those that there are none of."""
    samples = node.metrics().samples
    return {labels["state"]: int(value) for name, labels, value in samples if name == "fanwire_jwks_keys" and value}
