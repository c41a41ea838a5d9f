//! A hub of one's own, clients at the far end of its pipes, and what they receive.

mod client;
mod fixture;
mod frame;
mod gate;
mod place;
mod probe;

pub(crate) use client::Client;
pub(crate) use fixture::{Fixture, settle};
pub(crate) use frame::{Frame, text};
pub(crate) use place::{Place, Placed, has, place, placed, placed_of, position};

use fanwire_protocol::{ChannelName, ConnectionId, Content, Delivery, Publication, Target};
use std::{fmt::Display, sync::Arc};

/// The channel of that name.
pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// A publication of the JSON text `content` to a channel.
pub(crate) fn to(name: &str, content: impl Display) -> Delivery {
    delivery(Target::Channel(channel(name)), &content.to_string())
}

/// A publication of the JSON text `content` to everybody.
pub(crate) fn to_all(content: impl Display) -> Delivery {
    delivery(Target::Broadcast, &content.to_string())
}

/// The same, without `connection`.
pub(crate) fn except(connection: ConnectionId, delivery: Delivery) -> Delivery {
    Delivery { except: Some(connection), ..delivery }
}

fn delivery(target: Target, content: &str) -> Delivery {
    let publication = Arc::new(Publication::new(target, Content::json(content).unwrap()));
    Delivery { publication, except: None, published_at: 0 }
}

/// What a JSON client receives for [`to`].
pub(crate) fn message(name: &str, content: impl Display) -> Frame {
    text(&format!(r#"{{"type":"message","channel":"{name}","content":{content}}}"#))
}

/// What a JSON client receives for [`to_all`].
pub(crate) fn broadcast(content: impl Display) -> Frame {
    text(&format!(r#"{{"type":"broadcast","content":{content}}}"#))
}

/// Runs a test of its own runtime, with its clock paused.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}
