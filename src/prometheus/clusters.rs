//! Several clusters in one document: their list, and their responses to one query.
//!
//! The API has no such responses, so the format is ours. It is a success if any cluster's response
//! is:
//!
//! ```json
//! {"status":"success","data":{"resultType":"clusters","result":{
//!   "eu":{"status":"success","data":{"resultType":"vector","result":[]}},
//!   "us":{"status":"error","errorType":"timeout","error":"…"}}}}
//! ```
//!
//! Each cluster's part is its whole response, byte for byte; clusters are in the order of their
//! names. If none succeeds, the whole is an error too, with `errorType`, `error` and the same
//! `data`. Nothing is merged: that is the work of a querier, not of a proxy.

use bytes::Bytes;

use super::errors::error_json;
use super::form::Form;
use super::json::{self, Envelope, Object, ObjectWriter, Unreadable};

/// The parameter that names a cluster; it may be repeated.
pub const PARAMETER: &str = "cluster";

/// Removes the names of clusters from a request's parameters: returns them in their order, without
/// duplicates.
pub fn split(form: Form<'_>) -> (Vec<String>, Form<'_>) {
    let (mut names, mut rest) = (Vec::new(), Form::default());
    for (name, value) in form {
        if name == PARAMETER {
            names.push(value.into_owned());
        } else {
            rest.push(name, value);
        }
    }
    names.sort_unstable();
    names.dedup();
    (names, rest)
}

/// A cluster in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    pub name: &'a str,
    /// Its APIs: `prometheus`, `tempo`.
    pub apis: Vec<&'static str>,
    /// The path prefix that it is reached at.
    pub prefix: &'a str,
}

/// `{"status":"success","data":[{"name":"eu","apis":["prometheus"],"prefix":"/clusters/eu"}]}`
pub fn list(clusters: &[Listed<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = ObjectWriter::new(&mut out);
    json::write_string(object.key("status"), "success");
    let data = object.key("data");
    data.push(b'[');
    for (place, cluster) in clusters.iter().enumerate() {
        separate(data, place);
        let mut object = ObjectWriter::new(data);
        json::write_string(object.key("name"), cluster.name);
        let apis = object.key("apis");
        apis.push(b'[');
        for (place, api) in cluster.apis.iter().enumerate() {
            separate(apis, place);
            json::write_string(apis, api);
        }
        apis.push(b']');
        json::write_string(object.key("prefix"), cluster.prefix);
        object.end();
    }
    data.push(b']');
    object.end();
    out
}

fn separate(out: &mut Vec<u8>, place: usize) {
    if place > 0 {
        out.push(b',');
    }
}

/// One cluster's part: a JSON object, as anything else would break the document around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    status: u16,
    document: Bytes,
    /// `None` for a success.
    error: Option<String>,
}

impl Part {
    /// The part for a cluster's response of this status.
    ///
    /// # Errors
    /// When it has the status of a success but not its format.
    pub fn answered(status: u16, document: Bytes) -> Result<Self, Unreadable> {
        if status == 200 {
            Envelope::read(&document)?;
            return Ok(Self {
                status,
                document,
                error: None,
            });
        }
        let read = json::read::<Object<'_>>(&document, "an error");
        let error = read.and_then(|object| {
            let is_error = object.text("status", "it has no `status`")? == "error";
            let text = object.text("error", "it has no `error`")?;
            Ok(is_error.then(|| text.into_owned()))
        });
        let Ok(Some(error)) = error else {
            let text = format!("the upstream answered {status}, and not as its API does");
            return Ok(Self::failed(status, type_of(status), &text));
        };
        Ok(Self {
            status,
            error: Some(error),
            document,
        })
    }

    /// The part for a cluster without a response that could be passed on.
    pub fn failed(status: u16, error_type: &str, error: &str) -> Self {
        Self {
            status,
            document: error_json(error_type, error).into(),
            error: Some(error.to_owned()),
        }
    }
}

/// The response for several clusters: its status, and its JSON in chunks. `parts` are in the order
/// of their names and not empty.
pub fn answer(parts: Vec<(&str, Part)>) -> (u16, Vec<Bytes>) {
    let mut head = Vec::new();
    let mut object = ObjectWriter::new(&mut head);
    let status = match failure(&parts) {
        None => {
            json::write_string(object.key("status"), "success");
            200
        }
        Some((status, error)) => {
            json::write_string(object.key("status"), "error");
            json::write_string(object.key("errorType"), type_of(status));
            json::write_string(object.key("error"), &error);
            status
        }
    };
    let data = object.key("data");
    data.extend_from_slice(br#"{"resultType":"clusters","result":{"#);
    let mut pieces = vec![std::mem::take(&mut head).into()];
    for (place, (name, part)) in parts.into_iter().enumerate() {
        let mut key = Vec::with_capacity(name.len() + 4);
        separate(&mut key, place);
        json::write_string(&mut key, name);
        key.push(b':');
        pieces.extend([key.into(), part.document]);
    }
    pieces.push(Bytes::from_static(b"}}}"));
    (status, pieces)
}

/// The status and text of the whole if nothing succeeded: the status that all have, otherwise 502.
fn failure(parts: &[(&str, Part)]) -> Option<(u16, String)> {
    if parts.iter().any(|(_, part)| part.error.is_none()) {
        return None;
    }
    let (name, first) = parts.first()?;
    let is_common = parts.iter().all(|(_, part)| part.status == first.status);
    let text = first.error.as_deref().unwrap_or_default();
    let error = format!("no cluster answered, see `data` for each; {name}: {text}");
    Some((if is_common { first.status } else { 502 }, error))
}

/// As in Prometheus (`web/api/v1/api.go`).
fn type_of(status: u16) -> &'static str {
    match status {
        400 | 413 => "bad_data",
        422 => "execution",
        504 => "timeout",
        500 => "internal",
        _ => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

    fn whole(parts: Vec<(&str, Part)>) -> (u16, Value) {
        let (status, pieces) = answer(parts);
        (status, serde_json::from_slice(&pieces.concat()).unwrap())
    }

    fn good() -> Part {
        Part::answered(200, VECTOR.into()).unwrap()
    }

    #[test]
    fn one_success_makes_the_whole_a_success() {
        let error = Part::failed(504, "timeout", "too \"slow\"");
        let (status, whole) = whole(vec![("eu", good()), ("us", error)]);
        assert_eq!(status, 200);
        let error = json!({"status": "error", "errorType": "timeout", "error": "too \"slow\""});
        let vector: Value = serde_json::from_str(VECTOR).unwrap();
        let result = json!({"eu": vector, "us": error});
        let data = json!({"resultType": "clusters", "result": result});
        assert_eq!(whole, json!({"status": "success", "data": data}));
    }

    #[test]
    fn common_error_status_is_that_of_the_whole() {
        let bad = || Part::failed(400, "bad_data", "no");
        let (status, same) = whole(vec![("a", bad()), ("b", bad())]);
        assert_eq!((status, &same["errorType"]), (400, &json!("bad_data")));
        assert!(same["error"].as_str().unwrap().ends_with("a: no"));
        assert_eq!(same["data"]["result"]["b"]["error"], "no");
        let slow = Part::failed(504, "timeout", "slow");
        let (status, mixed) = whole(vec![("a", bad()), ("b", slow)]);
        assert_eq!((status, &mixed["errorType"]), (502, &json!("unavailable")));
    }

    /// A part must not end the document and begin another cluster's.
    #[test]
    fn incomplete_document_is_refused_as_a_part() {
        for garbage in [
            "",
            "[]",
            "{}",
            "null",
            "<html>",
            r#"{"status":"error"}"#,
            r#"{"status":"success","data":[1,2"#,
            r#"{"status":"success","data":{}},"us":{"status":"success"}"#,
            r#"{"status":"success","data":{}} x"#,
            r#"{"status":"success","status":"error"}"#,
            "{\"status\":\"success\",\"data\":\"\u{1}\"}",
        ] {
            let part = Part::answered(200, garbage.into());
            assert!(part.is_err(), "{garbage}: {part:?}");
            // With another status it becomes an error, without the original text.
            let part = Part::answered(500, garbage.into()).unwrap();
            assert!(part.error.unwrap().contains("answered 500"), "{garbage}");
        }
        let bytes = Bytes::from_static(b"{\"status\":\"success\",\"data\":\"\xff\"}");
        assert!(Part::answered(200, bytes).is_err());
        assert!(Part::answered(204, Bytes::new()).unwrap().error.is_some());
        let own = error_json("bad_data", "parse error");
        let part = Part::answered(400, own.clone().into()).unwrap();
        assert_eq!(
            (part.document.to_vec(), part.error),
            (own, Some("parse error".to_owned()))
        );
    }

    #[test]
    fn names_are_removed_in_order_without_duplicates() {
        let form = Form::parse(b"cluster=us&query=up&cluster=eu&cluster=us&Cluster=x").unwrap();
        let (names, rest) = split(form);
        assert_eq!(names, ["eu", "us"]);
        assert_eq!(rest.encode(), "query=up&Cluster=x");
    }

    #[test]
    fn list_is_json() {
        let listed = Listed {
            name: "eu",
            apis: vec!["prometheus", "tempo"],
            prefix: "/clusters/eu",
        };
        let other = Listed {
            name: "us",
            apis: vec!["tempo"],
            prefix: "/clusters/us",
        };
        let text = String::from_utf8(list(&[listed, other])).unwrap();
        let expected = r#"{"status":"success","data":[{"name":"eu","apis":["prometheus","tempo"],"prefix":"/clusters/eu"},{"name":"us","apis":["tempo"],"prefix":"/clusters/us"}]}"#;
        assert_eq!(text, expected);
        assert_eq!(list(&[]), br#"{"status":"success","data":[]}"#);
    }
}
