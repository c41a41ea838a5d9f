"""Serves the examples' pages, and the client for JavaScript at /fanwire/, on 127.0.0.1: `python3 serve.py --help`."""

import argparse
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(__file__).resolve().parent
CLIENT = PAGES.parent / "clients" / "js" / "dist"
PREFIX = "/fanwire/"


class Files(SimpleHTTPRequestHandler):
    """Files of two folders."""

    timeout = 10

    def __init__(self, *arguments, client: Path):
        self.client = client
        super().__init__(*arguments, directory=str(PAGES))

    def translate_path(self, path):
        self.directory = str(self.client if path.startswith(PREFIX) else PAGES)
        return super().translate_path(path.removeprefix(PREFIX.rstrip("/")) if path.startswith(PREFIX) else path)


def arguments() -> argparse.ArgumentParser:
    """What every server of the examples takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--client", type=Path, default=CLIENT, help="the built client for JavaScript (default: %(default)s)")
    return parser


def serve(handler: type[Files], options: argparse.Namespace) -> None:
    """Serves until Ctrl-C."""
    if not (options.client / "index.js").exists():
        raise SystemExit(f"no client at {options.client}: npm install && npm run build in clients/js, or --client DIR")
    with ThreadingHTTPServer(("127.0.0.1", options.port), partial(handler, client=options.client.resolve())) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    serve(Files, arguments().parse_args())
