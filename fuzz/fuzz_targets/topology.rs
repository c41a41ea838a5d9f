#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fanwire_broker::fuzzing::topology(data));
