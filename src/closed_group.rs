//! Groups of endpoints that are closed to tenants.

use serde::{Serialize, Serializer};

/// Endpoints that are refused unless `open_to_admins` names their group, and even then are for
/// callers with all tenants only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedGroup {
    /// `status`: `/api/v1/status/*` except `buildinfo`, and the like; all flags of `flags`.
    Status,
    /// `stores`: Thanos' `/api/v1/stores`.
    Stores,
    /// `tsdb_admin`: `/api/v1/admin/*`.
    TsdbAdmin,
    /// `write`: `/api/v1/write`, `/api/v1/otlp/*`.
    Write,
    /// `internals`: `/metrics`, `/debug/*`, `/-/*` except health, `/consoles/*`, `/classic/*`.
    Internals,
    /// `overrides`: Tempo's `/api/overrides`.
    Overrides,
    /// `mcp`: Tempo's tools for language models, `/api/mcp`.
    Mcp,
    /// `querier`: Tempo's internal copies of its API, `/querier/*`.
    Querier,
    /// `unknown`: every other path of the data API.
    Unknown,
}

impl ClosedGroup {
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Stores,
        Self::TsdbAdmin,
        Self::Write,
        Self::Internals,
        Self::Overrides,
        Self::Mcp,
        Self::Querier,
        Self::Unknown,
    ];

    /// As in the config file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Stores => "stores",
            Self::TsdbAdmin => "tsdb_admin",
            Self::Write => "write",
            Self::Internals => "internals",
            Self::Overrides => "overrides",
            Self::Mcp => "mcp",
            Self::Querier => "querier",
            Self::Unknown => "unknown",
        }
    }
}

impl Serialize for ClosedGroup {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}
