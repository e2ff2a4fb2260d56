//! The API reference is a sound `OpenAPI` 3.1 document.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::tools;

/// What the validator says of a document; none where it finds nothing.
fn invalid(validator: &std::path::Path, document: &Value) -> Option<String> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(validator);
    // The version is not left to be guessed.
    let output = command
        .args(["--schema", "3.1"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (!output.status.success()).then_some(said)
}

#[test]
fn the_api_reference_is_a_valid_document() {
    let unchecked = "the API reference is not validated";
    let Some(validator) = tools::find("openapi-spec-validator", unchecked) else {
        return;
    };
    let document = partywall::admin::api_docs::openapi();
    assert_eq!(invalid(&validator, &document), None);
    // And it would find what is wrong.
    let mut bad = document.clone();
    bad["paths"]["/api/v1/query"]["get"]["parameters"][0]["in"] = "nowhere".into();
    assert!(invalid(&validator, &bad).is_some());
    let mut bad = document;
    bad["paths"]["/api/v1/query"]["post"]["operationId"] = "query".into();
    assert!(invalid(&validator, &bad).is_some(), "an id twice");
}
