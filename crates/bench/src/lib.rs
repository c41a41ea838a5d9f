//! Fanwire's load generator: measures a node from outside, over loopback, on bare sockets.
//!
//! It shares nothing with the node but the names of subprotocols and opcodes, so that it doesn't repeat its mistakes;
//! its reader of frames is its own and strict. `README.md` beside it says what each scenario measures.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`fanout`], [`idle`], [`stall`], [`floor`], [`chatter`], [`storm`], [`publish`] | the scenarios |
//! | [`stage`], [`board`], [`subscriber`], [`publisher`], [`stalled`], [`talker`], [`returning`] | one publisher, many subscribers, and what they write down |
//! | [`crowd`], [`websocket`], [`upgrade`], [`wire`] | opening connections and reading them |
//! | [`frame`], [`outgoing`], [`dialect`], [`marker`], [`strict`] | bytes |
//! | [`ledger`], [`integrity`], [`arrivals`], [`latency`], [`pace`], [`confirm`] | exactly once, in order, when |
//! | [`process`], [`sampler`] | what the node's process costs |
//! | [`options`], [`target`], [`error`] | arguments and failures |

pub mod arrivals;
pub mod board;
pub mod chatter;
pub mod confirm;
pub mod crowd;
pub mod dialect;
pub mod error;
pub mod fanout;
pub mod floor;
pub mod frame;
pub mod idle;
pub mod integrity;
pub mod latency;
pub mod ledger;
pub mod marker;
pub mod options;
pub mod outgoing;
pub mod pace;
pub mod process;
pub mod publish;
pub mod publisher;
pub mod returning;
pub mod sampler;
pub mod stage;
pub mod stall;
pub mod stalled;
pub mod storm;
pub mod strict;
pub mod subscriber;
pub mod talker;
pub mod target;
pub mod upgrade;
pub mod websocket;
pub mod wire;

mod scenario;

pub use error::Error;
pub use scenario::{Scenario, run};
pub use target::Target;
