//! Partywall keeps tenants apart in front of one shared Thanos or Prometheus, one shared Tempo and one
//! shared Alertmanager.
//!
//! The modules are layers: each imports only modules below it. `docs/architecture.md` follows a
//! request through them, and says where to add an endpoint, a config key, a reason or a filter.
//!
//! | module | purpose |
//! |---|---|
//! | [`cli`] | one file per command |
//! | [`admin`] | the admin listener: health, metrics, config, explain, flush, and the API reference generated from the route tables |
//! | [`app`] | turns a config file into listeners, an admin endpoint and a drain |
//! | [`server`] | accepts connections, picks their protocol, enforces their deadlines |
//! | [`proxy`] | handles one request: route, authenticate, authorize, receive, admit, enforce, forward, respond |
//! | [`auth`] | turns a token into a verified principal |
//! | [`upstream`] | the pooled client, its TLS, credentials, timeouts and health |
//! | `body` | the bodies of requests and responses, and the byte budget for what is buffered |
//! | [`telemetry`] | metrics, logs, the audit trail, spans |
//! | [`config`] | turns a YAML file into immutable settings, also on reload |
//! | [`tenancy`] | turns a principal's claims into a tenant scope |
//! | [`prometheus`] | pure: the metrics API, with its parameters and response filters |
//! | [`tempo`] | pure: the traces API, with its parameters, response filters and trace redaction |
//! | [`alertmanager`] | pure: the API of Alertmanager, with its parameters, posted bodies and response filters |
//! | [`promql`] | pure: confines a PromQL query to a scope |
//! | [`traceql`] | pure: confines a TraceQL query to a scope |
//! | [`query_size`] | pure: bounds the work that a query causes in the store |
//! | [`grpc`] | pure: methods, frames, statuses |
//! | `wire` | pure: walks protobuf without decoding it |
//! | [`shares`] | fair shares of permits, of bodies being received, and of buffered bytes |
//! | `json_text` | pure: where a JSON string ends |
//! | `headers` | which headers are forwarded, and which are returned |
//! | [`reason`] | why requests are refused |
//! | `strict_json` | pure: JSON without duplicate keys |
//! | [`tenant`], [`closed_group`] | terms that configs and APIs share: a tenant, a group of endpoints that is closed to tenants |
//! | `empty_pattern` | pure: whether a regular expression matches the empty value |
//! | [`value_pattern`] | pure: regular expressions that the stores and Partywall read alike |
//!
//! The law that everything is judged by: a tenant's response is that of a private store with only
//! that tenant's data. What is not fully understood is refused.

pub mod admin;
pub mod alertmanager;
pub mod app;
pub mod auth;
pub(crate) mod body;
pub mod cli;
pub mod closed_group;
pub mod config;
mod empty_pattern;
pub mod grpc;
mod headers;
mod json_text;
pub mod prometheus;
pub mod promql;
pub mod proxy;
pub mod query_size;
pub mod reason;
pub mod server;
pub mod shares;
mod strict_json;
pub mod telemetry;
pub mod tempo;
pub mod tenancy;
pub mod tenant;
#[cfg(test)]
mod testing;
pub mod traceql;
pub mod upstream;
pub mod value_pattern;
mod wire;
