//! A small HTTP client.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::protobuf::{ReadRequest, pack};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Parameters in the URL.
    Get,
    /// Parameters as a form.
    Post,
}

/// One request to a Prometheus API, before it is known where it goes.
#[derive(Clone, Debug)]
pub struct Ask {
    pub sent: Sent,
    pub path: String,
    pub params: Vec<(String, String)>,
    pub headers: Vec<(&'static str, String)>,
}

impl Ask {
    pub fn new(sent: Sent, path: &str, params: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            sent,
            path: path.to_owned(),
            params: params.iter().map(owned).collect(),
            headers: Vec::new(),
        }
    }

    pub fn get(path: &str, params: &[(&str, &str)]) -> Self {
        Self::new(Sent::Get, path, params)
    }

    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// For the store or proxy at `base`, with a bearer token if there is one.
    pub fn request(&self, base: &str, token: Option<&str>) -> Request<Full<Bytes>> {
        let form = encode_form(&self.params);
        let mut url = format!("{base}{}", self.path);
        let (method, body) = match self.sent {
            Sent::Post => (Method::POST, form),
            Sent::Get => {
                if !form.is_empty() {
                    url = format!("{url}?{form}");
                }
                (Method::GET, String::new())
            }
        };
        let mut request = Request::builder().method(method).uri(url);
        if self.sent == Sent::Post {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::from(body)).expect("a request")
    }
}

impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.sent, self.path)?;
        for (name, value) in &self.params {
            write!(f, " {name}={value:?}")?;
        }
        for (name, value) in &self.headers {
            write!(f, " [{name}: {value}]")?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|cause| panic!("not JSON ({cause}): {} {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

impl Default for Client {
    fn default() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }
}

impl Client {
    /// Sends `ask` to the store or proxy at `base`, with a bearer token if there is one.
    pub async fn ask(&self, base: &str, ask: &Ask, token: Option<&str>) -> Answer {
        self.send(ask.request(base, token)).await
    }

    /// Asks a Prometheus API at `base` by remote read.
    pub async fn remote_read(
        &self,
        base: &str,
        token: Option<&str>,
        request: &ReadRequest,
    ) -> Answer {
        let mut builder = Request::post(format!("{base}/api/v1/read"))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-read-version", "0.1.0");
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::from(Bytes::from(pack(request)));
        self.send(builder.body(body).expect("a request")).await
    }

    pub async fn get(&self, url: &str) -> Answer {
        self.ask(url, &Ask::get("", &[]), None).await
    }

    /// Any request; fails the test when no answer comes.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request)
            .await
            .unwrap_or_else(|cause| panic!("{what}: {cause}"))
    }

    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answer = self
            .0
            .request(request)
            .await
            .map_err(|cause| format!("{cause:?}"))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|cause| format!("{cause:?}"))?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    /// Whether a GET of `url` is answered 200.
    pub async fn is_ok(&self, url: &str) -> bool {
        let request = Request::get(url).body(Full::default()).expect("a request");
        let answer = self.try_send(request).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK)
    }
}

/// `application/x-www-form-urlencoded`, with `%20` for a blank.
pub fn encode_form(params: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", escape(name), escape(value));
    params.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// For a parameter or a path segment.
pub fn escape(text: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, &KEPT).to_string()
}
