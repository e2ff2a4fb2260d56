//! The last step of every answer: it is compressed where its client takes that, and caches are told
//! not to store it.
//!
//! What passes through, and gRPC, stays as the upstream made it.
//!
//! | the answer | is compressed |
//! |---|---|
//! | of a client on loopback, unless `compression.loopback` | never: bytes cost less there than work |
//! | shorter than `compression.min_bytes` | only where the client refuses what is not compressed |
//! | 204, 206, 304, without a body, with a content coding, with `no-transform` | never |
//! | of a media type that is compressed in itself | never |
//!
//! A cached answer is stored as it is, and compressed for each client anew. An encoder's memory counts
//! as `limits.buffered_bytes`; where none of that is left the answer is sent as it is.

use std::net::SocketAddr;

use hyper::body::Body as _;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, VARY,
};
use hyper::{Response, StatusCode};

use crate::body::budget::Budget;
use crate::body::{Coding, Levels, ResponseBody};
use crate::config::settings::Compression;
use crate::headers;

/// What a client takes, and whether it is to get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    coding: Option<Coding>,
    /// Whether `Vary` says that it depends on what the client takes.
    varies: bool,
    min_bytes: u64,
    levels: Levels,
}

impl Delivery {
    /// As this client's request says.
    pub(super) fn to(
        settings: &Compression,
        request: &HeaderMap,
        remote: Option<SocketAddr>,
    ) -> Self {
        let is_local = remote.is_some_and(|remote| remote.ip().to_canonical().is_loopback());
        let is_on = settings.enabled && (settings.loopback || !is_local);
        let accepted = if is_on && !has_directive(request, "no-transform") {
            Accepted::by(request)
        } else {
            Accepted::NOTHING
        };
        Self {
            coding: accepted.best(),
            varies: is_on,
            min_bytes: if accepted.refuses_identity() {
                0
            } else {
                settings.min_bytes as u64
            },
            levels: Levels {
                gzip: u32::from(settings.gzip_level),
                zstd: i32::from(settings.zstd_level),
            },
        }
    }

    /// The answer as it is sent. `budget` is asked for where an encoder is needed.
    pub(super) fn deliver(
        &self,
        mut response: Response<ResponseBody>,
        budget: impl FnOnce() -> Budget,
    ) -> Response<ResponseBody> {
        if response.body().is_untouched() || headers::is_grpc(response.headers()) {
            return response;
        }
        let may_change = !has_directive(response.headers(), "no-transform");
        forbid_storing(response.headers_mut(), may_change);
        if !self.varies || !is_compressible(&response) || !may_change {
            return response;
        }
        vary_by(response.headers_mut(), &ACCEPT_ENCODING);
        let Some(coding) = self.coding else {
            return response;
        };
        if response
            .body()
            .size_hint()
            .upper()
            .is_some_and(|length| length < self.min_bytes)
        {
            return response;
        }
        let mut held = budget().share();
        if held.resize(coding.encoder_bytes()).is_err() {
            return response;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, coding.header_value());
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        headers::weaken_etag(headers);
        response.map(|body| body.compressed(coding, self.levels, held))
    }
}

/// Caches in front know neither tenants nor tokens: what they store they may give to another caller.
/// In a line of its own, since Thanos' query-frontend looks for a value that is exactly this
/// (`internal/cortex/querier/queryrange/results_cache.go`).
fn forbid_storing(headers: &mut HeaderMap, may_change: bool) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !may_change {
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-transform"));
    }
}

/// Whether there is something to compress.
fn is_compressible(response: &Response<ResponseBody>) -> bool {
    let status = response.status();
    let has_content = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
    has_content
        && !response.headers().contains_key(CONTENT_ENCODING)
        && !response.body().is_end_stream()
        && is_text(response.headers())
}

/// Whether the media type is one whose answers become smaller. Remote read's are not among them: its
/// samples are compressed in themselves.
fn is_text(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    let media_type = text.and_then(|text| text.split(';').next());
    let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || matches!(
            &*media_type,
            "application/json" | "application/protobuf" | "application/openmetrics-text"
        )
}

fn has_directive(headers: &HeaderMap, name: &str) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter();
    values.any(|value| {
        let mut all = value.to_str().unwrap_or_default().split(',');
        all.any(|directive| directive.trim().eq_ignore_ascii_case(name))
    })
}

fn vary_by(headers: &mut HeaderMap, name: &HeaderName) {
    let is_there = headers.get_all(VARY).iter().any(|value| {
        let mut names = value.to_str().unwrap_or_default().split(',').map(str::trim);
        names.any(|known| known == "*" || known.eq_ignore_ascii_case(name.as_str()))
    });
    if !is_there {
        headers.append(VARY, HeaderValue::from_name(name.clone()));
    }
}

/// What `Accept-Encoding` says, in thousandths (RFC 9110 §12.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Accepted {
    gzip: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    const NOTHING: Self = Self {
        gzip: None,
        zstd: None,
        identity: None,
        any: None,
    };

    fn by(headers: &HeaderMap) -> Self {
        let mut accepted = Self::NOTHING;
        for value in headers.get_all(ACCEPT_ENCODING) {
            for item in value.to_str().unwrap_or_default().split(',') {
                accepted.take(item);
            }
        }
        accepted
    }

    /// What cannot be read says nothing.
    fn take(&mut self, item: &str) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let Some(weight) = weight(parameters) else {
            return;
        };
        let name = name.trim();
        let place = match Coding::from_name(name) {
            Some(Coding::Gzip) => &mut self.gzip,
            Some(Coding::Zstd) => &mut self.zstd,
            None if name == "*" => &mut self.any,
            None if name.eq_ignore_ascii_case("identity") => &mut self.identity,
            None => return,
        };
        *place = Some(weight);
    }

    /// What the client likes best; of two that it likes as much `zstd`, which costs less.
    fn best(&self) -> Option<Coding> {
        let weight = |named: Option<u16>| named.or(self.any).unwrap_or(0);
        let (zstd, gzip) = (weight(self.zstd), weight(self.gzip));
        let (best, coding) = if zstd >= gzip {
            (zstd, Coding::Zstd)
        } else {
            (gzip, Coding::Gzip)
        };
        // Unnamed, it is what is left.
        let identity = self.identity.unwrap_or(0);
        (best > 0 && best >= identity).then_some(coding)
    }

    fn refuses_identity(&self) -> bool {
        self.identity.or(self.any) == Some(0)
    }
}

/// `q=0.5` as 500; 1000 where it is not given.
fn weight(parameters: &str) -> Option<u16> {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some(1000);
    }
    let (name, value) = parameters.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, thousandths) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_digits = thousandths.len() <= 3 && thousandths.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{thousandths:0<3}")
        .parse()
        .ok()
        .filter(|_| is_digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hyper::header::ETAG;

    use super::*;
    use crate::shares::{Holder, UseGauge};

    const LEVELS: Compression = Compression {
        enabled: true,
        loopback: false,
        min_bytes: 100,
        gzip_level: 6,
        zstd_level: 3,
    };

    /// Of the documentation block (RFC 5737).
    const REMOTE: Option<SocketAddr> =
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1));

    fn request(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())])
    }

    fn best(accept: &str) -> Option<Coding> {
        Accepted::by(&request(accept)).best()
    }

    fn response(headers: &[(HeaderName, &str)], length: usize) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::whole(vec![b'x'; length]));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn budget() -> Budget {
        Budget::new(&UseGauge::default(), 1 << 30, &Holder::alone())
    }

    fn delivered(accept: &str, response: Response<ResponseBody>) -> HeaderMap {
        let delivery = Delivery::to(&LEVELS, &request(accept), REMOTE);
        delivery.deliver(response, budget).headers().clone()
    }

    fn coding(headers: &HeaderMap) -> &str {
        headers
            .get(CONTENT_ENCODING)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn accept_encoding_is_read_with_its_weights() {
        use Coding::{Gzip, Zstd};
        for (accept, expected) in [
            ("", None),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZip ; Q=0.001", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("zstd;q=0.8, gzip", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000, zstd;q=0.0", None),
            ("*", Some(Zstd)),
            ("*, zstd;q=0", Some(Gzip)),
            ("*;q=0", None),
            ("*;q=0, gzip;q=0.1", Some(Gzip)),
            ("br, deflate", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip;q=0.1", Some(Gzip)),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=x", None),
            ("gzip;q=0.0001", None),
            ("gzip;level=9", None),
        ] {
            assert_eq!(best(accept), expected, "{accept:?}");
        }
        for (accept, expected) in [
            ("identity;q=0", true),
            ("*;q=0", true),
            ("*;q=0, identity", false),
            ("gzip", false),
        ] {
            assert_eq!(
                Accepted::by(&request(accept)).refuses_identity(),
                expected,
                "{accept}"
            );
        }
    }

    #[test]
    fn headers_of_a_compressed_answer_say_so() {
        let headers = delivered(
            "gzip",
            response(
                &[(ETAG, "\"a\""), (VARY, "Origin"), (CONTENT_LENGTH, "200")],
                200,
            ),
        );
        assert_eq!(coding(&headers), "gzip");
        assert_eq!(headers.get(CONTENT_LENGTH), None);
        assert_eq!(headers[ETAG], "W/\"a\"");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let vary: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Origin", "accept-encoding"]);
    }

    #[test]
    fn answer_that_is_not_compressed_varies_all_the_same() {
        for accept in ["", "br", "gzip;q=0"] {
            let headers = delivered(accept, response(&[], 200));
            assert_eq!(coding(&headers), "", "{accept}");
            assert_eq!(headers[VARY], "accept-encoding");
        }
        let headers = delivered("gzip", response(&[(VARY, "Accept-Encoding")], 200));
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
    }

    #[test]
    fn what_must_not_be_compressed_is_not() {
        let with = |name, value| response(&[(name, value)], 200);
        for (what, answer) in [
            ("tiny", response(&[], 99)),
            ("coded", with(CONTENT_ENCODING, "snappy")),
            (
                "no-transform",
                with(CACHE_CONTROL, "max-age=1, No-Transform"),
            ),
            ("an image", with(CONTENT_TYPE, "image/png")),
            ("remote read", with(CONTENT_TYPE, "application/x-protobuf")),
        ] {
            let before = coding(answer.headers()).to_owned();
            assert_eq!(coding(&delivered("gzip", answer)), before, "{what}");
        }
        for status in [204, 206, 304] {
            let mut answer = response(&[], 200);
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(coding(&delivered("gzip", answer)), "", "{status}");
        }
        let mut no_transform = request("gzip");
        no_transform.insert(CACHE_CONTROL, HeaderValue::from_static("no-transform"));
        let delivery = Delivery::to(&LEVELS, &no_transform, REMOTE);
        let headers = delivery
            .deliver(response(&[], 200), budget)
            .headers()
            .clone();
        assert_eq!(coding(&headers), "");
    }

    #[test]
    fn no_store_stands_in_a_line_of_its_own() {
        let answer = response(&[(CACHE_CONTROL, "public, no-transform")], 200);
        let headers = delivered("gzip", answer);
        let lines: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
        assert_eq!(lines, ["no-store", "no-transform"]);
    }

    #[test]
    fn tiny_answer_is_compressed_where_nothing_else_is_taken() {
        assert_eq!(
            coding(&delivered("identity;q=0, gzip", response(&[], 5))),
            "gzip"
        );
    }

    #[test]
    fn loopback_is_compressed_only_where_the_config_says_so() {
        for address in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            for loopback in [false, true] {
                let settings = Compression { loopback, ..LEVELS };
                let remote = Some(address.parse().unwrap());
                let delivery = Delivery::to(&settings, &request("gzip"), remote);
                let headers = delivery
                    .deliver(response(&[], 200), budget)
                    .headers()
                    .clone();
                assert_eq!(coding(&headers) == "gzip", loopback, "{address}");
            }
        }
        let off = Compression {
            enabled: false,
            ..LEVELS
        };
        let delivery = Delivery::to(&off, &request("gzip"), REMOTE);
        assert!(delivery.coding.is_none());
    }

    #[test]
    fn untouched_answer_keeps_all_its_headers() {
        let answer = response(&[(CACHE_CONTROL, "max-age=60")], 200);
        let answer = answer.map(ResponseBody::untouched);
        let headers = delivered("gzip", answer);
        assert_eq!(coding(&headers), "");
        assert_eq!(headers[CACHE_CONTROL], "max-age=60");
        assert_eq!(headers.get(VARY), None);
    }

    #[test]
    fn answer_for_whose_encoder_no_memory_is_left_is_sent_as_it_is() {
        let delivery = Delivery::to(&LEVELS, &request("gzip"), REMOTE);
        let poor = || Budget::new(&UseGauge::default(), 1000, &Holder::alone());
        let headers = delivery.deliver(response(&[], 200), poor).headers().clone();
        assert_eq!(coding(&headers), "");
    }
}
