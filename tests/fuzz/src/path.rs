//! Paths: one that is read has one reading, by any number of servers that decode it.

use partywall::proxy::fuzzing::{cleaned_path, read_path};
use percent_encoding::percent_decode_str;

const TAGS: [&str; 2] = ["/api/search/tag/", "/api/v2/search/tag/"];

pub fn check(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(clean) = cleaned_path(raw) {
        let segments = |path: &str| -> Vec<String> {
            let segments = path.split('/').filter(|it| !matches!(*it, "" | "."));
            segments.map(str::to_owned).collect()
        };
        assert_eq!(segments(&clean), segments(raw));
        assert!(matches!(read_path(&clean), Ok(Some(_))), "{clean}");
        assert_eq!(cleaned_path(&clean), None, "{clean}");
    }
    match read_path(raw) {
        Ok(Some(path)) => {
            let decoded = percent_decode_str(raw).decode_utf8().expect("text");
            assert_eq!(path, decoded);
            assert!(path.starts_with('/'));
            assert!(!path.contains(char::is_control), "{path:?}");
            if TAGS.iter().any(|tag| raw.starts_with(tag)) && raw.ends_with("/values") {
                return;
            }
            assert_eq!(
                percent_decode_str(&path).decode_utf8().expect("text"),
                path,
                "decoded twice"
            );
            assert!(!path.contains(['\\', ';', '?', '#']), "{path}");
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let (last, others) = segments.split_last().expect("one");
            assert!(!matches!(*last, "." | ".."), "{path}");
            assert!(
                others.iter().all(|it| !matches!(*it, "" | "." | "..")),
                "{path}"
            );
            assert_eq!(
                raw.matches('/').count(),
                path.matches('/').count(),
                "{path}"
            );
        }
        Ok(None) => assert!(!may_be_guarded(raw), "passed through: {raw}"),
        Err(()) => {}
    }
}

/// Whether a server that decodes several times, or ignores case and parameters, sees a segment of a data
/// API.
fn may_be_guarded(raw: &str) -> bool {
    let mut text = raw.to_owned();
    for _ in 0..6 {
        let lower = text.to_ascii_lowercase();
        let is_guarded = lower.split(['/', '\\']).any(|segment| {
            let name = segment.split([';', '?', '#']).next().unwrap_or_default();
            matches!(
                name,
                "api" | "federate" | "-" | "metrics" | "debug" | ".." | "."
            )
        });
        if is_guarded {
            return true;
        }
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    false
}
