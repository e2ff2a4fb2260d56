//! Choices that a seed repeats.

use std::time::{SystemTime, UNIX_EPOCH};

/// `SplitMix64` (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    pub fn word<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// The seeds to go by: one that is always the same and one that never is, or that of
/// `PARTYWALL_SEED`. They are printed.
pub fn seeds(what: &str) -> Vec<u64> {
    let given = std::env::var("PARTYWALL_SEED").ok();
    let seeds = if let Some(seed) = given.and_then(|seed| seed.parse().ok()) {
        vec![seed]
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.expect("after 1970").as_nanos();
        vec![1, u64::try_from(nanos % 1_000_000_007).expect("small")]
    };
    println!("{what}: PARTYWALL_SEED={seeds:?}");
    seeds
}
