//! The names of tags in calls for tag values.
//!
//! Tempo parses the name in the path as TraceQL (`ParseIdentifier` in `pkg/traceql/parse.go`), and
//! accepts more than a name: parentheses, comments, even further pipeline stages. Here a name is
//! one attribute or intrinsic, and is forwarded in one canonical spelling.

use std::fmt;

use thiserror::Error;

/// An attribute or intrinsic whose values a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagName(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// An intrinsic of one span.
    Intrinsic(&'static str),
    /// An intrinsic that describes the whole trace, other tenants' spans included.
    TraceIntrinsic(&'static str),
    Attribute {
        /// With its dot; only the dot if there is no scope.
        scope: &'static str,
        name: Box<str>,
    },
}

/// A tag of spans that stands for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfSpans {
    pub tag: TagName,
    /// Whether only values of root spans count.
    pub only_roots: bool,
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagNameError {
    /// Neither an attribute with its scope nor an intrinsic.
    #[error(
        "the tag is neither an attribute (.name, span.name, resource.name, event.name, \
         link.name, instrumentation.name) nor an intrinsic (name, status, span:kind, …)"
    )]
    NotAName,
    /// Tempo does not filter these by tenant.
    #[error("tags of parent spans are not supported")]
    Parent,
    /// Path normalization would change its path.
    #[error("a tag with empty, `.` or `..` parts between slashes is not supported")]
    DotSegments,
    #[error("the tag is longer than {MAX_TAG_BYTES} bytes")]
    TooLong,
    /// NUL, newlines and the like.
    #[error("the tag has a control character")]
    ControlCharacter,
}

/// The longest tag name, in bytes.
pub const MAX_TAG_BYTES: usize = 2048;

/// From `pkg/traceql/enum_attributes.go`, without [`TRACE_INTRINSICS`], without `parent`, and
/// without `span:childCount`, which counts children of every tenant.
const INTRINSICS: [&str; 20] = [
    "duration",
    "name",
    "status",
    "statusMessage",
    "kind",
    "nestedSetLeft",
    "nestedSetRight",
    "nestedSetParent",
    "span:duration",
    "span:name",
    "span:status",
    "span:statusMessage",
    "span:kind",
    "span:id",
    "span:parentID",
    "event:name",
    "event:timeSinceStart",
    "link:traceID",
    "link:spanID",
    "trace:id",
];

const INSTRUMENTATION_INTRINSICS: [&str; 2] = ["instrumentation:name", "instrumentation:version"];

/// Intrinsics whose values Tempo returns for whole traces, whatever the query says.
const TRACE_INTRINSICS: [&str; 7] = [
    "rootName",
    "rootServiceName",
    "traceDuration",
    "trace:rootName",
    "trace:rootService",
    "trace:duration",
    "span:childCount",
];

const SCOPES: [&str; 6] = [
    ".",
    "span.",
    "resource.",
    "event.",
    "link.",
    "instrumentation.",
];

/// Tags that the first version of the API looks for in one scope only
/// (`translateTagToAttribute` in `tempodb/encoding/vparquet5/block_search_tags.go`).
const V1_RESOURCE: [&str; 9] = [
    "service.name",
    "cluster",
    "namespace",
    "pod",
    "container",
    "k8s.namespace.name",
    "k8s.cluster.name",
    "k8s.pod.name",
    "k8s.container.name",
];
const V1_SPAN: [&str; 3] = ["http.method", "http.url", "http.status_code"];

impl TagName {
    /// Parses a tag of `/api/v2/search/tag/{tag}/values` or of `SearchTagValuesV2`.
    pub fn parse(text: &str) -> Result<Self, TagNameError> {
        check(text)?;
        if text == "parent" || text.starts_with("parent.") {
            return Err(TagNameError::Parent);
        }
        if let Some(intrinsic) = Self::intrinsic(text) {
            return Ok(intrinsic);
        }
        let (scope, name) = SCOPES
            .into_iter()
            .find_map(|scope| Some((scope, text.strip_prefix(scope)?)))
            .ok_or(TagNameError::NotAName)?;
        let name = unquote(name)
            .filter(|name| !name.is_empty())
            .ok_or(TagNameError::NotAName)?;
        Self::attribute(scope, &name)
    }

    /// Parses a tag of `/api/search/tag/{tag}/values` or of `SearchTagValues`: an attribute name
    /// without a scope, or one of the few intrinsics that this version knows.
    pub fn parse_v1(text: &str) -> Result<Self, TagNameError> {
        check(text)?;
        let canonical = match text {
            "" => return Err(TagNameError::NotAName),
            "status.code" => "status",
            "root.name" => "rootName",
            "root.service.name" => "rootServiceName",
            "name" | "rootName" | "rootServiceName" | "trace:id" | "span:id" => text,
            _ => {
                let scope = if V1_RESOURCE.contains(&text) {
                    "resource."
                } else if V1_SPAN.contains(&text) {
                    "span."
                } else {
                    "."
                };
                return Self::attribute(scope, text);
            }
        };
        Self::intrinsic(canonical).ok_or(TagNameError::NotAName)
    }

    /// The resource attribute of this name.
    pub fn resource(name: &str) -> Result<Self, TagNameError> {
        Self::in_scope("resource", name)
    }

    /// The attribute of this name in a scope, as answers with names call it: `span`, `resource`, ….
    pub fn in_scope(scope: &str, name: &str) -> Result<Self, TagNameError> {
        check(name)?;
        let is_it = |known: &&str| !scope.is_empty() && known.strip_suffix('.') == Some(scope);
        match SCOPES.into_iter().find(is_it) {
            Some(scope) if !name.is_empty() => Self::attribute(scope, name),
            _ => Err(TagNameError::NotAName),
        }
    }

    /// An intrinsic that every span has.
    pub fn span_name() -> Self {
        Self(Kind::Intrinsic("name"))
    }

    /// The tag of spans whose values are those of this intrinsic of whole traces, in a store with
    /// nothing but these spans. The tag itself if it is no such intrinsic, or if there is none.
    pub fn of_spans(self) -> OfSpans {
        let name = match self.0 {
            Kind::TraceIntrinsic("rootName" | "trace:rootName") => Kind::Intrinsic("name"),
            Kind::TraceIntrinsic("rootServiceName" | "trace:rootService") => Kind::Attribute {
                scope: "resource.",
                name: "service.name".into(),
            },
            // Tempo lists no values of either. It does list those of `trace:duration`.
            Kind::TraceIntrinsic("traceDuration") => {
                return OfSpans {
                    tag: Self(Kind::Intrinsic("duration")),
                    only_roots: false,
                };
            }
            other => {
                return OfSpans {
                    tag: Self(other),
                    only_roots: false,
                };
            }
        };
        OfSpans {
            tag: Self(name),
            only_roots: true,
        }
    }

    /// The tags whose values together are those of this one: an attribute without a scope is one of
    /// spans and one of resources.
    pub fn with_scopes(self) -> Vec<Self> {
        match self.0 {
            Kind::Attribute { scope: ".", name } => ["resource.", "span."]
                .map(|scope| {
                    let name = name.clone();
                    Self(Kind::Attribute { scope, name })
                })
                .into(),
            other => vec![Self(other)],
        }
    }

    /// Whether its values describe whole traces: to be refused unless the operator asserts that
    /// traces are never shared.
    pub fn describes_whole_trace(&self) -> bool {
        matches!(self.0, Kind::TraceIntrinsic(_))
    }

    /// Whether it may name this resource attribute.
    pub fn may_be_resource(&self, attribute: &str) -> bool {
        matches!(&self.0, Kind::Attribute { scope, name }
            if matches!(*scope, "." | "resource.") && &**name == attribute)
    }

    fn intrinsic(text: &str) -> Option<Self> {
        let find = |list: &[&'static str]| list.iter().copied().find(|known| *known == text);
        find(&INTRINSICS)
            .or_else(|| find(&INSTRUMENTATION_INTRINSICS))
            .map(Kind::Intrinsic)
            .or_else(|| find(&TRACE_INTRINSICS).map(Kind::TraceIntrinsic))
            .map(Self)
    }

    fn attribute(scope: &'static str, name: &str) -> Result<Self, TagNameError> {
        let name = name.into();
        let tag = Self(Kind::Attribute { scope, name });
        // Without its quotes the name may have become longer, or a path with dot segments.
        check(&tag.to_string())?;
        Ok(tag)
    }
}

/// The canonical spelling, which is forwarded.
impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Intrinsic(name) | Kind::TraceIntrinsic(name) => f.write_str(name),
            Kind::Attribute { scope, name } if name.chars().all(is_bare) => {
                write!(f, "{scope}{name}")
            }
            Kind::Attribute { scope, name } => {
                write!(f, "{scope}\"")?;
                for c in name.chars() {
                    if matches!(c, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{c}")?;
                }
                f.write_str("\"")
            }
        }
    }
}

/// The checks for the names of both versions, which are part of a path.
fn check(text: &str) -> Result<(), TagNameError> {
    if text.len() > MAX_TAG_BYTES {
        return Err(TagNameError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(TagNameError::ControlCharacter);
    }
    if text.split('/').any(|part| matches!(part, "." | "..")) || text.contains("//") {
        return Err(TagNameError::DotSegments);
    }
    if text.starts_with('/') || text.ends_with('/') {
        return Err(TagNameError::DotSegments);
    }
    Ok(())
}

/// Unquotes the name after a scope, in which quoted and unquoted parts may alternate
/// (`parseAttribute` in `pkg/traceql/lexer.go`).
fn unquote(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            is_bare(c).then(|| name.push(c))?;
            continue;
        }
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => name.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
                quoted => name.push(quoted),
            }
        }
    }
    Some(name)
}

/// Whether a character is allowed in a name without quotes (`isAttributeRune` in
/// `pkg/traceql/lexer.go`).
fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !"{}()=~!<>&|^,\"".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        TagName::parse(text).unwrap().to_string()
    }

    fn canonical_v1(text: &str) -> String {
        TagName::parse_v1(text).unwrap().to_string()
    }

    #[test]
    fn attributes_of_answers_with_names_print_as_tags_of_their_scope() {
        for (scope, name, expected) in [
            ("span", "http.url", Some("span.http.url")),
            ("event", "a b", Some("event.\"a b\"")),
            ("instrumentation", "x", Some("instrumentation.x")),
            ("intrinsic", "name", None),
            ("", "x", None),
            (".", "x", None),
            ("span.", "x", None),
            ("span", "", None),
            ("span", "a/../b", None),
            ("span", "a\nb", None),
        ] {
            let tag = TagName::in_scope(scope, name).ok();
            let tag = tag.map(|tag| tag.to_string());
            assert_eq!(tag.as_deref(), expected, "{scope} {name}");
        }
    }

    #[test]
    fn attributes_and_intrinsics_print_as_their_names() {
        for text in [
            ".a",
            "resource.service.name",
            "span.a/b",
            "span.resource.x",
            ".a+1[2]:;é#%",
            "event.exception.message",
            "name",
            "span:kind",
            "instrumentation:version",
            "rootName",
            r#".""quoted\"\\ part"b"#,
        ] {
            let again = canonical(text);
            assert_eq!(TagName::parse(&again), TagName::parse(text), "{text}");
        }
        assert_eq!(canonical(".a/b"), ".a/b");
        assert_eq!(canonical(r#"span."a b".c"#), r#"span."a b.c""#);
        assert_eq!(canonical(r#"span."plain""#), "span.plain");
    }

    /// Each of these returned another tag's values, or every tenant's, on a real Tempo.
    #[test]
    fn more_than_a_name_is_refused() {
        for text in [
            "(rootName)",
            "rootName//",
            " rootName",
            "name ",
            "rootName } | { true",
            "rootName/**/",
            "",
            ".",
            "..",
            "resource.",
            ".a b",
            ".a = 1",
            ".a,b",
            ".a && true",
            r#"span."a"#,
            r#"span."\n""#,
            "childCount",
            "service.name",
            "1",
            "nil",
            "Resource.a",
        ] {
            assert!(TagName::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            TagName::parse("parent.resource.tenant_id"),
            Err(TagNameError::Parent)
        );
    }

    #[test]
    fn names_that_would_change_their_path_are_refused() {
        for text in [
            ".a/../b", ".a//b", "./a", ".a/./b", ".a/", "../a", "..", "/.a", ".",
        ] {
            assert_eq!(
                TagName::parse_v1(text),
                Err(TagNameError::DotSegments),
                "{text}"
            );
            assert!(TagName::parse(text).is_err(), "{text}");
        }
        assert_eq!(TagName::parse(r#".".""#), Err(TagNameError::DotSegments));
        assert_eq!(TagName::parse(".a\n"), Err(TagNameError::ControlCharacter));
        assert_eq!(
            TagName::parse(&format!(".{}", "a".repeat(MAX_TAG_BYTES))),
            Err(TagNameError::TooLong)
        );
    }

    #[test]
    fn first_version_names_have_no_scope() {
        assert_eq!(canonical_v1("service.name"), "resource.service.name");
        assert_eq!(canonical_v1("http.method"), "span.http.method");
        assert_eq!(canonical_v1("x"), ".x");
        assert_eq!(canonical_v1("x y"), r#"."x y""#);
        assert_eq!(canonical_v1("status"), ".status");
        assert_eq!(canonical_v1("status.code"), "status");
        assert_eq!(
            canonical_v1("rootName) || (true"),
            r#"."rootName) || (true""#
        );
        assert_eq!(canonical_v1("parent.x"), ".parent.x");
        assert!(TagName::parse_v1("").is_err());
    }

    #[test]
    fn trace_intrinsics_are_recognized_in_any_spelling() {
        for text in [
            "rootName",
            "rootServiceName",
            "trace:rootName",
            "span:childCount",
        ] {
            assert!(
                TagName::parse(text).unwrap().describes_whole_trace(),
                "{text}"
            );
        }
        for text in ["root.name", "root.service.name", "rootName"] {
            assert!(
                TagName::parse_v1(text).unwrap().describes_whole_trace(),
                "{text}"
            );
        }
        assert!(!TagName::parse(".rootName").unwrap().describes_whole_trace());
    }

    #[test]
    fn intrinsics_of_whole_traces_have_a_tag_of_spans_or_are_refused() {
        for (text, tag, only_roots) in [
            ("rootName", "name", true),
            ("trace:rootName", "name", true),
            ("rootServiceName", "resource.service.name", true),
            ("trace:rootService", "resource.service.name", true),
            ("traceDuration", "duration", false),
            ("trace:duration", "trace:duration", false),
            ("span:childCount", "span:childCount", false),
            ("name", "name", false),
            (".rootName", ".rootName", false),
        ] {
            let found = TagName::parse(text).unwrap().of_spans();
            assert_eq!(found.tag.to_string(), tag);
            assert_eq!(found.only_roots, only_roots, "{text}");
            let is_refused = matches!(text, "trace:duration" | "span:childCount");
            assert_eq!(found.tag.describes_whole_trace(), is_refused, "{text}");
        }
        let of_v1 = TagName::parse_v1("root.service.name").unwrap().of_spans();
        assert_eq!(of_v1.tag.to_string(), "resource.service.name");
    }

    #[test]
    fn tenant_attribute_is_recognized() {
        let may = |text| TagName::parse(text).unwrap().may_be_resource("tenant_id");
        assert!(may(".tenant_id") && may("resource.tenant_id") && may(r#"."tenant_id""#));
        assert!(!may("span.tenant_id") && !may("resource.tenant") && !may("name"));
    }

    proptest! {
        #[test]
        fn printed_name_parses_as_itself(text in r#"(\.|span\.|resource\.)["\\/a-c .{}()|]{0,12}"#) {
            if let Ok(tag) = TagName::parse(&text) {
                let printed = tag.to_string();
                prop_assert_eq!(TagName::parse(&printed), Ok(tag));
            }
        }

        #[test]
        fn any_v1_name_prints_as_a_valid_v2_name(text in "\\PC{1,24}") {
            if let Ok(tag) = TagName::parse_v1(&text) {
                prop_assert_eq!(TagName::parse(&tag.to_string()), Ok(tag));
            }
        }
    }
}
