//! Forms: what is read is what another reader reads, and it is written so that it is read again.

use partywall::prometheus::canonical::canonical;
use partywall::prometheus::form::{Form, MAX_PARAMETERS, Weight};
use partywall::prometheus::multipart::fields;

/// The first byte chooses: a form, or parts with a boundary `b`.
pub fn check(data: &[u8]) {
    let Some(([choice], text)) = crate::split(data) else {
        return;
    };
    if choice & 1 == 1 {
        if let Ok(form) = fields(text, "b") {
            assert_round_trip(&form);
        }
        return;
    }
    let strict = Form::parse(text);
    if let Ok(form) = &strict {
        assert_round_trip(form);
        let other: Vec<_> = form_urlencoded::parse(text)
            .filter(|(name, value)| !name.is_empty() || !value.is_empty())
            .collect();
        let ours: Vec<_> = form
            .iter()
            .filter(|(name, value)| !name.is_empty() || !value.is_empty())
            .collect();
        assert_eq!(ours.len(), other.len());
        for ((name, value), (other_name, other_value)) in ours.iter().zip(&other) {
            assert_eq!((*name, *value), (&**other_name, &**other_value));
        }
    }
    let Ok(lenient) = Form::read(text) else {
        return;
    };
    let weight = |name: &str| match name {
        "query" | "match[]" => Weight::Decisive,
        "time" | "limit" => Weight::Read,
        _ => Weight::Ignored,
    };
    if let Ok(kept) = lenient.without_unreadable(weight) {
        assert_round_trip(&kept);
        // Nothing that matters was dropped, in the reading of the most lenient reader.
        for (name, _) in form_urlencoded::parse(text) {
            assert!(
                weight(&name) != Weight::Decisive || kept.iter().any(|(kept, _)| kept == name),
                "{name} was dropped"
            );
        }
        if let Ok(form) = &strict {
            assert_eq!(
                form.iter().collect::<Vec<_>>(),
                kept.iter().collect::<Vec<_>>()
            );
        }
    }
}

fn assert_round_trip(form: &Form<'_>) {
    let written = form.encode();
    let pairs: Vec<_> = form.iter().collect();
    assert!(pairs.len() <= MAX_PARAMETERS);
    assert!(
        pairs
            .iter()
            .all(|(name, value)| !name.contains('\0') && !value.contains('\0'))
    );
    let again = Form::parse(written.as_bytes()).expect("what was written can be read");
    assert_eq!(again.iter().collect::<Vec<_>>(), pairs);
    let other: Vec<_> = form_urlencoded::parse(written.as_bytes()).collect();
    assert_eq!(other.len(), pairs.len());
    let _ = canonical(form);
}
