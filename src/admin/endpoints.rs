//! The routes of the admin address. Other paths are a 404.

use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/-/healthy`
    Healthy,
    /// `/-/ready`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/-/config`
    Config,
    /// `/-/reload`
    Reload,
    /// `/-/explain`
    Explain,
    /// `/-/cache/flush`
    Flush,
    /// `/-/api`
    Reference,
    /// `/-/api/openapi.json`
    OpenApi,
}

impl Endpoint {
    pub const ALL: [Self; 9] = [
        Self::Healthy,
        Self::Ready,
        Self::Metrics,
        Self::Config,
        Self::Reload,
        Self::Explain,
        Self::Flush,
        Self::Reference,
        Self::OpenApi,
    ];

    /// The endpoint at a literal path.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.path() == path)
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Healthy => "/-/healthy",
            Self::Ready => "/-/ready",
            Self::Metrics => "/metrics",
            Self::Config => "/-/config",
            Self::Reload => "/-/reload",
            Self::Explain => "/-/explain",
            Self::Flush => "/-/cache/flush",
            Self::Reference => "/-/api",
            Self::OpenApi => "/-/api/openapi.json",
        }
    }

    /// The supported methods, in the order of `Allow`.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Reload | Self::Explain | Self::Flush => &["POST"],
            Self::Healthy
            | Self::Ready
            | Self::Metrics
            | Self::Config
            | Self::Reference
            | Self::OpenApi => &["GET", "HEAD"],
        }
    }

    /// A line that lists them all, for requests to unknown paths.
    pub fn listed() -> String {
        let mut line = "the admin endpoint has".to_owned();
        for (place, endpoint) in Self::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let method = endpoint.methods().first().filter(|first| **first != "GET");
            let method = method.map(|first| format!("{first} ")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(line, "{comma} {method}{}", endpoint.path());
        }
        line + "\n"
    }
}
