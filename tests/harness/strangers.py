"""Clients that others wrote, all by one interface: what is to be said goes in, what was seen comes out."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import websockets
from playwright.async_api import async_playwright

PROGRAMS = Path(__file__).parents[1] / "interoperation"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WS = "ws@8.23.0"

# Nothing but what the test asks for goes over the network.
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
CHROMIUM_FLAGS += ["--disable-background-networking", "--disable-component-update", "--no-proxy-server"]
# A page that the test makes up comes from no address at all, so Chromium would not let it reach loopback.
CHROMIUM_FLAGS += ["--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"]

Message = str | bytes


@dataclass
class Conversation:
    """What a client does: it sends, and ends after `wanted` messages with code 1000, or waits for the node to."""

    url: str
    subprotocol: str | None
    sends: list[Message]
    wanted: int
    closes: bool = True


@dataclass
class Seen:
    """What a client saw; `code` is the node's close code."""

    protocol: str | None
    received: list[Message] = field(default_factory=list)
    code: int | None = None
    reason: str = ""


async def by_websockets(talk: Conversation) -> Seen:
    subprotocols = [talk.subprotocol] if talk.subprotocol else None
    async with websockets.connect(talk.url, subprotocols=subprotocols, proxy=None) as socket:
        seen = Seen(socket.subprotocol)
        for message in talk.sends:
            await socket.send(message)
        try:
            while not talk.closes or len(seen.received) < talk.wanted:
                seen.received.append(await socket.recv())
        except websockets.ConnectionClosed:
            pass
    return Seen(seen.protocol, seen.received, socket.close_code, socket.close_reason)


async def by_aiohttp(talk: Conversation) -> Seen:
    protocols = [talk.subprotocol] if talk.subprotocol else []
    async with aiohttp.ClientSession() as session, session.ws_connect(talk.url, protocols=protocols, compress=15) as socket:
        seen = Seen(socket.protocol)
        for message in talk.sends:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        while not talk.closes or len(seen.received) < talk.wanted:
            message = await socket.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                seen.reason = message.extra or ""
                break
            seen.received.append(message.data)
    seen.code = socket.close_code
    return seen


async def by_ws(talk: Conversation) -> Seen:
    arguments = ["node", str(PROGRAMS / "ws.mjs"), str(_ws() / "wrapper.mjs"), json.dumps(_spelled(talk))]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=-1, stderr=-1)
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return _read(json.loads(output))


def _ws() -> Path:
    """The package, installed once beside the other things that tests need."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROGRAMS.parents[1] / "target")) / "tests" / "npm"
    package = target / "node_modules" / "ws"
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js and npm are not installed")
    if not (package / "package.json").exists():
        target.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", WS]
        result = subprocess.run(install, cwd=target, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"{WS} can't be installed: {result.stderr.strip()[-200:]}")
    return package


async def by_chromium(talk: Conversation) -> Seen:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = await browser.new_page()
        # The page's origin is that of the node, which has no pages.
        await page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        await page.goto(talk.url.replace("ws:", "http:"))
        script = (PROGRAMS / "talk.js").read_text()
        seen = await page.evaluate(f"conversation => ({script.rstrip().rstrip(';')})(WebSocket, conversation)", _spelled(talk))
        await browser.close()
    return _read(seen)


STRANGERS = {"websockets": by_websockets, "aiohttp": by_aiohttp, "ws": by_ws, "chromium": by_chromium}


def _spelled(talk: Conversation) -> dict:
    encode = lambda data: {"text": data} if isinstance(data, str) else {"binary": base64.b64encode(data).decode()}
    return vars(talk) | {"sends": [encode(message) for message in talk.sends]}


def _read(seen: dict) -> Seen:
    received = [entry["text"] if "text" in entry else base64.b64decode(entry["binary"]) for entry in seen["received"]]
    return Seen(seen["protocol"] or None, received, seen["code"], seen["reason"])
