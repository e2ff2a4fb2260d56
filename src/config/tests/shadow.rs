//! Shadow mode cannot be enabled by accident.

use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds as rfc3339;

use super::super::settings::Shadow;
use super::super::shadowed;
use super::{minimal_but, settings_of};

const URL: &str = "    url: http://127.0.0.1:10902\n";

fn with(shadow: &str) -> String {
    minimal_but(URL, &format!("{URL}    shadow: {shadow}\n"))
}

fn from_now(days: i64) -> String {
    let now = SystemTime::now();
    let span = Duration::from_hours(24 * days.unsigned_abs());
    let at = if days < 0 { now - span } else { now + span };
    rfc3339(at).to_string()
}

fn error_of(shadow: &str) -> String {
    let error = super::error_of(&with(shadow));
    error.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn both_keys_are_needed() {
    let soon = from_now(1);
    let whole = format!("{{until: '{soon}', tenants_see_each_other: true}}");
    let shadow = settings_of(&with(&whole)).upstreams[0].shadow.clone();
    let shadow = shadow.unwrap();
    assert!(shadow.is_in_force(SystemTime::now()));
    assert!(shadow.compare().abs() < 1e-12);
    assert_eq!(
        error_of(&format!("{{until: '{soon}'}}")),
        "upstreams[0].shadow.tenants_see_each_other: is required"
    );
    assert_eq!(
        error_of("{tenants_see_each_other: true}"),
        "upstreams[0].shadow.until: is required"
    );
    assert!(
        error_of(&format!(
            "{{until: '{soon}', tenants_see_each_other: false}}"
        ))
        .contains("can only be true")
    );
    for (of_another_type, error) in [
        ("true", "must be a mapping"),
        ("yes", "must be a mapping"),
        ("[]", "must be a mapping"),
        ("", "has no value"),
    ] {
        assert!(error_of(of_another_type).contains(error));
    }
}

#[test]
fn until_is_a_time_and_near() {
    let until = |until: &str| format!("{{until: {until}, tenants_see_each_other: true}}");
    for good in ["2026-01-31", "2026-01-31T00:00:00Z"] {
        settings_of(&with(&until(good)));
    }
    settings_of(&with(&until(&format!("'{}'", from_now(90)))));
    assert_eq!(
        error_of(&until(&format!("'{}'", from_now(91)))),
        "upstreams[0].shadow.until: must be at most 90 days from now"
    );
    for no_time in ["true", "90d", "12", "never", "''", "[]", "2026-13-01", "~"] {
        let error = error_of(&until(no_time));
        assert!(
            error.starts_with("upstreams[0].shadow.until: "),
            "{no_time}: {error}"
        );
    }
}

#[test]
fn expired_shadow_is_not_in_force() {
    let text = with(&format!(
        "{{until: '{}', tenants_see_each_other: true}}",
        from_now(-1)
    ));
    let settings = settings_of(&text);
    let now = SystemTime::now();
    let shadow: &Shadow = settings.upstreams[0].shadow.as_ref().unwrap();
    assert!(!shadow.is_in_force(now));
    let told = shadowed(&settings, now);
    assert!(!told[0].is_in_force);
    assert!(
        told[0].to_string().contains("all is enforced"),
        "{}",
        told[0]
    );
    // To the very moment.
    assert!(shadow.is_in_force(shadow.until() - Duration::from_nanos(1)));
    assert!(!shadow.is_in_force(shadow.until()));
}

#[test]
fn no_shadow_no_notice() {
    assert!(shadowed(&settings_of(super::MINIMAL), SystemTime::now()).is_empty());
}
