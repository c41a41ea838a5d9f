"""Whether another connection may help, and how soon."""

from __future__ import annotations

from dataclasses import dataclass

# Done; or this client's fault, which it would repeat; or the operator's wish.
_FINAL = {1000, 1002, 1003, 1007, 1008, 1010, 3000, 3003, 4403}
# The token has expired; or none came in time.
_TOKEN = {4401, 4408}
_UNAUTHORIZED = 401
# Statuses below 500 that say that the same request may succeed later.
_PASSING = {408, 425, 429}
_LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """When to try again: not before `least` seconds; `soon` where other nodes are known to take over."""

    least: float = 0.0
    soon: bool = False


def after_close(code: int, *, renewable: bool) -> Pace | None:
    """When to connect again after a connection ended with `code`; `None` if that would be useless.

    `renewable` says whether another token can be had. Codes of RFC 6455, section 7.4.1, and of IANA's registry; from
    4400 on Fanwire's own.
    """
    if code in _FINAL or (code in _TOKEN and not renewable):
        return None
    return Pace(least=1.0 if code == 1013 else 0.0, soon=code == 1012)


def after_refusal(status: int, retry_after: str | None, *, renewable: bool) -> Pace | None:
    """When to try again after an upgrade was answered with `status`, and the header `Retry-After`."""
    if 400 <= status < 500 and status not in _PASSING and not (status == _UNAUTHORIZED and renewable):
        return None
    return Pace(least=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """The header, if it is a number of seconds (RFC 9110, section 10.2.3)."""
    text = (retry_after or "").strip()
    return min(float(text), _LONGEST_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
