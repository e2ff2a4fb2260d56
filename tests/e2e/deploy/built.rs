//! `k8s/` as kustomize builds it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::faked::load;
use super::repository::{documents, files, list, relative, root, string};
use super::tools;

/// The Kubernetes versions whose schemas the manifests must fit: the oldest that has all we use
/// (the preStop hook's `sleep`), and the newest there is.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];

/// Every folder that builds by itself, with what it builds to.
fn builds() -> Option<Vec<(String, String)>> {
    let kubectl = tools::find("kubectl", "no kustomization is built")?;
    let folders: Vec<_> = files("k8s")
        .iter()
        .filter(|file| file.ends_with("kustomization.yaml"))
        .map(|file| relative(file.parent().unwrap()))
        .filter(|folder| !folder.starts_with("k8s/components"))
        .collect();
    assert_eq!(folders.len(), 5, "{folders:?}");
    let built = folders.into_iter().map(|folder| {
        let mut command = Command::new(&kubectl);
        let text = tools::run(command.args(["kustomize", &folder]).current_dir(root()));
        (folder, text)
    });
    Some(built.collect())
}

fn of_kind<'a>(objects: &'a [Value], kinds: &[&str]) -> Vec<&'a Value> {
    let is_one = |object: &&Value| kinds.contains(&string(&object["kind"]));
    objects.iter().filter(is_one).collect()
}

fn name(object: &Value) -> &str {
    string(&object["metadata"]["name"])
}

fn workloads(objects: &[Value]) -> Vec<&Value> {
    of_kind(objects, &["Deployment", "StatefulSet"])
}

/// Whether every label of `selector` is among `labels`.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    selector.iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn pods_are_hardened_and_complete() {
    for (folder, text) in builds().unwrap_or_default() {
        let objects = documents(&folder, &text);
        let workloads = workloads(&objects);
        assert_eq!(workloads.len(), 1, "{folder}");
        let pod = &workloads[0]["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{folder}");
        let containers = list(&pod["containers"]);
        assert!(containers.iter().any(|c| c["name"] == "partywall"));
        for container in containers {
            let what = format!("{folder}: {}", container["name"]);
            let image = string(&container["image"]);
            let tag = image.rsplit_once(':').map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag != "latest"), "{what}: {image}");
            let security = &container["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{what}");
            assert!(security["runAsUser"].as_u64() > Some(0), "{what}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{what}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{what}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{what}");
            assert_eq!(
                security["seccompProfile"]["type"], "RuntimeDefault",
                "{what}"
            );
            let resources = &container["resources"];
            for needed in [
                &resources["requests"]["cpu"],
                &resources["requests"]["memory"],
                &resources["limits"]["memory"],
                &container["livenessProbe"],
                &container["readinessProbe"],
            ] {
                assert!(!needed.is_null(), "{what} lacks a resource or a probe");
            }
            let ports = list(&container["ports"]);
            for probe in ["livenessProbe", "readinessProbe"] {
                for kind in ["httpGet", "tcpSocket"] {
                    let port = &container[probe][kind]["port"];
                    let known = ports.iter().any(|has| has["name"] == *port);
                    assert!(port.is_null() || known, "{what}: {probe} of {port}");
                }
            }
        }
    }
}

#[test]
fn mounts_of_pods_exist() {
    for (folder, text) in builds().unwrap_or_default() {
        let objects = documents(&folder, &text);
        for workload in workloads(&objects) {
            let spec = &workload["spec"];
            let pod = &spec["template"]["spec"];
            let mut volumes: Vec<_> = list(&spec["volumeClaimTemplates"])
                .iter()
                .map(name)
                .collect();
            for volume in list(&pod["volumes"]) {
                volumes.push(string(&volume["name"]));
                let source = match volume["configMap"]["name"].as_str() {
                    Some(config_map) => ("ConfigMap", config_map),
                    None => ("Secret", string(&volume["secret"]["secretName"])),
                };
                let there = of_kind(&objects, &[source.0])
                    .iter()
                    .any(|object| name(object) == source.1);
                let optional = volume["secret"]["optional"] == true;
                assert!(there || optional, "{folder}: no {source:?}");
            }
            for container in list(&pod["containers"]) {
                for mount in list(&container["volumeMounts"]) {
                    let mounted = string(&mount["name"]);
                    assert!(volumes.contains(&mounted), "{folder}: no volume {mounted}");
                }
            }
        }
    }
}

/// Services, policies, budgets and monitors find what they are for.
#[test]
fn selectors_find_something() {
    for (folder, text) in builds().unwrap_or_default() {
        let objects = documents(&folder, &text);
        let pods: Vec<_> = workloads(&objects)
            .into_iter()
            .map(|workload| &workload["spec"]["template"])
            .collect();
        let finds = |selector: &Value| {
            pods.iter()
                .any(|pod| selects(selector, &pod["metadata"]["labels"]))
        };
        let container_ports: Vec<_> = pods
            .iter()
            .flat_map(|pod| list(&pod["spec"]["containers"]))
            .flat_map(|container| list(&container["ports"]))
            .collect();
        for workload in workloads(&objects) {
            assert!(finds(&workload["spec"]["selector"]["matchLabels"]));
        }
        for service in of_kind(&objects, &["Service"]) {
            let what = format!("{folder}: Service {}", name(service));
            assert!(finds(&service["spec"]["selector"]), "{what}");
            for port in list(&service["spec"]["ports"]) {
                let target = [&port["targetPort"], &port["port"]]
                    .into_iter()
                    .find(|target| !target.is_null());
                let known = container_ports.iter().any(|has| {
                    Some(&has["name"]) == target || Some(&has["containerPort"]) == target
                });
                assert!(known, "{what}: {port}");
            }
        }
        for object in of_kind(&objects, &["PodDisruptionBudget", "NetworkPolicy"]) {
            let selector = object["spec"]["selector"]["matchLabels"]
                .as_object()
                .or(object["spec"]["podSelector"]["matchLabels"].as_object())
                .map(|labels| Value::Object(labels.clone()));
            // The stores of the standalone example are elsewhere.
            let elsewhere = name(object).ends_with("-behind-partywall");
            assert!(
                elsewhere || finds(&selector.expect("a selector")),
                "{folder}: {}",
                name(object)
            );
        }
        for scaler in of_kind(&objects, &["HorizontalPodAutoscaler"]) {
            let target = string(&scaler["spec"]["scaleTargetRef"]["name"]);
            let workload = workloads(&objects).into_iter().find(|w| name(w) == target);
            let replicas = &workload.expect("its target")["spec"]["replicas"];
            assert!(replicas.is_null(), "{folder}: replicas fight the scaler");
        }
        for monitor in of_kind(&objects, &["ServiceMonitor"]) {
            monitor_finds_its_port(&folder, &objects, monitor);
        }
    }
}

fn monitor_finds_its_port(folder: &str, objects: &[Value], monitor: &Value) {
    let spec = &monitor["spec"];
    let selector = &spec["selector"]["matchLabels"];
    let services: Vec<_> = of_kind(objects, &["Service"])
        .into_iter()
        .filter(|service| selects(selector, &service["metadata"]["labels"]))
        .collect();
    assert!(!services.is_empty(), "{folder}: no Service to scrape");
    for service in services {
        let job = &service["metadata"]["labels"][string(&spec["jobLabel"])];
        assert_eq!(job, "partywall", "{folder}: the alerts' job");
        for endpoint in list(&spec["endpoints"]) {
            assert_eq!(endpoint["path"], "/metrics");
            let ports = list(&service["spec"]["ports"]);
            assert!(ports.iter().any(|port| port["name"] == endpoint["port"]));
        }
    }
}

#[test]
fn the_configs_that_pods_get_load() {
    for (folder, text) in builds().unwrap_or_default() {
        let objects = documents(&folder, &text);
        let configs: Vec<_> = of_kind(&objects, &["ConfigMap"])
            .into_iter()
            .filter_map(|map| map["data"]["partywall.yaml"].as_str())
            .collect();
        assert_eq!(configs.len(), 1, "{folder}");
        load(&folder, configs[0]);
    }
}

#[test]
fn the_manifests_fit_kubernetes_schemas() {
    let unchecked = "no manifest is held against the OpenAPI schema";
    let (Some(validate), Some(builds)) = (tools::find("kubernetes-validate", unchecked), builds())
    else {
        return;
    };
    // Custom resources have a schema of their own: below.
    let native: Vec<_> = builds
        .iter()
        .flat_map(|(name, text)| documents(name, text))
        .filter(|object| !is_custom(object))
        .map(|object| object.to_string())
        .collect();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("manifests.yaml");
    std::fs::write(&file, native.join("\n---\n")).unwrap();
    for version in KUBERNETES {
        let mut command = Command::new(&validate);
        let command = command.args(["--strict", "-k", version]).arg(&file);
        let said = tools::run(command);
        assert!(!said.contains("WARN"), "{version}: {said}");
    }
}

fn is_custom(object: &Value) -> bool {
    string(&object["apiVersion"]).starts_with("monitoring.")
}

#[test]
fn the_custom_resources_fit_their_schemas() {
    let unchecked = "no custom resource is held against its schema";
    let modules = root().join("target/deploy-tools/node_modules/@kubernetes-models");
    if !modules.is_dir() {
        return tools::missing("@kubernetes-models/prometheus-operator", unchecked);
    }
    let (Some(node), Some(builds)) = (tools::find("node", unchecked), builds()) else {
        return;
    };
    // A script finds modules beside itself.
    let script = root().join("target/deploy-tools/custom-resources.mjs");
    std::fs::copy(
        root().join("tests/e2e/deploy/custom-resources.mjs"),
        &script,
    )
    .unwrap();
    let mut checked = Vec::new();
    for (folder, text) in builds {
        for object in documents(&folder, &text) {
            if is_custom(&object) {
                check_custom(&node, &script, &object);
                checked.push(string(&object["kind"]).to_owned());
            }
        }
    }
    checked.sort();
    checked.dedup();
    assert_eq!(checked, ["PrometheusRule", "ServiceMonitor"]);
}

fn check_custom(node: &Path, script: &Path, object: &Value) {
    tools::run(Command::new(node).arg(script).arg(object.to_string()));
}
