//! The files that a config names: secrets, key sets and certificates.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificates::{CertificateChain, PrivateKey};
use super::reader::{Field, Read, Reader};
use super::secret::Secret;
use super::values;

/// The content of the file that a key names.
pub(super) fn content(r: &mut Reader<'_>, field: &Field<'_>) -> Read<(PathBuf, String)> {
    let path = values::path(r, field)?;
    let text = r.content(&path).and_then(|content| {
        String::from_utf8(content.to_vec()).map_err(|_| "is not UTF-8".to_owned())
    });
    match text {
        Ok(text) => Ok((path, text)),
        Err(reason) => Err(file_error(r, field, &path, &reason)),
    }
}

pub(super) fn file_error(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    path: &std::path::Path,
    reason: &str,
) -> super::reader::ErrorReported {
    r.error(field, format!("the file {} {reason}", path.display()))
}

/// A secret that is a file's content, without the trailing newline that editors add.
pub(super) fn secret(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Secret> {
    let (path, text) = content(r, field)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(file_error(r, field, &path, "is empty"));
    }
    Ok(Secret::new(secret.to_owned()))
}

/// A bearer token that is a file's content.
pub(super) fn bearer_token(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Secret> {
    let token = secret(r, field)?;
    if is_bearer_token(token.expose()) {
        Ok(token)
    } else {
        let message = "the file must hold a token alone: visible ASCII characters without spaces";
        Err(r.error(field, message))
    }
}

/// The path of a file with a bearer token. Tokens of service accounts change every hour, so the
/// file is read again before each use.
pub(super) fn bearer_token_path(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PathBuf> {
    bearer_token(r, field)?;
    values::path(r, field)
}

/// Whether it is valid after `Bearer ` in a header.
pub(super) fn is_bearer_token(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The path of a file with at least one trusted certificate.
pub(super) fn ca_file(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PathBuf> {
    authorities(r, field)?;
    values::path(r, field)
}

/// The trusted certificates in a file; at least one.
pub(super) fn authorities(
    r: &mut Reader<'_>,
    field: &Field<'_>,
) -> Read<Vec<CertificateDer<'static>>> {
    let (path, text) = content(r, field)?;
    certificates(&text, |der| RootCertStore::empty().add(der.clone()).is_ok())
        .map_err(|reason| file_error(r, field, &path, reason))
}

/// The chain in a file, leaf first.
pub(super) fn certificate_chain(r: &mut Reader<'_>, field: &Field<'_>) -> Read<CertificateChain> {
    let (path, text) = content(r, field)?;
    let mut expires = i64::MAX;
    let certificates = certificates(&text, |der| {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return false;
        };
        expires = expires.min(certificate.validity().not_after.timestamp());
        ParsedCertificate::try_from(der).is_ok()
    })
    .map_err(|reason| file_error(r, field, &path, reason))?;
    Ok(CertificateChain {
        certificates,
        expires,
    })
}

/// All certificates of a PEM text, if there are any and all can be parsed.
fn certificates(
    text: &str,
    mut is_legible: impl FnMut(&CertificateDer<'static>) -> bool,
) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|_| "is not well-formed PEM")?;
        if !is_legible(&certificate) {
            return Err("holds a certificate that cannot be read");
        }
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err("holds no PEM certificate");
    }
    Ok(certificates)
}

/// The only private key in a file: PKCS #8, PKCS #1 or SEC 1, without a passphrase.
pub(super) fn private_key(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PrivateKey> {
    let (path, text) = content(r, field)?;
    // The second form is that of RFC 1421 §4.6.1.1, which OpenSSL used to write.
    let is_encrypted = text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED");
    let mut keys = PrivateKeyDer::pem_slice_iter(text.as_bytes());
    let reason = match (keys.next(), keys.next()) {
        _ if is_encrypted => "holds an encrypted key: give it without a passphrase",
        (None, _) => "holds no PEM private key",
        (Some(Ok(key)), None) => return Ok(PrivateKey::new(key)),
        (Some(Ok(_)), Some(Ok(_))) => "holds several private keys: leave the one to use",
        _ => "is not well-formed PEM",
    };
    Err(file_error(r, field, &path, reason))
}

/// Whether a key is supported, and belongs to the chain's first certificate.
pub(super) fn key_fits(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    key: &PrivateKey,
    chain: &CertificateChain,
) -> Read<()> {
    let Ok(signing) = any_supported_type(key.expose()) else {
        let message = "the key is not supported: it must be RSA of 2048 to 8192 bits, ECDSA on \
                       P-256, P-384 or P-521, or Ed25519";
        return Err(r.error(field, message));
    };
    CertifiedKey::new(chain.certificates.clone(), signing)
        .keys_match()
        .map_err(|_| {
            let message = "the key does not match the first certificate in cert_file";
            r.error(field, message)
        })
}

/// A JSON Web Key Set (RFC 7517 §5) of public keys, as text.
pub(super) fn jwks(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let (path, text) = content(r, field)?;
    // The parser's own error could quote a key.
    let set: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
    // RFC 7518 §6: `d` makes a key private, `k` is a symmetric one.
    let is_secret = |key: &serde_json::Value| key.get("d").or(key.get("k")).is_some();
    let reason = match keys {
        None => "is no JSON Web Key Set: an object with a list `keys`",
        Some(keys) if keys.is_empty() => "is a key set without keys",
        Some(keys) if keys.iter().any(is_secret) => {
            "holds a private or symmetric key: give the public keys only"
        }
        Some(_) => return Ok(text),
    };
    Err(file_error(r, field, &path, reason))
}

/// PEM public keys or certificates, as text.
pub(super) fn public_pem(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let (path, text) = content(r, field)?;
    let mut found = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let reason = match section {
            Ok((SectionKind::PublicKey | SectionKind::Certificate, _)) => {
                found = true;
                continue;
            }
            Ok((
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                _,
            )) => "holds a private key: give the public key only",
            Ok(_) => "holds something else than public keys and certificates",
            Err(pem::Error::MissingSectionEnd { .. }) => "ends within a PEM section",
            Err(_) => "is not well-formed PEM",
        };
        return Err(file_error(r, field, &path, reason));
    }
    // The PEM reader does not support PKCS #1 keys (`RSA PUBLIC KEY`).
    if found || text.contains("-----BEGIN RSA PUBLIC KEY-----") {
        Ok(text)
    } else {
        Err(file_error(
            r,
            field,
            &path,
            "holds no PEM public key or certificate",
        ))
    }
}
