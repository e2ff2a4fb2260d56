//! What the admin address answers: the table it is routed by. What is not in it is a 404.

use std::fmt::Write as _;

/// An endpoint of the admin address.
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
    /// Every one there is.
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

    /// The endpoint at a path, as it stands in the request.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.path() == path)
    }

    /// Its path.
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

    /// The methods it answers, as `Allow` lists them.
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

    /// A line that names them all, for whoever asked for another.
    pub fn listed() -> String {
        let mut line = "the admin endpoint has".to_owned();
        for (place, endpoint) in Self::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let method = endpoint.methods().first().filter(|first| **first != "GET");
            let method = method.map(|first| format!("{first} ")).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(line, "{comma} {method}{}", endpoint.path());
        }
        line + "\n"
    }
}
