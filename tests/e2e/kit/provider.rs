//! An identity provider: a discovery document and a key set, on an address of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::keys::{Key, key_set};
use crate::kit::process::free_port;

#[derive(Default)]
struct State {
    key_set: String,
    /// Path and `Authorization` of each request.
    asked: Vec<(String, String)>,
}

pub struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: Option<JoinHandle<()>>,
}

impl Provider {
    /// Not there yet.
    pub fn down() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            state: Arc::default(),
            server: None,
        }
    }

    pub async fn start(keys: &[&Key]) -> Self {
        let mut provider = Self::down();
        provider.publish(keys);
        provider.up().await;
        provider
    }

    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        let (state, issuer) = (Arc::clone(&self.state), self.issuer());
        self.server = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, issuer) = (Arc::clone(&state), issuer.clone());
                let service = service_fn(move |request| {
                    let answer = answer(&state, &issuer, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        }));
    }

    pub async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    /// Still takes connections, but says nothing any more.
    pub async fn hang(&mut self) {
        self.go_down().await;
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.server = Some(tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        }));
    }

    pub fn publish(&self, keys: &[&Key]) {
        self.publish_text(&key_set(keys));
    }

    pub fn publish_text(&self, text: &str) {
        text.clone_into(&mut self.state.lock().expect("no panic").key_set);
    }

    pub fn issuer(&self) -> String {
        format!("http://{}/realms/test", self.address)
    }

    pub fn key_set_url(&self) -> String {
        format!("{}/keys", self.issuer())
    }

    /// The `Authorization` of each request to a path.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let state = self.state.lock().expect("no panic");
        let asked = state
            .asked
            .iter()
            .filter(|(asked, _)| asked.ends_with(path));
        asked
            .map(|(_, authorization)| authorization.clone())
            .collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

fn answer(
    state: &Mutex<State>,
    issuer: &str,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let mut state = state.lock().expect("no panic");
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().expect("text").to_owned());
    let body = match path.as_str() {
        "/realms/test/keys" => Some(state.key_set.clone()),
        "/realms/test/.well-known/openid-configuration" => {
            let document = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
            Some(document.to_string())
        }
        _ => None,
    };
    state.asked.push((path, authorization.unwrap_or_default()));
    let status = if body.is_some() { 200 } else { 404 };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.unwrap_or_default()))
        .expect("a response")
}
