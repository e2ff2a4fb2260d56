//! `upstreams`.

use std::sync::Arc;

use crate::config::files;
use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Api, ClosedGroup, Credentials, Upstream, UpstreamTimeouts};
use crate::config::url;
use crate::config::values::{choice, count, expanded, flag, positive_duration, secret, text};

const APIS: [(&str, Api); 2] = [("prometheus", Api::Prometheus), ("tempo", Api::Tempo)];

/// The upstreams, and what other sections need of them even if some are wrong.
pub(super) struct Upstreams {
    pub(super) all: Read<Vec<Upstream>>,
    pub(super) names: Read<Vec<Arc<str>>>,
    /// The legible ones.
    pub(super) apis: Vec<Api>,
}

struct Draft<'n> {
    name: Read<(Field<'n>, Arc<str>)>,
    api: Read<(Field<'n>, Api)>,
    upstream: Read<Upstream>,
}

pub(super) fn upstreams(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Upstreams> {
    let drafts = r.some_of(field, |r, field| Ok(upstream(r, field)))?;
    let legible = || drafts.iter().flatten();
    let names = r.distinct(
        "names must be unique",
        legible().filter_map(|draft| draft.name.clone().ok()),
    );
    let apis = r.distinct(
        "there can be one upstream of each api",
        legible().filter_map(|draft| draft.api.clone().ok()),
    );
    Ok(Upstreams {
        names: drafts
            .iter()
            .map(|draft| Ok(draft.as_ref().map_err(|e| *e)?.name.clone()?.1))
            .collect(),
        apis: legible()
            .filter_map(|draft| Some(draft.api.as_ref().ok()?.1))
            .collect(),
        all: names
            .and(apis)
            .and_then(|()| drafts.into_iter().map(|draft| draft?.upstream).collect()),
    })
}

fn upstream<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Draft<'n>> {
    let mut section = r.section(field)?;
    let name = section.required(r, "name", |r, field| Ok((field.clone(), name(r, field)?)));
    let api = section.required(r, "api", |r, field| {
        Ok((field.clone(), choice(r, field, &APIS)?))
    });
    let url = section.required(r, "url", url::base);
    let ca_file = section.optional(r, "ca_file", |r, field| {
        if url.as_ref().is_ok_and(|url| !url.https) {
            return Err(r.error(field, "is of no use: the url is not https"));
        }
        files::ca_file(r, field)
    });
    let credentials = section.or(r, "credentials", Credentials::None, credentials);
    let open_to_admins = section.or(r, "open_to_admins", Vec::new(), |r, field| {
        r.list(field, |r, field| {
            choice(
                r,
                field,
                &ClosedGroup::ALL.map(|group| (group.name(), group)),
            )
        })
    });
    let timeouts = section.or(r, "timeouts", UpstreamTimeouts::default(), timeouts);
    let max_idle_connections = section.or(r, "max_idle_connections", 128, |r, field| {
        count(r, field, 0..=1_000_000)
    });
    let finished = section.finish(r);
    let upstream = || {
        finished?;
        Ok(Upstream {
            name: name.clone()?.1,
            api: api.clone()?.1,
            url: url?,
            ca_file: ca_file?,
            credentials: credentials?,
            open_to_admins: open_to_admins?,
            timeouts: timeouts?,
            max_idle_connections: max_idle_connections?,
        })
    };
    Ok(Draft {
        upstream: upstream(),
        name,
        api,
    })
}

fn name(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Arc<str>> {
    let name = text(r, field)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > 63 || !name.bytes().all(allowed) {
        let message = "must be made of a-z, 0-9 and -, at most 63 characters";
        return Err(r.error(field, message));
    }
    Ok(name.into())
}

fn timeouts(r: &mut Reader<'_>, field: &Field<'_>) -> Read<UpstreamTimeouts> {
    let default = UpstreamTimeouts::default();
    let mut section = r.section(field)?;
    let connect = section.or(r, "connect", default.connect, positive_duration);
    let response_head = section.or(r, "response_head", default.response_head, positive_duration);
    let body_idle = section.or(r, "body_idle", default.body_idle, positive_duration);
    section.finish(r)?;
    Ok(UpstreamTimeouts {
        connect: connect?,
        response_head: response_head?,
        body_idle: body_idle?,
    })
}

fn credentials(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Credentials> {
    let mut section = r.section(field)?;
    let credentials = section.exactly_one(
        r,
        &[
            ("bearer_token", |r, field| {
                let token = secret(r, field)?;
                if !files::is_bearer_token(token.expose()) {
                    let message = "must be visible ASCII characters without blanks";
                    return Err(r.error(field, message));
                }
                Ok(Credentials::Bearer(token))
            }),
            ("bearer_token_file", |r, field| {
                files::bearer_token(r, field).map(Credentials::Bearer)
            }),
            ("basic", basic),
            ("forward_token", |r, field| {
                flag(r, field).map(|()| Credentials::ForwardToken)
            }),
        ],
    );
    section.finish(r)?;
    credentials
}

/// RFC 7617 §2: neither holds control characters, the user name no colon.
fn basic(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Credentials> {
    let mut section = r.section(field)?;
    let username = section.required(r, "username", |r, field| {
        let username = expanded(r, field)?;
        if username.chars().any(|c| c.is_control() || c == ':') {
            return Err(r.error(field, "must not hold a colon or control characters"));
        }
        Ok(username)
    });
    let password =
        section.exactly_one(r, &[("password", secret), ("password_file", files::secret)]);
    let password = password.and_then(|password| {
        if password.expose().chars().any(char::is_control) {
            let message = "the password must not hold control characters";
            return Err(r.error(field, message));
        }
        Ok(password)
    });
    section.finish(r)?;
    Ok(Credentials::Basic {
        username: username?,
        password: password?,
    })
}
