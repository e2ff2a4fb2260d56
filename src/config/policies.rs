//! A file of policy tests: claims, requests, and their expected results.

use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value as Json};

use super::access::Access;
use super::error::{ConfigErrors, Position};
use super::reader::{Field, Read, Reader};
use super::settings::Api;
use super::values;
use super::yaml::{Node, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    /// `config`: the config to test where a test names none.
    pub config: Option<PathBuf>,
    /// `tests`: at least one.
    pub tests: Vec<PolicyTest>,
}

/// One entry of `tests`: what a caller with these claims may do.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTest {
    /// `name`
    pub name: String,
    /// Its position.
    pub at: Position,
    /// `config`: overrides the file's.
    pub config: Option<PathBuf>,
    /// `issuer`: the issuer of the claims; default the claims' `iss`, or the only issuer.
    pub issuer: Option<String>,
    /// `claims`: as in the token. An unquoted scalar has its JSON type: a number, `true`, `false`,
    /// `null`; otherwise it is a string.
    pub claims: Map<String, Json>,
    /// `tenants`: a list of them, `all` or `none`.
    pub tenants: Option<ExpectedTenants>,
    /// `requests`
    pub requests: Vec<RequestTest>,
}

/// The tenants that the caller is expected to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedTenants {
    /// No restriction.
    All,
    /// None: every request is refused.
    None,
    /// These, sorted.
    These(Vec<String>),
}

/// One entry of `requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTest {
    /// Its position.
    pub at: Position,
    /// `request`: method and target, as for `partywall explain --request`.
    pub request: Option<String>,
    /// `query`: becomes a parameter of the request.
    pub query: Option<String>,
    /// `api`: the API of the query, where there is no request.
    pub api: Option<Api>,
    /// `route`: the endpoint, as in the metrics' label `route`.
    pub route: Option<String>,
    /// `sends` or `refused`.
    pub expected: Expected,
}

/// The expected result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `sends: true`: it is forwarded.
    Sent,
    /// `sends`: it is forwarded with these queries, including those that Partywall adds, in order.
    Queries(Vec<String>),
    /// `refused`: it is refused.
    Refused {
        /// `status`
        status: Option<u16>,
        /// `reason`: as in the metrics' label `reason`.
        reason: Option<String>,
    },
}

/// Loads the file at `path`. Paths in it are relative to its folder.
///
/// # Errors
/// All errors, in the order of the file.
pub fn load(path: &Path, access: &dyn Access) -> Result<Policies, ConfigErrors> {
    let mut reader = Reader::new(path, access);
    let policies = reader
        .tree()
        .and_then(|tree| policies(&mut reader, &Field::root(&tree)));
    reader.finish(policies).map(|(policies, ..)| policies)
}

fn policies(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Policies> {
    let mut section = r.section(field)?;
    let config = section.optional(r, "config", values::path);
    let tests = section.required(r, "tests", |r, field| r.some_of(field, test));
    section.finish(r)?;
    Ok(Policies {
        config: config?,
        tests: tests?,
    })
}

fn test(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PolicyTest> {
    let mut section = r.section(field)?;
    let name = section.required(r, "name", values::text);
    let config = section.optional(r, "config", values::path);
    let issuer = section.optional(r, "issuer", values::text);
    let claims = section.required(r, "claims", claims);
    let tenants = section.optional(r, "tenants", tenants);
    let requests = section.or(r, "requests", Vec::new(), |r, field| {
        r.some_of(field, request)
    });
    section.finish(r)?;
    let (tenants, requests) = (tenants?, requests?);
    if tenants.is_none() && requests.is_empty() {
        return Err(r.error(field, "expects nothing: give `tenants`, `requests` or both"));
    }
    Ok(PolicyTest {
        name: name?,
        at: field.node.at,
        config: config?,
        issuer: issuer?,
        claims: claims?,
        tenants,
        requests,
    })
}

fn claims(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Map<String, Json>> {
    // So that a repeated claim is an error, as in a token.
    let entries = r.entries(field)?;
    let claims = entries.iter().map(|entry| {
        let value = json(r, &field.child(entry))?;
        Ok((entry.key.clone(), value))
    });
    claims.collect()
}

fn json(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Json> {
    match &field.node.value {
        Value::Map(_) => claims(r, field).map(Json::Object),
        Value::List(_) => r.list(field, json).map(Json::Array),
        Value::Scalar { text, plain } => Ok(scalar(field.node, text, *plain)),
    }
}

fn scalar(node: &Node, text: &str, plain: bool) -> Json {
    if node.is_null() {
        return Json::Null;
    }
    if let Some(truth) = node.as_bool() {
        return Json::Bool(truth);
    }
    match serde_json::from_str::<Number>(text) {
        Ok(number) if plain => Json::Number(number),
        _ => Json::String(text.to_owned()),
    }
}

fn tenants(r: &mut Reader<'_>, field: &Field<'_>) -> Read<ExpectedTenants> {
    if let Value::List(_) = field.node.value {
        let mut tenants = r.some_of(field, values::text)?;
        tenants.sort_unstable();
        tenants.dedup();
        return Ok(ExpectedTenants::These(tenants));
    }
    match values::text(r, field)?.as_str() {
        "all" => Ok(ExpectedTenants::All),
        "none" => Ok(ExpectedTenants::None),
        _ => Err(r.error(field, "must be a list of tenants, `all` or `none`")),
    }
}

fn request(r: &mut Reader<'_>, field: &Field<'_>) -> Read<RequestTest> {
    let mut section = r.section(field)?;
    let request = section.optional(r, "request", values::text);
    let query = section.optional(r, "query", values::text);
    let api = section.optional(r, "api", |r, field| {
        let known = [("prometheus", Api::Prometheus), ("tempo", Api::Tempo)];
        values::choice(r, field, &known)
    });
    let route = section.optional(r, "route", values::text);
    let expected = section.exactly_one(r, &[("sends", sends), ("refused", refused)]);
    section.finish(r)?;
    let (request, query) = (request?, query?);
    if request.is_none() && query.is_none() {
        return Err(r.error(field, "asks nothing: give `request`, `query` or both"));
    }
    Ok(RequestTest {
        at: field.node.at,
        request,
        query,
        api: api?,
        route: route?,
        expected: expected?,
    })
}

fn sends(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Expected> {
    match &field.node.value {
        Value::List(_) => r.list(field, values::text).map(Expected::Queries),
        _ if field.node.as_bool() == Some(true) => Ok(Expected::Sent),
        _ => values::text(r, field).map(|query| Expected::Queries(vec![query])),
    }
}

fn refused(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Expected> {
    let mut section = r.section(field)?;
    let status = section.optional(r, "status", |r, field| {
        let status = values::count(r, field, 400..=599)?;
        u16::try_from(status).map_err(|_| r.error(field, "is not a status"))
    });
    let reason = section.optional(r, "reason", values::text);
    section.finish(r)?;
    let (status, reason) = (status?, reason?);
    if status.is_none() && reason.is_none() {
        return Err(r.error(field, "expects nothing: give `status`, `reason` or both"));
    }
    Ok(Expected::Refused { status, reason })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::access::OsAccess;
    use super::*;

    fn read(text: &str) -> Result<Policies, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        std::fs::write(&path, text).unwrap();
        load(&path, &OsAccess).map_err(|errors| {
            let all = errors.to_string();
            all.replace(&format!("{}:", path.display()), "")
        })
    }

    #[test]
    fn claims_have_their_json_types() {
        let text = "
tests:
  - name: x
    tenants: none
    claims:
      text: a
      number: 12
      quoted: '12'
      truth: true
      nothing: null
      word: yes
      list: [a, 1.5, {deep: er}]
";
        let read = read(text).unwrap();
        let expected = json!({
            "text": "a", "number": 12, "quoted": "12", "truth": true, "nothing": null,
            "word": "yes", "list": ["a", 1.5, {"deep": "er"}],
        });
        assert_eq!(Json::Object(read.tests[0].claims.clone()), expected);
        assert_eq!(read.tests[0].tenants, Some(ExpectedTenants::None));
    }

    #[test]
    fn all_errors_are_reported_with_their_positions() {
        let text = "
tests:
  - name: x
    claims: {a: 1, a: 2}
    tenants: some
    requests:
      - query: up
      - sends: true
      - query: up
        sends: x
        refused: {status: 403}
      - query: up
        refused: {status: 200}
      - query: up
        refused: {}
        rote: query
";
        let errors = read(text).unwrap_err();
        let expected = [
            "4:20: tests[0].claims.a: is given twice, first in line 4",
            "5:14: tests[0].tenants: must be a list of tenants, `all` or `none`",
            "7:9: tests[0].requests[0]: one of `sends` and `refused` is required",
            "8:9: tests[0].requests[1]: asks nothing: give `request`, `query` or both",
            "11:18: tests[0].requests[2].refused: only one of `sends` and `refused` may be given",
            "13:27: tests[0].requests[3].refused.status: must be between 400 and 599",
            "15:18: tests[0].requests[4].refused: expects nothing: give `status`, `reason` or both",
            "16:9: tests[0].requests[4].rote: unknown key; did you mean `route`?",
        ];
        assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn test_without_expectations_is_refused() {
        let errors = read("tests: [{name: x, claims: {}}]").unwrap_err();
        assert!(errors.contains("expects nothing"), "{errors}");
        assert!(read("").unwrap_err().contains("tests: is required"));
    }
}
