//! `cert_file` and `key_file`: a certificate and the key that belongs to it.

use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::files;
use super::read::{Field, Read, Reader, Section};
use super::settings::Identity;

/// The pair, if a section has it: both keys or neither.
pub(super) fn optional(r: &mut Reader<'_>, section: &mut Section<'_>) -> Read<Option<Identity>> {
    match (section.get("cert_file"), section.get("key_file")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => pair(r, &certificate, &key).map(Some),
        (Some(_), None) => Err(section.missing(r, "key_file")),
        (None, Some(_)) => Err(section.missing(r, "cert_file")),
    }
}

fn pair(r: &mut Reader<'_>, certificate: &Field<'_>, key: &Field<'_>) -> Read<Identity> {
    let chain = files::certificates(r, certificate);
    let (path, text) = files::content(r, key)?;
    let Ok(private) = PrivateKeyDer::from_pem_slice(text.as_bytes()) else {
        let reason = "holds no PEM private key that can be read (an encrypted one cannot)";
        return Err(files::file_error(r, key, &path, reason));
    };
    let chain = chain?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let reason = match CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider) {
        Ok(_) => {
            return Ok(Identity {
                chain,
                key: Arc::new(private),
            });
        }
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            "is not the key of the certificate in cert_file"
        }
        Err(Error::InvalidCertificate(_)) => {
            let message = "the file's first certificate cannot be read";
            return Err(r.error(certificate, message));
        }
        Err(_) => "holds a key of a kind that cannot be used for TLS",
    };
    Err(files::file_error(r, key, &path, reason))
}
