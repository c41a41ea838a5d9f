//! What a node must be told.

use crate::{
    AddressLimits, Auth, Everywhere, ForwardedHeader, Jwks, MemoryLimits, Namespaces, Origins, Rate, TrustedProxies,
    UserHeader,
};
use fanwire_auth::ApiKeys;
use fanwire_hub::Policy;
use fanwire_protocol::{Deflate, NodeId, Templates, WithoutSubprotocol};
use fanwire_tls::ServerFiles;
use std::time::Duration;

/// A node's settings, checked by whoever loads them.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node's id, unique in the cluster.
    pub node: NodeId,
    /// How many shards connections are spread over; about one a core.
    pub shards: usize,
    /// TLS on the public port; without it, that speaks none.
    pub public_tls: Option<ServerFiles>,
    /// The same on the internal port.
    pub internal_tls: Option<ServerFiles>,
    /// Whose word counts about the address of a client, and the scheme that it asked by.
    pub trusted_proxies: TrustedProxies,
    /// Where those proxies tell it.
    pub forwarded_header: ForwardedHeader,
    /// Whether those proxies begin each connection with the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// The header by which those proxies tell who the user is; `None` where none does, and of no use with `auth`.
    pub user_header: Option<UserHeader>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// How connections say who they are; `None` lets everybody do everything.
    pub auth: Option<Auth>,
    /// Where keys of tokens are published; `None` where they are in files alone, or there are none.
    pub jwks: Option<Jwks>,
    /// How long a token is kept out that was revoked, and other nodes can learn what they were told while they were cut
    /// off; no token may last longer.
    pub revocation: Duration,
    /// By how much the clocks of nodes may differ.
    pub leeway: Duration,
    /// Who may use the internal port for more than metrics and health; without any, the machine itself.
    pub api_keys: ApiKeys,
    /// From WebSocket ping to WebSocket ping.
    pub heartbeat_interval: Duration,
    /// How long nothing at all may arrive after a ping.
    pub heartbeat_timeout: Duration,
    /// The most that may wait for one connection, in bytes; at least `message_limit`.
    pub outbox_limit: usize,
    /// What happens at that limit.
    pub outbox_policy: Policy,
    /// The most that the kernel may hold unsent for one connection, in bytes.
    pub outbox_kernel: u32,
    /// From the moment the node is not ready any more to the moment its listener stops.
    pub drain_grace: Duration,
    /// Over how long the connections are closed.
    pub drain_window: Duration,
    /// When a drain is given up, counted from its begin.
    pub drain_deadline: Duration,
    /// The longest message that a client may send, in bytes.
    pub message_limit: usize,
    /// How many fragments it may have.
    pub fragment_limit: usize,
    /// How many times longer a compressed message may become.
    pub inflate_ratio: usize,
    /// How messages to clients are compressed, if they are.
    pub deflate: Option<Deflate>,
    /// How many connections the node takes, those in their handshake included.
    pub connection_limit: usize,
    /// How many sockets beyond that limit may be in the course of being refused; any more are dropped unheard.
    pub refusal_limit: usize,
    /// Of how many connections the request may be still to come: with one more the oldest makes way. At least 1; more
    /// than half of `connection_limit` only where that is few.
    pub handshake_limit: usize,
    /// How many channels one connection may subscribe to.
    pub channel_limit: usize,
    /// How many bytes a connection may say of itself where it is seen.
    pub info_limit: usize,
    /// How much memory the node may use, and when that is short.
    pub memory_limits: MemoryLimits,
    /// What one address may do.
    pub address_limits: AddressLimits,
    /// How many connections one user may have on this node.
    pub user_limit: Option<usize>,
    /// How many it may have on all nodes together.
    pub everywhere: Option<Everywhere>,
    /// How fast commands, and WebSocket pings with them, may come from a connection.
    pub command_rate: Option<Rate>,
    /// How fast bytes may come from a connection.
    pub byte_rate: Option<Rate>,
    /// The longest head of a request to upgrade, in bytes; at least 8,192.
    pub head_limit: usize,
    /// How many headers such a request may have.
    pub header_limit: usize,
    /// How long the upgrade may take.
    pub handshake_timeout: Duration,
    /// How long a close may take before the socket is reset.
    pub close_timeout: Duration,
    /// What is kept of publications, by the namespaces of their channels.
    pub namespaces: Namespaces,
    /// The texts of the plain dialect.
    pub templates: Templates,
    /// What clients get that name no subprotocol.
    pub without_subprotocol: WithoutSubprotocol,
}
