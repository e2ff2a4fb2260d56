//! A request's path, parsed once. The classified path is the one that is forwarded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// A path that is unambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct CanonicalPath<'a> {
    /// Percent-decoded: begins with `/`, has no dot segments, and no empty ones but a trailing one.
    decoded: Cow<'a, str>,
}

impl CanonicalPath<'_> {
    pub(in crate::proxy) fn as_str(&self) -> &str {
        &self.decoded
    }
}

/// The result of parsing a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum PathReading<'a> {
    /// Unambiguous.
    Canonical(CanonicalPath<'a>),
    /// Servers may disagree on what it means, but no reading makes it a data API's path: it may be
    /// passed through unmodified.
    HarmlesslyOdd,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::proxy) enum PathRefusal {
    /// `*`, or nothing.
    #[error("the request target has no path")]
    NotAPath,
    /// `.` or `..`, literal or encoded: they could leave the upstream's base path.
    #[error("the path has a dot segment; send the path it stands for")]
    DotSegment,
    /// An odd spelling of what may be a data API's path.
    #[error(
        "the path is not in canonical form (an empty segment, an encoded or double-encoded \
         separator, ';', '\\', a control character or a bad escape); send it plainly"
    )]
    NotCanonical,
}

/// Parses a request target's path.
pub(in crate::proxy) fn read(raw: &str) -> Result<PathReading<'_>, PathRefusal> {
    if !raw.starts_with('/') {
        return Err(PathRefusal::NotAPath);
    }
    if raw.bytes().all(is_plain_byte) && has_plain_segments(raw) {
        return Ok(PathReading::Canonical(CanonicalPath {
            decoded: Cow::Borrowed(raw),
        }));
    }
    let spelled_out = spell_out(raw).ok_or(PathRefusal::NotCanonical)?;
    if spelled_out
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err(PathRefusal::DotSegment);
    }
    if let Some(decoded) = decode_once(raw).or_else(|| decode_tag(raw)) {
        return Ok(PathReading::Canonical(CanonicalPath {
            decoded: Cow::Owned(decoded),
        }));
    }
    if spelled_out.split('/').any(is_guarded_segment) {
        return Err(PathRefusal::NotCanonical);
    }
    Ok(PathReading::HarmlesslyOdd)
}

/// A path near a data API as the routers of the stores clean it before they look at it (`cleanPath`
/// in Go's net/http and in gorilla/mux): without empty and `.` segments. They redirect to it; here
/// it is taken for what was asked, since it is what is forwarded. `None` where nothing is to be
/// cleaned, or where what comes out has no one reading.
pub(in crate::proxy) fn cleaned(raw: &str) -> Option<String> {
    let segments = raw.strip_prefix('/')?.split('/');
    let says_nothing = |segment: &&str| matches!(*segment, "" | ".");
    let mut clean = String::with_capacity(raw.len());
    for segment in segments.filter(|segment| !says_nothing(segment)) {
        clean.push('/');
        clean.push_str(segment);
    }
    if raw.ends_with('/') {
        clean.push('/');
    }
    let is_guarded = clean.split('/').any(is_guarded_segment);
    let has_one_reading = matches!(read(&clean), Ok(PathReading::Canonical(_)));
    (clean != raw && is_guarded && has_one_reading).then_some(clean)
}

/// The path's segments as the most lenient chain of servers could come to read them; `None` where
/// even [`read`] finds no reading.
pub(in crate::proxy) fn spelled_out(raw: &str) -> Option<Cow<'_, str>> {
    if raw.bytes().all(is_plain_byte) && has_plain_segments(raw) {
        return Some(Cow::Borrowed(raw));
    }
    let spelled_out = spell_out(raw)?;
    let segments = spelled_out.split('/').filter(|segment| !segment.is_empty());
    Some(Cow::Owned(
        segments.fold(String::new(), |path, segment| path + "/" + segment),
    ))
}

/// Whether a path segment belongs to a data API or to an upstream's internals, in any position: an
/// upstream may be mounted below a prefix that its configured URL lacks. Case is ignored, since
/// some servers do.
pub(in crate::proxy) fn is_guarded_segment(segment: &str) -> bool {
    const GUARDED: [&str; 10] = [
        "api", "federate", "-", "debug", "metrics", "consoles", "classic", "flush", "shutdown",
        "querier",
    ];
    GUARDED
        .iter()
        .any(|guarded| segment.eq_ignore_ascii_case(guarded))
        || segment
            .get(..8)
            .is_some_and(|head| head.eq_ignore_ascii_case("tempopb."))
}

/// Bytes that every server reads literally in a path.
fn is_plain_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
        | b',' | b'=' | b':' | b'@')
}

/// No dot segments; no empty segment but a trailing one.
fn has_plain_segments(path: &str) -> bool {
    let segments = path.as_bytes().split(|byte| *byte == b'/');
    let mut segments = segments.skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// The decoded path if decoding it once is unambiguous: it yields no separators, escapes or control
/// characters.
fn decode_once(raw: &str) -> Option<String> {
    if !escapes_are_whole(raw) {
        return None;
    }
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    let separators = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    let odd = |c: char| c.is_control() || matches!(c, '\\' | ';' | '%' | '#' | '?');
    let readable = separators(&decoded) == separators(raw)
        && !decoded.contains(odd)
        && has_plain_segments(&decoded);
    readable.then(|| decoded.into_owned())
}

/// Tempo's names of tags may hold anything, and Go writes `/` and `;` in them as they are, and `#`,
/// `?` and `%` escaped. Tempo's router takes all of the decoded path up to the last `/values`
/// (`MuxVarTagInPath`). What comes out stays within its place: the name is read strictly, and
/// escaped again before it is forwarded.
fn decode_tag(raw: &str) -> Option<String> {
    const PLACES: [&str; 2] = ["/api/search/tag/", "/api/v2/search/tag/"];
    const END: &str = "/values";
    let (start, tag) = PLACES
        .iter()
        .find_map(|start| Some((start, raw.strip_prefix(start)?.strip_suffix(END)?)))?;
    let is_segment = has_plain_segments(raw) && !tag.contains('\\') && escapes_are_whole(tag);
    let tag = percent_decode_str(tag).decode_utf8().ok()?;
    let is_readable = is_segment && !tag.is_empty() && !tag.contains(char::is_control);
    is_readable.then(|| format!("{start}{tag}{END}"))
}

fn escapes_are_whole(raw: &str) -> bool {
    raw.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The path as the most lenient chain of servers could read it: decoded repeatedly, backslashes as
/// slashes, path parameters and control characters dropped, and cut at a decoded `?` or `#`. `None`
/// if it still changes after several rounds.
fn spell_out(raw: &str) -> Option<String> {
    const ROUNDS: usize = 4;
    let mut current = raw.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let next: Vec<u8> = percent_encoding::percent_decode(&current).collect();
        if next == current {
            let text = String::from_utf8_lossy(&current).replace('\\', "/");
            let segments: Vec<String> = text
                .split('/')
                .map(|segment| {
                    let name = segment.split([';', '?', '#']).next().unwrap_or_default();
                    name.chars()
                        .filter(|c| !c.is_control() && !c.is_whitespace())
                        .collect()
                })
                .collect();
            return Some(segments.join("/"));
        }
        current = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Segments of endpoints, and attempts to disguise them.
    fn odd_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(
            &[
                "/",
                "//",
                "api",
                "v1",
                "query",
                "federate",
                "metrics",
                "-",
                "static",
                ".",
                "..",
                "%2e",
                "%2E",
                "%252e",
                "%2f",
                "%5c",
                "\\",
                ";",
                "%3b",
                "%00",
                "%0a",
                "%20",
                "%61pi",
                "%71",
                "%25",
                "%c3%a9",
                "\u{e9}",
                "%ff",
                "%",
                "%z",
                "?",
                "%3f",
                "#",
                "%23",
                "API",
                "x",
                "tempopb.X",
                "search",
                "tag",
                "values",
            ][..],
        );
        prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// What is forwarded for a canonical path is read as that path again, by us and by every
        /// server that decodes it any number of times.
        #[test]
        fn canonical_path_is_unambiguous(raw in prop_oneof![odd_path(), "/\\PC{0,30}"]) {
            let Ok(PathReading::Canonical(path)) = read(&raw) else {
                return Ok(());
            };
            let decoded = path.as_str().to_owned();
            prop_assert_eq!(&*percent_decode_str(&raw).decode_utf8().unwrap(), &decoded);
            prop_assert!(decoded.starts_with('/'));
            prop_assert!(!decoded.chars().any(char::is_control), "{:?}", decoded);
            if !decoded.contains("/search/tag/") {
                prop_assert!(has_plain_segments(&decoded), "{decoded}");
                prop_assert!(!decoded.contains(['\\', ';', '%', '#', '?']), "{decoded}");
                prop_assert_eq!(percent_decode_str(&decoded).decode_utf8().unwrap(), &*decoded);
            }
        }

        /// No reading of a path that is passed through unmodified is, or contains, a data API's
        /// path.
        #[test]
        fn harmlessly_odd_path_has_no_data_api_reading(raw in odd_path()) {
            if read(&raw) != Ok(PathReading::HarmlesslyOdd) {
                return Ok(());
            }
            let mut text = raw;
            for _ in 0..5 {
                for segment in text.split(['/', '\\']) {
                    let name = segment.split([';', '?', '#']).next().unwrap();
                    let name = name.trim_matches(|c: char| c.is_control() || c.is_whitespace());
                    prop_assert!(!is_guarded_segment(name), "{name} in {text}");
                    prop_assert!(!matches!(name, "." | ".."), "{text}");
                }
                text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
            }
        }
    }

    fn canonical(raw: &str) -> Option<String> {
        match read(raw) {
            Ok(PathReading::Canonical(path)) => Some(path.as_str().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn plain_paths_are_unmodified() {
        for path in [
            "/",
            "/api/v1/query",
            "/api/v1/query/",
            "/static/js/a.b-c_d~e.js",
        ] {
            assert_eq!(canonical(path).as_deref(), Some(path));
        }
    }

    #[test]
    fn unambiguous_escapes_are_decoded() {
        assert_eq!(
            canonical("/api/v1/%71uery").as_deref(),
            Some("/api/v1/query")
        );
        assert_eq!(
            canonical("/api/v1/label/caf%C3%A9%20x/values").as_deref(),
            Some("/api/v1/label/café x/values")
        );
    }

    #[test]
    fn odd_spellings_near_a_data_api_are_refused() {
        for path in [
            "/api%2fv1/query",
            "/api%2Fv1%2Fquery",
            "/api/v1/label/x%2f..%2f..%2fstatus%2fconfig/values",
            "/api\\v1\\query",
            "/api%5cv1%5cquery",
            "/%2561pi/v1/query",
            "/api;a=b/v1/query",
            "/api/v1/query;a=b",
            "/api/v1/query%00",
            "/api%00/v1/query",
            "/api/v1/%zzquery",
            "/api/v1/query%",
            "/%25252525252561pi/v1/query",
            "/federate%3fmatch[]=up",
            "/metrics%23",
            "/x/api%253f/v1",
        ] {
            assert!(read(path).is_err(), "{path}: {:?}", read(path));
        }
    }

    #[test]
    fn tempo_tag_may_contain_escaped_slashes() {
        let tag = "/api/v2/search/tag/resource.app%2Fname%20x/values";
        assert_eq!(
            canonical(tag).as_deref(),
            Some("/api/v2/search/tag/resource.app/name x/values")
        );
        for (path, decoded) in [
            ("a/b;c", "a/b;c"),
            ("a/b%23c", "a/b#c"),
            ("a;b%3Fc%25", "a;b?c%"),
            ("a/b/values", "a/b/values"),
        ] {
            let canonical = canonical(&format!("/api/v2/search/tag/{path}/values"));
            let expected = format!("/api/v2/search/tag/{decoded}/values");
            assert_eq!(canonical, Some(expected), "{path}");
        }
        for path in [
            "/api/v2/search/tag/x%2f..%2f..%2fstatus/values",
            "/api/v2/search/tag/x/../../status/values",
            "/api/v2/search/tag//x;y/values",
            "/api/v2/search/tag/x\\y;z/values",
            "/api/v2/search/tag/x%00/values",
            "/api/v2/search//tag/x%2fy/values",
            "/api/v2/search/tag/x%2fy/values/",
        ] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn paths_of_data_apis_are_cleaned_as_the_stores_clean_them() {
        for (path, expected) in [
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api//v1///query", Some("/api/v1/query")),
            ("/./api/v1/./query", Some("/api/v1/query")),
            ("//api/v1/query//", Some("/api/v1/query/")),
            (
                "/clusters/eu//api/v1/labels",
                Some("/clusters/eu/api/v1/labels"),
            ),
            ("/x//federate", Some("/x/federate")),
            ("//API/v1/query", Some("/API/v1/query")),
            ("/api/v1/query", None),
            ("/api/v1/query/", None),
            ("//graph", None),
            ("//api/../api/v1/query", None),
            ("//api/%2e/v1/query", None),
            ("//api%2fv1/query", None),
            ("//api/v1/query;x", None),
            ("//api\\v1", None),
            ("*", None),
            ("x//api/v1/query", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), expected, "{path}");
            if expected.is_some() {
                assert!(read(path).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn dot_segments_are_refused_everywhere() {
        for path in [
            "/./api/v1/query",
            "/x/../api/v1/query",
            "/x/%2e%2e/api/v1/query",
            "/x/%252e%252e/api",
            "/static/..",
            "/static/..;/x",
            "/static/..%2fx",
            "/static/..\\x",
        ] {
            assert_eq!(read(path), Err(PathRefusal::DotSegment), "{path}");
        }
    }

    #[test]
    fn odd_paths_outside_the_data_apis_pass() {
        for path in ["/static//x", "/static/a%2fb", "/x;y=z", "/100%25/%25x"] {
            assert_eq!(read(path), Ok(PathReading::HarmlesslyOdd), "{path}");
        }
    }

    #[test]
    fn target_without_a_path_is_refused() {
        assert_eq!(read("*"), Err(PathRefusal::NotAPath));
        assert_eq!(read(""), Err(PathRefusal::NotAPath));
    }
}
