#![no_main]
#![allow(dead_code, unused_imports)]
include!("../command.rs");
libfuzzer_sys::fuzz_target!(|data: &[u8]| config::fuzzing::environment(data));
