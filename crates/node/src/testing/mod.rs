//! What the tests of this crate share: a hub with sessions, clients at the far end of pipes, and a broker that answers
//! when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "fuzzers need less than tests"))]

mod broker;
mod client;
mod fixture;
mod frame;
mod gateway;
mod http;
mod recorder;
mod tokens;

pub(crate) use broker::{Asked, Calls, Scripted, tell};
pub(crate) use client::Client;
pub(crate) use fixture::{Fixture, Settings, hub, namespaces, obedient, settle, shard_config};
pub(crate) use frame::{Frame, fragment, masked};
pub(crate) use gateway::{Gateway, MAX_HEAD, REFUSALS, UNHEARD, UNSENT, eventually, results, upgrades};
pub(crate) use http::{Answer, UPGRADE};
pub(crate) use recorder::Recorder;
pub(crate) use tokens::{AUTH_TIMEOUT, auth, token};
