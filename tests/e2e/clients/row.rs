//! One request of a client.

use super::sent::Protocol;

/// A request, and what its client is to get.
#[derive(Clone, Debug)]
pub struct Row {
    pub client: &'static str,
    pub method: &'static str,
    /// As it stands on the wire.
    pub target: String,
    /// Without those that say where it goes and how long it is.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    pub expected: Expected,
    on_http2: OnHttp2,
}

/// How a body is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    /// With a `Content-Length`.
    Sized(Vec<u8>),
    /// On HTTP/1.1 in chunks. On HTTP/2 the two are sent alike, in a frame of their own.
    Chunked(Vec<u8>),
}

#[derive(Clone, Debug)]
pub enum Expected {
    /// What the store answers to the same.
    AsStore,
    /// What it answers to a GET of this: it redirects there.
    AsStoreAt(String),
    /// A refusal whose text has this in it.
    Refused(u16, &'static str),
}

#[derive(Clone, Copy, Debug)]
enum OnHttp2 {
    Same,
    No,
    Refused(u16, &'static str),
}

impl Row {
    pub fn new(client: &'static str, method: &'static str, target: &str) -> Self {
        Self {
            client,
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Body::None,
            expected: Expected::AsStore,
            on_http2: OnHttp2::Same,
        }
    }

    pub fn get(client: &'static str, target: &str) -> Self {
        Self::new(client, "GET", target)
    }

    pub fn post(client: &'static str, target: &str) -> Self {
        Self::new(client, "POST", target)
    }

    /// A POST of a form.
    pub fn form(client: &'static str, target: &str, form: &str) -> Self {
        let form_type = "application/x-www-form-urlencoded";
        Self::post(client, target).typed(form_type, form)
    }

    /// With a body of this type.
    pub fn typed(self, content_type: &str, body: &str) -> Self {
        self.header("Content-Type", content_type).sized(body)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn sized(mut self, body: &str) -> Self {
        self.body = Body::Sized(body.as_bytes().to_vec());
        self
    }

    pub fn chunked(mut self, body: &str) -> Self {
        self.body = Body::Chunked(body.as_bytes().to_vec());
        self
    }

    /// The store redirects to this, and what it answers there is answered.
    pub fn answered_as(mut self, target: &str) -> Self {
        self.expected = Expected::AsStoreAt(target.to_owned());
        self
    }

    pub fn refused(mut self, status: u16, text: &'static str) -> Self {
        self.expected = Expected::Refused(status, text);
        self
    }

    /// Not on HTTP/2, which has no such form.
    pub fn on_http1_only(mut self) -> Self {
        self.on_http2 = OnHttp2::No;
        self
    }

    pub fn refused_on_http2(mut self, status: u16, text: &'static str) -> Self {
        self.on_http2 = OnHttp2::Refused(status, text);
        self
    }

    pub fn is_sent_on(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Http1 || !matches!(self.on_http2, OnHttp2::No)
    }

    /// The refusal that is expected.
    pub fn refusal(&self, protocol: Protocol) -> Option<(u16, &'static str)> {
        match (self.on_http2, protocol, &self.expected) {
            (OnHttp2::Refused(status, text), Protocol::Http2, _) => Some((status, text)),
            (_, _, Expected::Refused(status, text)) => Some((*status, text)),
            _ => None,
        }
    }

    /// Whether the HTTP library refuses it, in shadow mode as well.
    pub fn is_unread(&self, protocol: Protocol) -> bool {
        let refusal = self.refusal(protocol);
        refusal.is_some_and(|(_, text)| text.contains("HTTP/"))
    }

    pub fn has_body(&self) -> bool {
        self.body != Body::None
    }

    pub fn name(&self) -> String {
        format!("{}: {} {}", self.client, self.method, self.target)
    }
}
