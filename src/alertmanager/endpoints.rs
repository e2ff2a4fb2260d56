//! Maps paths to the calls of Alertmanager's API. The table is closed: a path below `/api` that is
//! not listed here is not sent to the upstream.

use std::borrow::Cow;

use crate::closed_group::ClosedGroup;

/// A call that this proxy can confine to a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/api/v2/alerts`
    Alerts,
    /// `/api/v2/alerts/groups`
    AlertGroups,
    /// `/api/v2/silences`
    Silences,
    /// `/api/v2/silence/{id}`
    Silence(SilenceId),
    /// `/api/v2/receivers`
    Receivers,
    /// `/api/v2/status`
    Status,
}

/// The id of a silence: a UUID as Alertmanager writes it, in either case. It needs no escaping,
/// neither in a path nor in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceId(Box<str>);

impl SilenceId {
    /// The id, if it is one: groups of 8, 4, 4, 4 and 12 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
        let groups = || text.split('-');
        let is_uuid = groups().map(str::len).eq(GROUPS) && groups().all(is_hex);
        is_uuid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a path means in Alertmanager's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// A call with its own enforcement.
    Known(Endpoint),
    /// A silence whose id is no UUID.
    MalformedId,
    /// Refused unless the config opens its group, and then only for callers with all tenants.
    Closed(ClosedGroup),
    /// No tenant data behind it: the web interface, and health checks.
    PassThrough,
}

/// The calls without an id in their path.
static FIXED: [Endpoint; 5] = [
    Endpoint::Alerts,
    Endpoint::AlertGroups,
    Endpoint::Silences,
    Endpoint::Receivers,
    Endpoint::Status,
];

/// An id for the list of all calls.
const SOME_ID: &str = "00000000-0000-4000-8000-000000000000";

/// Classifies a decoded, canonical path (one leading slash, no dot segments, no empty segments but
/// a trailing one).
pub fn classify(path: &str) -> Class {
    if let Some(known) = FIXED.iter().find(|known| known.template() == path) {
        return Class::Known(known.clone());
    }
    if let Some(id) = path.strip_prefix("/api/v2/silence/") {
        let known = SilenceId::parse(id).map(Endpoint::Silence);
        return known.map_or(Class::MalformedId, Class::Known);
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match (first, rest) {
        ("-", "healthy" | "ready") => Class::PassThrough,
        ("metrics" | "debug" | "-", _) => Class::Closed(ClosedGroup::Internals),
        _ if first.eq_ignore_ascii_case("api") => Class::Closed(ClosedGroup::Unknown),
        _ => Class::PassThrough,
    }
}

impl Endpoint {
    /// The methods that the upstream supports, in the order of `Allow`.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Alerts | Self::Silences => &["GET", "POST"],
            Self::Silence(_) => &["GET", "DELETE"],
            Self::AlertGroups | Self::Receivers | Self::Status => &["GET"],
        }
    }

    /// Every call; a silence with some id.
    pub fn all() -> impl Iterator<Item = Self> {
        let silence = SilenceId::parse(SOME_ID).map(Self::Silence);
        FIXED.iter().cloned().chain(silence)
    }

    /// The path that is forwarded, relative to the upstream's base path.
    pub fn path(&self) -> Cow<'static, str> {
        match self {
            Self::Silence(id) => Cow::Owned(format!("/api/v2/silence/{}", id.as_str())),
            fixed => Cow::Borrowed(fixed.template()),
        }
    }

    /// Its path, with `{id}` for a silence's id.
    pub fn template(&self) -> &'static str {
        match self {
            Self::Alerts => "/api/v2/alerts",
            Self::AlertGroups => "/api/v2/alerts/groups",
            Self::Silences => "/api/v2/silences",
            Self::Silence(_) => "/api/v2/silence/{id}",
            Self::Receivers => "/api/v2/receivers",
            Self::Status => "/api/v2/status",
        }
    }

    /// A short name for logs and metrics; never contains anything from the request.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alerts => "alertmanager_alerts",
            Self::AlertGroups => "alertmanager_groups",
            Self::Silences => "silences",
            Self::Silence(_) => "silence",
            Self::Receivers => "receivers",
            Self::Status => "alertmanager_status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_recognized_by_its_own_path() {
        assert_eq!(Endpoint::all().count(), FIXED.len() + 1);
        for endpoint in Endpoint::all() {
            let path = endpoint.path();
            assert_eq!(classify(&path), Class::Known(endpoint.clone()));
            let slashed = classify(&format!("{path}/"));
            assert!(!matches!(slashed, Class::Known(_)), "{path}/");
        }
    }

    #[test]
    fn id_that_is_no_uuid_is_malformed() {
        let id = "ab2a652a-fe1c-4608-b336-d1a404c3e5de";
        for bad in [
            "",
            "x",
            "ab2a652afe1c4608b336d1a404c3e5de",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5de/",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5de/..",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5dé",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5d%65",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5de-",
            " ab2a652a-fe1c-4608-b336-d1a404c3e5de",
            "{ab2a652a-fe1c-4608-b336-d1a404c3e5de}",
            "ab2a652a-fe1c-4608-b336-d1a404c3e5de?x",
        ] {
            let class = classify(&format!("/api/v2/silence/{bad}"));
            assert_eq!(class, Class::MalformedId, "{bad}");
        }
        for good in [id.to_owned(), id.to_uppercase()] {
            let Class::Known(endpoint) = classify(&format!("/api/v2/silence/{good}")) else {
                panic!("{good}");
            };
            assert_eq!(endpoint.path(), format!("/api/v2/silence/{good}"));
        }
    }

    #[test]
    fn every_other_path_below_api_is_closed() {
        for (path, group) in [
            ("/api/v1/alerts", ClosedGroup::Unknown),
            ("/api/v2", ClosedGroup::Unknown),
            ("/api/v2/", ClosedGroup::Unknown),
            ("/api/v2/alerts/", ClosedGroup::Unknown),
            ("/api/v2/alerts/x", ClosedGroup::Unknown),
            ("/api/v2/Alerts", ClosedGroup::Unknown),
            ("/API/v2/alerts", ClosedGroup::Unknown),
            ("/api/v2/silence", ClosedGroup::Unknown),
            ("/api/v2/swagger.json", ClosedGroup::Unknown),
            ("/api/v3/alerts", ClosedGroup::Unknown),
            ("/metrics", ClosedGroup::Internals),
            ("/debug/pprof/heap", ClosedGroup::Internals),
            ("/-/reload", ClosedGroup::Internals),
            ("/-/quit", ClosedGroup::Internals),
            ("/-", ClosedGroup::Internals),
        ] {
            assert_eq!(classify(path), Class::Closed(group), "{path}");
        }
        for path in [
            "/",
            "/script.js",
            "/lib/elm-datepicker.css",
            "/-/healthy",
            "/-/ready",
        ] {
            assert_eq!(classify(path), Class::PassThrough, "{path}");
        }
    }
}
