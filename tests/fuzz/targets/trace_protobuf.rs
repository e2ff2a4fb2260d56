#![no_main]

libfuzzer_sys::fuzz_target!(init: partywall_fuzz::start(), |data: &[u8]| {
    partywall_fuzz::trace_protobuf::check(data);
});
