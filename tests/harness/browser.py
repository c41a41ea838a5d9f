"""Chromium, and pages of any origin for it."""

import http.server
import shutil
import threading
from contextlib import contextmanager

import pytest

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Every name is this machine: so pages of foreign hosts, and names that were made to point here, need no DNS.
    "--host-resolver-rules=MAP * 127.0.0.1",
]

#: What a page does: it opens a WebSocket and tells how that went.
_OPEN = """([url, protocols]) => new Promise((resolve) => {
    const socket = new WebSocket(url, protocols);
    socket.onopen = () => { resolve("open"); socket.close(); };
    socket.onclose = (event) => resolve(event.code);
})"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title>")

    def log_message(self, *_):
        pass


@contextmanager
def web_server():
    """Serves an empty page at each path; gives its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Browser:
    """A running Chromium."""

    def __init__(self, chromium):
        self._chromium = chromium

    def connect(self, page: str, url: str, *protocols: str):
        """Opens a WebSocket to `url` from a page at `page`; `"open"`, or the code of its close."""
        tab = self._chromium.new_page()
        try:
            tab.goto(page)
            return tab.evaluate(_OPEN, [url, list(protocols)])
        finally:
            tab.close()

    def connect_sandboxed(self, page: str, url: str):
        """The same from a sandboxed frame within the page, whose origin is `null`."""
        tab = self._chromium.new_page()
        try:
            tab.goto(page)
            tab.evaluate("""() => new Promise((loaded) => {
                const frame = document.createElement("iframe");
                frame.sandbox = "allow-scripts";
                frame.srcdoc = "<!doctype html>";
                frame.onload = loaded;
                document.body.append(frame);
            })""")
            return tab.frames[1].evaluate(_OPEN, [url, []])
        finally:
            tab.close()


@contextmanager
def chromium():
    """A browser; skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield Browser(browser)
        finally:
            browser.close()
