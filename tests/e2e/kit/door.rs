//! The proxy with a recording upstream behind it, and what is asked of both.

use crate::kit::partywall::{Partywall, Setup};
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::upstream::{Seen, Upstream};

pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Every refusal there is.
pub const REFUSALS: [u16; 10] = [400, 401, 403, 404, 405, 413, 414, 415, 422, 431];

pub struct Door {
    pub upstream: Upstream,
    pub proxy: Partywall,
    bearer: String,
}

impl Door {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// With a changed config.
    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let upstream = Upstream::start().await;
        let mut setup = Setup::new(&upstream.url);
        change(&mut setup);
        let proxy = Partywall::start(setup).await;
        let bearer = format!("Bearer {}", proxy.signer.tenant("acme"));
        Self {
            upstream,
            proxy,
            bearer,
        }
    }

    /// Sends as the tenant `acme`.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> RawAnswer {
        let mut all = vec![("Authorization", self.bearer.as_str())];
        all.extend(headers);
        self.send_raw(&request(method, target, &all, body)).await
    }

    pub async fn get(&self, target: &str) -> RawAnswer {
        self.send("GET", target, &[], b"").await
    }

    pub async fn post(&self, target: &str, form: &str) -> RawAnswer {
        self.send("POST", target, &[FORM], form.as_bytes()).await
    }

    pub async fn send_raw(&self, bytes: &[u8]) -> RawAnswer {
        exchange(self.proxy.authority(), bytes).await
    }

    /// `Authorization: …`, for requests written by hand.
    pub fn authorization(&self) -> String {
        format!("Authorization: {}\r\n", self.bearer)
    }

    /// Refused with one of these statuses, in JSON where a status says so, and unseen upstream.
    pub fn assert_refused(&self, what: &str, answer: &RawAnswer, statuses: &[u16]) {
        let seen = self.upstream.take();
        assert!(
            statuses.contains(&answer.status),
            "{what}: expected {statuses:?}, got {}\n{}",
            answer.head,
            answer.text()
        );
        assert!(
            seen.is_empty(),
            "{what}: refused, but this reached the upstream: {seen:#?}"
        );
    }

    /// Answered 200; gives what reached the upstream.
    pub fn assert_sent(&self, what: &str, answer: &RawAnswer) -> Seen {
        assert_eq!(
            answer.status,
            200,
            "{what}: {}\n{}",
            answer.head,
            answer.text()
        );
        self.upstream.take_one()
    }

    /// Either refused, or sent on with only these parameters, confined.
    pub fn assert_refused_or_confined(&self, what: &str, answer: &RawAnswer, known: &[&str]) {
        let seen = self.upstream.take();
        if seen.is_empty() {
            assert!(REFUSALS.contains(&answer.status), "{what}: {}", answer.head);
            return;
        }
        assert_eq!(seen.len(), 1, "{what}: {seen:#?}");
        let params = seen[0].params();
        for (name, value) in &params {
            assert!(
                known.contains(&name.as_str()),
                "{what}: {name} reached the upstream"
            );
            if ["query", "match[]"].contains(&name.as_str()) {
                assert!(
                    value.contains(r#"tenant_id="acme""#),
                    "{what}: not confined: {value}"
                );
            }
        }
        for name in ["query", "time", "start", "end", "step"] {
            assert!(
                seen[0].param(name).len() <= 1,
                "{what}: {name} twice: {params:?}"
            );
        }
        assert!(
            !seen[0].target.contains("secret"),
            "{what}: {}",
            seen[0].target
        );
    }
}
