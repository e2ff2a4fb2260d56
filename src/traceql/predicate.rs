//! Makes the stage that every leaf pipeline starts with from the tenants.

use std::fmt::Write as _;

use thiserror::Error;

use super::lexer::ends_name;
use crate::tenancy::Values;

/// The condition that a span belongs to the tenants, written in `TraceQL`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantPredicate {
    /// `{ … } | `.
    insertion: Box<str>,
    /// For the endpoints of tag names and values; without `||`.
    tag_conditions: Box<str>,
    attributes: Box<[Box<str>]>,
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
        let attributes: Vec<(&str, &Values)> = attributes.into_iter().collect();
        if attributes.is_empty() {
            return Err(UnwritableTenant::NoAttribute);
        }
        let mut conditions = Vec::new();
        let mut tag_conditions = Vec::new();
        for (name, values) in &attributes {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(UnwritableTenant::AttributeName);
            }
            if values.mention('`') {
                return Err(UnwritableTenant::Backtick);
            }
            let attribute = format!("resource.{}", attribute_name(name));
            let Some(listed) = values.listed() else {
                // Neither is true of a missing attribute (Tempo, `BinaryOperation.execute`).
                let op = if values.is_negative() { "!~" } else { "=~" };
                let pattern = string(&format!("^(?:{})$", values.re2()));
                let condition = format!("{attribute} {op} {pattern}");
                conditions.push(condition.clone());
                tag_conditions.push(condition);
                continue;
            };
            let tenants: Vec<&str> = listed.iter().map(crate::tenancy::Tenant::as_str).collect();
            let equal = |value: &&str| format!("{attribute} = {}", string(value));
            let any = tenants.iter().map(equal).collect::<Vec<_>>().join(" || ");
            let several = tenants.len() > 1;
            // && and || have the same precedence, so mixing them needs parentheses.
            let in_parens = several && attributes.len() > 1;
            conditions.push(if in_parens {
                format!("({any})")
            } else {
                any.clone()
            });
            tag_conditions.push(if several {
                format!("{attribute} =~ {}", string(&anchored_alternation(&tenants)))
            } else {
                any
            });
        }
        Ok(Self {
            insertion: format!("{{ {} }} | ", conditions.join(" && ")).into(),
            tag_conditions: tag_conditions.join(" && ").into(),
            attributes: attributes.iter().map(|(name, _)| (*name).into()).collect(),
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

    /// `resource.tenant_id = "acme"`. May contain `||`: put it in parentheses before joining it
    /// with anything.
    pub fn expression(&self) -> &str {
        let inside = self
            .insertion
            .strip_prefix("{ ")
            .and_then(|rest| rest.strip_suffix(" } | "));
        inside.unwrap_or(&self.insertion)
    }

    /// Like [`Self::expression`], but only with `&&`: several tenants become one anchored regular
    /// expression, because before Tempo 3.0 tag endpoints answer for all tenants if the query has
    /// `||`, `|` or braces.
    pub(super) fn tag_conditions(&self) -> &str {
        &self.tag_conditions
    }

    /// Whether this is the name of a tenant attribute.
    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| **attribute == *name)
    }
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
    use super::*;
    use crate::tenancy::{Tenant, TenantSet};
    use crate::testing::selected;

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
        assert_eq!(predicate.tag_conditions(), predicate.expression());
    }

    #[test]
    fn alternatives_in_conjunctions_are_parenthesized() {
        let (two, one) = (tenants(&["a", "b.c"]), tenants(&["eu"]));
        let single = TenantPredicate::new([("t", &two)]).unwrap();
        assert_eq!(
            single.stage(),
            r#"{ resource.t = "a" || resource.t = "b.c" }"#
        );
        assert_eq!(
            single.tag_conditions(),
            r#"resource.t =~ "^(?:a\x7cb\\.c)$""#
        );

        let both = TenantPredicate::new([("t", &two), ("region", &one)]).unwrap();
        assert_eq!(
            both.expression(),
            r#"(resource.t = "a" || resource.t = "b.c") && resource.region = "eu""#
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
        assert_eq!(predicate.tag_conditions(), predicate.expression());
    }

    #[test]
    fn odd_names_and_values_are_escaped() {
        let odd = tenants(&["A\"x\\ {y}|é💥"]);
        let predicate = TenantPredicate::new([("my \"tenant\\id", &odd)]).unwrap();
        assert_eq!(
            predicate.expression(),
            r#"resource."my \"tenant\\id" = "A\"x\\\x20\x7by\x7d\x7c\u00e9\U0001f4a5""#
        );
        assert!(predicate.has_attribute("my \"tenant\\id"));
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
