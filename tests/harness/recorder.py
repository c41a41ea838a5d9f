"""An upstream that shows what a proxy makes of a request."""

import asyncio


class Recorder:
    """An upstream that keeps what it is sent, and answers each request with an empty 200."""

    def __init__(self):
        self.requests: list[str] = []
        self.connections = 0

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.sockets[0].getsockname()[1]

    async def start(self) -> "Recorder":
        """Listens on 127.0.0.1."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    def end(self) -> None:
        """Takes no more connections."""
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def headers(self) -> dict[str, str]:
        """Those of the last request."""
        lines = self.requests[-1].split("\r\n")[1:-2]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
