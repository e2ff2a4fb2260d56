//! The law in other modes than the usual: several tenants, several attributes, `search_metadata`,
//! `foreign_spans`, and a Tempo that keeps tenants apart by itself.
//!
//! The private stores are tenants of a Tempo with multitenancy, whose names hold the time, so that
//! runs do not meet. A second, plain Tempo is the shared store; it gets no resources of doubtful
//! tenants, which a private store of several tenants would not have; see `lists.rs`.
//!
//! ```text
//! TEMPO_MODES_URL=http://127.0.0.1:3203 TEMPO_MODES_OTLP_URL=http://127.0.0.1:4321 \
//! TEMPO_MULTITENANT_URL=http://127.0.0.1:3202 TEMPO_MULTITENANT_OTLP_URL=http://127.0.0.1:4320 \
//!     cargo test --test e2e live_modes -- --nocapture
//! ```

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::ask::{As, Form, Outcome, Question, Subject, ask};
use super::compare::{canonical, differences};
use super::exceptions::mask;
use super::{ATTEMPTS, GENTLY, as_asked, forget_unless_named, questions};
use crate::kit::client::Client;
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_data::{ATTRIBUTE, Group, Owner, Trace, Traces, Window};
use crate::kit::token::now;

const NAMESPACE: &str = "k8s.namespace.name";
const NAMESPACES: [&str; 2] = ["ns-web", "ns-api"];
/// One in so many questions is asked in a mode, in each another one. All would take an hour.
const SHARE: usize = 9;
const NOWHERE: &str = "deadbeefdeadbeefdeadbeefdeadbeef";
/// What describes whole traces, and what counts across them.
const WHOLE: [&str; 7] = [
    "rootName",
    "rootService",
    "traceDuration",
    "trace:duration",
    "childCount",
    "nestedSet",
    "compare(",
];

struct Stores {
    shared: String,
    multitenant: String,
    data: Traces,
}

/// Who asks through which proxy, and what the answers are to equal.
struct Mode<'a> {
    name: &'static str,
    proxy: &'a str,
    token: String,
    /// The tenant of the multitenant Tempo that holds what the caller may see.
    private: String,
    /// The stage that confines the caller's queries; none where Tempo itself does.
    stage: Option<&'static str>,
    is_own: fn(&Group) -> bool,
    metadata: Metadata,
    /// A trace with spans of others does not exist.
    denies: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Metadata {
    Exact,
    Verify,
    Mask,
    Trust,
}

#[derive(Default)]
struct Tally {
    compared: usize,
    with_data: usize,
    /// Alike only to the confined question's answer: Tempo reads the two in different ways.
    as_confined: usize,
    refused: usize,
    failures: Vec<String>,
}

impl Stores {
    async fn from_environment() -> Option<Self> {
        let what = "Tempos of all modes (see the head of tests/e2e/traces/live/modes.rs)";
        let urls = evidence::running_stores(
            [
                "TEMPO_MODES_URL",
                "TEMPO_MODES_OTLP_URL",
                "TEMPO_MULTITENANT_URL",
                "TEMPO_MULTITENANT_OTLP_URL",
            ],
            what,
        );
        let [shared, otlp, multitenant, multitenant_otlp] = urls?;
        let data = Traces::shared(now()).keep(|trace, _| trace.window != Window::Doubtful);
        let stores = Self {
            shared,
            multitenant,
            data,
        };
        let private = [
            ("acme", is_acme as fn(&Group) -> bool),
            ("beta", is_beta),
            ("both", is_of_both),
            ("part", is_part),
        ];
        let private = private.map(|(name, is_own)| {
            let own = stores.data.keep(|_, group| is_own(group));
            (own, stores.tenant(name))
        });
        // All is sent before anything is waited for: spans that come late are dated anew.
        stores.data.push(&otlp).await;
        for (own, tenant) in &private {
            own.push_as(&multitenant_otlp, tenant).await;
        }
        stores.data.wait_visible(&stores.shared).await;
        for (own, tenant) in &private {
            own.wait_visible_to(&stores.multitenant, tenant).await;
        }
        Some(stores)
    }

    fn tenant(&self, name: &str) -> String {
        format!("{name}-{}", self.data.anchor)
    }
}

fn is_acme(group: &Group) -> bool {
    group.owner == Owner::Tenant("acme")
}

fn is_beta(group: &Group) -> bool {
    group.owner == Owner::Tenant("beta")
}

fn is_of_both(group: &Group) -> bool {
    is_acme(group) || is_beta(group)
}

fn is_part(group: &Group) -> bool {
    is_acme(group) && NAMESPACES.iter().any(|name| group.says(NAMESPACE, name))
}

async fn proxy(url: &str, tenancy: &str, rest: &str) -> Partywall {
    let mut setup = Setup::tempo(url);
    if let Some(tempo) = setup.tempo.as_mut().filter(|_| !tenancy.is_empty()) {
        tenancy.clone_into(&mut tempo.tenancy);
    }
    rest.clone_into(&mut setup.rest);
    Partywall::start(setup).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::too_many_lines)] // One entry a mode.
async fn live_modes_are_those_of_private_tempos() {
    let Some(stores) = Stores::from_environment().await else {
        return;
    };
    let shared = &stores.shared;
    let and = format!(
        "  and:\n    - claim: namespaces\n      traces:\n        attribute: resource.{NAMESPACE}\n\
         traces:\n  search_metadata: exact\n"
    );
    let (usual, verifying, masking, trusting, denying, several, by_org_id) = (
        proxy(shared, "", "traces:\n  search_metadata: exact\n").await,
        proxy(shared, "", "traces:\n  search_metadata: verify\n").await,
        proxy(shared, "", "traces:\n  search_metadata: mask\n").await,
        proxy(shared, "", "traces:\n  search_metadata: trust\n").await,
        proxy(
            shared,
            "",
            "traces:\n  search_metadata: exact\n  foreign_spans: deny\n",
        )
        .await,
        proxy(shared, "", &and).await,
        proxy(&stores.multitenant, "org_id: true", "").await,
    );
    let acme = Mode {
        name: "mask",
        proxy: &masking.url,
        token: masking.signer.tenant("acme"),
        private: stores.tenant("acme"),
        stage: Some(r#"{ resource.tenant_id = "acme" }"#),
        is_own: is_acme,
        metadata: Metadata::Mask,
        denies: false,
    };
    let modes = [
        Mode {
            name: "verify",
            proxy: &verifying.url,
            token: verifying.signer.tenant("acme"),
            private: stores.tenant("acme"),
            metadata: Metadata::Verify,
            ..acme
        },
        Mode {
            name: "trust",
            proxy: &trusting.url,
            token: trusting.signer.tenant("acme"),
            private: stores.tenant("acme"),
            metadata: Metadata::Trust,
            ..acme
        },
        Mode {
            name: "deny",
            proxy: &denying.url,
            token: denying.signer.tenant("acme"),
            private: stores.tenant("acme"),
            metadata: Metadata::Exact,
            denies: true,
            ..acme
        },
        Mode {
            name: "two tenants",
            proxy: &usual.url,
            token: usual.signer.tenants(&["acme", "beta"]),
            private: stores.tenant("both"),
            stage: Some(r#"{ resource.tenant_id =~ "acme|beta" }"#),
            is_own: is_of_both,
            metadata: Metadata::Exact,
            ..acme
        },
        Mode {
            name: "two attributes",
            proxy: &several.url,
            token: several
                .signer
                .token(&json!({ "tenant_id": "acme", "namespaces": NAMESPACES })),
            private: stores.tenant("part"),
            stage: Some(
                r#"{ resource.tenant_id = "acme" && resource.k8s.namespace.name =~ "ns-web|ns-api" }"#,
            ),
            is_own: is_part,
            metadata: Metadata::Exact,
            ..acme
        },
        Mode {
            name: "org_id",
            proxy: &by_org_id.url,
            token: by_org_id.signer.tenant(&stores.tenant("acme")),
            private: stores.tenant("acme"),
            stage: None,
            metadata: Metadata::Trust,
            ..acme
        },
        Mode {
            name: "org_id, two tenants",
            proxy: &by_org_id.url,
            token: by_org_id
                .signer
                .tenants(&[&stores.tenant("acme"), &stores.tenant("beta")]),
            // It is Tempo that puts several together, and not always as one store would.
            private: format!("{}|{}", stores.tenant("acme"), stores.tenant("beta")),
            stage: None,
            is_own: is_of_both,
            metadata: Metadata::Trust,
            ..acme
        },
        acme,
    ];
    let mut failures = Vec::new();
    for (turn, mode) in modes.iter().enumerate() {
        failures.extend(compare_all(&stores, mode, turn).await.failures);
    }
    assert!(
        failures.is_empty(),
        "{} answers are not as they should be",
        failures.len()
    );
}

/// Each mode takes its turn with a share of the questions.
async fn compare_all(stores: &Stores, mode: &Mode<'_>, turn: usize) -> Tally {
    let data = &stores.data;
    let mut all = questions::searches(data);
    all.extend(questions::metrics(data));
    all.extend(questions::tags(data));
    all.extend(questions::traces(data));
    all.retain(|question| is_comparable(question, mode));
    let mut places = 0..;
    all.retain(|_| places.next().unwrap_or(0) % SHARE == turn);
    let client = Client::default();
    let asked = all.iter().flat_map(|question| {
        let forms = question.forms().iter();
        let client = &client;
        forms.map(move |form| compare(stores, mode, client, question, *form))
    });
    let mut tally = Tally::default();
    let mut answers = futures_util::stream::iter(asked).buffer_unordered(GENTLY);
    while let Some(one) = answers.next().await {
        tally.compared += one.compared;
        tally.with_data += one.with_data;
        tally.as_confined += one.as_confined;
        tally.refused += one.refused;
        tally.failures.extend(one.failures);
    }
    println!(
        "{}: {} answers compared, {} failures; {} with data, {} refused, {} as that to the \
         confined question",
        mode.name,
        tally.compared,
        tally.failures.len(),
        tally.with_data,
        tally.refused,
        tally.as_confined
    );
    for failure in &tally.failures {
        println!("  {failure}\n");
    }
    assert!(
        tally.with_data * 3 > tally.compared && tally.as_confined * 4 < tally.compared,
        "{}: too few answers mean anything",
        mode.name
    );
    tally
}

/// What `exceptions.rs` has to say about is left to the other test.
fn is_comparable(question: &Question, mode: &Mode<'_>) -> bool {
    let query = question.param("q");
    let is_search = question.subject == Subject::Search;
    let is_cut = is_search && (question.param("limit"), question.param("spss")) != ("500", "50");
    // The values that a trace has as a whole are not kept to a time; for the tenants' own see
    // `exceptions.rs`.
    let is_odd_tag = match &question.subject {
        Subject::Values(_, tag) => {
            is_of_root(tag)
                || (mode.is_trusting() && is_of_whole(tag))
                || (mode.stage.is_some() && (tag.ends_with(ATTRIBUTE) || query.contains(ATTRIBUTE)))
        }
        Subject::Tags(_) => mode.stage.is_some() && query.contains(ATTRIBUTE),
        _ => false,
    };
    let may_ask_of_whole =
        mode.stage.is_none() || (mode.is_trusting() && !query.contains("compare("));
    // Where traces are shared, structure is seen through others' spans, and trust is misplaced.
    let is_by_id = matches!(question.subject, Subject::Trace(..));
    let is_mixed = matches!(question.window, Window::Mixed | Window::Roots) && !is_by_id;
    let is_plain_filter = query.starts_with('{') && query.matches('{').count() == 1;
    !is_cut
        && !is_odd_tag
        && !query.replace("!= nil", "").contains("= nil")
        && (!is_of_whole(query) || may_ask_of_whole)
        && (!is_mixed || (is_plain_filter && mode.metadata != Metadata::Trust))
}

fn is_of_root(tag: &str) -> bool {
    ["rootName", "rootService"]
        .iter()
        .any(|word| tag.contains(word))
}

fn is_of_whole(text: &str) -> bool {
    WHOLE.iter().any(|word| text.contains(word))
}

impl Mode<'_> {
    /// Whether the proxy takes it that no trace is shared.
    fn is_trusting(&self) -> bool {
        self.stage.is_some() && self.metadata == Metadata::Trust
    }
}

async fn compare(
    stores: &Stores,
    mode: &Mode<'_>,
    client: &Client,
    question: &Question,
    form: Form,
) -> Tally {
    let mut tally = Tally {
        compared: 1,
        ..Tally::default()
    };
    let mut found = Vec::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        let private = As::Tenant(&mode.private);
        let wanted = wanted(mode, &stores.data, question);
        let (expected, got) = tokio::join!(
            ask(client, &stores.multitenant, &wanted, form, private),
            ask(client, mode.proxy, question, form, As::Bearer(&mode.token)),
        );
        tally.with_data = usize::from(got.status == 200 && got.text.len() > 60);
        found = differ(mode, &stores.data, question, &expected, &got);
        if found.is_empty() {
            return tally;
        }
        if is_refused(mode, question, &got) {
            tally.refused = 1;
            return tally;
        }
        if let Some(stage) = mode.stage {
            let confined = question.confined(stage);
            let mut twin = ask(client, &stores.multitenant, &confined, form, private).await;
            as_asked(&mut twin, question, &got);
            forget_unless_named(&mut twin.json, question, NAMESPACE);
            if differ(mode, &stores.data, question, &twin, &got).is_empty() {
                tally.as_confined = 1;
                return tally;
            }
        }
    }
    let found = found.join("\n    ");
    let name = mode.name;
    tally
        .failures
        .push(format!("{name}: {form:?} {question}\n    {found}"));
    tally
}

/// The question that the private store is asked: for a trace that must not exist, one that does not.
fn wanted(mode: &Mode<'_>, data: &Traces, question: &Question) -> Question {
    let mut wanted = question.clone();
    let is = |trace: &Trace, id: &str| {
        trace
            .short_id()
            .eq_ignore_ascii_case(id.trim_start_matches('0'))
    };
    if let Subject::Trace(_, id) = &mut wanted.subject
        && mode.denies
        && data
            .traces
            .iter()
            .any(|trace| is(trace, id) && is_shared(trace, mode))
    {
        NOWHERE.clone_into(id);
    }
    wanted
}

fn is_shared(trace: &Trace, mode: &Mode<'_>) -> bool {
    !trace.groups.iter().all(mode.is_own)
}

fn differ(
    mode: &Mode<'_>,
    data: &Traces,
    question: &Question,
    expected: &Outcome,
    got: &Outcome,
) -> Vec<String> {
    // Over gRPC Tempo has another code for a query that it cannot read.
    if expected.status != got.status && !(got.status == 400 && expected.status == 602) {
        return vec![format!(
            "expected {} {}\n    got {} {}",
            expected.status, expected.text, got.status, got.text
        )];
    }
    let mut wanted = canonical(&question.subject, &expected.json);
    if question.subject == Subject::Search && mode.stage.is_some() {
        hide(mode, data, &mut wanted);
    }
    differences(&wanted, &canonical(&question.subject, &got.json))
}

/// Takes out what the mode does not show of traces.
fn hide(mode: &Mode<'_>, data: &Traces, page: &mut Value) {
    let traces = page.as_object_mut().into_iter().flatten();
    for (id, found) in traces {
        let known = data.traces.iter().find(|trace| trace.short_id() == id);
        let is_hidden = match mode.metadata {
            Metadata::Trust | Metadata::Exact => false,
            Metadata::Mask => true,
            Metadata::Verify => known.is_none_or(|trace| is_shared(trace, mode)),
        };
        if is_hidden {
            mask(found);
        }
    }
}

/// Whether it is about what describes whole traces, as some tags are.
fn is_refused(mode: &Mode<'_>, question: &Question, got: &Outcome) -> bool {
    match &question.subject {
        Subject::Values(_, tag) => {
            got.status == 403 && is_of_whole(tag) && mode.stage.is_some() && !mode.is_trusting()
        }
        _ => false,
    }
}
