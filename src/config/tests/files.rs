//! Files that a config names, and whether they have changed.

use std::path::{Path, PathBuf};

use super::super::settings::{Credentials, KeySource, Secret};
use super::super::{Loaded, OsAccess, load};
use super::{Fake, MINIMAL, minimal_but, only};

fn keys_with(keys: &str, file: &[u8]) -> Result<KeySource, String> {
    let text = minimal_but("discovery: true", keys);
    let algorithms = if keys.contains("hmac") {
        "[HS256]"
    } else {
        "[RS256]"
    };
    Fake::config(&text.replace("[RS256]", algorithms))
        .file("/etc/keys", file)
        .load()
        .map(|settings| settings.tokens.issuers[0].keys.clone())
        .map_err(|errors| {
            let error = only(errors);
            let (_, message) = error.split_once("tokens.issuers[0].").unwrap();
            message.to_owned()
        })
}

fn certificate() -> (String, String, String) {
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    (
        ca.cert.pem(),
        ca.signing_key.public_key_pem(),
        ca.signing_key.serialize_pem(),
    )
}

#[test]
fn key_sets() {
    let set = r#"{"keys": [{"kty": "RSA"}]}"#;
    assert_eq!(
        keys_with("jwks_file: keys", set.as_bytes()),
        Ok(KeySource::Jwks(set.into()))
    );
    for (content, error) in [
        ("", "is no JSON Web Key Set: an object with a list `keys`"),
        ("[]", "is no JSON Web Key Set: an object with a list `keys`"),
        (
            r#"{"keys": {}}"#,
            "is no JSON Web Key Set: an object with a list `keys`",
        ),
        (r#"{"keys": []}"#, "is a key set without keys"),
        (
            r#"{"keys": [{"kty": "RSA"}, {"kty": "EC", "d": "x"}]}"#,
            "holds a private or symmetric key: give the public keys only",
        ),
        (
            r#"{"keys": [{"kty": "oct", "k": "x"}]}"#,
            "holds a private or symmetric key: give the public keys only",
        ),
    ] {
        assert_eq!(
            keys_with("jwks_file: keys", content.as_bytes()),
            Err(format!("jwks_file: the file /etc/keys {error}"))
        );
    }
    assert_eq!(
        keys_with("jwks_file: other", b""),
        Err("jwks_file: the file /etc/other cannot be read: entity not found".into())
    );
    assert_eq!(
        keys_with(r#"jwks_file: "/keys/\n""#, b"")
            .unwrap_err()
            .lines()
            .count(),
        1
    );
}

#[test]
fn public_keys_in_pem() {
    let (certificate, public, private) = certificate();
    for good in [&certificate, &public, &(certificate.clone() + &public)] {
        assert_eq!(
            keys_with("pem_file: keys", good.as_bytes()),
            Ok(KeySource::Pem(good.clone()))
        );
    }
    for (content, error) in [
        (String::new(), "holds no PEM public key or certificate"),
        (
            private.clone(),
            "holds a private key: give the public key only",
        ),
        (
            public.clone() + &private,
            "holds a private key: give the public key only",
        ),
        (public.replace("END", "ENT"), "ends within a PEM section"),
        (public.replace('M', "*"), "is not well-formed PEM"),
    ] {
        assert_eq!(
            keys_with("pem_file: keys", content.as_bytes()),
            Err(format!("pem_file: the file /etc/keys {error}"))
        );
    }
}

#[test]
fn certificates_to_trust() {
    let (certificate, public, _) = certificate();
    let ca = |content: &str| keys_with("discovery: true\n      ca_file: keys", content.as_bytes());
    assert_eq!(
        ca(&certificate),
        Ok(KeySource::Discovery {
            ca_file: Some("/etc/keys".into()),
            bearer_token_file: None
        })
    );
    for (content, error) in [
        ("", "holds no PEM certificate"),
        (&*public, "holds no PEM certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds a certificate that cannot be read",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
            "is not well-formed PEM",
        ),
    ] {
        assert_eq!(
            ca(content),
            Err(format!("ca_file: the file /etc/keys {error}"))
        );
    }
    assert_eq!(
        keys_with("pem_file: keys\n      ca_file: keys", public.as_bytes()),
        Err("ca_file: requires `discovery` or `jwks_url`".into())
    );
}

#[test]
fn only_the_trailing_newline_of_a_secret_is_removed() {
    let secret = " 0123456789abcdef0123456789abcdef ";
    for end in ["", "\n", "\r\n"] {
        assert_eq!(
            keys_with(
                "hmac_secret_file: keys",
                format!("{secret}{end}").as_bytes()
            ),
            Ok(KeySource::Hmac(Secret::new(secret.into())))
        );
    }
    assert_eq!(
        keys_with("hmac_secret_file: keys", b"\n"),
        Err("hmac_secret_file: the file /etc/keys is empty".into())
    );
    assert_eq!(
        keys_with("hmac_secret_file: keys", b"\xff"),
        Err("hmac_secret_file: the file /etc/keys is not UTF-8".into())
    );
}

#[test]
fn bearer_token_must_be_valid_in_a_header() {
    let with = |content: &str| {
        let key = "url: http://127.0.0.1:10902";
        let text = minimal_but(
            key,
            &format!("{key}\n    credentials: {{bearer_token_file: /t}}"),
        );
        Fake::config(&text).file("/t", content).load()
    };
    assert_eq!(
        with("abc\n").unwrap().upstreams[0].credentials,
        Credentials::Bearer(Secret::new("abc".into()))
    );
    for content in ["a b", "a\nb", "ä", "a\r"] {
        // A trailing newline is removed, LF or CRLF.
        assert_eq!(with(content).is_ok(), content == "a\r", "{content:?}");
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn changes_are_detected_by_content() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let config = folder.write("p.yaml", &minimal_but("discovery: true", "jwks_file: keys"));
    folder.write("keys", r#"{"keys": [1]}"#);
    let Loaded { fingerprint, .. } = load(&config, &OsAccess).unwrap();
    assert!(fingerprint.is_current(&OsAccess));

    // Rewritten with the same content: nothing changed.
    folder.write("keys", r#"{"keys": [1]}"#);
    assert!(fingerprint.is_current(&OsAccess));

    folder.write("keys", r#"{"keys": [2]}"#);
    assert!(!fingerprint.is_current(&OsAccess));
    let after = load(&config, &OsAccess).unwrap().fingerprint;

    folder.write("p.yaml", MINIMAL);
    assert!(!after.is_current(&OsAccess));
}

#[test]
fn failed_load_is_current_until_its_cause_changes() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let config = folder.write("p.yaml", &minimal_but("discovery: true", "jwks_file: keys"));
    let errors = load(&config, &OsAccess).unwrap_err();
    assert!(errors.fingerprint().is_current(&OsAccess));
    folder.write("keys", r#"{"keys": [1]}"#);
    assert!(!errors.fingerprint().is_current(&OsAccess));
}

/// A mounted `ConfigMap`: the files are links into a folder, and a link to that is swapped.
#[test]
fn swapped_link_is_detected() {
    let folder = Folder(tempfile::tempdir().unwrap());
    for version in ["v1", "v2"] {
        std::fs::create_dir(folder.0.path().join(version)).unwrap();
        folder.write(
            &format!("{version}/keys"),
            &format!(r#"{{"keys": ["{version}"]}}"#),
        );
        folder.write(
            &format!("{version}/p.yaml"),
            &minimal_but("discovery: true", "jwks_file: keys"),
        );
    }
    let link = |to: &str, name: &str| {
        let new = folder.0.path().join("new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        std::fs::rename(new, folder.0.path().join(name)).unwrap();
    };
    link("v1", "..data");
    link("..data/p.yaml", "p.yaml");
    link("..data/keys", "keys");
    let config = folder.0.path().join("p.yaml");
    let loaded = load(&config, &OsAccess).unwrap();
    link("v2", "..data");
    assert!(!loaded.fingerprint.is_current(&OsAccess));
}

#[test]
fn paths_are_relative_to_the_config() {
    let fake = Fake::default()
        .file(
            "p.yaml",
            minimal_but("discovery: true", "jwks_file: sub/keys"),
        )
        .file("sub/keys", r#"{"keys": [1]}"#);
    assert!(load(Path::new("p.yaml"), &fake).is_ok());
}
