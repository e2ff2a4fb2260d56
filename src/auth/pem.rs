//! Public keys and certificates from a PEM file (RFC 7468).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::server::ParsedCertificate;
use thiserror::Error;

use super::keys::{Family, Key, KeySet, Unusable};
use crate::config::settings::Algorithm;

/// Why a PEM file gives no keys. Its sections are counted from one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum NoPem {
    #[error("pem_file is not valid PEM")]
    Malformed,
    #[error("pem_file has no section PUBLIC KEY or CERTIFICATE")]
    Empty,
    #[error("pem_file holds a private key: put the public key there, and this one somewhere safe")]
    PrivateKey,
    #[error("pem_file: certificate {0} cannot be read")]
    Certificate(usize),
    #[error("pem_file: key {0}: {1}")]
    Key(usize, Unusable),
}

/// Reads every key of the file; all must be usable. They have no id, so a token's `kid` does not
/// choose among them. Of a certificate only the key counts: it is trusted because the operator
/// put it there, so its dates and its issuer are not looked at.
pub(super) fn parse(text: &str, allowed: &[Algorithm]) -> Result<KeySet, NoPem> {
    let mut keys = Vec::new();
    for (place, section) in (1..).zip(<(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())) {
        let (kind, bytes) = section.map_err(|_| NoPem::Malformed)?;
        let spki = match kind {
            SectionKind::PublicKey => bytes,
            SectionKind::Certificate => {
                key_of_certificate(bytes).ok_or(NoPem::Certificate(place))?
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(NoPem::PrivateKey);
            }
            _ => continue,
        };
        let key = Family::of(&spki)
            .ok_or(Unusable::Unsupported)
            .and_then(|family| Key::public(family, spki, None, None, allowed));
        keys.push(key.map_err(|why| NoPem::Key(place, why))?);
    }
    if keys.is_empty() {
        return Err(NoPem::Empty);
    }
    Ok(KeySet::new(keys))
}

fn key_of_certificate(der: Vec<u8>) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from(der);
    let parsed = ParsedCertificate::try_from(&certificate).ok()?;
    Some(parsed.subject_public_key_info().as_ref().to_vec())
}
