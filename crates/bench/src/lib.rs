//! `fanwire bench`: measures a node, or another server, from outside, over loopback, on bare sockets.
//!
//! It shares nothing with the node but the names of subprotocols and opcodes, so that it doesn't repeat its mistakes;
//! its reader of frames is its own and strict. `README.md` beside it says what each scenario measures.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`scenarios`] | what can be measured, one a module |
//! | [`arena`], [`stage`], [`crew`], [`messages`], [`rounds`], [`floor`] | one publisher, many subscribers, round after round, and the floor |
//! | [`workers`], [`worker`], [`helper`] | more processes than one |
//! | [`board`], [`subscriber`], [`stalled`], [`talker`], [`returning`], [`asker`] | who reads, and what they write down |
//! | [`publisher`], [`letter`], [`answers`], [`wire`], [`metronome`] | who sends |
//! | [`crowd`], [`dial`], [`websocket`], [`upgrade`], [`bare_redis`] | opening connections and reading them |
//! | [`frame`], [`outgoing`], [`dialect`], [`speech`], [`template`], [`marker`], [`strict`] | bytes |
//! | [`ledger`], [`lane`], [`integrity`], [`arrivals`], [`latency`], [`pace`], [`confirm`] | exactly once, in order, when |
//! | [`usage`], [`process`], [`generator`], [`sampler`], [`memory`] | what it costs |
//! | [`options`], [`target`], [`error`], [`progress`] | arguments, failures, what goes on |

pub mod answers;
pub mod arena;
pub mod arrivals;
pub mod asker;
pub mod bare_redis;
pub mod board;
pub mod confirm;
pub mod crew;
pub mod crowd;
pub mod dial;
pub mod dialect;
pub mod error;
pub mod floor;
pub mod frame;
pub mod generator;
pub mod helper;
pub mod integrity;
pub mod lane;
pub mod latency;
pub mod ledger;
pub mod letter;
pub mod marker;
pub mod memory;
pub mod messages;
pub mod metronome;
pub mod options;
pub mod outgoing;
pub mod pace;
pub mod process;
pub mod progress;
pub mod publisher;
pub mod returning;
pub mod rounds;
pub mod sampler;
pub mod scenarios;
pub mod speech;
pub mod stage;
pub mod stalled;
pub mod strict;
pub mod subscriber;
pub mod talker;
pub mod target;
pub mod template;
pub mod upgrade;
pub mod usage;
pub mod websocket;
pub mod wire;
pub mod worker;
pub mod workers;

mod scenario;

pub use error::Error;
pub use scenario::{Scenario, run};
pub use target::Target;
