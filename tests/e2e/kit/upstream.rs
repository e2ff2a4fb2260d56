//! An upstream that records every request it gets and answers as told. Health checks are
//! recorded apart, and answered apart.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The parameters, decoded, of URL and form together.
    pub fn params(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let form = std::str::from_utf8(&self.body).unwrap_or_default();
        let pairs = query
            .split('&')
            .chain(form.split('&'))
            .filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect()
    }

    pub fn param(&self, name: &str) -> Vec<String> {
        let all = self.params().into_iter();
        all.filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .collect()
    }
}

/// Whether it is the proxy's own question whether the upstream is up.
pub fn is_health_check(headers: &HeaderMap) -> bool {
    let agent = headers.get("user-agent");
    agent.is_some_and(|agent| agent == "partywall-health-check")
}

/// How it answers from now on.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// With this.
    Reply(Reply),
    /// Never.
    Silent,
    /// With a closed connection.
    HangUp,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn json(body: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }
}

struct State {
    seen: Mutex<Vec<Seen>>,
    behaviour: Mutex<Behaviour>,
    /// Replies of single paths, which come before the behaviour.
    at: Mutex<HashMap<&'static str, Reply>>,
    checks: Mutex<Vec<Seen>>,
    health: Mutex<Behaviour>,
}

pub struct Upstream {
    pub url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Upstream {
    /// Answers every request with an empty vector.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let state = Arc::new(State {
            seen: Mutex::default(),
            behaviour: Mutex::new(Behaviour::Reply(Reply::json(empty))),
            at: Mutex::default(),
            checks: Mutex::default(),
            health: Mutex::new(Behaviour::Reply(Reply::json("{}"))),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, server }
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().expect("no panic") = behaviour;
    }

    pub fn reply(&self, reply: Reply) {
        self.behave(Behaviour::Reply(reply));
    }

    /// The reply to requests of this path, from now on.
    pub fn reply_at(&self, path: &'static str, reply: Reply) {
        self.state.at.lock().expect("no panic").insert(path, reply);
    }

    /// How health checks are answered from now on.
    pub fn be_healthy(&self, behaviour: Behaviour) {
        *self.state.health.lock().expect("no panic") = behaviour;
    }

    /// The health checks since the last call.
    pub fn take_checks(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.checks.lock().expect("no panic"))
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen.lock().expect("no panic"))
    }

    /// The only request since the last call.
    pub fn take_one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(
            seen.len(),
            1,
            "one request was to reach the upstream: {seen:#?}"
        );
        seen.remove(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Connections end with the server.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| serve(request, &state));
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let body = body.to_bytes();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str())
        .to_owned();
    let seen = Seen {
        method: head.method,
        target,
        headers: head.headers,
        body,
        trailers,
    };
    let at = state.at.lock().expect("no panic").get(seen.path()).cloned();
    let (list, behaviour) = if is_health_check(&seen.headers) {
        (&state.checks, &state.health)
    } else {
        (&state.seen, &state.behaviour)
    };
    list.lock().expect("no panic").push(seen);
    let behaviour = behaviour.lock().expect("no panic").clone();
    let behaviour = at.map_or(behaviour, Behaviour::Reply);
    match behaviour {
        Behaviour::HangUp => Err("told to hang up".into()),
        Behaviour::Silent => {
            std::future::pending::<()>().await;
            Err("never".into())
        }
        Behaviour::Reply(reply) => {
            let mut answer = Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                answer = answer.header(name, value);
            }
            Ok(answer.body(Full::from(reply.body))?)
        }
    }
}

/// A scrape target: answers every request with its text.
pub struct Exporter {
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Exporter {
    pub async fn start(text: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |_request: Request<Incoming>| async move {
                    let answer = Response::builder()
                        .header("content-type", "text/plain; version=0.0.4")
                        .body(Full::<Bytes>::from(text))
                        .expect("a response");
                    Ok::<_, Infallible>(answer)
                });
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, server }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// As Go reads a form: `+` is a blank.
pub fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text)
        .decode_utf8_lossy()
        .into_owned()
}
