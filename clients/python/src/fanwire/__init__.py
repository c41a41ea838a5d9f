"""A client of Fanwire: see README.md."""

from .broadcasts import Broadcasts
from .client import Client, connect
from .error import FanwireError
from .event import (
    Broadcast, BroadcastEvent, ChannelEvent, ClientEvent, Closed, Connected, ConnectionId, Disconnected, Dropped, Gap,
    Join, Leave, Lost, Member, Message, Refused, Subscribed, Welcome,
)  # fmt: skip
from .options import Options, Token
from .position import Position
from .results import Members, Page, PresenceStats, Publication
from .subscription import Subscription
from .track import Outcome

__all__ = [
    "Broadcast", "BroadcastEvent", "Broadcasts", "ChannelEvent", "Client", "ClientEvent", "Closed", "Connected",
    "ConnectionId", "Disconnected", "Dropped", "FanwireError", "Gap", "Join", "Leave", "Lost", "Member", "Members",
    "Message", "Options", "Outcome", "Page", "Position", "PresenceStats", "Publication", "Refused", "Subscribed",
    "Subscription", "Token", "Welcome", "connect",
]  # fmt: skip
