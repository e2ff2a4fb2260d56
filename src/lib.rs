//! Partywall keeps tenants apart in front of one shared Thanos or Prometheus and one
//! shared Tempo.
//!
//! The modules are layers: each imports only what stands below it. `docs/architecture.md` follows a
//! request through them, and says where to add an endpoint, a config key, a reason or a filter.
//!
//! | module | what happens there |
//! |---|---|
//! | [`cli`] | one file a command |
//! | [`admin`] | the admin listener: health, metrics, config, explain, flush, and the API reference made from the route tables |
//! | [`app`] | a config file becomes listeners, an admin endpoint and a drain |
//! | [`server`] | a connection is accepted, its protocol chosen, its deadlines enforced |
//! | [`proxy`] | one request's path: route, authenticate, authorize, receive, admit, enforce, forward, respond |
//! | [`auth`] | a token becomes a verified principal |
//! | [`upstream`] | the pooled client, its TLS, credentials, timeouts and health |
//! | `body` | the bodies of requests and responses, and the byte budget for what is buffered |
//! | [`telemetry`] | metrics, logs, the audit trail, spans |
//! | [`config`] | a YAML file becomes immutable settings, and does so again on reload |
//! | [`tenancy`] | a principal's claims become a tenant scope |
//! | [`prometheus`] | pure: the metrics API, parameters read, answers filtered |
//! | [`tempo`] | pure: the traces API, parameters read, answers filtered, traces redacted to a scope |
//! | [`promql`] | pure: a query is confined to a scope |
//! | [`traceql`] | pure: a TraceQL query is confined to a scope |
//! | [`query_size`] | pure: bounds on the work that a query text is to the store |
//! | [`grpc`] | pure: methods, frames, statuses |
//! | `wire` | pure: protobuf, walked without decoding |
//! | [`shares`] | fair shares of permits, bodies being received and buffered bytes |
//! | `headers` | which headers are forwarded, and which come back |
//! | [`reason`] | why requests are refused |
//! | `strict_json` | pure: JSON with one reading |
//! | [`tenant`], [`closed_group`] | what configs and APIs both name: a tenant, a group of endpoints that tenants cannot use |
//!
//! The law everything is judged by: a tenant's answer is the answer of a private store that
//! holds that tenant's data alone. What is not fully understood is refused.

pub mod admin;
pub mod app;
pub mod auth;
pub(crate) mod body;
pub mod cli;
pub mod closed_group;
pub mod config;
pub mod grpc;
mod headers;
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
mod wire;
