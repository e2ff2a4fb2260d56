//! Makes the stage that every leaf pipeline starts with from the tenants.

use std::fmt::Write as _;

use thiserror::Error;

use super::lexer::ends_name;
use crate::tenancy::{Attribute, AttributeValues, Resources, Values};

/// The condition that a span belongs to the tenants, written in `TraceQL`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantPredicate {
    /// `{ … } | `.
    insertion: Box<str>,
}

/// Why tenants cannot be written in `TraceQL`. The value is not repeated: it comes from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnwritableTenant {
    /// No attribute would mean the spans of all tenants.
    #[error("no resource attribute names the tenant")]
    NoAttribute,
    /// An attribute's name is empty or has a control character.
    #[error("the name of a tenant attribute is empty or has a control character")]
    AttributeName,
    /// Tempo keys its caches by the query printed with backticks around strings, so a tenant
    /// with a backtick could get another tenant's entries.
    #[error("a tenant has a backtick, which makes the keys of Tempo's caches ambiguous")]
    Backtick,
}

impl TenantPredicate {
    /// Matches spans that have one of the tenants in each of the attributes. Attribute names are
    /// given without `resource.`.
    pub fn new<'a>(
        attributes: impl IntoIterator<Item = (&'a str, &'a Values)>,
    ) -> Result<Self, UnwritableTenant> {
        let conditions = attributes.into_iter();
        let conditions =
            conditions.map(|(name, values)| Attribute::text(name.into(), values.clone()));
        let mut conditions = conditions.collect::<Vec<_>>().into_iter();
        let first = conditions.next().ok_or(UnwritableTenant::NoAttribute)?;
        Self::of(&Resources::all_of(first, conditions))
    }

    /// Matches spans of these resources.
    ///
    /// Several tenants are one anchored regular expression, joined by `&&` with those of other
    /// attributes. With `||` the query would fail, or answer for all tenants:
    /// - Tempo 3 makes `T = "a" || T = "b"` one operation on a list (`rewriteOrToIn` in
    ///   `pkg/traceql/ast_rewriter.go`), which fails every search as soon as a resource has a list as
    ///   its `T`, and drops that resource's spans from metrics.
    /// - Tag endpoints before Tempo 3.0 answer for all tenants if the query has `||`, `|` or braces.
    ///
    /// Alternatives have no other form than `||`. No two of them that are a single `=` or `=~` have
    /// the same attribute, which is what Tempo 3 looks for: texts are united before, and typed values
    /// are written as more than one condition there. Tag endpoints get a request for each alternative
    /// ([`TagScope`](super::TagScope)).
    ///
    /// Only `=`, `=~` and `!~` are used: of a resource without the attribute none of them holds, and
    /// `!=` does (Tempo, `Operator.binaryTypesValid`).
    pub fn of(resources: &Resources) -> Result<Self, UnwritableTenant> {
        let is_union = resources.only().is_none();
        let mut alternatives = Vec::new();
        for conditions in resources.alternatives() {
            let texts: Result<Vec<_>, _> = conditions
                .iter()
                .map(|condition| written(condition, is_union))
                .collect();
            alternatives.push(match &texts?[..] {
                [] => return Err(UnwritableTenant::NoAttribute),
                [only] => only.clone(),
                texts if is_union => format!("({})", texts.join(" && ")),
                texts => texts.join(" && "),
            });
        }
        let expression = match &alternatives[..] {
            [] => return Err(UnwritableTenant::NoAttribute),
            [only] => only.clone(),
            // Of one level of `&&` for what comes after it.
            _ => format!("({})", alternatives.join(" || ")),
        };
        Ok(Self {
            insertion: format!("{{ {expression} }} | ").into(),
        })
    }

    /// `{ resource.tenant_id = "acme" }`.
    pub fn stage(&self) -> &str {
        self.insertion
            .strip_suffix(" | ")
            .unwrap_or(&self.insertion)
    }

    /// The stage and the `|` after it.
    pub(super) fn insertion(&self) -> &str {
        &self.insertion
    }

    /// `resource.tenant_id = "acme"`: conditions joined by `&&`, or alternatives in parentheses.
    pub fn expression(&self) -> &str {
        let inside = self
            .insertion
            .strip_prefix("{ ")
            .and_then(|rest| rest.strip_suffix(" } | "));
        inside.unwrap_or(&self.insertion)
    }
}

/// A condition, as `TraceQL` writes it.
fn written(condition: &Attribute, in_union: bool) -> Result<String, UnwritableTenant> {
    let is_bool = matches!(condition.values, AttributeValues::Bool(_));
    Ok(match &comparisons(condition)?[..] {
        [only] if is_bool && in_union => format!("({only} && {only})"),
        [only] => only.clone(),
        several => format!("({})", several.join(" || ")),
    })
}

/// The comparisons one of which holds if the condition does: a number is compared as an integer and
/// as a float. The store compares numbers of the literal's own type alone, unless the query also asks
/// for the attribute in another way.
pub(super) fn comparisons(condition: &Attribute) -> Result<Vec<String>, UnwritableTenant> {
    let name = &*condition.name;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(UnwritableTenant::AttributeName);
    }
    let attribute = format!("resource.{}", attribute_name(name));
    let values = match &condition.values {
        AttributeValues::Text(values) => values,
        AttributeValues::Bool(value) => return Ok(vec![format!("{attribute} = {value}")]),
        AttributeValues::Number(value) => {
            return Ok(vec![
                format!("{attribute} = {value}"),
                format!("{attribute} = {value}.0"),
            ]);
        }
    };
    if values.mention('`') {
        return Err(UnwritableTenant::Backtick);
    }
    let Some(listed) = values.listed() else {
        let op = if values.is_negative() { "!~" } else { "=~" };
        let pattern = string(&format!("^(?:{})$", values.re2()));
        return Ok(vec![format!("{attribute} {op} {pattern}")]);
    };
    let tenants: Vec<&str> = listed.iter().map(crate::tenancy::Tenant::as_str).collect();
    Ok(vec![match tenants[..] {
        [tenant] => format!("{attribute} = {}", string(tenant)),
        _ => format!("{attribute} =~ {}", string(&anchored_alternation(&tenants))),
    }])
}

/// The name of an attribute as written after its scope, in quotes if Tempo needs them.
pub(super) fn attribute_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii() && !matches!(c, '"' | '\\') && !ends_name(c as u8);
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A string literal. All but plain ASCII is escaped: before Tempo 3.0 tag endpoints find
/// conditions with a regular expression that does not allow spaces, braces or `|` in strings, and
/// drop the conditions that they do not find.
pub(super) fn string(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('"');
    for c in value.chars() {
        let code = u32::from(c);
        // Writing to a String cannot fail.
        let _ = match c {
            '"' | '\\' => write!(literal, "\\{c}"),
            '{' | '}' | '|' | '`' | '\0'..=' ' | '\u{7f}' => write!(literal, "\\x{code:02x}"),
            c if c.is_ascii() => write!(literal, "{c}"),
            '\u{80}'..='\u{ffff}' => write!(literal, "\\u{code:04x}"),
            _ => write!(literal, "\\U{code:08x}"),
        };
    }
    literal.push('"');
    literal
}

/// `^(?:a|b)$`: Tempo anchors regular expressions itself only from 2.7 on.
fn anchored_alternation(values: &[&str]) -> String {
    let escaped: Vec<String> = values
        .iter()
        .map(|value| regex_syntax::escape(value))
        .collect();
    format!("^(?:{})$", escaped.join("|"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tenancy::{AttributeValue, Tenant, TenantSet};
    use crate::testing::{resources, selected};

    fn tenants(values: &[&str]) -> Values {
        let all = values.iter().map(|value| Tenant::new(value).unwrap());
        TenantSet::new(all).unwrap().into()
    }

    #[test]
    fn one_tenant_is_an_equality() {
        let acme = tenants(&["acme"]);
        let predicate = TenantPredicate::new([("tenant_id", &acme)]).unwrap();
        assert_eq!(predicate.stage(), r#"{ resource.tenant_id = "acme" }"#);
        assert_eq!(predicate.expression(), r#"resource.tenant_id = "acme""#);
    }

    #[test]
    fn several_tenants_are_one_pattern_without_alternatives() {
        let (two, one) = (tenants(&["a", "b.c"]), tenants(&["eu"]));
        let single = TenantPredicate::new([("t", &two)]).unwrap();
        assert_eq!(single.stage(), r#"{ resource.t =~ "^(?:a\x7cb\\.c)$" }"#);
        let both = TenantPredicate::new([("t", &two), ("region", &one)]).unwrap();
        assert_eq!(
            both.expression(),
            r#"resource.t =~ "^(?:a\x7cb\\.c)$" && resource.region = "eu""#
        );
    }

    #[test]
    fn selectors_are_one_anchored_expression() {
        let (own, rest) = (
            selected("=~", r"a\.b-.*", &["x.y"]),
            selected("!=", "a b", &[]),
        );
        let predicate = TenantPredicate::new([("ns", &own), ("env", &rest)]).unwrap();
        assert_eq!(
            predicate.expression(),
            r#"resource.ns =~ "^(?:x\\.y\x7c(?s:a\\.b-.*))$" && resource.env !~ "^(?:a\x20b\x7c)$""#
        );
    }

    /// Two conditions or one; the second alternative is not merged with any other.
    const UNION: &str = "traces: {any: [[{attribute: resource.env, match: '=', value: prod}, \
                         {attribute: resource.team, match: '=~', value: 'front.*'}], \
                         [{attribute: resource.team, match: '=', value: checkout}]]}";

    #[test]
    fn alternatives_are_joined_in_parentheses() {
        let predicate = TenantPredicate::of(&resources(UNION, &["t"])).unwrap();
        assert_eq!(
            predicate.stage(),
            r#"{ ((resource.env = "prod" && resource.team =~ "^(?:(?s:front.*))$") || resource.team = "checkout") }"#
        );
        // Beside a tenant without a selector.
        let both = TenantPredicate::of(&resources(UNION, &["t", "x"])).unwrap();
        let stage = both.stage();
        assert!(stage.ends_with(r#"resource.tenant_id = "x") }"#), "{stage}");
    }

    #[test]
    fn typed_values_are_no_texts() {
        let typed = "traces: [{attribute: resource.a, match: '=', value: true}, \
                     {attribute: resource.b, match: '=', value: 5}, \
                     {attribute: resource.c, match: '=', value: '5'}]";
        let predicate = TenantPredicate::of(&resources(typed, &["t"])).unwrap();
        assert_eq!(
            predicate.expression(),
            r#"resource.a = true && (resource.b = 5 || resource.b = 5.0) && resource.c = "5""#
        );
        let texts = "traces: [{attribute: resource.c, match: '=', value: '5'}, \
                     {attribute: resource.d, match: '!=', value: x}]";
        let predicate = TenantPredicate::of(&resources(texts, &["t"])).unwrap();
        assert_eq!(
            predicate.expression(),
            r#"resource.c = "5" && resource.d !~ "^(?:x\x7c)$""#
        );
    }

    /// Tempo 3 makes one operation on a list of two such comparisons.
    #[test]
    fn no_two_alternatives_are_comparisons_of_the_same_attribute() {
        for (selector, expected) in [
            (
                "any: [[{attribute: resource.a, match: '=', value: x}], \
                 [{attribute: resource.a, match: '=', value: y}]]",
                r#"resource.a =~ "^(?:x\x7cy)$""#,
            ),
            (
                "any: [[{attribute: resource.a, match: '=', value: true}], \
                 [{attribute: resource.a, match: '=', value: false}]]",
                "((resource.a = true && resource.a = true) || \
                 (resource.a = false && resource.a = false))",
            ),
            (
                "any: [[{attribute: resource.a, match: '=', value: 1}], \
                 [{attribute: resource.a, match: '=', value: 2}]]",
                "((resource.a = 1 || resource.a = 1.0) || (resource.a = 2 || resource.a = 2.0))",
            ),
        ] {
            let resources = resources(&format!("traces: {{{selector}}}"), &["t"]);
            let predicate = TenantPredicate::of(&resources).unwrap();
            assert_eq!(predicate.expression(), expected);
        }
    }

    /// What a span's resource has, as the evaluator below sees it.
    type Has<'a> = &'a dyn Fn(&str) -> Option<AttributeValue<'static>>;

    /// Evaluates a stage as the language defines it, by its text alone.
    fn holds(text: &mut &str, has: Has<'_>) -> bool {
        fn operand(text: &mut &str, has: Has<'_>) -> bool {
            if let Some(rest) = text.strip_prefix('(') {
                *text = rest;
                let holds = any(text, has);
                *text = text.strip_prefix(')').unwrap();
                return holds;
            }
            let rest = text.strip_prefix("resource.").unwrap();
            let (name, rest) = rest.split_once(' ').unwrap();
            let (op, rest) = rest.split_once(' ').unwrap();
            let value = has(name);
            let end = match rest.strip_prefix('"') {
                Some(inside) => {
                    let mut escaped = false;
                    let is_end = |c: char| {
                        let is_end = c == '"' && !escaped;
                        escaped = c == '\\' && !escaped;
                        is_end
                    };
                    2 + inside.find(is_end).unwrap()
                }
                None => rest.find([' ', ')']).unwrap_or(rest.len()),
            };
            let (literal, rest) = rest.split_at(end);
            *text = rest;
            let is_text = literal.starts_with('"');
            match value {
                Some(AttributeValue::Text(value)) if is_text => {
                    let literal = literal.replace(r"\x", r"\u00");
                    let literal: String = serde_json::from_str(&literal).unwrap();
                    match op {
                        "=" => *value == *literal,
                        "=~" | "!~" => {
                            let engine = regex::Regex::new(&format!("(?s){literal}")).unwrap();
                            engine.is_match(&value) == (op == "=~")
                        }
                        _ => panic!("{op}"),
                    }
                }
                Some(AttributeValue::Bool(value)) => op == "=" && literal == value.to_string(),
                Some(AttributeValue::Int(value)) => op == "=" && literal == value.to_string(),
                Some(AttributeValue::Float(value)) => op == "=" && literal == format!("{value:?}"),
                _ => false,
            }
        }
        fn joined(text: &mut &str, op: &str, mut one: impl FnMut(&mut &str) -> bool) -> Vec<bool> {
            let mut all = vec![one(text)];
            while let Some(rest) = text.strip_prefix(op) {
                *text = rest;
                all.push(one(text));
            }
            all
        }
        fn any(text: &mut &str, has: Has<'_>) -> bool {
            let all = |text: &mut &str| {
                let all = joined(text, " && ", |text| operand(text, has));
                all.into_iter().all(|one| one)
            };
            joined(text, " || ", all).into_iter().any(|one| one)
        }
        any(text, has)
    }

    fn values() -> impl Strategy<Value = Option<AttributeValue<'static>>> {
        let texts = prop::sample::select(vec!["a", "b", "ab", "a.b", "5", "true", "", "a|b"]);
        prop_oneof![
            6 => texts.prop_map(|text| Some(AttributeValue::Text(text.into()))),
            1 => any::<bool>().prop_map(|value| Some(AttributeValue::Bool(value))),
            1 => (4..7_i64).prop_map(|value| Some(AttributeValue::Int(value))),
            1 => prop::sample::select(vec![5.0, 5.5]).prop_map(|value| Some(AttributeValue::Float(value))),
            1 => Just(None),
        ]
    }

    fn selectors() -> impl Strategy<Value = String> {
        let condition = prop::sample::select(vec![
            "match: '=', value: a",
            "match: '=', value: b",
            "match: '=', value: '5'",
            "match: '=', value: 'true'",
            "match: '=', value: true",
            "match: '=', value: false",
            "match: '=', value: 5",
            "match: '=', value: 6",
            "match: '!=', value: a",
            "match: '!=', value: 'a.b'",
            "match: '=~', value: 'a.*'",
            "match: '=~', value: '.+'",
            "match: '=~', value: 'a[|]b|5'",
            "match: '!~', value: 'a.*'",
            "match: '!~', value: '[^b]+'",
        ]);
        let names = prop::sample::subsequence(vec!["x", "y", "tenant_id"], 1..=3);
        let conjunction = (names, prop::collection::vec(condition, 3)).prop_map(|(names, all)| {
            let all = names.iter().zip(all);
            let all = all.map(|(name, of)| format!("{{attribute: resource.{name}, {of}}}"));
            format!("[{}]", all.collect::<Vec<_>>().join(", "))
        });
        let any = prop::collection::vec(conjunction, 1..4);
        any.prop_map(|any| format!("traces: {{any: [{}]}}", any.join(", ")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn stage_and_owner_agree(
            selector in selectors(),
            beside in prop::sample::subsequence(vec!["a", "b"], 0..=2),
            given in prop::collection::vec((values(), values(), values()), 30),
        ) {
            let tenants = [&["t"], &beside[..]].concat();
            let resources = resources(&selector, &tenants);
            let predicate = TenantPredicate::of(&resources).unwrap();
            for (x, y, own) in given {
                let has = |name: &str| match name {
                    "x" => x.clone(),
                    "y" => y.clone(),
                    "tenant_id" => own.clone(),
                    _ => None,
                };
                let mut text = predicate.expression();
                let by_text = holds(&mut text, &has);
                prop_assert_eq!(text, "");
                let Ok(by_owner) = resources.admit(|name| Ok::<_, std::convert::Infallible>(has(name)));
                prop_assert_eq!(by_text, by_owner, "{} {:?} {:?} {:?}", predicate.stage(), x, y, own);
            }
        }
    }

    #[test]
    fn odd_names_and_values_are_escaped() {
        let odd = tenants(&["A\"x\\ {y}|é💥"]);
        let predicate = TenantPredicate::new([("my \"tenant\\id", &odd)]).unwrap();
        assert_eq!(
            predicate.expression(),
            r#"resource."my \"tenant\\id" = "A\"x\\\x20\x7by\x7d\x7c\u00e9\U0001f4a5""#
        );
    }

    #[test]
    fn unwritable_tenants_are_an_error() {
        let acme = tenants(&["acme"]);
        let backtick = tenants(&["a`b"]);
        assert_eq!(
            TenantPredicate::new([("t", &acme), ("u", &backtick)]),
            Err(UnwritableTenant::Backtick)
        );
        assert_eq!(TenantPredicate::new([]), Err(UnwritableTenant::NoAttribute));
        for name in ["", "a\nb"] {
            assert_eq!(
                TenantPredicate::new([(name, &acme)]),
                Err(UnwritableTenant::AttributeName)
            );
        }
    }
}
