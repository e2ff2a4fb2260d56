#![no_main]

libfuzzer_sys::fuzz_target!(init: partywall_fuzz::start(), |data: &[u8]| {
    partywall_fuzz::framing::check(data);
});
