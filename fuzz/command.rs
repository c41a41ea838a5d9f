// The command has no library, so what fuzzers need of it is taken in as it is, with what that needs.
#[path = "../crates/cli/src/config/mod.rs"]
mod config;
#[path = "../crates/cli/src/failure.rs"]
mod failure;
#[path = "../crates/cli/src/log.rs"]
mod log;
#[path = "../crates/cli/src/output.rs"]
mod output;
