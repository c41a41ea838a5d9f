#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fanwire_node::fuzzing::proxy_protocol(data));
