//! The document has exactly what is in the tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::admin::endpoints::Endpoint as Admin;
use crate::alertmanager::{endpoints as alerts_api, params as alerts_table};
use crate::config::settings::ClosedGroup;
use crate::grpc::method::Method;
use crate::prometheus::endpoints::{self as metrics_api, Class};
use crate::prometheus::params::table as metrics_table;
use crate::tempo::endpoints::{self as traces_api, Class as TracesClass};
use crate::tempo::params::table as traces_table;

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Each operation of the document, by path and method.
fn documented() -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for (path, item) in openapi()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                all.insert((path.clone(), method.to_uppercase()), operation.clone());
            }
        }
    }
    all
}

/// The routes, by path and method: name, and the names of the parameters.
fn routed() -> BTreeMap<(String, String), (String, BTreeSet<String>)> {
    let mut all = BTreeMap::new();
    let mut add = |path: &str, methods: &[&str], name: &str, parameters: Vec<&str>| {
        let in_path = path.split(['{', '}']).skip(1).step_by(2);
        let parameters: BTreeSet<String> = parameters
            .into_iter()
            .chain(in_path)
            .map(str::to_owned)
            .collect();
        for method in methods {
            let id = if methods[0] == *method {
                name.to_owned()
            } else {
                format!("{name}_{}", method.to_lowercase())
            };
            let known = (id, parameters.clone());
            let twice = all.insert((path.to_owned(), (*method).to_owned()), known);
            assert!(twice.is_none(), "{method} {path} twice");
        }
    };
    for endpoint in metrics_api::Endpoint::all() {
        let table = metrics_table::of(&endpoint).rows().map(|(name, _)| *name);
        let (methods, name) = (endpoint.methods(), endpoint.name());
        add(endpoint.template(), methods, name, table.collect());
    }
    for endpoint in traces_api::Endpoint::all() {
        let table = traces_table::for_endpoint(&endpoint)
            .iter()
            .map(|(name, _)| *name);
        // HEAD and POST are taken for GET, as Tempo does.
        let (methods, name) = (endpoint.methods(), endpoint.name());
        let usual = methods.get(..1).unwrap_or_default();
        add(endpoint.template(), usual, name, table.collect());
    }
    for endpoint in Admin::ALL {
        let name = match endpoint.path() {
            "/metrics" => "admin_metrics".to_owned(),
            "/-/api/openapi.json" => "admin_openapi".to_owned(),
            path => path.replace("/-/", "admin_").replace('/', "_"),
        };
        add(endpoint.path(), endpoint.methods(), &name, Vec::new());
    }
    for endpoint in alerts_api::Endpoint::all() {
        let (path, name) = (endpoint.template(), endpoint.name());
        let in_path = path.contains("{id}").then(|| "id".to_owned());
        for method in endpoint.methods() {
            let is_read = *method == "GET";
            let table = alerts_table::table(&endpoint).iter().filter(|_| is_read);
            let listed = table.map(|(name, _)| (*name).to_owned());
            let id = if is_read {
                name.to_owned()
            } else {
                format!("{name}_{}", method.to_lowercase())
            };
            let known = (id, listed.chain(in_path.clone()).collect());
            all.insert((path.to_owned(), (*method).to_owned()), known);
        }
    }
    all
}

/// Parameters of URL, form and path, including refused ones.
fn parameters(operation: &Value) -> BTreeSet<String> {
    let listed = [&operation["parameters"], &operation["x-refused"]];
    let listed = listed.into_iter().filter_map(Value::as_array).flatten();
    let listed = listed.map(|one| one["name"].as_str().unwrap().to_owned());
    let content = &operation["requestBody"]["content"];
    let form = &content["application/x-www-form-urlencoded"]["schema"]["properties"];
    let in_form = form.as_object().into_iter().flatten();
    listed
        .chain(in_form.map(|(name, _)| name.clone()))
        .collect()
}

#[test]
fn documented_operations_are_the_routes() {
    let (documented, routed) = (documented(), routed());
    let paths: Vec<_> = documented.keys().collect();
    assert_eq!(paths, routed.keys().collect::<Vec<_>>());
    let mut ids = BTreeSet::new();
    for (place, (id, expected)) in &routed {
        let operation = &documented[place];
        assert_eq!(operation["operationId"], id.as_str(), "{place:?}");
        assert!(ids.insert(id), "{id} twice");
        assert_eq!(&parameters(operation), expected, "{place:?}");
    }
}

#[test]
fn every_parameter_and_operation_is_described() {
    for (place, operation) in documented() {
        let is_described = |value: &Value| value.as_str().is_some_and(|text| text.len() > 3);
        assert!(is_described(&operation["summary"]), "{place:?}");
        assert!(is_described(&operation["description"]), "{place:?}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let text = parameter["description"].as_str().unwrap();
            assert!(!text.starts_with(' '), "{place:?}: {}", parameter["name"]);
        }
    }
}

#[test]
fn repeated_and_required_parameters_are_marked() {
    let documented = documented();
    let of = |path: &str, name: &str| {
        let operation = &documented[&(path.to_owned(), "GET".to_owned())];
        let all = operation["parameters"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    let selectors = of("/api/v1/series", "match[]");
    assert_eq!(selectors["schema"]["type"], "array");
    assert_eq!(selectors["required"], true);
    assert_eq!(selectors["x-treatment"], "confined");
    let labels = of("/api/v1/query", "replicaLabels[]");
    assert_eq!(labels["x-treatment"], "checked");
    let limit = of("/api/v1/metadata", "limit");
    assert_eq!(limit["x-treatment"], "local");
    assert_eq!(limit["schema"]["type"], "string");
    let query = &documented[&("/api/v1/query".to_owned(), "GET".to_owned())];
    let refused = query["x-refused"].as_array().unwrap();
    assert!(refused.iter().any(|one| one["name"] == "storeMatch[]"));
}

#[test]
fn grpc_calls_are_those_of_the_table() {
    let document = openapi();
    let calls = document["x-grpc"].as_array().unwrap();
    let paths: Vec<_> = calls
        .iter()
        .map(|call| call["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, Method::ALL.map(Method::client_path));
    assert!(paths.iter().all(|path| Method::from_path(path).is_some()));
}

/// A path may belong to either API.
#[test]
fn paths_of_closed_groups_are_closed() {
    for group in ClosedGroup::ALL {
        let (_, paths) = closed::about(group);
        for path in paths {
            let of_metrics = metrics_api::classify(path) == Class::Closed(group);
            let of_traces = traces_api::classify(path) == TracesClass::Closed(group);
            assert!(of_metrics || of_traces, "{path} is not in {group:?}");
        }
    }
}

#[test]
fn every_reference_resolves() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(all) => {
                if let Some(Value::String(reference)) = all.get("$ref") {
                    found.insert(reference.clone());
                }
                all.values().for_each(|inner| references(inner, found));
            }
            Value::Array(all) => all.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let document = openapi();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(found.contains(&reference), "{reference} is not used");
        }
    }
}

#[test]
fn page_has_the_same_content_and_loads_nothing() {
    let Page {
        html,
        security_policy,
    } = page();
    for ((path, method), operation) in documented() {
        let id = operation["operationId"].as_str().unwrap();
        // Other methods share their endpoint's section.
        if operation["operationId"] == id.trim_end_matches(&format!("_{}", method.to_lowercase())) {
            assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
            assert!(html.contains(&format!("href=\"#{id}\"")), "{id}");
        }
        assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
        for name in parameters(&operation) {
            assert!(html.contains(&format!("<th><code>{name}</code>")), "{name}");
        }
    }
    for method in Method::ALL {
        assert!(html.contains(method.client_path()));
    }
    for loading in [
        "src=", "<link", "<script", "url(", "@import", "<img", "style=\"", "onclick",
    ] {
        assert!(!html.contains(loading), "{loading}");
    }
    assert!(security_policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!security_policy.contains("unsafe"));
    assert!(html.len() < 200_000, "{} bytes", html.len());
}
