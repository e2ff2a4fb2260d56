//! The demo's Tempo: a real one where `TEMPO_URL` names one, else a replay of what a real one
//! answered.

mod replay;
mod spans;
pub(super) mod tour;

use super::Failure;
use spans::Ids;

/// Where the proxy's questions about traces go.
pub(super) struct Tempo {
    /// Without a trailing slash.
    pub(super) url: String,
    kind: Kind,
}

enum Kind {
    /// Recorded answers.
    Replay,
    /// A real Tempo that has been sent the demo's spans.
    Filled(Ids),
    /// A real Tempo with whatever it holds.
    AsItIs,
}

impl Tempo {
    /// The Tempo that the environment names, or the replay.
    pub(super) async fn open() -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(url) = variable("TEMPO_URL") else {
            let url = replay::start().await?;
            return Ok(Self {
                url,
                kind: Kind::Replay,
            });
        };
        let url = url.trim_end_matches('/').to_owned();
        let kind = match variable("TEMPO_OTLP_URL") {
            Some(otlp) => Kind::Filled(spans::push(&otlp, &url).await?),
            None => Kind::AsItIs,
        };
        Ok(Self { url, kind })
    }

    /// What it is, for the programme.
    pub(super) fn description(&self) -> &'static str {
        match self.kind {
            Kind::Replay => {
                "a replay of answers recorded from a real Tempo 3.0; it knows the requests below \
                 and no others. TEMPO_URL names a real one"
            }
            Kind::Filled(_) => "a real Tempo, named by TEMPO_URL, with the demo's spans",
            Kind::AsItIs => {
                "a real Tempo, named by TEMPO_URL, as it is; where TEMPO_OTLP_URL is set too, \
                 the demo sends it spans and shows more"
            }
        }
    }

    /// The ids of the demo's traces, if it holds them.
    fn ids(&self) -> Option<Ids> {
        match &self.kind {
            Kind::Replay => Some(Ids::recorded()),
            Kind::Filled(ids) => Some(ids.clone()),
            Kind::AsItIs => None,
        }
    }
}
