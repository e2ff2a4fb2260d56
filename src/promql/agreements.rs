//! Shapes of confined queries on which `promql-parser` has agreed before.
//!
//! A shape is a confined query without what cannot matter to how it is parsed: our own matchers,
//! and the insides of strings and numbers, by the scanner's own tokens. Its tree has the same
//! selectors, whatever stands there. What might be read otherwise by another lexer is left in it:
//! escapes, quotes of any kind, control characters and what is not ASCII; names of labels; and
//! numbers that are not plain digits.
//!
//! Kept is only that both readings were the same. A query that `promql-parser` cannot read is
//! asked about each time, since another one of its shape might be read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::scan::Scan;
use super::splice::inserted;
use crate::tenancy::Matchers;

/// Bounded by bytes. What is confined by other rules needs one of its own.
pub struct Agreements {
    shapes: Cache<Key, (), ByBytes>,
}

impl Agreements {
    /// Keeps about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        /// A shape, as queries are on dashboards.
        const TYPICAL_ENTRY: usize = 256;
        let items = (max_bytes / TYPICAL_ENTRY).max(1);
        Self {
            shapes: Cache::with_weighter(items, max_bytes as u64, ByBytes),
        }
    }

    /// Whether the two readings of this text agree: by its shape, or else as `ask` says.
    pub(super) fn agree(
        &self,
        text: &str,
        scan: &Scan,
        matchers: &Matchers,
        ask: impl FnOnce() -> Verdict,
    ) -> bool {
        let shape = shape(text, scan, matchers);
        let wanted = KeyRef {
            matchers: matchers.promql(),
            shape: &shape,
        };
        if self.shapes.get(&wanted).is_some() {
            return true;
        }
        match ask() {
            Verdict::Agrees => {
                let key = Key {
                    matchers: matchers.shared_promql(),
                    shape: shape.into(),
                };
                self.shapes.insert(key, ());
                true
            }
            Verdict::CannotRead => true,
            Verdict::Disagrees => false,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }
}

/// What `promql-parser` makes of a confined query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It finds the same selectors, with our matchers in each.
    Agrees,
    /// It finds others.
    Disagrees,
    /// It cannot read the query: the upstream is the judge of that.
    CannotRead,
}

/// In place of our matchers. No byte of a query outside of strings.
const OURS: u8 = 1;

/// The shape of a confined query.
pub(super) fn shape(text: &str, scan: &Scan, matchers: &Matchers) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut shape = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    let mut sites = scan.sites.iter().peekable();
    for content in &scan.contents {
        while let Some(site) = sites.next_if(|site| site.at <= content.start) {
            // Which of the two texts it is, depends on what the shape has around it.
            let (at, ours) = (site.at, inserted(*site, matchers).as_bytes());
            if bytes.get(at..).is_some_and(|rest| rest.starts_with(ours)) {
                shape.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
                shape.push(OURS);
                copied = at + ours.len();
            }
        }
        // One of our own.
        if content.start < copied {
            continue;
        }
        shape.extend_from_slice(bytes.get(copied..content.start).unwrap_or_default());
        write_content(&mut shape, bytes.get(content.clone()).unwrap_or_default());
        copied = content.end;
    }
    shape.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    shape
}

/// Writes what matters of a string or number.
fn write_content(shape: &mut Vec<u8>, content: &[u8]) {
    if content.iter().all(u8::is_ascii_digit) {
        return shape.push(b'0');
    }
    if !matches!(content, [b'"' | b'\'' | b'`', ..]) {
        return shape.extend_from_slice(content);
    }
    let mut rest = content;
    while let Some((&byte, after)) = rest.split_first() {
        let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
        if plain > 0 {
            shape.push(b'x');
            rest = rest.get(plain..).unwrap_or_default();
            continue;
        }
        shape.push(byte);
        rest = after;
        // An escape takes the next byte with it.
        if let (b'\\', Some((&escaped, after))) = (byte, rest.split_first()) {
            shape.push(escaped);
            rest = after;
        }
    }
}

/// Whether a byte means nothing but itself in every kind of string.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'`' | b'\\')
}

/// Compared in full: a hash alone could collide.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    matchers: Arc<str>,
    shape: Box<[u8]>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyRef {
            matchers: &self.matchers,
            shape: &self.shape,
        }
        .hash(state);
    }
}

#[derive(Hash)]
struct KeyRef<'a> {
    matchers: &'a str,
    shape: &'a [u8],
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.shape == &*key.shape && self.matchers == &*key.matchers
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, ()> for ByBytes {
    fn weight(&self, key: &Key, (): &()) -> u64 {
        /// Of the structures around the texts.
        const OVERHEAD: usize = 96;
        (key.shape.len() + key.matchers.len() + OVERHEAD) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Kind, scan};
    use super::*;
    use crate::promql::tests::{acme, acme_and_globex, confined_with, none};

    fn shape_of(query: &str) -> String {
        let confined = confined_with(query, &acme(), &Agreements::new(0)).unwrap();
        let found = scan(confined.text(), Kind::Expression, 100, |_| Ok(())).unwrap();
        let shape = shape(confined.text(), &found, &acme());
        String::from_utf8(shape).unwrap().replace('\u{1}', "§")
    }

    #[test]
    fn shape_has_all_but_plain_contents() {
        for (query, shape) in [
            ("up", "up{§}"),
            ("1 + 23.5 + 0x1f", "0 + 23.5 + 0x1f"),
            ("1e-5 + 7", "1e-5 + 0"),
            (
                r#"a{b="c d|e",f!~''}[5m] offset 7d"#,
                r#"a{§,b="x",f!~''}[5m] offset 7d"#,
            ),
            (r#"a{b="5\\..\x41"}"#, r#"a{§,b="x\\x\xx"}"#),
            (r#"{"a b","c d"="e"}"#, r#"{§,"a b","c d"="x"}"#),
            ("a{b=`\\`,c=\"`'{\"}", "a{§,b=`\\`,c=\"`'x\"}"),
            ("a{b=\"é\"}", "a{§,b=\"é\"}"),
            ("a{b=\"c\td\u{7f}\"}", "a{§,b=\"x\tx\u{7f}\"}"),
            ("a{b=`c\nd`}", "a{§,b=`x\nx`}"),
            (r#"sum by ("a b") (c)"#, r#"sum by ("a b") (c{§})"#),
            (r#"a{tenant_id="acme"}"#, r#"a{§,tenant_id="x"}"#),
            (r#"absent(a{b="c"}) + a"#, r#"absent(a{§,b="x"}) + a{§}"#),
        ] {
            assert_eq!(shape_of(query), shape, "{query}");
        }
    }

    #[test]
    fn shape_is_asked_about_once() {
        let seen = Agreements::new(1 << 20);
        for (query, shapes) in [
            (r#"up{a="b"} + 1"#, 1),
            (r#"up{a="c d"} + 234"#, 1),
            ("up{a='b'} + 1", 2),
            // What the parser cannot read is not kept.
            ("a </ 5", 2),
        ] {
            assert!(confined_with(query, &acme(), &seen).is_ok(), "{query}");
            assert_eq!(seen.len(), shapes, "{query}");
        }
        assert!(confined_with(r#"up{a="b"} + 1"#, &acme_and_globex(), &seen).is_ok());
        assert_eq!(seen.len(), 3, "of other matchers");
    }

    #[test]
    fn nothing_but_an_agreement_on_the_same_shape_is_taken_over() {
        let seen = Agreements::new(1 << 20);
        let agree = |query: &str, verdict: Verdict| {
            let confined = confined_with(query, &acme(), &none()).unwrap();
            let found = scan(confined.text(), Kind::Expression, 100, |_| Ok(())).unwrap();
            seen.agree(confined.text(), &found, &acme(), || verdict)
        };
        assert!(!agree("a{b=`x`}", Verdict::Disagrees));
        assert!(agree("a{b=`x`}", Verdict::CannotRead));
        assert!(!agree("a{b=`x`}", Verdict::Disagrees));
        assert!(agree("a{b=`x`}", Verdict::Agrees));
        assert!(agree("a{b=`y z`}", Verdict::Disagrees), "not asked again");
        for other in [
            "a{b=`\\`}",
            "a{b=\"x\"}",
            "a{b=`'`}",
            "a{b=`\n`}",
            "a{b=`\t`}",
            "a{b!=`x`}",
            "a{c=`x`}",
            "c{b=`x`}",
        ] {
            assert!(!agree(other, Verdict::Disagrees), "{other}");
        }
    }

    #[test]
    fn keys_are_equal_only_if_both_parts_are() {
        let known = Key {
            matchers: "m".into(),
            shape: (*b"s").into(),
        };
        let is_known = |matchers, shape: &[u8]| KeyRef { matchers, shape }.equivalent(&known);
        assert!(is_known("m", b"s"));
        assert!(!is_known("n", b"s") && !is_known("m", b"t") && !is_known("n", b"t"));
    }

    #[test]
    fn memory_is_bounded() {
        let seen = Agreements::new(10_000);
        for number in 0..1000 {
            assert!(confined_with(&format!("up{number}"), &acme(), &seen).is_ok());
        }
        assert!(seen.len() < 100, "{}", seen.len());
    }
}
