//! `config/compose.yaml` and the files it mounts.

use std::collections::BTreeSet;
use std::process::Command;

use partywall::config::settings::KeySource;
use serde_json::Value;

use super::faked::load;
use super::repository::{files, list, relative, root, string, text, yaml};
use super::tools;
use crate::kit::process::find_tool;

const FOLDER: &str = "config/compose";

fn services() -> Vec<(String, Value)> {
    let compose = yaml("config/compose.yaml");
    let services = compose["services"].as_object().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.clone(), service.clone()))
        .collect()
}

fn service(name: &str) -> Value {
    let found = services().into_iter().find(|(is, _)| is == name);
    found.unwrap_or_else(|| panic!("no service {name}")).1
}

fn arguments(service: &Value) -> Vec<&str> {
    list(&service["command"]).iter().map(string).collect()
}

#[test]
fn it_fits_the_compose_specification() {
    let unchecked = "config/compose.yaml is not held against the compose specification";
    let Some(check) = tools::find("check-jsonschema", unchecked) else {
        return;
    };
    let mut command = Command::new(check);
    let command = command.args(["--builtin-schema", "vendor.compose-spec"]);
    tools::run(command.arg("config/compose.yaml").current_dir(root()));
}

#[test]
fn images_are_pinned_by_tag() {
    for (name, service) in services() {
        let image = string(&service["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(
            tag.is_some_and(|tag| tag != "latest" && tag.contains('.')),
            "{name}: {image}"
        );
    }
}

#[test]
fn every_mounted_file_is_there_and_every_file_is_mounted() {
    let compose = yaml("config/compose.yaml");
    let mut mounted = BTreeSet::new();
    for (name, service) in services() {
        for volume in list(&service["volumes"]) {
            let source = string(volume).split(':').next().unwrap();
            if !source.starts_with('.') {
                assert!(compose["volumes"][source].is_object(), "{name}: {source}");
                continue;
            }
            assert!(string(volume).ends_with(":ro"), "{name} may write {source}");
            let path = root().join("config").join(source);
            let path = path.canonicalize();
            mounted.insert(path.unwrap_or_else(|cause| panic!("{name}: {source}: {cause}")));
        }
    }
    for file in files(FOLDER) {
        let name = relative(&file);
        assert!(mounted.contains(&file.canonicalize().unwrap()), "{name}");
    }
}

/// The file that an argument names is mounted into that service.
#[test]
fn services_read_the_config_that_is_mounted() {
    for (name, service) in services() {
        for argument in arguments(&service) {
            let file = argument.rsplit('=').next().unwrap();
            if !file.starts_with("/etc/") {
                continue;
            }
            let inside = format!(":{file}:ro");
            let volumes = list(&service["volumes"]);
            let is_mounted = volumes.iter().any(|v| string(v).ends_with(&inside));
            assert!(is_mounted, "{name} reads {file}");
        }
    }
}

/// On the stores' network, a query goes round Partywall.
#[test]
fn only_partywall_is_on_both_networks() {
    let on = |network: &str| -> BTreeSet<String> {
        services()
            .into_iter()
            .filter(|(_, service)| list(&service["networks"]).iter().any(|n| n == network))
            .map(|(name, _)| name)
            .collect()
    };
    let (front, stores) = (on("front"), on("stores"));
    let both: Vec<_> = front.intersection(&stores).collect();
    assert_eq!(both, ["partywall"]);
    assert_eq!(front.union(&stores).count(), services().len());
    for (name, service) in services() {
        for port in list(&service["ports"]) {
            assert!(front.contains(&name), "{name} is open to this machine");
            assert!(string(port).starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn partywalls_config_loads_and_names_services() {
    let settings = load("compose", &text(&format!("{FOLDER}/partywall.yaml")));
    for upstream in &settings.upstreams {
        let authority = &upstream.url.authority;
        let (host, port) = authority.split_once(':').expect("a port");
        let store = service(host);
        assert!(list(&store["networks"]).iter().any(|n| n == "stores"));
        // Thanos has its port in an argument, Tempo in its file.
        let arguments = arguments(&store).join(" ");
        let config = text(&format!("{FOLDER}/tempo.yaml"));
        let known = arguments.contains(&format!("--http-address=0.0.0.0:{port}"))
            || (host == "tempo" && config.contains(&format!("http_listen_port: {port}\n")));
        assert!(known, "{authority}: the port");
    }
    assert_eq!(settings.listeners[0].address.port(), 8080);
    // Grafana's data sources, which Kubernetes has too, say http://partywall:8080.
    assert!(service("partywall").is_object());
}

/// Dex issues tokens that Partywall trusts, to Grafana as the client.
#[test]
fn dex_grafana_and_partywall_agree() {
    let dex = yaml(&format!("{FOLDER}/dex.yaml"));
    let settings = load("compose", &text(&format!("{FOLDER}/partywall.yaml")));
    let issuer = &settings.tokens.issuers[0];
    let name = string(&dex["issuer"]);
    assert_eq!(&*issuer.issuer, name);
    let KeySource::JwksUrl { .. } = &issuer.keys else {
        panic!("keys by {:?}", issuer.keys);
    };

    let client = &dex["staticClients"][0];
    let audiences: Vec<_> = issuer.audiences.iter().map(|a| &**a).collect();
    assert_eq!(audiences, [string(&client["id"])]);
    let grafana = service("grafana")["environment"].clone();
    let oauth = |key: &str| string(&grafana[format!("GF_AUTH_GENERIC_OAUTH_{key}")]).to_owned();
    assert_eq!(client["id"], oauth("CLIENT_ID"));
    assert_eq!(client["secret"], oauth("CLIENT_SECRET"));
    assert_eq!(oauth("AUTH_URL"), format!("{name}/auth"));
    let inside = name.replace("localhost", "dex");
    assert_eq!(oauth("TOKEN_URL"), format!("{inside}/token"));
    assert_eq!(oauth("API_URL"), format!("{inside}/userinfo"));
    assert!(oauth("SCOPES").contains("groups"));
    let back = "http://localhost:3000/login/generic_oauth";
    assert_eq!(client["redirectURIs"][0], back);
    assert_eq!(service("grafana")["ports"][0], "127.0.0.1:3000:3000");
    assert!(dex["enablePasswordDB"] == true && dex["staticPasswords"][1].is_object());
}

/// Each tenant that a user has is one whose series and spans there are.
#[test]
fn every_sample_tenant_has_data() {
    let dex = yaml(&format!("{FOLDER}/dex.yaml"));
    let scraped = text(&format!("{FOLDER}/prometheus.yaml"));
    let compose = text("config/compose.yaml");
    let tenants: Vec<_> = list(&dex["staticPasswords"])
        .iter()
        .flat_map(|user| list(&user["groups"]))
        .filter_map(|group| string(group).strip_prefix("tenant-"))
        .collect();
    assert_eq!(tenants, ["acme", "globex"]);
    for tenant in tenants {
        assert!(scraped.contains(&format!("tenant_id: {tenant}\n")));
        assert!(compose.contains(&format!("tenant_id=\"{tenant}\"\n")));
    }
}

#[test]
fn promtool_reads_prometheus_config() {
    let mut promtool = Command::new(find_tool("promtool"));
    let config = format!("{FOLDER}/prometheus.yaml");
    tools::run(
        promtool
            .args(["check", "config", &config])
            .current_dir(root()),
    );
}
