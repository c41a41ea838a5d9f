"""WebSocket frames (RFC 6455, section 5) by hand: written freely, read strictly."""

import os
import struct
import zlib
from dataclasses import dataclass, field

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """A frame as a client writes it; every rule can be broken. `length` is a length to declare instead of the true one."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    declared = len(payload) if length is None else length
    if declared <= 125:
        head = struct.pack("!BB", first, mask_bit | declared)
    elif declared <= 0xFFFF:
        head = struct.pack("!BBH", first, mask_bit | 126, declared)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, declared)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + _mask(payload, key)


def _mask(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return b""
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(payload), "big")


def deflated(payload: bytes, window: int = 15) -> bytes:
    """A message as permessage-deflate sends it (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -window)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def inflated(payload: bytes, window: int = 15) -> bytes:
    """What such a message says, with nothing remembered of others."""
    decompressor = zlib.decompressobj(-window)
    message = decompressor.decompress(payload + _TAIL)
    _require(not decompressor.unconsumed_tail and not decompressor.unused_data, "something follows a compressed message")
    return message


_TAIL = b"\0\0\xff\xff"


def close_payload(code: int, text: str = "") -> bytes:
    """The body of a Close frame."""
    return struct.pack("!H", code) + text.encode()


@dataclass(frozen=True)
class Frame:
    """A frame as the server wrote it."""

    opcode: int
    payload: bytes
    fin: bool = True
    #: Whether it came compressed; the payload is what it became.
    compressed: bool = False

    @property
    def close_code(self) -> int:
        return struct.unpack("!H", self.payload[:2])[0]


class BrokenFrame(AssertionError):
    """The server wrote what RFC 6455 forbids."""


@dataclass
class FrameParser:
    """Reads a server's frames and accepts nothing that RFC 6455 doesn't allow a server to send."""

    _buffer: bytearray = field(default_factory=bytearray)
    _fragmented: int | None = None
    _closed: bool = False
    #: The window of compressed messages, in bits, where any may come.
    window: int | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._buffer += data
        frames, at = [], 0
        while (found := self._parse(at)) is not None:
            frame, at = found
            self._check(frame)
            frames.append(frame)
        del self._buffer[:at]
        return frames

    @property
    def unfinished(self) -> int:
        """How many bytes of a frame that is not complete have come."""
        return len(self._buffer)

    def _parse(self, at: int) -> tuple[Frame, int] | None:
        buffer = self._buffer
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        compressed = self.window is not None and first & 0x40 != 0
        _require(not first & (0x30 if compressed else 0x70), f"reserved bits are set: {first:#x}")
        _require(not compressed or first & 0x0F in (TEXT, BINARY), f"no message begins, yet it is compressed: {first:#x}")
        _require(not second & 0x80, "a server's frame is masked")
        extra = {126: 2, 127: 8}.get(second, 0)
        if len(buffer) < at + 2 + extra:
            return None
        length = int.from_bytes(buffer[at + 2 : at + 2 + extra], "big") if extra else second
        _require(not extra or length > (125 if extra == 2 else 0xFFFF), f"length {length} is not in its shortest form")
        start, end = at + 2 + extra, at + 2 + extra + length
        if len(buffer) < end:
            return None
        payload = bytes(buffer[start:end])
        payload = inflated(payload, self.window) if compressed else payload
        return Frame(first & 0x0F, payload, bool(first & 0x80), compressed), end

    def _check(self, frame: Frame) -> None:
        _require(not self._closed, f"a frame follows the Close frame: {frame}")
        _require(frame.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), f"unknown opcode: {frame}")
        if frame.opcode >= CLOSE:
            self._check_control(frame)
        else:
            self._check_data(frame)

    def _check_control(self, frame: Frame) -> None:
        _require(frame.fin and len(frame.payload) <= 125, f"a control frame is fragmented or too long: {frame}")
        if frame.opcode == CLOSE:
            self._closed = True
            _require(len(frame.payload) != 1, "a Close frame has a body of one byte")
            if frame.payload:
                _require(_may_be_sent(frame.close_code), f"close code {frame.close_code} may not be sent")
                frame.payload[2:].decode()

    def _check_data(self, frame: Frame) -> None:
        if frame.opcode == CONTINUATION:
            _require(self._fragmented is not None, "a continuation follows nothing")
        else:
            _require(self._fragmented is None, "a message begins inside another")
            self._fragmented = frame.opcode
        if frame.fin:
            if self._fragmented == TEXT and frame.opcode == TEXT:
                frame.payload.decode()
            self._fragmented = None


def _may_be_sent(code: int) -> bool:
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise BrokenFrame(text)
