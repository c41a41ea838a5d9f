#![no_main]
#![allow(dead_code, unused_imports)]
// The command has no library, so what is fuzzed is taken in as it is.
#[path = "../../crates/cli/src/config/mod.rs"]
mod config;
#[path = "../../crates/cli/src/log.rs"]
mod log;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::fuzzing::environment(data));
