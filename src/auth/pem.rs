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
    #[error(
        "pem_file holds a private key: put the public key there, and keep this one in a safe place"
    )]
    PrivateKey,
    #[error("pem_file: certificate {0} cannot be read")]
    Certificate(usize),
    #[error("pem_file: key {0}: {1}")]
    Key(usize, Unusable),
}

/// Reads every key of the file; all must be usable. They have no id, so a token's `kid` does not
/// choose among them. Only the key of a certificate is used. It is trusted because the operator put
/// it there, so the certificate's dates and issuer are ignored.
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
        let key = Family::of_spki(&spki)
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

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm as CryptoAlgorithm;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::auth::jws;
    use crate::auth::keys::Verdict;
    use crate::auth::testing::{Signer, WEAK_RSA, claims};

    const ALLOWED: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    #[test]
    fn several_keys_of_one_file_verify_tokens_whatever_their_key_id() {
        let signers = [
            Signer::rsa("a", CryptoAlgorithm::RS256),
            Signer::es256("b"),
            Signer::ed25519("c"),
        ];
        let file: String = signers.iter().map(|s| s.public_pem.as_str()).collect();
        let keys = parse(&format!("# our keys\n{file}"), ALLOWED).unwrap();
        assert_eq!(keys.len(), 3);
        for signer in &signers {
            let token = signer.token(&claims());
            assert_eq!(keys.verify(&jws::parse(&token).unwrap()), Verdict::Good);
        }
        let stranger = Signer::es256("b").token(&claims());
        assert_eq!(keys.verify(&jws::parse(&stranger).unwrap()), Verdict::NoKey);
    }

    #[test]
    fn certificate_gives_its_key() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(vec!["idp".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        let of_certificate = parse(&certificate.pem(), ALLOWED).unwrap();
        let of_key = parse(&pair.public_key_pem(), ALLOWED).unwrap();
        assert_eq!(of_certificate, of_key);
    }

    #[test]
    fn file_with_anything_unusable_is_refused() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = pair.public_key_pem();
        let private = pair.serialize_pem();
        let both = format!("{public}{private}");
        assert_eq!(parse(&private, ALLOWED), Err(NoPem::PrivateKey));
        assert_eq!(parse(&both, ALLOWED), Err(NoPem::PrivateKey));
        assert_eq!(parse("", ALLOWED), Err(NoPem::Empty));
        assert_eq!(parse("a secret", ALLOWED), Err(NoPem::Empty));
        let cut = public.replace("-----END PUBLIC KEY-----", "");
        assert_eq!(parse(&cut, ALLOWED), Err(NoPem::Malformed));
        let rs256_only = parse(&public, &[Algorithm::RS256]);
        assert_eq!(rs256_only, Err(NoPem::Key(1, Unusable::NotAllowed)));
        let hmac_only = parse(&public, &[Algorithm::HS256]);
        assert_eq!(hmac_only, Err(NoPem::Key(1, Unusable::NotAllowed)));
        let weak = parse(&format!("{public}{WEAK_RSA}"), ALLOWED);
        assert_eq!(weak, Err(NoPem::Key(2, Unusable::RsaSize(1024))));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let p384 = parse(&p384.public_key_pem(), ALLOWED);
        assert_eq!(p384, Err(NoPem::Key(1, Unusable::NotAllowed)));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(parse(nonsense, ALLOWED), Err(NoPem::Certificate(1)));
    }
}
