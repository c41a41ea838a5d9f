"""All faults: what is done, at which kind of Redis, and the harm that it may do there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from . import client_faults, cluster_faults, node_faults, proxy_faults, redis_faults, sentinel_faults
from .timeline import DESTROYED, Harm

_WATCHED = ("sentinel", "guarded")
_ALL = ("single", "persistent", *_WATCHED, "cluster")
_PROXIED = ("single", "persistent")


@dataclass(frozen=True)
class Fault:
    """One kind of fault; `run(stage, draw, happened)` does it and undoes it."""

    name: str
    run: Callable[..., Awaitable[None]]
    #: Its harm by the kind of Redis; it does not fit other kinds.
    harm: dict[str, Harm]
    #: Whether it may come while another one is under way.
    accompanies: bool = False
    #: Whether it takes too long for a short run.
    long: bool = False


def _anywhere(harm: Harm = Harm.NONE) -> dict[str, Harm]:
    return dict.fromkeys(_ALL, harm)


def _proxied(harm: Harm = Harm.NONE) -> dict[str, Harm]:
    return dict.fromkeys(_PROXIED, harm)


# A restart begins a new epoch by design, though what is on disk may be all.
_RESTARTED = {"single": DESTROYED, "persistent": Harm.EPOCH}
# Around a failover there may be two primaries at once. A guarded one takes nothing that is kept then.
_REPLACED = {"sentinel": DESTROYED | Harm.TORN | Harm.SPLIT, "guarded": DESTROYED | Harm.TORN}
_FAILED_OVER = {"cluster": DESTROYED | Harm.TORN | Harm.SPLIT}
# A primary that hangs may cost its place. What was held up comes all at once.
_HUNG = _proxied(Harm.SLOW) | {kind: harm | Harm.SLOW for kind, harm in (_REPLACED | _FAILED_OVER).items()}
# A slot comes to a server that gave none of its epochs.
_MOVED = {"cluster": Harm.EPOCH | Harm.TORN}

FAULTS = [
    Fault("node killed", node_faults.killed, _anywhere(), accompanies=True),
    Fault("node drained", node_faults.drained, _anywhere(), accompanies=True),
    Fault("node stopped for 5 s", node_faults.frozen, _anywhere(Harm.SLOW), accompanies=True),
    Fault("all clients reconnect", client_faults.storm, _anywhere(), accompanies=True),
    Fault("clients stop reading", client_faults.slow, _anywhere(Harm.SLOW), accompanies=True),
    Fault("Pub/Sub links killed", redis_faults.links_killed, _anywhere(Harm.SLOW), accompanies=True),
    Fault("other links killed", redis_faults.connections_killed, _anywhere(Harm.SLOW), accompanies=True),
    Fault("Redis killed and restarted", redis_faults.killed, _RESTARTED),
    Fault("Redis stopped for 1 s", redis_faults.frozen_1, _HUNG),
    Fault("Redis stopped for 5 s", redis_faults.frozen_5, _HUNG),
    Fault("Redis stopped for 20 s", redis_faults.frozen_20, _HUNG, long=True),
    Fault("flushed", redis_faults.flushed, _anywhere(DESTROYED)),
    Fault("evicted", redis_faults.evicted, _anywhere(DESTROYED | Harm.STREAM)),
    Fault("stream deleted", redis_faults.stream_deleted, _anywhere(Harm.STREAM)),
    Fault("stream expired", redis_faults.stream_expired, _anywhere(Harm.STREAM)),
    Fault("place deleted", redis_faults.place_deleted, _anywhere(Harm.EPOCH)),
    Fault("links cut by a proxy", proxy_faults.cut, _proxied(Harm.SLOW)),
    Fault("links slow", proxy_faults.slow, _proxied(Harm.SLOW)),
    Fault("one direction held up", proxy_faults.held, _proxied(Harm.SLOW)),
    Fault("one direction lost", proxy_faults.lost, _proxied(Harm.SLOW)),
    Fault("primary killed", sentinel_faults.killed, _REPLACED),
    Fault("primary killed and restarted at once", sentinel_faults.restarted, _REPLACED),
    Fault("lagging replica promoted", sentinel_faults.lagging, {"sentinel": _REPLACED["sentinel"]}),
    Fault("SENTINEL FAILOVER", sentinel_faults.failover, _REPLACED),
    Fault("a primary of the cluster killed", cluster_faults.killed, _FAILED_OVER),
    Fault("CLUSTER FAILOVER", cluster_faults.failover, _FAILED_OVER),
    Fault("slot migrated", cluster_faults.migrated, _MOVED),
]


def fitting(kind: str, long: bool) -> list[Fault]:
    """Those that can be had with this kind of Redis."""
    return [fault for fault in FAULTS if kind in fault.harm and (long or not fault.long)]
