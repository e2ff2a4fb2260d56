//! `cert_file` and `key_file`: a certificate and the key that belongs to it.

use super::certificates::{CertificateChain, PrivateKey};
use super::files;
use super::reader::{Field, Read, Reader, Section};

/// A certificate and its key, known to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `cert_file`
    pub chain: CertificateChain,
    /// `key_file`
    pub key: PrivateKey,
}

/// The pair, if a section has it: both keys or neither.
pub(super) fn optional(r: &mut Reader<'_>, section: &mut Section<'_>) -> Read<Option<Identity>> {
    match (section.get("cert_file"), section.get("key_file")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => pair(r, &certificate, &key).map(Some),
        (Some(_), None) => Err(section.missing(r, "key_file")),
        (None, Some(_)) => Err(section.missing(r, "cert_file")),
    }
}

/// The pair in these two files.
pub(super) fn pair(r: &mut Reader<'_>, certificate: &Field<'_>, key: &Field<'_>) -> Read<Identity> {
    let chain = files::certificate_chain(r, certificate);
    let private = files::private_key(r, key)?;
    let chain = chain?;
    files::key_fits(r, key, &private, &chain)?;
    Ok(Identity {
        chain,
        key: private,
    })
}
