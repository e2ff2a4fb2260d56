//! The values of a claim, in all the forms that providers write.
//!
//! | the claim is | its values are | written so by |
//! |---|---|---|
//! | a string | the string, or its pieces where the rule has a `separator` | most providers |
//! | a whole number | its decimal digits | account numbers of VictoriaMetrics |
//! | a list of those | each item | most providers |
//! | a list of objects with a `name` | each `name` | gateways and custom claims |
//! | an object of objects | its keys | Zitadel's roles, Keycloak's organizations |
//! | JSON text of such a list or object | as the list or object | gateways that only copy strings |
//!
//! Each form is unambiguous. Everything else is refused, mixed forms too: it is not known what was
//! meant, and a value that is dropped or guessed could be another tenant.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Number, Value};

use super::refusal::ScopeRefusal;
use crate::config::settings::ClaimPath;
use crate::strict_json;

/// The accepted forms, for error texts.
const EXPECTED: &str = "a string, a whole number, a list of those, a list of objects with a \
                        `name`, or an object whose values are objects";

/// The values of a claim: at least one, and none of them empty.
pub(super) struct ClaimValues<'a> {
    pub(super) values: Vec<Cow<'a, str>>,
    pub(super) form: Form,
}

/// How the values were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    is_text: bool,
    part: Part,
}

/// Which part of the claim is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The claim, or each item of the list.
    Whole,
    Pieces,
    Names,
    Keys,
}

impl Form {
    /// For operators; `None` for plain strings and lists.
    pub(super) fn in_words(self) -> Option<String> {
        let text = self.is_text.then_some("JSON text in a string");
        let part = match self.part {
            Part::Whole => None,
            Part::Pieces => Some("pieces of a string"),
            Part::Names => Some("the `name` of each object in a list"),
            Part::Keys => Some("the keys of an object"),
        };
        match (text, part) {
            (Some(text), Some(part)) => Some(format!("{text}: {part}")),
            (text, part) => text.or(part).map(str::to_owned),
        }
    }
}

/// The values at the end of the path. Empty pieces (`a,,b`, a separator at the end) are ignored. An
/// empty item of a list is a mistake at the provider and refused.
pub(super) fn read<'a>(
    path: &ClaimPath,
    separator: Option<&str>,
    claims: &'a Map<String, Value>,
) -> Result<ClaimValues<'a>, ScopeRefusal> {
    let Some(claim) = look_up(path, claims)? else {
        return Err(missing(path, claims));
    };
    let found = values(path, separator, claim)?;
    let empty = |found| ScopeRefusal::ClaimEmpty {
        claim: Path(path).to_string(),
        found,
    };
    if found.values.is_empty() {
        return Err(empty(match claim {
            Value::Array(_) => "an empty list",
            Value::Object(_) => "an empty object",
            _ if found.form.is_text => "the JSON text of an empty list or object",
            _ => "an empty string",
        }));
    }
    if found.values.iter().any(|value| value.is_empty()) {
        return Err(empty("a list with an empty string"));
    }
    Ok(found)
}

/// The values that a condition compares: none if the claim is missing, null or empty.
///
/// # Errors
/// If the claim cannot be read, or is not in the token because it is too large for one: then it is
/// unknown whether the condition holds, and going on to the next rule could grant more than was
/// meant.
pub(super) fn of_condition<'a>(
    path: &ClaimPath,
    claims: &'a Map<String, Value>,
) -> Result<Vec<Cow<'a, str>>, ScopeRefusal> {
    match look_up(path, claims)? {
        None | Some(Value::Null) if is_elsewhere(path, claims) => Err(missing(path, claims)),
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(claim) => Ok(values(path, None, claim)?.values),
    }
}

fn missing(path: &ClaimPath, claims: &Map<String, Value>) -> ScopeRefusal {
    let claim = Path(path).to_string();
    if is_elsewhere(path, claims) {
        ScopeRefusal::ClaimElsewhere { claim }
    } else {
        ScopeRefusal::ClaimMissing { claim }
    }
}

/// Whether the token says that the claim exists but must be fetched from the provider: a distributed
/// claim (`_claim_names`, OpenID Connect Core §5.6.2), or Entra ID's `hasgroups` of the implicit
/// flow. Entra ID does so for a user in too many groups, which it calls an overage.
fn is_elsewhere(path: &ClaimPath, claims: &Map<String, Value>) -> bool {
    let Some(name) = path.0.first() else {
        return false;
    };
    let names = claims.get("_claim_names").and_then(Value::as_object);
    let has_groups = || claims.get("hasgroups").is_some_and(|has| *has != false);
    names.is_some_and(|names| names.contains_key(name)) || (name == "groups" && has_groups())
}

fn values<'a>(
    path: &ClaimPath,
    separator: Option<&str>,
    claim: &'a Value,
) -> Result<ClaimValues<'a>, ScopeRefusal> {
    let plain = |part, values| ClaimValues {
        values,
        form: Form {
            is_text: false,
            part,
        },
    };
    match claim {
        Value::String(text) if is_json_text(text) => {
            let json = strict_json::value(text.as_bytes()).ok_or_else(|| {
                refused(
                    path,
                    "a string in brackets or braces that is not valid JSON",
                )
            })?;
            let ClaimValues { values, form } = values(path, None, &json)?;
            let values = values.into_iter().map(Cow::into_owned);
            Ok(ClaimValues {
                values: values.map(Cow::Owned).collect(),
                form: Form {
                    is_text: true,
                    ..form
                },
            })
        }
        Value::String(text) => Ok(match separator {
            Some(separator) => plain(Part::Pieces, pieces(text, separator)),
            None if text.is_empty() => plain(Part::Whole, Vec::new()),
            None => plain(Part::Whole, vec![Cow::Borrowed(text.as_str())]),
        }),
        Value::Number(number) => match digits(number) {
            Some(digits) => Ok(plain(Part::Whole, vec![digits])),
            None => Err(refused(path, "a number that is not a whole number")),
        },
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            let names = items.iter().map(|item| match item.get("name") {
                Some(Value::String(name)) => Ok(Cow::Borrowed(name.as_str())),
                _ => Err(refused(
                    path,
                    "a list with an object whose `name` is missing or no string",
                )),
            });
            Ok(plain(Part::Names, names.collect::<Result<_, _>>()?))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| item_of_list(path, item));
            Ok(plain(Part::Whole, items.collect::<Result<_, _>>()?))
        }
        Value::Object(object) if object.values().all(Value::is_object) => {
            let keys = object.keys().map(|key| Cow::Borrowed(key.as_str()));
            Ok(plain(Part::Keys, keys.collect()))
        }
        Value::Object(_) => Err(refused(
            path,
            "an object whose values are not all objects, so its keys may be anything",
        )),
        Value::Null | Value::Bool(_) => Err(refused(path, type_of(claim))),
    }
}

/// Whether a string looks like a JSON list or object. Tenant names hardly ever do, and a list that is
/// taken for one tenant's name would give its callers empty answers without an error.
fn is_json_text(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with('[') && text.ends_with(']')) || (text.starts_with('{') && text.ends_with('}'))
}

fn pieces<'a>(text: &'a str, separator: &str) -> Vec<Cow<'a, str>> {
    text.split(separator)
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .map(Cow::Borrowed)
        .collect()
}

fn item_of_list<'a>(path: &ClaimPath, item: &'a Value) -> Result<Cow<'a, str>, ScopeRefusal> {
    let found = match item {
        Value::String(text) => return Ok(Cow::Borrowed(text)),
        Value::Number(number) => match digits(number) {
            Some(digits) => return Ok(digits),
            None => "a list that holds a number that is not a whole number",
        },
        Value::Null => "a list that holds a null",
        Value::Bool(_) => "a list that holds a boolean",
        Value::Array(_) => "a list that holds a list",
        Value::Object(_) => "a list that holds an object beside something else",
    };
    Err(refused(path, found))
}

/// The decimal digits of a whole number. Other notations, such as `1e3`, and numbers beyond 64 bits
/// are not exact in the JSON of many providers.
fn digits(number: &Number) -> Option<Cow<'static, str>> {
    (number.is_u64() || number.is_i64()).then(|| Cow::Owned(number.to_string()))
}

fn refused(path: &ClaimPath, found: &'static str) -> ScopeRefusal {
    ScopeRefusal::ClaimType {
        claim: Path(path).to_string(),
        found,
        expected: EXPECTED,
    }
}

/// The claim at the end of the path; `None` if a part of the path is missing, or a part before the
/// last one is null.
fn look_up<'a>(
    path: &ClaimPath,
    claims: &'a Map<String, Value>,
) -> Result<Option<&'a Value>, ScopeRefusal> {
    let Some((first, rest)) = path.0.split_first() else {
        return Ok(None);
    };
    let mut found = claims.get(first);
    for (walked, key) in (1..).zip(rest) {
        found = match found {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(object)) => object.get(key),
            Some(other) => {
                return Err(ScopeRefusal::ClaimType {
                    claim: join(path.0.iter().take(walked)),
                    found: type_of(other),
                    expected: "an object",
                });
            }
        };
    }
    Ok(found)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A path as written in the config.
pub(super) struct Path<'a>(pub(super) &'a ClaimPath);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(self.0.0.iter()))
    }
}

/// `realm_access.roles`; a list where a key holds dots: `["https://example.com/tenants"]`.
fn join<'a>(keys: impl Iterator<Item = &'a String> + Clone) -> String {
    if keys.clone().any(|key| key.contains('.')) {
        format!("{:?}", keys.collect::<Vec<_>>())
    } else {
        keys.map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(keys: &str) -> ClaimPath {
        ClaimPath(keys.split('.').map(str::to_owned).collect())
    }

    /// The values of the claim `t`, joined by `|`, and how they were written.
    fn values_of(claim: &Value, separator: Option<&str>) -> Result<(String, String), String> {
        let claims = json!({ "t": claim });
        let found = read(&path("t"), separator, claims.as_object().unwrap());
        let ClaimValues { values, form } = found.map_err(|refusal| refusal.to_string())?;
        Ok((values.join("|"), form.in_words().unwrap_or_default()))
    }

    #[test]
    fn each_form_has_its_values() {
        for (claim, values, form) in [
            (json!("a"), "a", ""),
            (json!(7), "7", ""),
            (json!(-7), "-7", ""),
            (json!(u64::MAX), "18446744073709551615", ""),
            (json!(["a", 7]), "a|7", ""),
            (
                json!([{"name": "a", "id": 1}, {"name": "b"}]),
                "a|b",
                "the `name` of each object in a list",
            ),
            (
                json!({"a": {"2": "x.example"}, "b": {}}),
                "a|b",
                "the keys of an object",
            ),
            (json!(r#"["a","b"]"#), "a|b", "JSON text in a string"),
            (json!(" [7]\n"), "7", "JSON text in a string"),
            (
                json!(r#"{"a":{}}"#),
                "a",
                "JSON text in a string: the keys of an object",
            ),
            (
                json!(r#"[{"name":"a"}]"#),
                "a",
                "JSON text in a string: the `name` of each object in a list",
            ),
            // Any other string is its own value.
            (json!("[a"), "[a", ""),
            (json!("a]"), "a]", ""),
            (json!("7"), "7", ""),
            (json!(r#""a""#), r#""a""#, ""),
            (json!("true"), "true", ""),
            (json!([r#"["a"]"#]), r#"["a"]"#, ""),
        ] {
            let expected = (values.to_owned(), form.to_owned());
            assert_eq!(values_of(&claim, None), Ok(expected), "{claim}");
        }
    }

    #[test]
    fn separator_splits_strings_alone() {
        let split = |claim: &Value| values_of(claim, Some(",")).unwrap();
        let (values, form) = split(&json!(" a , b,,"));
        assert_eq!((&*values, &*form), ("a|b", "pieces of a string"));
        assert_eq!(split(&json!(["a,b"])).0, "a,b");
        assert_eq!(split(&json!(r#"["a,b","c"]"#)).0, "a,b|c");
    }

    #[test]
    fn form_that_has_no_reading_is_refused() {
        for (claim, found) in [
            (json!(true), "is a boolean"),
            (json!(null), "is null"),
            (json!(7.0), "not a whole number"),
            (json!(1e3), "not a whole number"),
            (json!([1.5]), "holds a number that is not a whole"),
            (json!(["a", null]), "holds a null"),
            (json!(["a", ["b"]]), "holds a list"),
            (json!(["a", {"name": "b"}]), "holds an object beside"),
            (json!([{"name": "a"}, {"id": 1}]), "whose `name` is missing"),
            (json!([{"name": 1}]), "whose `name` is missing or no string"),
            (json!({"roles": ["a"]}), "whose values are not all objects"),
            (
                json!({"a": {}, "b": true}),
                "whose values are not all objects",
            ),
            (json!("[a b]"), "not valid JSON"),
            (json!(r#"{"a":{},"a":{}}"#), "not valid JSON"),
            (json!(r#"{"a":true}"#), "whose values are not all objects"),
            (json!("[[]]"), "holds a list"),
            (json!("[]"), "JSON text of an empty list"),
            (json!("{}"), "JSON text of an empty"),
            (json!([]), "an empty list"),
            (json!({}), "an empty object"),
            (json!(""), "an empty string"),
            (json!([{"name": ""}]), "a list with an empty string"),
            (json!({"": {}}), "a list with an empty string"),
        ] {
            let text = values_of(&claim, None).unwrap_err();
            assert!(text.contains(found), "{claim}: {text}");
        }
    }

    /// A user in more than 200 groups, as Entra ID documents it, and with the implicit flow.
    #[test]
    fn claim_that_is_with_the_provider_is_said_to_be_there() {
        let source = json!({"src1": {"endpoint": "https://graph.example/getMemberObjects"}});
        for claims in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": source}),
            json!({"hasgroups": true}),
            json!({"hasgroups": "true"}),
        ] {
            let claims = claims.as_object().unwrap();
            let groups = path("groups");
            for refusal in [
                read(&groups, None, claims).err().unwrap(),
                of_condition(&groups, claims).unwrap_err(),
            ] {
                let text = refusal.to_string();
                assert!(
                    text.contains("Groups assigned to the application"),
                    "{text}"
                );
            }
            let other = of_condition(&path("roles"), claims);
            assert_eq!(other, Ok(Vec::new()));
        }
        let claims = json!({"hasgroups": false});
        let none = of_condition(&path("groups"), claims.as_object().unwrap());
        assert_eq!(none, Ok(Vec::new()));
    }
}
