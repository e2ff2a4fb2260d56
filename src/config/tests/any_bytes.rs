//! Whatever the file contains, the result is settings or errors, each on one line.

use proptest::prelude::*;

use super::{Fake, MINIMAL};
use crate::testing::cpu_time_of;

const WHOLE: &str = include_str!("../../../config/partywall.yaml");

fn check_result(bytes: &[u8]) {
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

/// One change to a valid text, so that the error is deep in it.
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
        check_result(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check_result(text.as_bytes());
    }

    #[test]
    fn any_yaml_like_text(text in "([a-c]|[-:{}\\[\\],#&*!|>'\"%@` \n\t~?]){0,60}") {
        check_result(text.as_bytes());
    }

    #[test]
    fn mutated_minimal_config(text in mutated(MINIMAL)) {
        check_result(text.as_bytes());
    }

    #[test]
    fn mutated_full_config(text in mutated(WHOLE)) {
        check_result(text.as_bytes());
    }
}

/// Loading takes no quadratic time, whatever an operator writes.
#[test]
fn long_files_load_in_linear_time() {
    const UNITS: [&str; 12] = [
        "a: 1\n", "a", "[", "- ", "- a\n", "a:\n", "#\n", "\n", "'", "&a ", "? ", "{a,",
    ];
    let repeated = UNITS.map(|unit| unit.repeat(64 * 1024 / unit.len()));
    let keys = (0..20_000).fold(String::new(), |keys, n| keys + &format!("k{n}: 1\n"));
    let texts = repeated.into_iter().chain([keys]);
    let ((), took) = cpu_time_of(|| texts.for_each(|text| check_result(text.as_bytes())));
    assert!(took.as_secs() < 20, "{took:?}");
}
