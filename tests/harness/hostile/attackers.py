"""Clients that take a connection and give nothing for it. Each is one socket, and knows nothing of the others."""

import os
import socket
import struct

from ..raw import upgrade_request

#: A frame this long takes hours at a byte a second, and is within every node's `limits.message`.
_LONG = 60_000


class Attacker:
    """A connection that is opened anew whenever the node has ended it."""

    kind = ""

    def __init__(self, port: int, source: str):
        self.port, self.source = port, source
        self.socket: socket.socket | None = None
        self._to_send = b""
        self._answer = b""

    def open(self) -> None:
        """Begins to connect; raises `OSError` where the system has nothing to do it with."""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((self.source, 0))
        self.socket.connect_ex(("127.0.0.1", self.port))
        self._answer = b""

    def connected(self) -> None:
        """Sends what comes first."""

    def tick(self) -> None:
        """A second has passed."""

    def read(self) -> bool:
        """Takes what the node has sent; whether the connection still stands."""
        try:
            data = self.socket.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._answer = (self._answer + data)[:12]
        return bool(data)

    def close(self) -> str:
        """Ends it, and says what the node had answered: a status, or nothing."""
        self.socket.close()
        self.socket = None
        return self._answer[9:12].decode("latin-1") if self._answer.startswith(b"HTTP/1.") else "none"

    def _send(self, data: bytes) -> None:
        try:
            self.socket.send(data)
        except OSError:
            # Its end is read.
            pass

    def _drip(self) -> None:
        """One more byte."""
        self._send(self._to_send[:1])
        self._to_send = self._to_send[1:]


class HalfOpen(Attacker):
    """Sends half a request and no more."""

    kind = "half-open"

    def connected(self) -> None:
        request = upgrade_request(self.port, subprotocol="fanwire.v1.json")
        self._send(request[: len(request) // 2])


class SlowUpgrade(Attacker):
    """Sends a request that would be granted, one byte a second."""

    kind = "slow upgrade"

    def connected(self) -> None:
        self._to_send = upgrade_request(self.port, subprotocol="fanwire.v1.json")

    def tick(self) -> None:
        self._drip()


class SlowFrame(Attacker):
    """Is upgraded, and then sends one byte a second of a message."""

    kind = "slow frame"

    def connected(self) -> None:
        self._send(upgrade_request(self.port, subprotocol="fanwire.v1.json"))
        # A masked text (RFC 6455, section 5.2).
        self._to_send = struct.pack("!BBH", 0x81, 0xFE, _LONG) + os.urandom(4) + b" " * _LONG

    def tick(self) -> None:
        if self._answer.startswith(b"HTTP/1.1 101"):
            self._drip()
