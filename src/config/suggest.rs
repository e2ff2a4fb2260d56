//! "Did you mean": the nearest of a few known words.

/// The known word that is a typing slip or two away, if there is one.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nothing known is as long, and the distance takes time by the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let allowed = |candidate: &str| candidate.len().div_ceil(4);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed(candidate))
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (above, cb) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(!ca.eq_ignore_ascii_case(&cb));
            diagonal = *above;
            left = replaced.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("isuers", "issuers", 1),
            ("RS256", "rs256", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["issuer", "issuers", "audiences", "url"];
        assert_eq!(nearest("isuers", known), Some("issuers"));
        assert_eq!(nearest("audience", known), Some("audiences"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("tenant", known), None);
        assert_eq!(nearest(&"u".repeat(100_000), known), None);
    }
}
