//! Checks of Alertmanager's configuration, which `/api/v2/status` gives: what one tenant's alerts do to
//! another's (`config/config.go` and `inhibit/inhibit.go` of Alertmanager).

use serde_json::Value;

use super::finding::Finding;

/// The most places that a finding names.
const MOST_NAMED: usize = 5;

/// Whether alerts inhibit only those of their own tenant.
pub(super) fn inhibition(config: &Value, label: &str) -> Finding {
    let rules = list(config, "inhibit_rules");
    let mixed = rules.iter().enumerate().filter_map(|(at, rule)| {
        let has_label = list(rule, "equal").iter().any(|equal| *equal == *label);
        let source = fixed(rule, "source_match", "source_matchers", label);
        let target = fixed(rule, "target_match", "target_matchers", label);
        let is_own = match (&source, &target) {
            // No tenant's alert.
            (Some(source), _) if source.is_empty() => true,
            (Some(source), Some(target)) => source == target,
            _ => has_label,
        };
        (!is_own).then(|| format!("number {}", at + 1))
    });
    let mixed: Vec<String> = mixed.collect();
    if rules.is_empty() {
        return Finding::ok("there are none");
    }
    if mixed.is_empty() {
        return Finding::ok(format!("each is about alerts of one `{label}`"));
    }
    Finding::fail(
        format!(
            "one tenant's alerts can suppress another's by {} of {}: {}",
            mixed.len(),
            rules.len(),
            named(&mixed)
        ),
        format!(
            "add `{label}` to their `equal`; or, if only the platform's own alerts may inhibit, \
             `{label}=\"\"` to their `source_matchers`"
        ),
    )
}

/// Whether each notification is about one tenant.
pub(super) fn grouping(config: &Value, label: &str) -> Finding {
    let Some(root) = config.get("route") else {
        return Finding::skip("the configuration has no route");
    };
    let (mut all, mut mixed) = (0, Vec::new());
    // With what a route inherits: whether it groups by the label, and whether it has one tenant's
    // alerts alone.
    let mut open = vec![(root, false, false)];
    while let Some((route, grouped, single)) = open.pop() {
        let by = list(route, "group_by");
        let grouped = if by.is_empty() {
            grouped
        } else {
            by.iter().any(|by| *by == *label || *by == *"...")
        };
        let single = single || fixed(route, "match", "matchers", label).is_some();
        all += 1;
        if !grouped && !single {
            let receiver = route.get("receiver").and_then(Value::as_str);
            mixed.push(receiver.map_or_else(
                || "a route without a receiver of its own".to_owned(),
                |receiver| format!("to `{receiver}`"),
            ));
        }
        let children = list(route, "routes").iter();
        open.extend(children.map(|child| (child, grouped, single)));
    }
    if mixed.is_empty() {
        return Finding::ok(format!(
            "all {all} routes group by `{label}`, or are one tenant's"
        ));
    }
    mixed.sort();
    mixed.dedup();
    Finding::warn(
        format!(
            "a notification can be about several tenants: {}",
            named(&mixed)
        ),
        format!("add `{label}` to the `group_by` of these routes"),
    )
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The value that matchers give the label by `=`; `None` if it may have several.
fn fixed(value: &Value, map: &str, matchers: &str, label: &str) -> Option<String> {
    let by_map = value.get(map).and_then(|map| map.get(label));
    if let Some(value) = by_map.and_then(Value::as_str) {
        return Some(value.to_owned());
    }
    let mut all = list(value, matchers).iter().filter_map(Value::as_str);
    all.find_map(|matcher| equality(matcher, label))
}

/// The value in `label = "value"`.
fn equality(matcher: &str, label: &str) -> Option<String> {
    let name = matcher.trim_start();
    let rest = name
        .strip_prefix(label)
        .or_else(|| name.strip_prefix(&format!("\"{label}\"")))?;
    let value = rest.trim_start().strip_prefix('=')?;
    if value.starts_with('~') {
        return None;
    }
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.unwrap_or(value).to_owned())
}

fn named(all: &[String]) -> String {
    let mut text = all
        .iter()
        .take(MOST_NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > MOST_NAMED {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(finding: &Finding) -> String {
        let text = format!("{finding:?}");
        let words = ["Ok", "Warn", "Fail", "Skip"];
        let word = words
            .into_iter()
            .find(|word| text.contains(&format!("verdict: {word}")));
        word.unwrap().to_owned()
    }

    #[test]
    fn inhibition_across_tenants_is_found() {
        for (rule, expected) in [
            (json!({"equal": ["job", "tenant_id"]}), "Ok"),
            (json!({"equal": ["job"]}), "Fail"),
            (json!({}), "Fail"),
            (
                json!({"source_matchers": ["tenant_id=\"\"", "a=\"b\""]}),
                "Ok",
            ),
            (json!({"source_match": {"tenant_id": ""}}), "Ok"),
            (
                json!({"source_matchers": ["tenant_id=\"acme\""], "target_matchers": ["tenant_id = \"acme\""]}),
                "Ok",
            ),
            (
                json!({"source_matchers": ["tenant_id=\"acme\""], "target_matchers": ["tenant_id=\"globex\""]}),
                "Fail",
            ),
            (json!({"source_matchers": ["tenant_id=~\"\""]}), "Fail"),
            (json!({"source_matchers": ["tenant_id2=\"\""]}), "Fail"),
            (json!({"source_matchers": ["tenant_id!=\"\""]}), "Fail"),
        ] {
            let config = json!({"inhibit_rules": [{"equal": ["tenant_id"]}, rule]});
            let finding = inhibition(&config, "tenant_id");
            assert_eq!(verdict(&finding), expected, "{rule}: {finding:?}");
        }
        assert_eq!(verdict(&inhibition(&json!({}), "tenant_id")), "Ok");
    }

    #[test]
    fn route_that_groups_several_tenants_is_found() {
        for (route, expected) in [
            (json!({"receiver": "r", "group_by": ["tenant_id"]}), "Ok"),
            (json!({"receiver": "r", "group_by": ["..."]}), "Ok"),
            (json!({"receiver": "r", "group_by": ["alertname"]}), "Warn"),
            (json!({"receiver": "r"}), "Warn"),
            (
                json!({"receiver": "r", "group_by": ["tenant_id"], "routes": [{"receiver": "s"}]}),
                "Ok",
            ),
            (
                json!({"receiver": "r", "group_by": ["tenant_id"], "routes": [{"group_by": ["job"]}]}),
                "Warn",
            ),
            (
                json!({"receiver": "r", "group_by": ["tenant_id"], "routes": [{"group_by": ["job"],
                    "matchers": ["tenant_id=\"acme\""], "routes": [{"receiver": "s"}]}]}),
                "Ok",
            ),
            (
                json!({"receiver": "r", "group_by": ["tenant_id"], "routes": [{"group_by": ["job"],
                    "match": {"tenant_id": "acme"}}]}),
                "Ok",
            ),
            (
                json!({"receiver": "r", "group_by": ["tenant_id"], "routes": [{"group_by": ["job"],
                    "matchers": ["tenant_id=~\"acme|globex\""]}]}),
                "Warn",
            ),
        ] {
            let finding = grouping(&json!({"route": route}), "tenant_id");
            assert_eq!(verdict(&finding), expected, "{route}: {finding:?}");
        }
        assert_eq!(verdict(&grouping(&json!({}), "tenant_id")), "Skip");
    }
}
