//! `/api/v2/status`: the version is shown, the configuration and the cluster are not. The
//! configuration has the routes, receivers and addresses of all tenants.

use crate::prometheus::Unreadable;
use crate::prometheus::json::{self, Object, ObjectWriter};

/// A configuration that every client can read and that says nothing: Alertmanager's own reader, which
/// Grafana uses, refuses one without a route and its receiver (`config/config.go`).
pub const WITHHELD: &str = "route:\n  receiver: withheld\nreceivers:\n- name: withheld\n";

/// The parts of the version.
const VERSION: [&str; 6] = [
    "version",
    "revision",
    "branch",
    "buildUser",
    "buildDate",
    "goVersion",
];

/// The status without what is all tenants': as of a store that is in no cluster.
pub fn status(answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let status: Object<'_> = json::read(answer, "the status is not an object")?;
    let mut out = Vec::new();
    let mut writer = ObjectWriter::new(&mut out);
    writer
        .key("cluster")
        .extend_from_slice(br#"{"peers":[],"status":"disabled"}"#);
    let mut config = ObjectWriter::new(writer.key("config"));
    json::write_string(config.key("original"), WITHHELD);
    config.end();
    let uptime = status.text("uptime", "the status has no uptime")?;
    json::write_string(writer.key("uptime"), &uptime);
    let what = "the status has no version";
    let shown = status.get("versionInfo").ok_or(Unreadable(what))?;
    let shown: Object<'_> = json::read_raw(shown, what)?;
    let mut version = ObjectWriter::new(writer.key("versionInfo"));
    for key in VERSION {
        json::write_string(version.key(key), &shown.text(key, what)?);
    }
    version.end();
    writer.end();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_and_cluster_are_withheld() {
        let answer = br#"{"cluster":{"name":"01ABC","peers":[{"name":"globex","address":"10.0.0.1:9094"}],"status":"ready"},"config":{"original":"route: {receiver: globex-pager}"},"uptime":"2026-01-01T00:00:00Z","new":"globex","versionInfo":{"branch":"b","buildDate":"d","buildUser":"u","goVersion":"g","revision":"r","version":"0.25.0","new":"globex"}}"#;
        let out = String::from_utf8(status(answer).unwrap()).unwrap();
        assert!(
            !out.contains("globex") && !out.contains("10.0.0.1"),
            "{out}"
        );
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["versionInfo"]["version"], "0.25.0");
        assert_eq!(out["config"]["original"], WITHHELD);
        assert_eq!(out["cluster"]["status"], "disabled");
        assert!(status(b"[]").is_err() && status(b"{}").is_err());
    }
}
