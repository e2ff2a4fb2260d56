//! `upstreams`: the shared stores.

pub(in crate::config::sections) mod api;
mod credentials;
mod health;
mod place;
mod shadow;
mod timeouts;
mod tls;

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use serde_json::json;

pub use self::api::Api;
pub use self::credentials::Credentials;
pub use self::health::HealthCheck;
pub use self::shadow::{Shadow, Shadowed};
pub use self::timeouts::UpstreamTimeouts;
pub use self::tls::{Trust, UpstreamTls};
use crate::closed_group::ClosedGroup;
use crate::config::reader::{Field, Read, Reader};
use crate::config::url::{self, BaseUrl};
use crate::config::values::{boolean, choice, count, short_name};
use crate::config::warning::WarningCode;

/// The path below which clusters are reached by their names, and where they are listed.
pub const CLUSTERS: &str = "/clusters";

/// One entry of `upstreams`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// `name`: for logs, metrics and errors; `[a-z0-9-]`, at most 63 characters.
    pub name: Arc<str>,
    /// `api`.
    pub api: Api,
    /// `url`: scheme, authority and base path; no query, fragment or user info.
    pub url: BaseUrl,
    /// `cluster`: the name of the cluster that it belongs to; none by default. `path_prefix` is
    /// then [`CLUSTERS`] followed by this name.
    pub cluster: Option<Arc<str>>,
    /// `path_prefix`: `/eu`, the path below which clients reach it; none by default.
    pub path_prefix: Option<Arc<str>>,
    /// `hosts`: the host names at which clients reach it, lower case, without port; all by default.
    pub hosts: Vec<Box<str>>,
    /// `tls`: for `https`.
    pub tls: UpstreamTls,
    /// `credentials`: what we send to authenticate.
    pub credentials: Credentials,
    /// `open_to_admins`: groups of closed endpoints that callers with all tenants may use.
    pub open_to_admins: Vec<ClosedGroup>,
    /// `timeouts`.
    pub timeouts: UpstreamTimeouts,
    /// `max_idle_connections`: kept open per upstream, default 128.
    pub max_idle_connections: usize,
    /// `compressed_answers`: asks for compressed answers of the data APIs, default false.
    pub compressed_answers: bool,
    /// `health`.
    pub health: HealthCheck,
    /// `shadow`: until when nothing is enforced there; by default everything is.
    pub shadow: Option<Shadow>,
}

impl Upstream {
    /// Whether it serves its API wherever no other upstream does: it has neither `path_prefix` nor
    /// `hosts`.
    pub fn is_default(&self) -> bool {
        self.path_prefix.is_none() && self.hosts.is_empty()
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            name,
            api,
            url,
            cluster,
            path_prefix,
            hosts,
            tls,
            credentials,
            open_to_admins,
            timeouts,
            max_idle_connections,
            compressed_answers,
            health,
            shadow,
        } = self;
        // For a cluster it follows from its name.
        let path_prefix = path_prefix.as_ref().filter(|_| cluster.is_none());
        json!({
            "name": name,
            "api": api,
            "url": url,
            "cluster": cluster,
            "path_prefix": path_prefix,
            "hosts": Some(hosts).filter(|hosts| !hosts.is_empty()),
            "tls": tls,
            "credentials": credentials,
            "open_to_admins": open_to_admins,
            "timeouts": timeouts,
            "max_idle_connections": max_idle_connections,
            "compressed_answers": compressed_answers,
            "health": health,
            "shadow": shadow,
        })
        .serialize(to)
    }
}

/// The upstreams, and what other sections need of them even if some have errors.
pub(super) struct Upstreams {
    pub(super) all: Read<Vec<Upstream>>,
    pub(super) names: Read<Vec<Named>>,
    /// Those without an error.
    pub(super) apis: Vec<Api>,
    /// The names of clusters, including repetitions.
    pub(super) clusters: Read<Vec<Arc<str>>>,
}

/// An upstream that `passthrough` may name.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    /// Whether it has neither `path_prefix` nor `hosts`.
    pub(super) is_default: bool,
}

struct Draft<'n> {
    name: Read<(Field<'n>, Arc<str>)>,
    api: Read<(Field<'n>, Api)>,
    cluster: Read<Option<(Field<'n>, Arc<str>)>>,
    path_prefix: Read<Option<(Field<'n>, Arc<str>)>>,
    hosts: Read<Vec<(Field<'n>, Box<str>)>>,
    upstream: Read<Upstream>,
}

pub(super) fn upstreams(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Upstreams> {
    let drafts = r.some_of(field, |r, field| Ok(upstream(r, field)))?;
    let legible = || drafts.iter().flatten();
    let names = r.distinct(
        "names must be unique",
        legible().filter_map(|draft| draft.name.clone().ok()),
    );
    let places = distinct_places(r, legible().filter_map(Draft::place));
    let clusters = distinct_clusters(r, legible().filter_map(Draft::place));
    Ok(Upstreams {
        names: drafts
            .iter()
            .map(|draft| draft.as_ref().map_err(|e| *e)?.named())
            .collect(),
        apis: legible()
            .filter_map(|draft| Some(draft.api.as_ref().ok()?.1))
            .collect(),
        clusters: drafts.iter().filter_map(Draft::cluster_of).collect(),
        all: names
            .and(places)
            .and(clusters)
            .and_then(|()| drafts.into_iter().map(|draft| draft?.upstream).collect()),
    })
}

/// Where an upstream is reached, if that could be read.
#[derive(Clone, Copy)]
struct Place<'d, 'n> {
    api: &'d (Field<'n>, Api),
    cluster: Option<&'d (Field<'n>, Arc<str>)>,
    path_prefix: Option<&'d (Field<'n>, Arc<str>)>,
    hosts: &'d [(Field<'n>, Box<str>)],
}

impl<'n> Draft<'n> {
    fn named(&self) -> Read<Named> {
        let is_bound = |place: Place<'_, '_>| {
            place.cluster.is_some() || place.path_prefix.is_some() || !place.hosts.is_empty()
        };
        Ok(Named {
            name: self.name.clone()?.1,
            is_default: !self.place().is_some_and(is_bound),
        })
    }

    fn place(&self) -> Option<Place<'_, 'n>> {
        Some(Place {
            api: self.api.as_ref().ok()?,
            cluster: self.cluster.as_ref().ok()?.as_ref(),
            path_prefix: self.path_prefix.as_ref().ok()?.as_ref(),
            hosts: self.hosts.as_ref().ok()?,
        })
    }

    /// Its cluster's name, if it has one or could not be read.
    fn cluster_of(draft: &Read<Self>) -> Option<Read<Arc<str>>> {
        match draft.as_ref().map(|draft| &draft.cluster) {
            Ok(Ok(None)) => None,
            Ok(Ok(Some((_, name)))) => Some(Ok(Arc::clone(name))),
            Ok(Err(reported)) | Err(reported) => Some(Err(*reported)),
        }
    }
}

/// No request may match two upstreams of one API. Prefixes are compared without case: a proxy in
/// front of us may ignore it.
fn distinct_places<'d, 'n: 'd>(
    r: &mut Reader<'_>,
    places: impl Iterator<Item = Place<'d, 'n>>,
) -> Read<()> {
    let (mut defaults, mut prefixes, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    // A cluster is reached by its name.
    for Place {
        api: (api_field, api),
        cluster: _,
        path_prefix,
        hosts: own_hosts,
    } in places.filter(|place| place.cluster.is_none())
    {
        let prefix = path_prefix.map(|(_, prefix)| prefix.to_ascii_lowercase());
        match path_prefix {
            _ if !own_hosts.is_empty() => hosts.extend(
                own_hosts
                    .iter()
                    .map(|(field, host)| (field.clone(), (*api, prefix.clone(), host.clone()))),
            ),
            Some((field, _)) => prefixes.push((field.clone(), (*api, prefix))),
            None => defaults.push((api_field.clone(), *api)),
        }
    }
    let defaults = r.distinct(
        "there can be one upstream of each api without path_prefix and hosts",
        defaults,
    );
    let prefixes = r.distinct(
        "upstreams of one api must not share a path_prefix, unless they differ in hosts",
        prefixes,
    );
    let hosts = r.distinct(
        "upstreams of one api must not share a host, unless they differ in path_prefix",
        hosts,
    );
    defaults.and(prefixes).and(hosts)
}

/// A name stands for one upstream of each API, and everything below [`CLUSTERS`] is a name.
fn distinct_clusters<'d, 'n: 'd>(
    r: &mut Reader<'_>,
    places: impl Iterator<Item = Place<'d, 'n>>,
) -> Read<()> {
    let (clusters, others): (Vec<_>, Vec<_>) = places.partition(|place| place.cluster.is_some());
    if clusters.is_empty() {
        return Ok(());
    }
    let named = clusters.iter().filter_map(|place| {
        let (field, name) = place.cluster?;
        Some((field.clone(), (place.api.1, Arc::clone(name))))
    });
    let distinct = r.distinct("a cluster has one upstream of each api at most", named);
    let prefixes = others.iter().filter_map(|place| place.path_prefix);
    let below = |prefix: &str| {
        let head = prefix.split('/').nth(1).unwrap_or_default();
        CLUSTERS.trim_start_matches('/').eq_ignore_ascii_case(head)
    };
    let taken: Vec<_> = prefixes.filter(|(_, prefix)| below(prefix)).collect();
    taken.into_iter().fold(distinct, |_, (field, _)| {
        let message = "is where upstreams are reached by their `cluster`: set that instead, or \
                       choose another";
        Err(r.error(field, message))
    })
}

fn upstream<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Draft<'n>> {
    let mut section = r.section(field)?;
    let name = section.required(r, "name", |r, field| Ok((field.clone(), name(r, field)?)));
    let api = section.required(r, "api", |r, field| {
        Ok((field.clone(), choice(r, field, &Api::ALL)?))
    });
    let url = section.required(r, "url", url::base);
    let cluster = section.optional(r, "cluster", |r, field| {
        Ok((field.clone(), self::name(r, field)?))
    });
    let path_prefix = section.optional(r, "path_prefix", |r, field| {
        if !matches!(cluster, Ok(None)) {
            let message = "cannot be combined with `cluster`, whose name determines it";
            return Err(r.error(field, message));
        }
        Ok((field.clone(), place::path_prefix(r, field)?))
    });
    let hosts = section.or(r, "hosts", Vec::new(), |r, field| {
        r.some_of(field, url::host)
    });
    let tls = section.or(r, "tls", UpstreamTls::default(), |r, field| {
        tls::tls(r, field, &url)
    });
    let credentials = section.or(
        r,
        "credentials",
        Credentials::None,
        credentials::credentials,
    );
    let open_to_admins = section.or(r, "open_to_admins", Vec::new(), |r, field| {
        r.list(field, |r, field| {
            choice(
                r,
                field,
                &ClosedGroup::ALL.map(|group| (group.name(), group)),
            )
        })
    });
    let timeouts = section.or(
        r,
        "timeouts",
        UpstreamTimeouts::default(),
        timeouts::timeouts,
    );
    let max_idle_connections = section.or(r, "max_idle_connections", 128, |r, field| {
        count(r, field, 0..=1_000_000)
    });
    let compressed_answers = section.or(r, "compressed_answers", false, boolean);
    // The default depends on the API; an unknown API has an error of its own.
    let assumed = api.as_ref().map_or(Api::Prometheus, |(_, api)| *api);
    let health = section.or(r, "health", HealthCheck::of(assumed), |r, field| {
        health::health(r, field, assumed)
    });
    let shadow = section.optional(r, "shadow", |r, field| {
        let shadow = shadow::shadow(r, field)?;
        if let Ok((_, name)) = &name {
            let shadowed = Shadowed::of(Arc::clone(name), &shadow, SystemTime::now());
            r.warn(field, WarningCode::ShadowMode, shadowed.to_string());
        }
        Ok(shadow)
    });
    let finished = section.finish(r);
    let upstream = || {
        finished?;
        let cluster = cluster.clone()?.map(|(_, name)| name);
        Ok(Upstream {
            name: name.clone()?.1,
            api: api.clone()?.1,
            url: url?,
            path_prefix: path_prefix
                .clone()?
                .map(|(_, prefix)| prefix)
                .or_else(|| Some(format!("{CLUSTERS}/{}", cluster.as_ref()?).into())),
            cluster,
            hosts: hosts.clone()?.into_iter().map(|(_, host)| host).collect(),
            tls: tls?,
            credentials: credentials?,
            open_to_admins: open_to_admins?,
            timeouts: timeouts?,
            max_idle_connections: max_idle_connections?,
            compressed_answers: compressed_answers?,
            health: health?,
            shadow: shadow?,
        })
    };
    Ok(Draft {
        upstream: upstream(),
        name,
        api,
        cluster,
        path_prefix,
        hosts,
    })
}

fn name(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Arc<str>> {
    short_name(r, field).map(Into::into)
}
