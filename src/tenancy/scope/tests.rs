use serde_json::json;

use super::*;
use crate::config::settings::{
    ClaimGrant, ClaimPath, FurtherDimension, Grant, Pattern, Selectors, TenantRule, When,
};
use crate::tenancy::Tenant;
use crate::testing::selectors;

fn path(keys: &[&str]) -> ClaimPath {
    ClaimPath(keys.iter().map(|&key| key.to_owned()).collect())
}

fn claim(keys: &[&str]) -> ClaimGrant {
    ClaimGrant {
        claim: path(keys),
        separator: None,
        pattern: None,
        map: None,
    }
}

fn always(grant: Grant) -> TenantRule {
    TenantRule {
        when: When::default(),
        grant,
    }
}

fn when_claim(keys: &[&str], values: &[&str], grant: Grant) -> TenantRule {
    TenantRule {
        when: When {
            issuer: None,
            claim: Some((path(keys), values.iter().map(|&v| v.to_owned()).collect())),
        },
        grant,
    }
}

fn fixed(tenants: &[&str]) -> Grant {
    Grant::Tenants(tenants.iter().map(|&t| t.to_owned()).collect())
}

fn tenancy(rules: Vec<TenantRule>) -> Tenancy {
    Tenancy {
        rules,
        metrics_label: Some("tenant_id".into()),
        traces_attribute: Some("tenant.id".into()),
        traces_org_id: false,
        selectors: Selectors::default(),
        and: Vec::new(),
        clusters: None,
        max_tenants: 1000,
    }
}

fn by_claim(grant: ClaimGrant) -> Tenancy {
    tenancy(vec![always(Grant::Claim(grant))])
}

/// The scope of these claims, which must be an object.
fn scope_of(tenancy: &Tenancy, claims: &Value) -> Result<TenantScope, ScopeRefusal> {
    resolve(tenancy, "https://idp", claims.as_object().unwrap())
}

/// The tenants of the scope, joined by a space.
fn tenants_of(tenancy: &Tenancy, claims: &Value) -> Result<String, ScopeRefusal> {
    Ok(match scope_of(tenancy, claims)? {
        TenantScope::AllTenants => "ALL".to_owned(),
        TenantScope::Tenants(scope) => {
            let tenants: Vec<&str> = scope.tenants().iter().map(Tenant::as_str).collect();
            tenants.join(" ")
        }
    })
}

fn refusal(tenancy: &Tenancy, claims: &Value) -> ScopeRefusal {
    tenants_of(tenancy, claims).unwrap_err()
}

#[test]
fn string_is_one_tenant_and_a_list_several() {
    let tenancy = by_claim(claim(&["tenant_id"]));
    assert_eq!(
        tenants_of(&tenancy, &json!({"tenant_id": "acme"})).unwrap(),
        "acme"
    );
    let list = json!({"tenant_id": ["b", "a", "b"]});
    assert_eq!(tenants_of(&tenancy, &list).unwrap(), "a b");
    let TenantScope::Tenants(scope) = scope_of(&tenancy, &list).unwrap() else {
        panic!("all tenants");
    };
    assert_eq!(scope.metrics().unwrap().promql(), r#"tenant_id=~"a|b""#);
    let [attribute] = scope.traces().unwrap().only().unwrap() else {
        panic!("several attributes");
    };
    assert_eq!(&*attribute.name, "tenant.id");
    assert!(attribute.values.texts().unwrap().contains("b"));
}

#[test]
fn wildcards_and_operators_are_literal() {
    let tenancy = by_claim(claim(&["t"]));
    for hostile in ["*", ".*", "a|b", ".+", "a,b", "a b", "\"} or {x=\""] {
        assert_eq!(
            tenants_of(&tenancy, &json!({"t": hostile})).unwrap(),
            hostile
        );
        let TenantScope::Tenants(scope) = scope_of(&tenancy, &json!({"t": hostile})).unwrap()
        else {
            panic!("all tenants");
        };
        let metrics = scope.metrics().unwrap();
        assert!(metrics.admit(|_| Some(hostile)));
        assert!(!metrics.admit(|_| Some("a")));
        assert!(metrics.promql().starts_with("tenant_id=\""));
    }
}

#[test]
fn unexpected_claim_never_means_no_restriction() {
    let tenancy = by_claim(claim(&["t"]));
    for (claims, reason, found) in [
        (json!({}), "claim_missing", "no claim `t`"),
        (json!({"T": "a"}), "claim_missing", "no claim `t`"),
        (json!({"t": null}), "claim_type", "is null"),
        (json!({"t": 7.5}), "claim_type", "is a number"),
        (json!({"t": true}), "claim_type", "is a boolean"),
        (json!({"t": {"a": "a"}}), "claim_type", "is an object"),
        (json!({"t": ""}), "claim_empty", "an empty string"),
        (json!({"t": []}), "claim_empty", "an empty list"),
        (json!({"t": [""]}), "claim_empty", "an empty string"),
        (json!({"t": ["a", ""]}), "claim_empty", "an empty string"),
        (json!({"t": ["a", null]}), "claim_type", "holds a null"),
        (json!({"t": ["a", 1.5]}), "claim_type", "holds a number"),
        (json!({"t": ["a", false]}), "claim_type", "holds a boolean"),
        (json!({"t": ["a", ["b"]]}), "claim_type", "holds a list"),
        (json!({"t": "a\nb"}), "invalid_tenant", "control character"),
        (
            json!({"t": ["a", "b\0"]}),
            "invalid_tenant",
            "control character",
        ),
        (json!({"t": "x".repeat(10_000)}), "invalid_tenant", "longer"),
    ] {
        let refusal = refusal(&tenancy, &claims);
        assert_eq!(refusal.reason(), reason, "{claims}");
        assert!(refusal.to_string().contains(found), "{claims}: {refusal}");
    }
}

#[test]
fn refusal_names_the_path_and_not_the_values() {
    let roles = by_claim(claim(&["realm_access", "roles"]));
    let text = refusal(&roles, &json!({"realm_access": {"roles": ["s3cret", 5.5]}})).to_string();
    assert!(
        text.contains("`realm_access.roles`") && !text.contains("s3cret"),
        "{text}"
    );
    let text = refusal(&roles, &json!({"realm_access": "s3cret"})).to_string();
    assert!(
        text.contains("`realm_access` is a string where an object"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(
        refusal(&roles, &json!({"realm_access": null})).reason(),
        "claim_missing"
    );
    let url = by_claim(claim(&["https://example.com/tenants"]));
    let text = refusal(&url, &json!({})).to_string();
    assert!(
        text.contains(r#"`["https://example.com/tenants"]`"#),
        "{text}"
    );
}

#[test]
fn separator_splits_strings_and_empty_pieces_are_ignored() {
    let comma = by_claim(ClaimGrant {
        separator: Some(",".to_owned()),
        ..claim(&["t"])
    });
    assert_eq!(
        tenants_of(&comma, &json!({"t": " a , b,,c, "})).unwrap(),
        "a b c"
    );
    assert_eq!(tenants_of(&comma, &json!({"t": "a"})).unwrap(), "a");
    assert_eq!(
        refusal(&comma, &json!({"t": " , ,"})).reason(),
        "claim_empty"
    );
    assert_eq!(refusal(&comma, &json!({"t": ""})).reason(), "claim_empty");
    // A list is already split: its items are not.
    assert_eq!(
        tenants_of(&comma, &json!({"t": ["a,b", "c"]})).unwrap(),
        "a,b c"
    );
    let blank = by_claim(ClaimGrant {
        separator: Some(" ".to_owned()),
        ..claim(&["t"])
    });
    assert_eq!(tenants_of(&blank, &json!({"t": "a  b"})).unwrap(), "a b");
}

#[test]
fn pattern_gives_its_group_and_skips_values_that_do_not_match() {
    let pattern = |source: &str| {
        by_claim(ClaimGrant {
            pattern: Some(Pattern(regex::Regex::new(source).unwrap())),
            ..claim(&["groups"])
        })
    };
    let groups = json!({"groups": ["/tenants/acme", "/tenants/beta", "/staff", "/tenants/"]});
    let grouped = pattern("^(?:/tenants/([a-z]+))$");
    assert_eq!(tenants_of(&grouped, &groups).unwrap(), "acme beta");
    let whole = pattern("^(?:/[a-z]+)$");
    assert_eq!(tenants_of(&whole, &groups).unwrap(), "/staff");
    let none = refusal(&pattern("^(?:x)$"), &groups);
    assert_eq!(none.reason(), "no_value_left");
    assert!(none.to_string().contains("none of the 4 values"), "{none}");
    // Not anchored, as config never makes it: still only whole values.
    assert_eq!(
        refusal(&pattern("tenants"), &groups).reason(),
        "no_value_left"
    );
    // A group that takes no part in the match yields no tenant.
    assert_eq!(
        refusal(&pattern("^(?:/staff|/x/(.+))$"), &groups).reason(),
        "no_value_left"
    );
    // Odd items are refused before the pattern could leave them out.
    assert_eq!(
        refusal(&grouped, &json!({"groups": ["/tenants/a", true]})).reason(),
        "claim_type"
    );
    assert_eq!(
        refusal(&grouped, &json!({"groups": ["/tenants/a", ""]})).reason(),
        "claim_empty"
    );
}

#[test]
fn map_replaces_values_and_leaves_out_the_rest() {
    let to = |tenants: &[&str]| tenants.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
    let tenancy = by_claim(ClaimGrant {
        pattern: Some(Pattern(regex::Regex::new("^(?:grp-(.*))$").unwrap())),
        map: Some(vec![
            ("red".to_owned(), to(&["acme", "beta"])),
            ("blue".to_owned(), to(&["beta"])),
            ("green".to_owned(), to(&["other"])),
        ]),
        ..claim(&["groups"])
    });
    let groups = json!({"groups": ["grp-red", "grp-blue", "grp-beige", "green"]});
    assert_eq!(tenants_of(&tenancy, &groups).unwrap(), "acme beta");
    let unmapped = json!({"groups": ["grp-acme", "acme"]});
    assert_eq!(refusal(&tenancy, &unmapped).reason(), "no_value_left");
}

#[test]
fn first_rule_that_applies_decides_alone() {
    let tenancy = tenancy(vec![
        TenantRule {
            when: When {
                issuer: Some("https://machines".into()),
                claim: Some((
                    path(&["sub"]),
                    vec!["system:serviceaccount:mon:grafana".to_owned()],
                )),
            },
            grant: fixed(&["infra"]),
        },
        when_claim(&["groups"], &["/admins", "/sre"], Grant::AllTenants),
        always(Grant::Claim(claim(&["tenant_id"]))),
    ]);
    let admin = json!({"groups": ["/sre"], "tenant_id": "acme"});
    assert_eq!(tenants_of(&tenancy, &admin).unwrap(), "ALL");
    let user = json!({"groups": ["/sre/x", "sre", "/SRE"], "tenant_id": "acme"});
    assert_eq!(tenants_of(&tenancy, &user).unwrap(), "acme");
    let machine = json!({"sub": "system:serviceaccount:mon:grafana"});
    let of_machine = resolve(&tenancy, "https://machines", machine.as_object().unwrap());
    assert!(matches!(of_machine, Ok(TenantScope::Tenants(t)) if t.tenants().contains("infra")));
    // The same subject of another issuer is another caller.
    assert_eq!(refusal(&tenancy, &machine).reason(), "claim_missing");
    // A rule that applies and yields nothing still decides.
    let mut strict = tenancy.clone();
    strict.rules.push(always(Grant::AllTenants));
    assert_eq!(
        refusal(&strict, &json!({"tenant_id": []})).reason(),
        "claim_empty"
    );
}

#[test]
fn caller_without_a_rule_has_no_tenants() {
    let conditional = tenancy(vec![when_claim(&["groups"], &["x"], Grant::AllTenants)]);
    for claims in [
        json!({}),
        json!({"groups": null}),
        json!({"groups": []}),
        json!({"groups": "xx"}),
    ] {
        assert_eq!(refusal(&conditional, &claims), ScopeRefusal::NoRule);
    }
    assert_eq!(
        refusal(&tenancy(Vec::new()), &json!({})),
        ScopeRefusal::NoRule
    );
}

#[test]
fn condition_on_a_claim_of_another_type_refuses_the_token() {
    let tenancy = tenancy(vec![
        when_claim(&["guest"], &["yes"], fixed(&["public"])),
        always(Grant::AllTenants),
    ]);
    assert_eq!(
        tenants_of(&tenancy, &json!({"guest": "yes"})).unwrap(),
        "public"
    );
    for odd in [
        json!(true),
        json!(1.5),
        json!({"yes": true}),
        json!(["yes", 1.5]),
        json!(["yes", {"name": "yes"}]),
        json!("[yes]"),
        json!([null]),
    ] {
        assert_eq!(
            refusal(&tenancy, &json!({"guest": odd})).reason(),
            "claim_type"
        );
    }
    // The groups of a user who is in too many for a token are not known.
    let overage = json!({"_claim_names": {"guest": "src1"}});
    assert_eq!(refusal(&tenancy, &overage).reason(), "claim_elsewhere");
    for same in [json!(["yes"]), json!(r#"["yes"]"#), json!({"yes": {}})] {
        let claims = json!({ "guest": same });
        assert_eq!(tenants_of(&tenancy, &claims).unwrap(), "public");
    }
}

#[test]
fn tenants_are_bounded() {
    let tenancy = Tenancy {
        max_tenants: 3,
        ..by_claim(claim(&["t"]))
    };
    assert_eq!(
        tenants_of(&tenancy, &json!({"t": ["a", "b", "c", "a"]})).unwrap(),
        "a b c"
    );
    let refused = refusal(&tenancy, &json!({"t": ["a", "b", "c", "d"]}));
    assert!(
        refused.to_string().contains("4 tenants and at most 3"),
        "{refused}"
    );
    let many: Vec<String> = (0..5000).map(|n| format!("group-{n}")).collect();
    assert_eq!(
        refusal(&tenancy, &json!({"t": many})).reason(),
        "too_many_tenants"
    );
    let fixed = Tenancy {
        rules: vec![always(fixed(&["a", "b", "c", "d"]))],
        ..tenancy
    };
    assert_eq!(refusal(&fixed, &json!({})), ScopeRefusal::FixedTenants);
}

#[test]
fn unusable_fixed_tenants_grant_nothing() {
    for unusable in [&[][..], &[""], &["a", "b\n"]] {
        let tenancy = tenancy(vec![always(fixed(unusable))]);
        assert_eq!(refusal(&tenancy, &json!({})), ScopeRefusal::FixedTenants);
    }
}

#[test]
fn further_dimensions_must_all_yield_tenants() {
    let tenancy = Tenancy {
        and: vec![FurtherDimension {
            rules: vec![always(Grant::Claim(claim(&["env"])))],
            metrics_label: Some("env".into()),
            traces_attribute: None,
            selectors: Selectors::default(),
        }],
        ..by_claim(claim(&["t"]))
    };
    let both = json!({"t": ["a", "b"], "env": "prod"});
    let TenantScope::Tenants(scope) = scope_of(&tenancy, &both).unwrap() else {
        panic!("all tenants");
    };
    assert_eq!(
        scope.metrics().unwrap().promql(),
        r#"tenant_id=~"a|b",env="prod""#
    );
    assert_eq!(scope.traces().unwrap().names(), ["tenant.id"]);
    assert!(!scope.tenants().contains("prod"));
    assert_eq!(
        refusal(&tenancy, &json!({"t": "a"})).reason(),
        "claim_missing"
    );
    assert_eq!(
        refusal(&tenancy, &json!({"env": "prod"})).reason(),
        "claim_missing"
    );
    let mut all = tenancy.clone();
    all.and[0].rules = vec![always(Grant::AllTenants)];
    assert_eq!(
        refusal(&all, &both),
        ScopeRefusal::AllTenantsInFurtherDimension
    );
    // For an admin of the first dimension the others are not evaluated.
    let mut admin = tenancy;
    admin.rules = vec![always(Grant::AllTenants)];
    assert_eq!(tenants_of(&admin, &json!({})).unwrap(), "ALL");
}

#[test]
fn without_a_label_no_query_can_be_confined() {
    let tenancy = Tenancy {
        metrics_label: None,
        traces_attribute: None,
        and: vec![FurtherDimension {
            rules: vec![always(fixed(&["prod"]))],
            metrics_label: Some("env".into()),
            traces_attribute: Some("env".into()),
            selectors: Selectors::default(),
        }],
        ..by_claim(claim(&["t"]))
    };
    let TenantScope::Tenants(scope) = scope_of(&tenancy, &json!({"t": "a"})).unwrap() else {
        panic!("all tenants");
    };
    // With a matcher of the further dimension only, every tenant would match.
    assert_eq!(scope.metrics(), Err(Unselectable::NotConfigured));
    assert_eq!(scope.traces(), Err(Unselectable::NotConfigured));
}

/// Claims in the forms of real providers.
#[test]
fn claims_of_real_providers() {
    let keycloak = json!({
        "iss": "https://sso/realms/obs", "azp": "grafana", "typ": "Bearer",
        "realm_access": {"roles": ["offline_access", "tenant:acme", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "groups": ["/tenants/acme", "/tenants/beta/ops"],
    });
    let role = by_claim(ClaimGrant {
        pattern: Some(Pattern(regex::Regex::new("^(?:tenant:(.+))$").unwrap())),
        ..claim(&["realm_access", "roles"])
    });
    assert_eq!(tenants_of(&role, &keycloak).unwrap(), "acme");
    let group = by_claim(ClaimGrant {
        pattern: Some(Pattern(
            regex::Regex::new("^(?:/tenants/([^/]+)(?:/.*)?)$").unwrap(),
        )),
        ..claim(&["groups"])
    });
    assert_eq!(tenants_of(&group, &keycloak).unwrap(), "acme beta");

    let entra = json!({
        "groups": ["6f1d7c1e-0000-4000-8000-000000000001"], "roles": ["Tenant.Read"], "ver": "2.0",
    });
    let guid = by_claim(ClaimGrant {
        map: Some(vec![(
            "6f1d7c1e-0000-4000-8000-000000000001".to_owned(),
            vec!["acme".to_owned()],
        )]),
        ..claim(&["groups"])
    });
    assert_eq!(tenants_of(&guid, &entra).unwrap(), "acme");
    // With too many groups, Entra omits `groups` and links to them instead.
    let overage = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}});
    assert_eq!(refusal(&guid, &overage).reason(), "claim_elsewhere");

    let auth0 = json!({"https://example.com/tenants": ["acme"], "scope": "openid profile"});
    let namespaced = by_claim(claim(&["https://example.com/tenants"]));
    assert_eq!(tenants_of(&namespaced, &auth0).unwrap(), "acme");

    let kubernetes = json!({
        "sub": "system:serviceaccount:acme-ns:agent",
        "kubernetes.io": {"namespace": "acme-ns", "serviceaccount": {"name": "agent"}},
    });
    let namespace = by_claim(claim(&["kubernetes.io", "namespace"]));
    assert_eq!(tenants_of(&namespace, &kubernetes).unwrap(), "acme-ns");
}

/// Which of the clusters `eu` and `us` a caller with these claims may use.
fn clusters_of(rules: Option<Vec<TenantRule>>, claims: &Value) -> Vec<&'static str> {
    let tenancy = Tenancy {
        clusters: rules,
        ..tenancy(vec![
            when_claim(&["groups"], &["sre"], Grant::AllTenants),
            always(fixed(&["acme"])),
        ])
    };
    let scope = scope_of(&tenancy, claims).unwrap();
    let mut both = vec!["eu", "us"];
    both.retain(|name| scope.may_use(name));
    both
}

#[test]
fn clusters_are_all_without_rules_and_none_if_no_rule_grants_any() {
    assert_eq!(clusters_of(None, &json!({})), ["eu", "us"]);
    let by_claim = || Some(vec![always(Grant::Claim(claim(&["sites"])))]);
    assert_eq!(
        clusters_of(by_claim(), &json!({"sites": ["us", "x"]})),
        ["us"]
    );
    for nothing in [
        json!({}),
        json!({"sites": null}),
        json!({"sites": []}),
        json!({"sites": ""}),
        json!({"sites": {"eu": 1}}),
        json!({"sites": ["eu", 1.5]}),
        json!({"sites": "EU"}),
        json!({"sites": "eu,us"}),
        json!({"sites": "*"}),
    ] {
        assert!(clusters_of(by_claim(), &nothing).is_empty(), "{nothing}");
    }
    assert_eq!(
        clusters_of(by_claim(), &json!({"groups": "sre"})),
        ["eu", "us"]
    );
    let first = Some(vec![
        when_claim(&["groups"], &["contractors"], fixed(&["eu"])),
        when_claim(&["groups"], &["staff"], Grant::AllTenants),
    ]);
    for (group, expected) in [
        ("contractors", vec!["eu"]),
        ("staff", vec!["eu", "us"]),
        ("others", vec![]),
    ] {
        assert_eq!(
            clusters_of(first.clone(), &json!({"groups": [group]})),
            expected
        );
    }
}

/// A claim's value is a name: whatever is in it, it is looked up among the operator's selectors or is
/// taken literally.
#[test]
fn claim_never_becomes_an_expression() {
    let tenancy = Tenancy {
        selectors: selectors(&[("team-a", "=~", "team-a-.*")]),
        ..by_claim(claim(&["t"]))
    };
    let matchers = |claims: &Value| match scope_of(&tenancy, claims).unwrap() {
        TenantScope::Tenants(scope) => {
            assert_eq!(
                *scope.traces().unwrap().only().unwrap()[0]
                    .values
                    .texts()
                    .unwrap(),
                *scope.metrics().unwrap().iter().next().unwrap().values()
            );
            scope.metrics().unwrap().clone()
        }
        TenantScope::AllTenants => panic!("all tenants"),
    };
    assert_eq!(
        matchers(&json!({"t": "team-a"})).promql(),
        r#"tenant_id=~"(?s:team-a-.*)""#
    );
    for hostile in [
        ".*",
        "team-a-.*",
        "(?s:team-a-.*)",
        "team-a|.*",
        "=~",
        "TEAM-A",
        "team-a ",
    ] {
        let alone = matchers(&json!({"t": hostile}));
        assert!(
            alone.promql().starts_with("tenant_id=\""),
            "{}",
            alone.promql()
        );
        assert!(alone.admit(|_| Some(hostile)) && !alone.admit(|_| Some("team-a-1")));
        let both = matchers(&json!({"t": [hostile, "team-a"]}));
        assert!(both.admit(|_| Some(hostile)) && both.admit(|_| Some("team-a-1")));
        assert!(
            !both.admit(|_| Some("team-b")) && !both.admit(|_| Some("")) && !both.admit(|_| None)
        );
    }
}

#[test]
fn negative_selector_is_for_a_single_tenant() {
    let tenancy = Tenancy {
        selectors: selectors(&[("rest", "!=", "platform")]),
        ..by_claim(claim(&["t"]))
    };
    assert_eq!(tenants_of(&tenancy, &json!({"t": "rest"})).unwrap(), "rest");
    let refused = refusal(&tenancy, &json!({"t": ["rest", "a"]}));
    assert_eq!(refused.reason(), "negative_selector");
}

/// The matchers of a caller with these tenants, of whom `t` has this selector.
fn matchers_of_t(selector: &str, tenants: &[&str]) -> Result<String, Unselectable> {
    let names = "metrics: {label: tenant_id}";
    let scope = crate::testing::scope_of("metrics, api: prometheus", names, selector, tenants);
    match scope.unwrap() {
        TenantScope::Tenants(scope) => scope.metrics().map(|all| all.promql().to_owned()),
        TenantScope::AllTenants => panic!("all tenants"),
    }
}

#[test]
fn conditions_on_several_labels_are_one_selector() {
    let conditions = "metrics: [{label: team, match: '!~', value: 'x.*'}, \
                      {label: env, match: '=', value: prod}, {label: zone, match: '!=', value: z}, \
                      {label: app, match: '=~', value: 'a|b'}]";
    assert_eq!(
        matchers_of_t(conditions, &["t"]).unwrap(),
        r#"app=~"(?s:a|b)",env="prod",team!~"(?s:x.*)|",zone!~"z|""#
    );
}

#[test]
fn several_tenants_have_metrics_only_if_one_selector_selects_them() {
    let own_label = "metrics: [{label: tenant_id, match: '=~', value: 'a.*'}]";
    assert_eq!(
        matchers_of_t(own_label, &["t", "b"]).unwrap(),
        r#"tenant_id=~"b|(?s:a.*)""#
    );
    let refused = Err(Unselectable::Refused(ScopeRefusal::NotOneConjunction));
    for selector in [
        "metrics: [{label: env, match: '=', value: prod}]",
        "metrics: [{label: tenant_id, match: '!=', value: a}]",
        "metrics: [{label: tenant_id, match: '=', value: a}, {label: env, match: '=', value: p}]",
    ] {
        assert!(matchers_of_t(selector, &["t"]).is_ok(), "{selector}");
        assert_eq!(matchers_of_t(selector, &["t", "b"]), refused, "{selector}");
    }
}

#[test]
fn too_many_alternatives_refuse_traces_alone() {
    let any = |tenant: usize| {
        let conditions = |n: usize| {
            format!(
                "[{{attribute: resource.a, match: '=', value: {tenant}-{n}}}, \
                 {{attribute: resource.b, match: '=', value: {tenant}-{n}}}]"
            )
        };
        let all: Vec<String> = (0..16).map(conditions).collect();
        format!("traces: {{any: [{}]}}", all.join(", "))
    };
    let selectors: Vec<String> = (0..5).map(any).collect();
    let all = selectors.join("}, u: {");
    let all = ["u1", "u2", "u3", "u4"].iter().fold(all, |all, name| {
        all.replacen("u: {", &format!("{name}: {{"), 1)
    });
    let scope_of = |tenants: &[&str]| {
        let names = "traces: {attribute: resource.tenant_id}";
        match crate::testing::scope_of("traces, api: tempo", names, &all, tenants).unwrap() {
            TenantScope::Tenants(scope) => scope.traces().map(|all| all.alternatives().len()),
            TenantScope::AllTenants => panic!("all tenants"),
        }
    };
    assert_eq!(scope_of(&["t", "u1", "u2", "u3"]), Ok(64));
    let refusal = ScopeRefusal::TooManyAlternatives { found: 80, max: 64 };
    assert_eq!(
        scope_of(&["t", "u1", "u2", "u3", "u4"]),
        Err(Unselectable::Refused(refusal))
    );
}
