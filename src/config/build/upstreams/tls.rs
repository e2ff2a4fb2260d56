//! `tls`: whom an upstream's client believes, and what it shows.

use rustls::pki_types::ServerName;

use crate::config::files;
use crate::config::identity;
use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{BaseUrl, Trust, UpstreamTls};
use crate::config::values::{flag, text};
use crate::config::warning::WarningCode;

pub(super) fn tls(r: &mut Reader<'_>, field: &Field<'_>, url: &Read<BaseUrl>) -> Read<UpstreamTls> {
    let useful = match url {
        Ok(url) if !url.https => Err(r.error(field, "is of no use: the url is not https")),
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
            let message = "any certificate is trusted: whoever answers at the upstream's address \
                           gets its credentials and every query; use it for tests alone";
            r.warn(&field, WarningCode::InsecureSkipVerify, message);
            Trust::Anyone
        }
        (Some(_), Some(field)) => {
            let message = "with it no certificate is verified, so ca_file is of no use: leave out \
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
