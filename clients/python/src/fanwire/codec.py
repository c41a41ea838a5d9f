"""How messages are spelt."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Literal, Protocol

Encoding = Literal["json", "msgpack"]


class Codec(Protocol):
    """A dialect's commands and events as bytes."""

    subprotocol: str
    is_text: bool

    def encode(self, command: dict[str, Any]) -> bytes:
        """A command as a message; raises `TypeError` or `ValueError` where it has what can't be expressed."""

    def decode(self, message: str | bytes) -> Any:
        """A message as an event; raises `ValueError` if it is none."""


class Json:
    """`fanwire.v1.json`. Content that is wholly binary is base64 there (RFC 4648, section 4), and bytes here."""

    subprotocol = "fanwire.v1.json"
    is_text = True

    def encode(self, command: dict[str, Any]) -> bytes:
        spelt = dict(_spell(key, value) for key, value in command.items())
        return json.dumps(spelt, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def decode(self, message: str | bytes) -> Any:
        event = json.loads(message)
        for fields in _contents(event):
            for key in ("content", "info"):
                if (text := fields.pop(f"{key}_base64", None)) is not None:
                    fields[key] = base64.b64decode(text)
        return event


def _spell(key: str, value: object) -> tuple[str, object]:
    is_binary = isinstance(value, bytes | bytearray | memoryview)
    return (f"{key}_base64", base64.b64encode(value).decode()) if is_binary else (key, value)  # type: ignore[arg-type]


def _contents(event: Any) -> Iterator[dict[str, Any]]:
    if isinstance(event, dict):
        yield event
        yield from event.get("publications", ())
        yield from event.get("members", ())


class MessagePack:
    """`fanwire.v1.msgpack`, by the package `msgpack`."""

    subprotocol = "fanwire.v1.msgpack"
    is_text = False

    def __init__(self) -> None:
        import msgpack  # type: ignore[import-untyped]

        self._package = msgpack

    def encode(self, command: dict[str, Any]) -> bytes:
        packed: bytes = self._package.packb(command)
        return packed

    def decode(self, message: str | bytes) -> Any:
        return self._package.unpackb(message)


def codec_of(encoding: Encoding) -> Codec:
    """The codec of that name."""
    return MessagePack() if encoding == "msgpack" else Json()
