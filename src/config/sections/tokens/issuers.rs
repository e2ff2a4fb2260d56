//! `tokens.issuers`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::secret::Secret;
use crate::config::serialize::{self, HIDDEN};
use crate::config::values::{choice, duration, expanded, flag, positive_duration, secret, text};
use crate::config::{files, url};

/// One entry of `tokens.issuers`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issuer {
    /// `issuer`: the exact `iss`.
    pub issuer: Arc<str>,
    /// `audiences`: `aud` must contain one of these; not empty.
    pub audiences: Vec<String>,
    /// `algorithms`: the permitted signature algorithms; not empty. All of one family (HMAC secrets
    /// never with public keys).
    pub algorithms: Vec<Algorithm>,
    /// `authorized_parties`: if not empty, `azp` (or `client_id`) must be one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorized_parties: Vec<String>,
    /// `leeway`: the tolerated clock skew, default 30 s, at most 5 min.
    #[serde(serialize_with = "serialize::duration")]
    pub leeway: Duration,
    /// `max_lifetime`: the longest time from `iat` to `exp`; if a token has no `iat`, from now.
    /// `None` for no limit.
    #[serde(serialize_with = "serialize::optional_duration")]
    pub max_lifetime: Option<Duration>,
    /// Where the issuer's keys are.
    #[serde(flatten)]
    pub keys: KeySource,
    /// `refresh_interval`: how often remote keys are fetched, default 5 min.
    #[serde(serialize_with = "serialize::duration")]
    pub refresh_interval: Duration,
    /// `max_stale`: how long keys stay valid after the last successful fetch, default 24 h.
    #[serde(serialize_with = "serialize::duration")]
    pub max_stale: Duration,
}

/// Signature algorithms by their names in RFC 7518 §3.1 and RFC 8037 (`EdDSA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm with its registered name.
    pub const ALL: [(&'static str, Self); 12] = [
        ("HS256", Self::HS256),
        ("HS384", Self::HS384),
        ("HS512", Self::HS512),
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("PS256", Self::PS256),
        ("PS384", Self::PS384),
        ("PS512", Self::PS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("EdDSA", Self::EdDSA),
    ];

    /// Whether it is one of the symmetric HMAC algorithms.
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Where an issuer's keys are; exactly one of these keys is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `discovery: true`: `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0 §4).
    Discovery {
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`: sent to the provider (the API server of Kubernetes requires it).
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_url`
    JwksUrl {
        /// An absolute `http` or `https` URL.
        url: String,
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_file`: the content of the file, read with the config.
    Jwks(String),
    /// `pem_file`: the content of the file: public keys or certificates.
    Pem(String),
    /// `hmac_secret` or `hmac_secret_file`: at least as long as the longest hash of the algorithms,
    /// so 32 to 64 bytes (RFC 7518 §3.2).
    Hmac(Secret),
}

/// The content of files is not shown.
impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Discovery {
                ca_file,
                bearer_token_file,
            } => json!({
                "discovery": true,
                "ca_file": ca_file,
                "bearer_token_file": bearer_token_file,
            }),
            Self::JwksUrl {
                url,
                ca_file,
                bearer_token_file,
            } => json!({
                "jwks_url": serialize::without_query(url),
                "ca_file": ca_file,
                "bearer_token_file": bearer_token_file,
            }),
            Self::Jwks(_) => json!({"jwks_file": HIDDEN}),
            Self::Pem(_) => json!({"pem_file": HIDDEN}),
            Self::Hmac(secret) => json!({"hmac_secret": secret}),
        }
        .serialize(to)
    }
}

const MAX_LEEWAY: Duration = Duration::from_mins(5);

/// The issuers, and their names even if one of them has another error.
pub(super) struct Issuers {
    pub(super) all: Read<Vec<Issuer>>,
    pub(super) names: Read<Vec<Arc<str>>>,
}

struct Draft<'n> {
    name: Read<(Field<'n>, Arc<str>)>,
    issuer: Read<Issuer>,
}

pub(super) fn issuers(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Issuers> {
    let drafts = r.some_of(field, |r, field| Ok(issuer(r, field)))?;
    let distinct = r.distinct(
        "issuers must be unique",
        drafts
            .iter()
            .flatten()
            .filter_map(|draft| draft.name.clone().ok()),
    );
    Ok(Issuers {
        names: drafts
            .iter()
            .map(|draft| Ok(draft.as_ref().map_err(|e| *e)?.name.clone()?.1))
            .collect(),
        all: distinct.and_then(|()| drafts.into_iter().map(|draft| draft?.issuer).collect()),
    })
}

fn issuer<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Draft<'n>> {
    let mut section = r.section(field)?;
    let name: Read<(Field<'n>, Arc<str>)> = section.required(r, "issuer", |r, field| {
        Ok((field.clone(), expanded(r, field)?.into()))
    });
    let audiences = section.required(r, "audiences", |r, field| r.some_of(field, text));
    let algorithms = section.required(r, "algorithms", algorithms);
    let authorized_parties = section.or(r, "authorized_parties", Vec::new(), |r, field| {
        r.some_of(field, text)
    });
    let leeway = section.or(r, "leeway", Duration::from_secs(30), |r, field| {
        let leeway = duration(r, field)?;
        if leeway > MAX_LEEWAY {
            return Err(r.error(field, "must be at most 5m"));
        }
        Ok(leeway)
    });
    let max_lifetime = section.or(r, "max_lifetime", None, |r, field| {
        positive_duration(r, field).map(Some)
    });
    let keys = keys(r, &mut section);
    let fit = match (&keys, &algorithms) {
        (Ok(keys), Ok(algorithms)) => keys_fit(r, &section, keys, algorithms),
        _ => Ok(()),
    };
    let reachable = match (&name, &keys) {
        (Ok((field, issuer)), Ok(KeySource::Discovery { .. })) if !url::is_discoverable(issuer) => {
            let message = "discovery needs an issuer that is an http or https URL without a query";
            Err(r.error(field, message))
        }
        _ => Ok(()),
    };
    let refresh_interval = section.or(
        r,
        "refresh_interval",
        Duration::from_mins(5),
        positive_duration,
    );
    let max_stale = section.or(r, "max_stale", Duration::from_hours(24), |r, field| {
        let max_stale = positive_duration(r, field)?;
        if refresh_interval.is_ok_and(|interval| max_stale < interval) {
            return Err(r.error(field, "must not be shorter than refresh_interval"));
        }
        Ok(max_stale)
    });
    let finished = section.finish(r);
    let issuer = || {
        finished?;
        fit?;
        reachable?;
        Ok(Issuer {
            issuer: name.clone()?.1,
            audiences: audiences?,
            algorithms: algorithms?,
            authorized_parties: authorized_parties?,
            leeway: leeway?,
            max_lifetime: max_lifetime?,
            keys: keys?,
            refresh_interval: refresh_interval?,
            max_stale: max_stale?,
        })
    };
    Ok(Draft {
        issuer: issuer(),
        name,
    })
}

/// Names from [`Algorithm::ALL`]; HMAC never with public keys: a verifier that accepts both could
/// be given the public key as an HMAC secret.
fn algorithms(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Vec<Algorithm>> {
    let algorithms = r.some_of(field, |r, field| {
        if text(r, field)?.eq_ignore_ascii_case("none") {
            return Err(r.error(field, "unsigned tokens are never accepted"));
        }
        Ok((field.clone(), choice(r, field, &Algorithm::ALL)?))
    })?;
    r.distinct("algorithms must be unique", algorithms.clone())?;
    let hmac = algorithms
        .iter()
        .filter(|(_, algorithm)| algorithm.is_hmac())
        .count();
    if hmac != 0 && hmac != algorithms.len() {
        let message = "HMAC algorithms (HS…) and public key algorithms must not be mixed";
        return Err(r.error(field, message));
    }
    Ok(algorithms
        .into_iter()
        .map(|(_, algorithm)| algorithm)
        .collect())
}

/// The source of keys, and the keys that accompany it.
fn keys(r: &mut Reader<'_>, section: &mut Section<'_>) -> Read<KeySource> {
    let source = section.exactly_one::<KeySource>(
        r,
        &[
            ("discovery", |r, field| {
                flag(r, field)?;
                Ok(KeySource::Discovery {
                    ca_file: None,
                    bearer_token_file: None,
                })
            }),
            ("jwks_url", |r, field| {
                Ok(KeySource::JwksUrl {
                    url: url::absolute(r, field)?,
                    ca_file: None,
                    bearer_token_file: None,
                })
            }),
            ("jwks_file", |r, field| {
                files::jwks(r, field).map(KeySource::Jwks)
            }),
            ("pem_file", |r, field| {
                files::public_pem(r, field).map(KeySource::Pem)
            }),
            ("hmac_secret", |r, field| {
                secret(r, field).map(KeySource::Hmac)
            }),
            ("hmac_secret_file", |r, field| {
                files::secret(r, field).map(KeySource::Hmac)
            }),
        ],
    );
    let remote_only = |r: &mut Reader<'_>, field: &Field<'_>| match &source {
        Ok(KeySource::Jwks(_) | KeySource::Pem(_) | KeySource::Hmac(_)) => {
            Err(r.error(field, "requires `discovery` or `jwks_url`"))
        }
        _ => Ok(()),
    };
    let ca = section.optional(r, "ca_file", |r, field| {
        remote_only(r, field)?;
        if let Ok(KeySource::JwksUrl { url, .. }) = &source
            && !url::is_https(url)
        {
            return Err(r.error(field, "has no effect: the jwks_url is not https"));
        }
        files::ca_file(r, field)
    });
    let token = section.optional(r, "bearer_token_file", |r, field| {
        remote_only(r, field)?;
        files::bearer_token_path(r, field)
    });
    let mut source = source?;
    if let KeySource::Discovery {
        ca_file,
        bearer_token_file,
    }
    | KeySource::JwksUrl {
        ca_file,
        bearer_token_file,
        ..
    } = &mut source
    {
        *ca_file = ca?;
        *bearer_token_file = token?;
    } else {
        ca?;
        token?;
    }
    Ok(source)
}

/// HMAC algorithms need an HMAC secret, and others must not have one; the secret must be at least
/// as long as the hash (RFC 7518 §3.2).
fn keys_fit(
    r: &mut Reader<'_>,
    section: &Section<'_>,
    keys: &KeySource,
    algorithms: &[Algorithm],
) -> Read<()> {
    let is_hmac = algorithms.iter().any(|algorithm| algorithm.is_hmac());
    let message = match keys {
        KeySource::Hmac(secret) if is_hmac => {
            let needed = algorithms
                .iter()
                .map(|algorithm| match algorithm {
                    Algorithm::HS512 => 64,
                    Algorithm::HS384 => 48,
                    _ => 32,
                })
                .max()
                .unwrap_or(32);
            if secret.expose().len() >= needed {
                return Ok(());
            }
            format!("the HMAC secret must have at least {needed} bytes for these algorithms")
        }
        KeySource::Hmac(_) => "an HMAC secret needs HMAC algorithms (HS…)".into(),
        _ if is_hmac => "HMAC algorithms (HS…) need `hmac_secret` or `hmac_secret_file`".into(),
        _ => return Ok(()),
    };
    Err(r.error(section.field(), message))
}
