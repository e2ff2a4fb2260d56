//! Envoy, with two workers and no access log.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{Launch, Stage};
use crate::Outcome;
use crate::issuer::{AUDIENCE, ISSUER};
use crate::process::free_address;

/// What it does with the token of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Unchecked,
    Checked,
}

pub(super) fn launch(program: PathBuf, stage: &Stage, token: Token) -> Outcome<Launch> {
    let address = free_address()?;
    let mut filters = Vec::new();
    if token == Token::Checked {
        let sso = json!({
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": stage.issuer.jwks},
        });
        filters.push(json!({
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": extension("filters.http.jwt_authn.v3.JwtAuthentication"),
                "providers": {"sso": sso},
                "rules": [{"match": {"prefix": "/api"}, "requires": {"provider_name": "sso"}}],
            },
        }));
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": extension("filters.http.router.v3.Router")},
    }));
    let route = |prefix: &str, cluster: &str| {
        json!({
            "match": {"prefix": prefix},
            "route": {"cluster": cluster, "timeout": "0s"},
        })
    };
    let routes = [route("/tempopb.", "store-http2"), route("/", "store")];
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": extension(
                "filters.network.http_connection_manager.v3.HttpConnectionManager"
            ),
            "stat_prefix": "http",
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
            },
            "http_filters": filters,
        },
    });
    let config = json!({
        "static_resources": {
            "listeners": [{
                "name": "http",
                "address": socket(address),
                "filter_chains": [{"filters": [manager]}],
            }],
            "clusters": [
                cluster("store", stage, &json!({"http_protocol_options": {}})),
                cluster("store-http2", stage, &json!({"http2_protocol_options": {}})),
            ],
        },
    });
    let mut command = Command::new(program);
    command
        .args(["--concurrency", "2", "--disable-hot-restart"])
        .args(["--log-level", "warning", "--config-yaml"])
        .arg(config.to_string());
    Ok(Launch {
        command,
        http1: address,
        grpc: Some(address),
    })
}

fn cluster(name: &str, stage: &Stage, protocol: &Value) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(stage.upstream)}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": extension("upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": protocol,
            },
        },
    })
}

fn extension(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}

fn socket(address: std::net::SocketAddr) -> Value {
    json!({
        "socket_address": {
            "address": address.ip().to_string(),
            "port_value": address.port(),
        },
    })
}
