//! The parameters of each call, all of which are in the URL. Those that Alertmanager does not read
//! are dropped.

use std::borrow::Cow;

use thiserror::Error;

use super::endpoints::Endpoint;
use crate::prometheus::form::{Form, Weight};
use crate::tenancy::Matchers;

/// What happens to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A matcher, all of which an alert must satisfy: those of the caller's tenants are added.
    Filter,
    /// Forwarded unmodified.
    Pass,
    /// Refused: the answer that it would choose from is not forwarded.
    Refused,
}

type Table = &'static [(&'static str, Policy)];

const ALERTS: Table = &[
    ("filter", Policy::Filter),
    ("receiver", Policy::Pass),
    ("receiver_matchers", Policy::Pass),
    ("active", Policy::Pass),
    ("silenced", Policy::Pass),
    ("inhibited", Policy::Pass),
    ("unprocessed", Policy::Pass),
];

const GROUPS: Table = &[
    ("filter", Policy::Filter),
    ("receiver", Policy::Pass),
    ("receiver_matchers", Policy::Pass),
    ("active", Policy::Pass),
    ("silenced", Policy::Pass),
    ("inhibited", Policy::Pass),
    ("muted", Policy::Pass),
];

/// A `filter` of silences is compared with their matchers as text, so none can confine the answer:
/// it is filtered instead.
const SILENCES: Table = &[
    ("filter", Policy::Pass),
    ("active", Policy::Pass),
    ("pending", Policy::Pass),
    ("expired", Policy::Pass),
];

const RECEIVERS: Table = &[("receiver_matchers", Policy::Refused)];

/// The parameters of a call with the method GET; other methods have none.
pub fn table(endpoint: &Endpoint) -> Table {
    match endpoint {
        Endpoint::Alerts => ALERTS,
        Endpoint::AlertGroups => GROUPS,
        Endpoint::Silences => SILENCES,
        Endpoint::Receivers => RECEIVERS,
        Endpoint::Silence(_) | Endpoint::Status => &[],
    }
}

/// What a parameter that cannot be read may mean.
pub fn weight(endpoint: &Endpoint, name: &str) -> Weight {
    let listed = table(endpoint).iter().any(|(known, _)| *known == name);
    if listed {
        Weight::Decisive
    } else {
        Weight::Ignored
    }
}

/// The parameter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "parameter `{0}` is not permitted here: the answer is made of the caller's alerts, which do not \
     tell the labels of receivers; leave it out"
)]
pub struct RefusedParameter(pub &'static str);

/// The parameters that Alertmanager reads, unconfined.
pub fn known<'f>(endpoint: &Endpoint, form: Form<'f>) -> Form<'f> {
    let mut sent = Form::default();
    for (name, value) in form {
        if table(endpoint).iter().any(|(known, _)| *known == name) {
            sent.push(name, value);
        }
    }
    sent
}

/// The parameters to forward for a caller with these tenants.
pub fn confined<'f>(
    endpoint: &Endpoint,
    form: Form<'f>,
    matchers: &Matchers,
) -> Result<Form<'f>, RefusedParameter> {
    let mut sent = Form::default();
    for (name, value) in form {
        let policy = table(endpoint).iter().find(|(known, _)| *known == name);
        match policy {
            Some((_, Policy::Filter | Policy::Pass)) => sent.push(name, value),
            Some((name, Policy::Refused)) => return Err(RefusedParameter(name)),
            None => {}
        }
    }
    let is_filtered = |(_, policy): &(&str, Policy)| *policy == Policy::Filter;
    if table(endpoint).iter().any(is_filtered) {
        add_filters(&mut sent, matchers);
    }
    Ok(sent)
}

/// The parameters of a side request for every alert of the tenants.
pub fn own_alerts(matchers: &Matchers) -> Form<'static> {
    let mut form = Form::default();
    add_filters(&mut form, matchers);
    form
}

/// An alert must satisfy all `filter`s, so adding some can only leave out more. They are behind the
/// client's own, so that an error of those is reported first.
fn add_filters(form: &mut Form<'_>, matchers: &Matchers) {
    for matcher in matchers.iter() {
        form.push("filter", Cow::Owned(matcher.promql()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{matcher, matchers};
    use super::*;

    fn sent(endpoint: &Endpoint, query: &str) -> Result<String, RefusedParameter> {
        let form = Form::parse(query.as_bytes()).unwrap();
        confined(endpoint, form, &matchers(&["acme"])).map(|form| form.encode())
    }

    #[test]
    fn tenants_filter_is_added_to_all_others() {
        assert_eq!(
            sent(
                &Endpoint::Alerts,
                "filter=a%3Db&filter=tenant_id%3D~.*&x=1&active=false"
            )
            .unwrap(),
            "filter=a%3Db&filter=tenant_id%3D~.%2A&active=false&filter=tenant_id%3D%22acme%22"
        );
        assert_eq!(
            sent(&Endpoint::AlertGroups, "unprocessed=false&muted=true").unwrap(),
            "muted=true&filter=tenant_id%3D%22acme%22"
        );
        let several = Matchers::new(
            matcher("tenant_id", &["a.b", "c\""]),
            [matcher("env", &["prod"])],
        );
        assert_eq!(
            Form::parse(own_alerts(&several).encode().as_bytes())
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [
                ("filter", r#"tenant_id=~"a\\.b|c\"""#),
                ("filter", r#"env="prod""#)
            ]
        );
    }

    #[test]
    fn other_calls_get_no_filter() {
        assert_eq!(
            sent(&Endpoint::Silences, "filter=a%3Db").unwrap(),
            "filter=a%3Db"
        );
        assert_eq!(sent(&Endpoint::Status, "filter=a").unwrap(), "");
        let refused = RefusedParameter("receiver_matchers");
        assert_eq!(
            sent(&Endpoint::Receivers, "receiver_matchers=a%3Db"),
            Err(refused)
        );
    }
}
