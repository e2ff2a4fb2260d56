//! Whose a silence is: a tenant's, if it can match none but the tenant's alerts.

use crate::tenancy::{LabelMatcher, MatchOp, Matchers};

/// A matcher of a silence.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilenceMatcher<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) is_regex: bool,
    pub(super) is_equal: bool,
}

impl SilenceMatcher<'_> {
    /// Whether it names nothing but these tenants. An expression counts only if it is an
    /// alternation of literals, or the tenants' own: what another one can match is not worked out
    /// here.
    pub(super) fn names_only(&self, tenants: &LabelMatcher) -> bool {
        let own = tenants.values();
        if !self.is_regex {
            return own.contains(self.value);
        }
        let named = alternatives(self.value);
        named.is_some_and(|all| all.iter().all(|one| own.contains(one))) || self.is_of(tenants)
    }

    /// Whether an alert that it matches is one of these tenants'.
    pub(super) fn confines(&self, tenants: &LabelMatcher) -> bool {
        self.name == tenants.label()
            && (self.is_of(tenants) || (self.is_equal && self.names_only(tenants)))
    }

    /// Whether it is the matcher that Partywall adds for these tenants.
    fn is_of(&self, tenants: &LabelMatcher) -> bool {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
            (false, false) => return false,
        };
        op == tenants.op() && self.name == tenants.label() && self.value == tenants.value()
    }
}

/// Whether a silence with these matchers can match the tenants' alerts alone. An alert must satisfy
/// all of a silence's matchers, so for each tenant label one that confines is enough.
pub(super) fn is_own(silence: &[SilenceMatcher<'_>], matchers: &Matchers) -> bool {
    matchers
        .iter()
        .all(|tenants| silence.iter().any(|matcher| matcher.confines(tenants)))
}

/// The literals of an expression such as `a|b\.c`, which Alertmanager anchors at both ends
/// (`^(?:…)$`); `None` if it is anything more than that. In RE2 a backslash before ASCII punctuation
/// means that character (`regexp/syntax/parse.go`).
fn alternatives(expression: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut literal = String::new();
    let mut characters = expression.chars();
    while let Some(c) = characters.next() {
        match c {
            '|' => all.push(std::mem::take(&mut literal)),
            '\\' => literal.push(characters.next().filter(char::is_ascii_punctuation)?),
            c if r".+*?()[]{}^$".contains(c) => return None,
            c => literal.push(c),
        }
    }
    all.push(literal);
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{matcher, matchers};
    use super::*;
    use crate::testing::selected;

    fn one<'a>(name: &'a str, op: &str, value: &'a str) -> SilenceMatcher<'a> {
        SilenceMatcher {
            name,
            value,
            is_regex: op.contains('~'),
            is_equal: !op.contains('!'),
        }
    }

    #[test]
    fn silence_is_own_only_if_it_can_match_no_other_tenant() {
        let own = matchers(&["acme", "a.b"]);
        for (op, value) in [
            ("=", "acme"),
            ("=~", "acme"),
            ("=~", "acme|a\\.b"),
            ("=~", "a\\.b"),
        ] {
            assert!(is_own(&[one("tenant_id", op, value)], &own), "{op} {value}");
        }
        for (op, value) in [
            ("=", "globex"),
            ("=", ""),
            ("=", "acme|globex"),
            ("=", "Acme"),
            ("=", "acme "),
            ("!=", "acme"),
            ("!=", "globex"),
            ("!~", "globex"),
            ("!~", "acme"),
            ("=~", ""),
            ("=~", ".*"),
            ("=~", "acme|"),
            ("=~", "|acme"),
            ("=~", "acme|globex"),
            ("=~", "acme.*"),
            ("=~", "(?i)acme"),
            ("=~", "acme)|(?:globex"),
            ("=~", "acme$|globex"),
            ("=~", "acm[e]"),
            ("=~", "a.b"),
            ("=~", "acme?"),
            ("=~", "acme\\"),
            ("=~", "\\Qacme\\E"),
            ("=~", "\\acme"),
        ] {
            assert!(
                !is_own(&[one("tenant_id", op, value)], &own),
                "{op} {value}"
            );
        }
        assert!(!is_own(&[], &own));
        assert!(!is_own(
            &[one("tenant", "=", "acme"), one("TENANT_ID", "=", "acme")],
            &own
        ));
        let narrower = [
            one("a", "=~", ".*"),
            one("tenant_id", "=", "acme"),
            one("tenant_id", "!=", "x"),
        ];
        assert!(is_own(&narrower, &own));
    }

    #[test]
    fn silence_with_the_tenants_own_expression_is_own() {
        for (op, value, own) in [
            ("=~", "team-a-.*", "x|(?s:team-a-.*)"),
            ("!=", "platform", "platform|"),
            ("!~", "plat.*", "(?s:plat.*)|"),
        ] {
            let others: &[&str] = if op == "=~" { &["x"] } else { &[] };
            let tenants = LabelMatcher::new("ns".into(), selected(op, value, others));
            let written = if op == "=~" { "=~" } else { "!~" };
            let tenants = Matchers::new(tenants, []);
            assert!(is_own(&[one("ns", written, own)], &tenants), "{op}");
            assert!(is_own(&[one("ns", "=", "team-a-1")], &tenants), "{op}");
            assert!(
                is_own(&[one("ns", "=~", "team-a-1|team-a-2")], &tenants),
                "{op}"
            );
            for (op, value) in [
                ("!=", own),
                ("!=", "team-b"),
                ("!~", "team-b"),
                ("=~", "team-a-.+"),
                ("=", "platform"),
                ("=~", "team-a-1|platform"),
                (if written == "=~" { "!~" } else { "=~" }, own),
            ] {
                assert!(!is_own(&[one("ns", op, value)], &tenants), "{op} {value}");
            }
            assert!(!is_own(&[one("other", written, own)], &tenants));
        }
    }

    #[test]
    fn every_tenant_label_must_be_confined() {
        let both = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
        let (tenant, env) = (one("tenant_id", "=", "acme"), one("env", "=", "prod"));
        assert!(is_own(&[env, tenant], &both));
        assert!(!is_own(&[tenant], &both));
        assert!(!is_own(&[env], &both));
        assert!(!is_own(&[tenant, one("env", "=", "acme")], &both));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Whatever the expression is: if it counts as own, it matches no foreign value, by an
        /// independent engine.
        #[test]
        fn own_expression_matches_no_other_value(
            expression in "[acme|.*\\\\()?^$\\[\\]b+]{0,10}",
            value in "[acme.|b*]{0,6}",
        ) {
            let own = matchers(&["acme", "a.b", "m|c", "*"]);
            let tenants = own.of_label("tenant_id").unwrap();
            let matcher = one("tenant_id", "=~", &expression);
            if matcher.confines(tenants) {
                let engine = regex::Regex::new(&format!("^(?:{expression})$")).unwrap();
                prop_assert!(!engine.is_match(&value) || tenants.values().contains(&value));
            }
        }

        /// The matcher that confines queries confines silences too.
        #[test]
        fn own_matcher_is_own(names in prop::collection::btree_set("[a-c.*|\\\\$\" é-]{1,5}", 1..4)) {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| crate::tenancy::Tenant::new(n).is_ok()).collect();
            prop_assume!(!names.is_empty());
            let own = matchers(&names);
            let tenants = own.of_label("tenant_id").unwrap();
            let op = if names.len() > 1 { "=~" } else { "=" };
            prop_assert!(is_own(&[one("tenant_id", op, tenants.value())], &own));
        }
    }
}
