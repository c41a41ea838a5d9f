//! What the tests of this crate share: a hub with sessions, clients at the far end of pipes, and a broker that answers
//! when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broker;
mod client;
mod fixture;
mod frame;
mod recorder;

pub(crate) use broker::{Asked, Calls, Scripted};
pub(crate) use client::{Client, now};
pub(crate) use fixture::{Fixture, Settings, counter, hub, settle};
pub(crate) use frame::{Frame, fragment, masked};
pub(crate) use recorder::Recorder;
