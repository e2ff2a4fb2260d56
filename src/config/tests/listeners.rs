//! `listeners[].tls`: certificates, keys and client certificates. `listeners[].cors`.

use std::sync::LazyLock;

use rcgen::{CertificateParams, CertifiedKey, KeyPair};

use super::super::settings::{Cors, Listener, ListenerTls, Origins};
use super::{Fake, minimal_but, only};

const ADDRESS: &str = "  - address: 127.0.0.1:8080\n";
const PAIR: &str = "cert_file: tls.crt, key_file: tls.key";

static SERVER: LazyLock<CertifiedKey<KeyPair>> = LazyLock::new(|| signed("server"));
static OTHER: LazyLock<CertifiedKey<KeyPair>> = LazyLock::new(|| signed("other"));

fn signed(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn cert() -> String {
    SERVER.cert.pem()
}

fn key() -> String {
    SERVER.signing_key.serialize_pem()
}

/// The first listener, with this as its `tls` and these files.
fn listener(tls: &str, cert: &str, key: &str, authorities: &str) -> Result<Listener, String> {
    let text = minimal_but(ADDRESS, &format!("{ADDRESS}    tls: {{{tls}}}\n"));
    Fake::config(&text)
        .file("/etc/tls.crt", cert)
        .file("/etc/tls.key", key)
        .file("/etc/ca.pem", authorities)
        .load()
        .map(|settings| settings.listeners[0].clone())
        .map_err(only)
}

fn tls(tls: &str, cert: &str, key: &str, authorities: &str) -> Result<ListenerTls, String> {
    let listener = listener(tls, cert, key, authorities)?;
    Ok(listener.tls.expect("tls"))
}

/// The error of an invalid one, without its position.
fn refused(given: &str, cert: &str, key: &str, authorities: &str) -> String {
    let error = tls(given, cert, key, authorities).unwrap_err();
    let (_, message) = error.split_once("listeners[0].tls").unwrap();
    message.to_owned()
}

#[test]
fn chain_and_key_are_loaded() {
    let chain = format!("# ours\n{}{}", cert(), OTHER.cert.pem());
    let read = tls(PAIR, &chain, &key(), "").unwrap();
    let wanted = [SERVER.cert.der().clone(), OTHER.cert.der().clone()];
    assert_eq!(read.certificates.certificates, wanted);
    assert_eq!(read.clients, None);
    // The key is set, and not shown.
    let secret = read.key.expose().secret_der();
    assert_eq!(secret, SERVER.signing_key.serialize_der());
    assert!(format!("{read:?}").contains("key: ***"));
    // Both in one file, as some tools write them.
    let both = cert() + &key();
    assert_eq!(tls(PAIR, &both, &both, ""), tls(PAIR, &cert(), &key(), ""));
}

#[test]
fn first_expiry_of_a_chain_counts() {
    let expiring = |year| {
        let mut params = CertificateParams::new(vec!["server".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.self_signed(&SERVER.signing_key).unwrap().pem()
    };
    let expires = |chain: String| {
        let read = tls(PAIR, &chain, &key(), "").unwrap();
        read.certificates.expires
    };
    assert_eq!(expires(expiring(2030)), 1_893_456_000);
    assert_eq!(expires(expiring(2040) + &expiring(2030)), 1_893_456_000);
    // An expired certificate is not an error: a restart must not turn a warning into an outage.
    assert_eq!(expires(expiring(2001) + &expiring(2030)), 978_307_200);
}

#[test]
fn client_certificates_are_required_or_optional() {
    let authorities = OTHER.cert.pem();
    for (option, required) in [
        ("", true),
        (", client_certificates: required", true),
        (", client_certificates: optional", false),
    ] {
        let given = format!("{PAIR}, client_ca_file: ca.pem{option}");
        let clients = tls(&given, &cert(), &key(), &authorities).unwrap().clients;
        let clients = clients.expect("clients");
        assert_eq!(clients.authorities, [OTHER.cert.der().clone()]);
        assert_eq!(clients.required, required, "{option}");
    }
    let given = format!("{PAIR}, client_certificates: optional");
    assert_eq!(
        refused(&given, &cert(), &key(), ""),
        ".client_certificates: requires `client_ca_file`"
    );
    let given = format!("{PAIR}, client_ca_file: ca.pem, client_certificates: mandatory");
    assert_eq!(
        refused(&given, &cert(), &key(), &authorities),
        ".client_certificates: \"mandatory\" is unknown; known are `required` and `optional`"
    );
    let given = format!("{PAIR}, client_ca_file: ca.pem");
    assert_eq!(
        refused(&given, &cert(), &key(), &key()),
        ".client_ca_file: the file /etc/ca.pem holds no PEM certificate"
    );
}

#[test]
fn both_files_are_needed() {
    assert_eq!(
        refused("cert_file: tls.crt", &cert(), &key(), ""),
        ".key_file: is required"
    );
    assert_eq!(
        refused("key_file: tls.key", &cert(), &key(), ""),
        ".cert_file: is required"
    );
    assert_eq!(
        tls(
            "cert_file: gone.crt, key_file: tls.key",
            &cert(),
            &key(),
            ""
        ),
        Err(
            "4:22: listeners[0].tls.cert_file: the file /etc/gone.crt cannot be read: entity not \
             found"
                .to_owned()
        )
    );
}

#[test]
fn unusable_certificates_are_refused() {
    for (cert, reason) in [
        (String::new(), "holds no PEM certificate"),
        (key(), "holds no PEM certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "holds a certificate that cannot be read",
        ),
        (
            cert() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds a certificate that cannot be read",
        ),
        (cert().replace("END", "ENT"), "is not well-formed PEM"),
    ] {
        assert_eq!(
            refused(PAIR, &cert, &key(), ""),
            format!(".cert_file: the file /etc/tls.crt {reason}")
        );
    }
}

#[test]
fn unusable_keys_are_refused() {
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                     KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                 AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (key, reason) in [
        (cert(), "the file /etc/tls.key holds no PEM private key"),
        (
            key() + &OTHER.signing_key.serialize_pem(),
            "the file /etc/tls.key holds several private keys: leave the one to use",
        ),
        (
            key().replace("END", "ENT"),
            "the file /etc/tls.key is not well-formed PEM",
        ),
        (
            encrypted.to_owned(),
            "the file /etc/tls.key holds an encrypted key: give it without a passphrase",
        ),
        (
            older.to_owned(),
            "the file /etc/tls.key holds an encrypted key: give it without a passphrase",
        ),
        (
            OTHER.signing_key.serialize_pem(),
            "the key does not match the first certificate in cert_file",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
            "the key is not supported: it must be RSA of 2048 to 8192 bits, ECDSA on P-256, \
             P-384 or P-521, or Ed25519",
        ),
    ] {
        assert_eq!(
            refused(PAIR, &cert(), &key, ""),
            format!(".key_file: {reason}")
        );
    }
    // The chain in the wrong order.
    let chain = OTHER.cert.pem() + &cert();
    assert!(refused(PAIR, &chain, &key(), "").starts_with(".key_file: the key does not match"));
}

#[test]
fn listeners_of_one_address_have_one_tls() {
    let load = |first: &str, second: &str| {
        let one = |options: &str| format!("  - {{address: \"127.0.0.1:0\"{options}}}\n");
        let text = minimal_but(ADDRESS, &(one(first) + &one(second)));
        Fake::config(&text)
            .file("/etc/tls.crt", cert())
            .file("/etc/tls.key", key())
            .load()
    };
    let with = &format!(", tls: {{{PAIR}}}");
    assert!(load("", "").is_ok() && load(with, with).is_ok());
    for (first, second) in [("", with.as_str()), (with, "")] {
        assert_eq!(
            only(load(first, second).unwrap_err()),
            "4:15: listeners[1].address: listeners of one address and port 0 must have the same \
             `tls` and `cors`"
        );
    }
}

/// What `cors` of the first listener is, or the error without its position.
fn cors(cors: &str) -> Result<Cors, String> {
    let text = minimal_but(ADDRESS, &format!("{ADDRESS}    cors: {{{cors}}}\n"));
    let loaded = Fake::config(&text).load().map_err(only);
    loaded.map(|settings| settings.listeners[0].cors.clone().expect("cors"))
}

#[test]
fn origins_are_as_browsers_write_them() {
    let these = "https://a.example, \"http://b.example:8080\", \"http://[::1]:3000\"";
    let read = cors(&format!(
        "origins: [{these}], credentials: true, max_age: 1h"
    ))
    .unwrap();
    let origins = [
        "https://a.example",
        "http://b.example:8080",
        "http://[::1]:3000",
    ];
    assert_eq!(
        read,
        Cors {
            origins: Origins::These(origins.map(str::to_owned).into()),
            credentials: true,
            max_age: std::time::Duration::from_hours(1),
        }
    );
    let any = cors("origins: [\"*\"]").unwrap();
    assert_eq!((any.origins, any.credentials), (Origins::Any, false));
    for wrong in [
        "a.example",
        "https://a.example/",
        "https://a.example/x",
        "https://A.example",
        "https://*.example",
        "https://a.example:443",
        "http://a.example:80",
        "https://u@a.example",
        "https://",
        "https://:1",
        "ftp://a.example",
        "\"null\"",
    ] {
        let error = cors(&format!("origins: [{wrong}]")).unwrap_err();
        assert!(error.contains("must be an origin"), "{wrong}: {error}");
    }
}

#[test]
fn cors_that_opens_more_than_was_meant_is_refused() {
    for (given, message) in [
        (
            "origins: [\"*\"], credentials: true",
            "every web page could read",
        ),
        ("origins: [\"*\", https://a.example]", "list it alone"),
        ("origins: []", ""),
        ("credentials: true", "required"),
        ("origins: [https://a.example], max_age: 25h", "at most 24h"),
    ] {
        let error = cors(given).unwrap_err();
        assert!(error.contains(message), "{given}: {error}");
    }
}
