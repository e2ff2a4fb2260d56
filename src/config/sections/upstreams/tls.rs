//! `tls`: which certificates are trusted for an upstream, and the client certificate.

use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::config::files;
use crate::config::identity::{self, Identity};
use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize::HIDDEN;
use crate::config::url::BaseUrl;
use crate::config::values::{flag, text};
use crate::config::warning::WarningCode;

/// An upstream's `tls`. Files are read when the config is (re)loaded and are watched, so these
/// values are current.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `ca_file` or `insecure_skip_verify`.
    pub trust: Trust,
    /// `server_name`: sent (SNI) and verified instead of the host of `url`.
    pub server_name: Option<ServerName<'static>>,
    /// `cert_file` and `key_file`: the client certificate.
    pub identity: Option<Identity>,
}

/// Which certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities.
    #[default]
    System,
    /// `ca_file`: these and no others. Not empty.
    Only(Vec<CertificateDer<'static>>),
    /// `insecure_skip_verify: true`: all.
    Anyone,
}

/// The content of files is not shown.
impl Serialize for UpstreamTls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            trust,
            server_name,
            identity,
        } = self;
        let (authorities, anyone) = match trust {
            Trust::System => (None, None),
            Trust::Only(_) => (Some(HIDDEN), None),
            Trust::Anyone => (None, Some(true)),
        };
        let file = identity
            .as_ref()
            .map(|Identity { chain: _, key: _ }| HIDDEN);
        json!({
            "ca_file": authorities,
            "server_name": server_name.as_ref().map(ServerName::to_str),
            "cert_file": file,
            "key_file": file,
            "insecure_skip_verify": anyone,
        })
        .serialize(to)
    }
}

pub(super) fn tls(r: &mut Reader<'_>, field: &Field<'_>, url: &Read<BaseUrl>) -> Read<UpstreamTls> {
    let useful = match url {
        Ok(url) if !url.https => Err(r.error(field, "has no effect: the url is not https")),
        _ => Ok(()),
    };
    let mut section = r.section(field)?;
    let ca_file = section.optional(r, "ca_file", files::authorities);
    let anyone = section.optional(r, "insecure_skip_verify", |r, field| {
        flag(r, field)?;
        Ok(field.clone())
    });
    let server_name = section.optional(r, "server_name", server_name);
    let identity = identity::optional(r, &mut section);
    section.finish(r)?;
    useful?;
    let trust = match (ca_file?, anyone?) {
        (None, None) => Trust::System,
        (Some(certificates), None) => Trust::Only(certificates),
        (None, Some(field)) => {
            let message = "any certificate is trusted: any server at the upstream's address \
                           gets its credentials and every query; use it for tests alone";
            r.warn(&field, WarningCode::InsecureSkipVerify, message);
            Trust::Anyone
        }
        (Some(_), Some(field)) => {
            let message = "with it no certificate is verified, so ca_file has no effect: leave out \
                           one of the two";
            return Err(r.error(&field, message));
        }
    };
    Ok(UpstreamTls {
        trust,
        server_name: server_name?,
        identity: identity?,
    })
}

fn server_name(r: &mut Reader<'_>, field: &Field<'_>) -> Read<ServerName<'static>> {
    let name = text(r, field)?;
    ServerName::try_from(name).map_err(|_| r.error(field, "must be a DNS name or an IP address"))
}
