"""The limits of the configuration."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from . import drivers

_PROXY = {"server__trusted_proxies": "127.0.0.1"}
_USERS = _PROXY | {"server__user_header": "X-User"}
_OUTBOX = {"outbox__limit": "128KiB", "outbox__kernel": "32KiB", "heartbeat__timeout": "1h"}


@dataclass(frozen=True)
class Limit:
    """One limit, with what a client sees that goes beyond, and where that is counted."""

    #: As the configuration calls it.
    name: str
    #: As a node is configured, in the spelling of variables.
    config: dict
    drive: Callable[[object], Awaitable[str]]
    seen: str
    metric: str
    labels: dict = field(default_factory=dict)
    #: The configuration of another node, where that matters.
    elsewhere: dict = field(default_factory=dict)
    #: Whether connections need a token.
    tokens: bool = False
    #: Whether there is another Redis, which can be frozen.
    spread: bool = False

    @property
    def configured(self) -> str:
        """The values for people, without what only makes the limit matter."""
        group = self.name.rpartition(".")[0]
        values = {key.replace("__", "."): value for key, value in self.config.items()}
        return ", ".join(f"{key} = {value}" for key, value in values.items() if key.startswith(group)) or "built in"


def _upgrade(result: str) -> dict:
    return {"metric": "fanwire_upgrades_total", "labels": {"result": result}}


def _refusal(code: str) -> dict:
    return {"seen": f"error {code}", "metric": "fanwire_refusals_total", "labels": {"code": code}}


def _disconnect(code: int, reason: str) -> dict:
    return {"seen": f"closed with {code}", "metric": "fanwire_disconnects_total", "labels": {"reason": reason}}


_FULL, _LARGE = "refused with 429", "refused with 431"
_PACE = {"limits__commands__rate": 1, "limits__commands__burst": 5}

LIMITS = [
    Limit("limits.message", {"limits__message": "1KiB"}, drivers.long_message, **_disconnect(1009, "message_too_big")),
    Limit(
        "limits.fragments",
        {"limits__fragments": 8},
        drivers.many_fragments,
        **_disconnect(1008, "too_many_fragments"),
    ),
    Limit(
        "limits.connections",
        {"limits__connections": 3},
        drivers.connections,
        "refused with 503",
        **_upgrade("connection_limit"),
    ),
    Limit(
        "limits.handshakes",
        {"limits__handshakes": 3},
        drivers.handshakes,
        "one cut off",
        **_upgrade("handshake_limit"),
    ),
    Limit("limits.channels", {"limits__channels": 2}, drivers.channels, **_refusal("channel_limit")),
    Limit(
        "limits.info",
        {"limits__info": "16B", "namespaces__room__presence": "true"},
        drivers.info,
        **_refusal("message_too_large"),
    ),
    Limit("limits.commands", _PACE, drivers.commands, **_refusal("rate_limited")),
    Limit("limits.commands (pings)", _PACE, drivers.pings, **_disconnect(4429, "too_fast")),
    Limit(
        "limits.bytes",
        {"limits__bytes__rate": "64KiB", "limits__bytes__burst": "16KiB"},
        drivers.many_bytes,
        "all answered, later",
        "fanwire_throttled_reads_total",
    ),
    Limit(
        "limits.address.connections",
        {"limits__address__connections": 2} | _PROXY,
        drivers.address_connections,
        _FULL,
        **_upgrade("address_limit"),
    ),
    Limit(
        "limits.address.rate",
        {"limits__address__rate": 1, "limits__address__burst": 3} | _PROXY,
        drivers.address_rate,
        _FULL,
        **_upgrade("address_rate"),
    ),
    Limit(
        "limits.user.connections",
        {"limits__user__connections": 2} | _USERS,
        drivers.user_connections,
        _FULL,
        **_upgrade("user_limit"),
    ),
    Limit(
        "limits.user.everywhere",
        {"limits__user__everywhere": 3} | _USERS,
        drivers.user_everywhere,
        _FULL,
        **_upgrade("user_limit_everywhere"),
        elsewhere={"limits__user__everywhere": 3} | _USERS,
    ),
    Limit(
        "limits.user.when_unknown",
        {"limits__user__everywhere": 3, "limits__user__when_unknown": "refuse"} | _USERS,
        drivers.user_unknown,
        "refused with 503",
        **_upgrade("user_limit_unknown"),
        spread=True,
    ),
    Limit("handshake.head", {"handshake__head": "8KiB"}, drivers.long_head, _LARGE, **_upgrade("head_too_large")),
    Limit("handshake.headers", {"handshake__headers": 10}, drivers.many_headers, _LARGE, **_upgrade("head_too_large")),
    Limit("handshake.timeout", {"handshake__timeout": "300ms"}, drivers.endless_head, "cut off", **_upgrade("timed_out")),
    Limit(
        "auth.timeout",
        {"auth__timeout": "300ms"},
        drivers.late_token,
        **_disconnect(4408, "auth_timeout"),
        tokens=True,
    ),
    Limit("outbox.limit", _OUTBOX, drivers.full_outbox, **_disconnect(1013, "slow_consumer")),
    Limit(
        "outbox.limit (drop_oldest)",
        _OUTBOX | {"outbox__policy": "drop_oldest"},
        drivers.full_outbox_that_drops,
        "told of dropped",
        "fanwire_deliveries_dropped_total",
        {"reason": "drop_oldest"},
    ),
    Limit(
        "heartbeat.timeout",
        {"heartbeat__interval": "1s", "heartbeat__timeout": "1s"},
        drivers.silence,
        **_disconnect(1001, "heartbeat_timeout"),
    ),
    Limit(
        "close.timeout",
        {"close__timeout": "300ms"} | _OUTBOX,
        drivers.no_answer_to_close,
        "cut off",
        "fanwire_close_timeouts_total",
    ),
    Limit("unanswered publications (64)", {}, drivers.unanswered, **_refusal("broker_timeout"), spread=True),
]
