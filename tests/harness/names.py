"""A name server whose answers a test changes."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

_A, _IN = 1, 1
_NO_SUCH_NAME = 3


class NameServer(asyncio.DatagramProtocol):
    """Answers queries for A records (RFC 1035) with the addresses that `names` has."""

    def __init__(self):
        self.names: dict[str, list[str]] = {}
        self.transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        host, port = self.transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, sender) -> None:
        question, name, kind = _question(data)
        found = self.names.get(name, [])
        records = [_record(address) for address in found] if kind == _A else []
        flags = 0x8180 | (0 if found else _NO_SUCH_NAME)
        head = data[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        self.transport.sendto(head + question + b"".join(records), sender)


def _question(data: bytes) -> tuple[bytes, str, int]:
    """The first question as it stands, its name and its type."""
    at, labels = 12, []
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return data[12 : at + 5], ".".join(labels), struct.unpack_from("!H", data, at + 1)[0]


def _record(address: str) -> bytes:
    # The name is the question's, by a pointer to it. A long life: who asks again does so by a setting of its own.
    return struct.pack("!HHHIH", 0xC00C, _A, _IN, 600, 4) + socket.inet_aton(address)


@asynccontextmanager
async def name_server():
    """A name server on loopback for as long as the block runs."""
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        server.transport.close()
