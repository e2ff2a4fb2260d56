//! `k8s/` as it is written: the container, its configs and what is around them agree. Needs no
//! kustomize; `built` looks at what that makes of it.

use std::path::Path;

use partywall::config::settings::{Api, Settings};
use serde_json::{Value, json};

use super::faked::load;
use super::repository::{files, list, named, relative, root, string, text, yaml};
use crate::kit::client::Client;
use crate::kit::partywall::{Partywall, Setup};

/// Where Partywall runs: the pod, the folder that makes its config's `ConfigMap`, and that one's
/// name.
const PLACES: [(&str, &str, &str); 4] = [
    ("k8s/base/deployment.yaml", "k8s/base", "partywall"),
    (
        "k8s/components/sidecar-thanos-query/pod.yaml",
        "k8s/overlays/example-sidecar-thanos-query",
        "partywall-thanos-query",
    ),
    (
        "k8s/components/sidecar-tempo/pod.yaml",
        "k8s/overlays/example-sidecar-tempo",
        "partywall-tempo",
    ),
    (
        "k8s/components/sidecar-alertmanager/pod.yaml",
        "k8s/overlays/example-sidecar-alertmanager",
        "partywall-alertmanager",
    ),
];

fn container() -> Value {
    let patch = yaml("k8s/components/container/container.yaml");
    named(
        &patch["spec"]["template"]["spec"]["containers"],
        "partywall",
    )
    .clone()
}

/// Every Partywall config in `k8s/`.
fn configs() -> Vec<(String, Settings)> {
    let found: Vec<_> = files("k8s")
        .iter()
        .filter(|file| file.ends_with("partywall.yaml"))
        .map(|file| relative(file))
        .map(|name| {
            let settings = load(&name, &text(&name));
            (name, settings)
        })
        .collect();
    assert!(found.len() >= PLACES.len());
    found
}

#[test]
fn every_config_loads_and_listens_where_the_container_says() {
    let container = container();
    let port = |name| named(&container["ports"], name)["containerPort"].as_u64();
    for (name, settings) in configs() {
        let listener = settings.listeners[0].address;
        assert_eq!(settings.listeners.len(), 1, "{name}");
        assert_eq!(port("partywall"), Some(listener.port().into()), "{name}");
        let admin = settings.admin.address;
        assert_eq!(port("partywall-admin"), Some(admin.port().into()), "{name}");
        for address in [listener, admin] {
            assert!(address.ip().is_unspecified(), "{name}: {address}");
        }
        assert!(settings.log.json, "{name}: log collectors read JSON");
    }
}

#[test]
fn the_container_reads_its_config_where_it_is_mounted() {
    let container = container();
    let args: Vec<_> = list(&container["args"]).iter().map(string).collect();
    let ["serve", "--config", config] = args[..] else {
        panic!("{args:?}");
    };
    let mounts = &container["volumeMounts"];
    let mount = Path::new(string(&named(mounts, "partywall-config")["mountPath"]));
    assert_eq!(Path::new(config).parent(), Some(mount));
    for (pod, folder, config_map) in PLACES {
        let pod = yaml(pod);
        let volume = named(
            &pod["spec"]["template"]["spec"]["volumes"],
            "partywall-config",
        );
        assert_eq!(volume["configMap"]["name"], config_map, "{folder}");
        let kustomization = yaml(&format!("{folder}/kustomization.yaml"));
        let generator = named(&kustomization["configMapGenerator"], config_map);
        let file = Path::new(config).file_name().unwrap();
        assert_eq!(generator["files"][0], file.to_str().unwrap(), "{folder}");
        assert_eq!(
            generator["options"]["disableNameSuffixHash"], true,
            "{folder}: a change would not reach running pods"
        );
    }
    for mount in list(mounts) {
        assert!(mount["subPath"].is_null(), "{mount} never changes");
    }
}

#[tokio::test]
async fn probes_use_endpoints_of_the_admin_port() {
    let partywall = Partywall::start(Setup::new("http://127.0.0.1:9")).await;
    let container = container();
    for (probe, path) in [
        ("livenessProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
    ] {
        let probe = &container[probe]["httpGet"];
        assert_eq!(probe["port"], "partywall-admin");
        assert_eq!(probe["path"], path);
        let url = format!("{}{path}", partywall.admin);
        assert!(Client::default().is_ok(&url).await, "{path}");
    }
}

/// A certificate is where the component mounts it.
#[test]
fn a_listener_with_tls_reads_the_mounted_certificate() {
    let patch = yaml("k8s/components/listener-tls/certificate.yaml");
    let spec = &patch["spec"]["template"]["spec"];
    let container = named(&spec["containers"], "partywall");
    let mount = string(&named(&container["volumeMounts"], "partywall-tls")["mountPath"]).to_owned();
    let name = "k8s/overlays/example-sidecar-thanos-query/partywall.yaml";
    let config = text(name);
    assert!(load(name, &config).listeners[0].tls.is_some(), "{name}");
    for key in ["cert_file", "key_file"] {
        assert!(config.contains(&format!("{key}: {mount}/tls.")), "{key}");
    }
}

/// The kubelet kills what has not ended by itself.
#[test]
fn the_drain_ends_before_the_pod_is_killed() {
    for (pod, folder, _) in PLACES {
        let name = format!("{folder}/partywall.yaml");
        let drain = load(&name, &text(&name)).drain;
        let whole = (drain.min + drain.max).as_secs();
        assert!(drain.min.as_secs() >= 5, "{folder}: endpoints need seconds");
        let spec = &yaml(pod)["spec"]["template"]["spec"];
        let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(
            grace > whole,
            "{folder}: {grace} s for a drain of {whole} s"
        );
        // Beside a store, the store stays as long as the drain takes.
        for other in list(&spec["containers"]) {
            if other["name"] != "partywall" {
                let sleep = other["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
                assert!(sleep >= Some(whole), "{folder}: the store ends first");
                assert!(sleep < Some(grace), "{folder}: the store is killed");
            }
        }
    }
}

#[test]
fn a_sidecar_asks_its_own_pod_and_closes_the_stores_port() {
    for (pod, folder, _) in &PLACES[1..] {
        let name = format!("{folder}/partywall.yaml");
        let upstreams = load(&name, &text(&name)).upstreams;
        assert_eq!(upstreams.len(), 1, "{folder}");
        let authority = &upstreams[0].url.authority;
        let Some(port) = authority.strip_prefix("127.0.0.1:") else {
            panic!("{folder}: {authority}");
        };
        let port: u64 = port.parse().unwrap();
        let policy = yaml(&pod.replace("pod.yaml", "networkpolicy.yaml"));
        let rules = list(&policy["spec"]["ingress"]);
        let opening = |wanted: u64| {
            let has_port = move |rule: &&Value| {
                let mut ports = list(&rule["ports"]).iter();
                ports.any(|open| open["port"].as_u64() == Some(wanted))
            };
            rules.iter().filter(has_port).collect::<Vec<_>>()
        };
        assert_eq!(opening(8080).len(), 1, "{folder}");
        let of_store = opening(port);
        // Whoever posts all tenants' alerts reaches Alertmanager: in the same namespace, where no
        // tenant labels pods.
        let posters =
            json!([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}]);
        if upstreams[0].api == Api::Alertmanager {
            assert_eq!(of_store.len(), 1, "{folder}");
            assert_eq!(of_store[0]["from"], posters, "{folder}");
        } else {
            assert!(of_store.is_empty(), "{folder}");
        }
    }
}

/// A rule without ports, or without peers, opens everything.
#[test]
fn network_policies_name_peers_and_ports() {
    let mut policies = 0;
    for file in files("k8s") {
        let name = relative(&file);
        let is_policy = |text: &str| text.contains("kind: NetworkPolicy");
        if !is_policy(&text(&name)) {
            continue;
        }
        policies += 1;
        let policy = yaml(&name);
        assert_eq!(policy["spec"]["policyTypes"][0], "Ingress", "{name}");
        for rule in list(&policy["spec"]["ingress"]) {
            assert!(!list(&rule["from"]).is_empty(), "{name}: {rule}");
            assert!(!list(&rule["ports"]).is_empty(), "{name}: {rule}");
            for peer in list(&rule["from"]) {
                assert!(peer["podSelector"].is_object(), "{name}: {peer}");
            }
        }
    }
    assert_eq!(policies, 7);
}

#[test]
fn the_image_is_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("partywall:{version}");
    assert_eq!(container()["image"], image.as_str());
    for name in ["config/compose.yaml", "Dockerfile"] {
        assert!(text(name).contains(&image), "{name} does not say {image}");
    }
}

#[test]
fn every_component_is_shown_by_an_example() {
    let overlays: String = files("k8s/overlays")
        .iter()
        .filter(|file| file.ends_with("kustomization.yaml"))
        .map(|file| text(&relative(file)))
        .collect();
    for component in std::fs::read_dir(root().join("k8s/components")).unwrap() {
        let name = component.unwrap().file_name().into_string().unwrap();
        // Part of the base and of the sidecars.
        let shown = name == "container" || overlays.contains(&format!("components/{name}\n"));
        assert!(shown, "{name} is in no example");
    }
}
