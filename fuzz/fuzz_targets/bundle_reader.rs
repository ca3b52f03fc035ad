#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::bundle_reader::run(data));
