//! Compares what a test expects with the result.

use crate::config::policies::{Expected, ExpectedTenants, RequestTest};
use crate::proxy::explain::{Dimension, Explanation, Outcome, Parameter, Refused, Sent};

/// The difference between the tenants; `None` if they are as expected.
pub(super) fn tenants(expected: &ExpectedTenants, dimensions: &[Dimension]) -> Option<String> {
    let actual = actual(dimensions);
    if *expected == actual {
        return None;
    }
    let mut text = format!(
        "tenants\n  expected  {}\n  but got   {}",
        describe_tenants(expected),
        describe_tenants(&actual)
    );
    if let (ExpectedTenants::These(expected), ExpectedTenants::These(actual)) = (expected, &actual)
    {
        let but = |of: &[String], not: &[String]| {
            let rest: Vec<&str> = of
                .iter()
                .filter(|tenant| !not.contains(tenant))
                .map(String::as_str)
                .collect();
            rest.join(", ")
        };
        for (name, tenants) in [
            ("missing ", but(expected, actual)),
            ("too many", but(actual, expected)),
        ] {
            if !tenants.is_empty() {
                text = format!("{text}\n  {name}  {tenants}");
            }
        }
    }
    Some(text)
}

/// The tenants of the first dimension. A caller who has none in another dimension has none at all.
fn actual(dimensions: &[Dimension]) -> ExpectedTenants {
    let has_none = |dimension: &Dimension| {
        !dimension.of_clusters && !dimension.all_tenants && dimension.tenants.is_empty()
    };
    match dimensions.first() {
        Some(first) if first.all_tenants => ExpectedTenants::All,
        Some(first) if !dimensions.iter().any(has_none) => {
            ExpectedTenants::These(first.tenants.clone())
        }
        _ => ExpectedTenants::None,
    }
}

fn describe_tenants(tenants: &ExpectedTenants) -> String {
    match tenants {
        ExpectedTenants::All => "all".to_owned(),
        ExpectedTenants::None => "none".to_owned(),
        ExpectedTenants::These(tenants) => tenants.join(", "),
    }
}

/// Compares the result of a request with what the test expects.
///
/// # Errors
/// The text of the difference.
pub(super) fn request(test: &RequestTest, explanation: &Explanation) -> Result<(), String> {
    let route = explanation.route.as_ref().map(|route| route.name);
    if let Some(expected) = &test.route
        && route != Some(expected)
    {
        return Err(differ(
            &format!("route {expected}"),
            &format!("route {}", route.unwrap_or("none")),
        ));
    }
    match (&test.expected, &explanation.outcome) {
        (Expected::Sent, Outcome::Sent(_)) => Ok(()),
        (Expected::Queries(expected), Outcome::Sent(sent)) => {
            let actual = queries(sent);
            if *expected == actual {
                return Ok(());
            }
            Err(differ(&expected.join("\n"), &actual.join("\n")))
        }
        (Expected::Refused { status, reason }, Outcome::Refused(refused)) => {
            let is_as_expected = status.is_none_or(|status| status == refused.status)
                && reason
                    .as_ref()
                    .is_none_or(|reason| *reason == refused.reason);
            if is_as_expected {
                return Ok(());
            }
            let status = status.unwrap_or(refused.status);
            let reason = reason.as_ref().unwrap_or(&refused.reason);
            Err(differ(
                &format!("refused: {status} {reason}"),
                &describe_refusal(refused),
            ))
        }
        (Expected::Sent | Expected::Queries(_), Outcome::Refused(refused)) => Err(differ(
            &describe_expected(&test.expected),
            &describe_refusal(refused),
        )),
        (Expected::Refused { .. }, Outcome::Sent(sent)) => {
            let queries = queries(sent).join("\n");
            Err(differ(
                &describe_expected(&test.expected),
                &format!("sent: {queries}"),
            ))
        }
        (_, Outcome::Answered { answer }) => Err(differ(
            &describe_expected(&test.expected),
            &format!("answered: {answer}"),
        )),
        (_, Outcome::Undecided { why }) => Err(differ(
            &describe_expected(&test.expected),
            &format!("undecided: {why}"),
        )),
    }
}

/// The values of the parameters that are queries, and of all that were rewritten or added.
fn queries(sent: &Sent) -> Vec<String> {
    let is_query = |parameter: &&Parameter| {
        matches!(parameter.name.as_str(), "query" | "match[]" | "q")
            || !parameter.inserted.is_empty()
    };
    let all = sent.parameters.iter().filter(is_query);
    all.map(|parameter| parameter.sent.clone()).collect()
}

fn describe_expected(expected: &Expected) -> String {
    match expected {
        Expected::Sent => "sent".to_owned(),
        Expected::Queries(queries) => format!("sent: {}", queries.join("\n")),
        Expected::Refused { status, reason } => {
            let status = status.map(|status| format!(" {status}"));
            let reason = reason.as_ref().map(|reason| format!(" {reason}"));
            format!(
                "refused:{}{}",
                status.unwrap_or_default(),
                reason.unwrap_or_default()
            )
        }
    }
}

fn describe_refusal(refused: &Refused) -> String {
    format!(
        "refused: {} {}\n{}",
        refused.status, refused.reason, refused.text
    )
}

/// Both texts, line below line, with a mark where each pair of lines starts to differ.
fn differ(expected: &str, actual: &str) -> String {
    let mut text = String::new();
    let mut wanted = expected.split('\n');
    let mut got = actual.split('\n');
    let (mut before_wanted, mut before_got) = ("expected", "but got ");
    loop {
        let (want, have) = (wanted.next(), got.next());
        if want.is_none() && have.is_none() {
            return text.trim_end().to_owned();
        }
        if want == have {
            continue;
        }
        let lines = [(before_wanted, want), (before_got, have)];
        for (name, line) in lines {
            let line = line.unwrap_or("(nothing)");
            text = format!("{text}  {name}  {line}\n");
        }
        if let (Some(want), Some(have)) = (want, have) {
            let same = want
                .chars()
                .zip(have.chars())
                .take_while(|(a, b)| a == b)
                .count();
            text = format!("{text}  {:width$}^\n", "", width = 10 + same);
        }
        (before_wanted, before_got) = ("        ", "        ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_marked_where_it_starts() {
        let expected = "  expected  up{a=\"b\"}\n  but got   up{a=\"c\"}\n                  ^";
        assert_eq!(differ("up{a=\"b\"}", "up{a=\"c\"}"), expected);
    }

    #[test]
    fn equal_lines_are_left_out() {
        let text = differ("same\nleft", "same\nright\nmore");
        assert_eq!(text.matches("same").count(), 0, "{text}");
        assert!(text.contains("(nothing)\n            more"), "{text}");
    }
}
