//! `api`: the API of an upstream.

use serde::{Serialize, Serializer};

use crate::config::serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `prometheus`: Prometheus or Thanos Query.
    Prometheus,
    /// `tempo`: Grafana Tempo.
    Tempo,
    /// `alertmanager`: Alertmanager.
    Alertmanager,
}

impl Api {
    /// Every API by its name in the config.
    pub(in crate::config) const ALL: [(&'static str, Self); 3] = [
        ("prometheus", Self::Prometheus),
        ("tempo", Self::Tempo),
        ("alertmanager", Self::Alertmanager),
    ];
}

impl Serialize for Api {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serialize::choice(&Self::ALL, self, to)
    }
}
