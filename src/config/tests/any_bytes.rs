//! Whatever the file holds, the answer is settings or errors, each on one line.

use proptest::prelude::*;

use super::{Fake, MINIMAL};
use crate::testing::cpu_time_of;

const WHOLE: &str = include_str!("../../../config/partywall.yaml");

fn is_answered(bytes: &[u8]) {
    let fake = Fake::default().file("/etc/p.yaml", bytes);
    if let Err(errors) = super::load(std::path::Path::new("/etc/p.yaml"), &fake) {
        assert!(errors.iter().count() > 0);
        let unlisted = usize::from(errors.to_string().contains("\n… and "));
        assert_eq!(
            errors.to_string().lines().count(),
            errors.iter().count() + unlisted
        );
    }
}

/// One change to a text that makes sense: what is wrong in it lies deep.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,4}",
        "[-:{}\\[\\],#&*!|>'\"%@` \n\t~?]{1,4}",
        Just("&a [*a, *a]".to_owned()),
        Just("null".to_owned()),
        Just("${X}".to_owned()),
        Just("99999999999999999999".to_owned()),
    ];
    let edit = (any::<prop::sample::Index>(), 0..20_usize, piece);
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, dropped, piece) in edits {
            let start = at.index(chars.len() + 1);
            let end = (start + dropped).min(chars.len());
            chars.splice(start..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        is_answered(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        is_answered(text.as_bytes());
    }

    #[test]
    fn any_yaml_like_text(text in "([a-c]|[-:{}\\[\\],#&*!|>'\"%@` \n\t~?]){0,60}") {
        is_answered(text.as_bytes());
    }

    #[test]
    fn a_minimal_config_with_slips(text in mutated(MINIMAL)) {
        is_answered(text.as_bytes());
    }

    #[test]
    fn a_whole_config_with_slips(text in mutated(WHOLE)) {
        is_answered(text.as_bytes());
    }
}

/// Not quadratic in anything an operator can write.
#[test]
fn a_long_file_of_anything_is_answered_soon() {
    const UNITS: [&str; 12] = [
        "a: 1\n", "a", "[", "- ", "- a\n", "a:\n", "#\n", "\n", "'", "&a ", "? ", "{a,",
    ];
    let repeated = UNITS.map(|unit| unit.repeat(64 * 1024 / unit.len()));
    let keys = (0..20_000).fold(String::new(), |keys, n| keys + &format!("k{n}: 1\n"));
    let texts = repeated.into_iter().chain([keys]);
    let ((), took) = cpu_time_of(|| texts.for_each(|text| is_answered(text.as_bytes())));
    assert!(took.as_secs() < 20, "{took:?}");
}
