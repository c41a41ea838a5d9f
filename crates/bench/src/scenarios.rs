//! The scenarios, one a module.

pub mod channels;
pub mod chatter;
pub mod connect;
pub mod echo;
pub mod fanout;
pub mod floor;
pub mod idle;
pub mod latency;
pub mod publish;
pub mod stall;
pub mod storm;
