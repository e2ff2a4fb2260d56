//! `tokens.issuers`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::read::{Field, Read, Reader, Section};
use crate::config::settings::{Algorithm, Issuer, KeySource};
use crate::config::values::{choice, duration, expanded, flag, positive_duration, secret, text};
use crate::config::{files, url};

const MAX_LEEWAY: Duration = Duration::from_mins(5);

/// The issuers, and their names even if something else is wrong with one.
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

/// Names out of [`Algorithm::ALL`]; HMAC never beside public keys: a verifier that takes both
/// could be given the public key as an HMAC secret.
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

/// The one source of keys, and what goes with it.
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
            Err(r.error(field, "goes with `discovery` or `jwks_url` only"))
        }
        _ => Ok(()),
    };
    let ca = section.optional(r, "ca_file", |r, field| {
        remote_only(r, field)?;
        if let Ok(KeySource::JwksUrl { url, .. }) = &source
            && !url::is_https(url)
        {
            return Err(r.error(field, "is of no use: the jwks_url is not https"));
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

/// HMAC algorithms with an HMAC secret, and only with one; the secret at least as long as the
/// hash (RFC 7518 §3.2).
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
