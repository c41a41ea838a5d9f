"""Sockets without a library: they send what no library would, and read as slowly as they like."""

import asyncio
import base64
import hashlib
import json
import os
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass

from . import frames
from .frames import Frame, FrameParser, client_frame

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 256 * 1024


@dataclass
class Response:
    """The head of an HTTP answer and what follows it."""

    status: int
    headers: dict[str, str]
    rest: bytes


def upgrade_request(port: int, path: str = "/", subprotocol: str | None = None, **changes: str | None) -> bytes:
    """A correct upgrade request; `changes` replaces headers (`_` for `-`), `None` leaves one out."""
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": subprotocol,
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def accept_key(request: bytes) -> str:
    """What `Sec-WebSocket-Accept` must be (RFC 6455, section 4.2.2)."""
    key = next(line for line in request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
    digest = hashlib.sha1((key.partition(": ")[2] + _GUID).encode()).digest()
    return base64.b64encode(digest).decode()


class Tls:
    """TLS on a socket, as bytes in and out: the event loop's own would read ahead."""

    def __init__(self, context: ssl.SSLContext):
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        #: Whether the peer ended the connection without saying so within TLS.
        self.cut_off = False
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")

    def feed(self, data: bytes) -> None:
        """Takes what came from the socket; nothing is its end."""
        self._in.write(data) if data else self._in.write_eof()

    def output(self) -> bytes:
        """What is to be sent."""
        return self._out.read()

    def shake(self) -> bool:
        """Goes on with the handshake; whether it is over."""
        return self._attempt(self._tls.do_handshake) is not _MORE

    def encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self.output()

    def decrypt(self, size: int) -> bytes | None:
        """Some bytes, none at the end, `None` where more must come first."""
        try:
            data = self._attempt(lambda: self._tls.read(size))
        except ssl.SSLEOFError:
            self.cut_off = True
            return b""
        return None if data is _MORE else data

    @staticmethod
    def _attempt(step):
        try:
            return step()
        except ssl.SSLWantReadError:
            return _MORE


_MORE = object()


def _window(extensions: str | None) -> int | None:
    """The window of messages from the server by what was agreed on (RFC 7692, section 7.1.2.1)."""
    if extensions is None:
        return None
    parameters = dict(one.strip().partition("=")[::2] for one in extensions.split(";"))
    return int(parameters.get("server_max_window_bits", 15))


class RawSocket:
    """A TCP connection, maybe with TLS, that reads only when asked, so that the peer's writes pile up meanwhile."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.tls: Tls | None = None
        # Whether `frame` answers the peer's pings and keeps them to itself, as every library does.
        self.answers_pings = True
        self.parser = FrameParser()
        self._frames: list[Frame] = []
        self._buffer = b""

    @classmethod
    async def open(
        cls, port: int, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
    ) -> "RawSocket":
        """Connects to 127.0.0.1; `receive_buffer` bounds what the kernel takes in while nobody reads."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        raw = cls(connection)
        if tls is not None:
            await raw._secure(Tls(tls))
        return raw

    async def _secure(self, tls: Tls) -> None:
        while not tls.shake():
            await self._send(tls.output())
            tls.feed(await self._receive(10, _CHUNK))
        await self._send(tls.output())
        self.tls = tls

    async def send(self, data: bytes) -> None:
        await self._send(self.tls.encrypt(data) if self.tls else data)

    async def _send(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.connection, data), 15)

    async def receive(self, within: float = 10.0, size: int = _CHUNK) -> bytes:
        """Some bytes, none at the end of the connection, however it ended."""
        if self.tls is None:
            return await self._receive(within, size)
        while (data := self.tls.decrypt(size)) is None:
            self.tls.feed(await self._receive(within, size))
        return data

    async def _receive(self, within: float, size: int) -> bytes:
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.connection, size), within)
        except ConnectionError:
            return b""
        except asyncio.TimeoutError:
            raise AssertionError(f"nothing received within {within} s") from None

    async def request(self, request: bytes, within: float = 10.0) -> Response:
        """Sends a request and reads the answer's head; a body stays in `rest` as far as it has come."""
        await self.send(request)
        return await self.response(within)

    async def response(self, within: float = 10.0) -> Response:
        """The head of the next answer."""
        while b"\r\n\r\n" not in self._buffer:
            data = await self.receive(within)
            assert data, f"the connection ended inside an answer: {self._buffer!r}"
            self._buffer += data
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Response(int(status.split(" ")[1]), headers, rest)

    async def body(self, response: Response) -> str:
        """The body of an answer with a length."""
        body = response.rest
        while len(body) < int(response.headers["content-length"]):
            data = await self.receive()
            assert data, f"the connection ended inside a body: {body!r}"
            body += data
        return body.decode()

    async def upgrade(self, path: str = "/", subprotocol: str | None = None, first: bytes = b"", **changes) -> Response:
        """Makes it a WebSocket; `first` is sent in the same packet as the request."""
        request = upgrade_request(self.connection.getpeername()[1], path, subprotocol, **changes)
        response = await self.request(request + first)
        assert response.status == 101, response
        assert response.headers["sec-websocket-accept"] == accept_key(request)
        self.parser.window = _window(response.headers.get("sec-websocket-extensions"))
        self._frames += self.parser.feed(response.rest)
        return response

    async def send_frame(self, opcode: int, payload: bytes = b"", **broken) -> None:
        """Sends a frame, see `client_frame`."""
        await self.send(client_frame(opcode, payload, **broken))

    async def send_json(self, **command) -> None:
        """Sends a command of the JSON dialect."""
        await self.send_frame(frames.TEXT, json.dumps(command).encode())

    async def frame(self, within: float = 10.0, size: int = _CHUNK) -> Frame | None:
        """The next frame, or `None` at the end of the connection."""
        while True:
            while not self._frames:
                data = await self.receive(within, size)
                if not data:
                    return None
                self._frames = self.parser.feed(data)
            frame = self._frames.pop(0)
            if frame.opcode != frames.PING or not self.answers_pings:
                return frame
            await self._answer(frames.PONG, frame.payload)

    async def event(self, within: float = 10.0) -> dict:
        """The next event of the JSON dialect."""
        frame = await self.frame(within)
        assert frame is not None and frame.opcode == frames.TEXT, f"no event but {frame}"
        return json.loads(frame.payload)

    async def frames_until_end(self, within: float = 10.0) -> list[Frame]:
        """All frames up to the end of the connection; a Close is answered, as RFC 6455 asks (section 5.5.1)."""
        seen = []
        while (frame := await self.frame(within)) is not None:
            seen.append(frame)
            if frame.opcode == frames.CLOSE:
                await self._answer(frames.CLOSE, frame.payload[:2])
        return seen

    async def _answer(self, opcode: int, payload: bytes) -> None:
        """Sends a control frame, if the peer still listens."""
        try:
            await self.send_frame(opcode, payload)
        except ConnectionError:
            pass

    async def end(self, within: float = 10.0) -> bytes:
        """What comes until the connection ends."""
        seen = b""
        while data := await self.receive(within):
            seen += data
        return seen

    def vanish(self) -> None:
        """Ends the connection by a reset, without a word."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()


@asynccontextmanager
async def raw_socket(port: int, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None):
    """A connection that sends what the test says."""
    raw = await RawSocket.open(port, receive_buffer, tls)
    try:
        yield raw
    finally:
        raw.connection.close()


@asynccontextmanager
async def raw_websocket(
    node,
    subprotocol: str | None = None,
    receive_buffer: int | None = None,
    path: str = "/",
    tls: ssl.SSLContext | None = None,
    **headers: str | None,
):
    """An upgraded connection; in a native dialect its welcome has been read. `headers` are as in `upgrade_request`."""
    async with raw_socket(node.port, receive_buffer, tls) as raw:
        await raw.upgrade(path, subprotocol, **headers)
        if subprotocol is not None:
            await raw.frame()
        yield raw
