"""The examples run as their README says, in a browser."""

import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from harness import process
from harness.strangers import CHROMIUM, CHROMIUM_FLAGS
from harness.tokens import Key
from harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
# Where tests/client-js builds the client.
CLIENT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tests" / "client-js" / "dist"

pytestmark = [
    pytest.mark.limit(120),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not (CLIENT / "index.js").exists(), reason="the client for JavaScript is not built: tests/client-js"),
]


@contextmanager
def served(directory: Path, program: str, *arguments: str):
    """Runs one of the examples' servers, and gives its address."""
    log = directory / f"{program}.log"
    command = [sys.executable, str(EXAMPLES / program), "--port", "0", "--client", str(CLIENT), *arguments]
    server = process.spawn(command, env=process.clean_environment(), cwd=directory, log=log)
    try:
        address = lambda: re.search(r"^(http://127\.0\.0\.1:\d+)/$", log.read_text(), re.MULTILINE)
        yield wait_until(address, f"the address of {program}, see {log}")[1]
    finally:
        process.end(server)


@asynccontextmanager
async def pages():
    """Opens pages in one browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)

        async def open_page(address: str):
            page = await browser.new_page()
            await page.goto(address)
            return page

        try:
            yield open_page
        finally:
            await browser.close()


async def test_a_chat_room(tmp_path, start_node):
    with served(tmp_path, "serve.py") as origin:
        node = start_node(server__origins=origin, namespaces__chat__history__size=100)
        async with pages() as open_page:
            address = f"{origin}/chat.html?node={node.url}"
            one = await open_page(address)
            await _say(one, "zoe", "<b>hello</b>")
            await expect(one.locator("li")).to_have_text(["zoe: <b>hello</b>"])
            # Who comes later sees what was said before, and both see what is said then.
            two = await open_page(address)
            await expect(two.locator("li")).to_have_text(["zoe: <b>hello</b>"])
            await _say(two, "ada", "hi")
            for page in (one, two):
                await expect(page.locator("li")).to_have_text(["zoe: <b>hello</b>", "ada: hi"])


async def _say(page, name: str, text: str) -> None:
    await page.fill("#name", name)
    await page.fill("#text", text)
    await page.click("button")


async def test_a_list_of_who_is_here(tmp_path, start_node):
    with served(tmp_path, "serve.py") as origin:
        node = start_node(server__origins=origin, namespaces__room__presence="true", namespaces__room__join_leave="true")
        async with pages() as open_page:
            one = await open_page(f"{origin}/presence.html?node={node.url}&name=zoe")
            await expect(one.locator("li")).to_have_text(["zoe"])
            two = await open_page(f"{origin}/presence.html?node={node.url}&name=ada")
            for page in (one, two):
                await expect(page.locator("li")).to_have_text(["zoe", "ada"])
            await two.close()
            await expect(one.locator("li")).to_have_text(["zoe"])


async def test_a_service_of_tokens(tmp_path, start_node):
    key = Key(tmp_path)
    with served(tmp_path, "token_service.py", "--key", str(key.file)) as origin:
        node = start_node(server__origins=origin, namespaces__chat__history__size=100, auth__keys=key.source)
        async with pages() as open_page:
            page = await open_page(f"{origin}/tokens.html?node={node.url}&user=zoe")
            said = ["subscribed", "zoe is here", 'forbidden: no right to publish to "news"']
            await expect(page.locator("li")).to_have_text(said)
            # Renewed before it ends, without another connection.
            await expect(page.locator("#tokens")).to_have_text("2", timeout=40_000)
            await expect(page.locator("#status")).to_have_text("connected")
            refused = await page.request.post(f"{origin}/token", data='{"user": ""}')
            assert refused.status == 400 and "expected" in await refused.text()


def test_without_a_client_the_server_says_what_to_do(tmp_path):
    command = [sys.executable, str(EXAMPLES / "serve.py"), "--client", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 1 and "npm run build" in result.stderr
