//! An upstream of bytes: every request on every connection is answered by one script, but for
//! health checks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// So many bytes, in pieces.
    Flood(usize),
    /// These bytes, so many times.
    Repeat(Arc<[u8]>, usize),
    /// Waits for [`Wire::open`]: the first gate of a script for the first call, and so on.
    Gate,
    Pause(Duration),
    /// Waits until the peer goes.
    Hang,
    /// Ends the connection in good order.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

impl Step {
    pub fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    /// As framed; its beginning alone where it is long.
    pub body: Vec<u8>,
    pub body_length: usize,
}

impl Seen {
    /// The request line's target.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

struct State {
    script: Mutex<Vec<Step>>,
    seen: Mutex<Vec<Seen>>,
    gates_open: watch::Sender<usize>,
    deserted: AtomicUsize,
    flooded: AtomicUsize,
}

pub struct Wire {
    pub url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Wire {
    pub async fn start(script: &[Step]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(State {
            script: Mutex::new(script.to_vec()),
            seen: Mutex::default(),
            gates_open: watch::channel(0).0,
            deserted: AtomicUsize::new(0),
            flooded: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    if Connection::new(stream, &state).serve().await.is_none() {
                        state.deserted.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { url, state, server }
    }

    /// What requests are answered with from now on.
    pub fn script(&self, script: &[Step]) {
        *self.state.script.lock().expect("no panic") = script.to_vec();
    }

    /// Lets every script pass its first [`Step::Gate`]; called again, its second.
    pub fn open(&self) {
        self.state.gates_open.send_modify(|open| *open += 1);
    }

    pub fn shut(&self) {
        self.state.gates_open.send_replace(0);
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no panic").clone()
    }

    /// How often the proxy went away in the middle of a script.
    pub fn deserted(&self) -> usize {
        self.state.deserted.load(Ordering::SeqCst)
    }

    /// How many bytes of [`Step::Flood`] the proxy took.
    pub fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Connection<'a> {
    stream: TcpStream,
    state: &'a State,
    read: Vec<u8>,
}

impl<'a> Connection<'a> {
    fn new(stream: TcpStream, state: &'a State) -> Self {
        Self {
            stream,
            state,
            read: Vec::new(),
        }
    }

    /// `None` where the peer went while it was to wait or to read.
    async fn serve(mut self) -> Option<()> {
        while let Some(seen) = self.request().await {
            if seen.head.contains("partywall-health-check") {
                let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                self.stream.write_all(ok).await.ok()?;
                continue;
            }
            self.state.seen.lock().expect("no panic").push(seen);
            let script = self.state.script.lock().expect("no panic").clone();
            let mut gates = 0;
            for step in script {
                match step {
                    Step::Send(bytes) => self.stream.write_all(&bytes).await.ok()?,
                    Step::Flood(total) => self.flood(total).await?,
                    Step::Repeat(piece, times) => {
                        for _ in 0..times {
                            self.stream.write_all(&piece).await.ok()?;
                        }
                    }
                    Step::Gate => {
                        gates += 1;
                        let mut open = self.state.gates_open.subscribe();
                        tokio::select! {
                            opened = open.wait_for(|open| *open >= gates) => drop(opened.ok()?),
                            () = gone(&mut self.stream) => return None,
                        }
                    }
                    Step::Pause(pause) => tokio::time::sleep(pause).await,
                    Step::Hang => {
                        gone(&mut self.stream).await;
                        return None;
                    }
                    Step::Close => {
                        let _ = self.stream.shutdown().await;
                        return Some(());
                    }
                    Step::Reset => {
                        self.stream.set_zero_linger().expect("a socket option");
                        return Some(());
                    }
                }
            }
        }
        Some(())
    }

    async fn flood(&mut self, total: usize) -> Option<()> {
        let piece = vec![b'x'; 64 * 1024];
        let mut left = total;
        while left > 0 {
            let length = left.min(piece.len());
            self.stream.write_all(&piece[..length]).await.ok()?;
            self.state.flooded.fetch_add(length, Ordering::SeqCst);
            left -= length;
        }
        Some(())
    }

    /// The next request; `None` when the peer is done.
    async fn request(&mut self) -> Option<Seen> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end);
        let lower = head.to_ascii_lowercase();
        let mut seen = Seen {
            head,
            body: Vec::new(),
            body_length: 0,
        };
        if lower.contains("transfer-encoding: chunked") {
            while !(self.read.ends_with(b"\r\n\r\n")
                && (self.read.starts_with(b"0\r\n") || find(&self.read, b"\r\n0\r\n").is_some()))
            {
                self.more().await?;
            }
            seen.body_length = self.read.len();
            seen.body = std::mem::take(&mut self.read);
        } else if let Some((_, rest)) = lower.split_once("content-length: ") {
            let length: usize = rest.split("\r\n").next()?.parse().ok()?;
            while seen.body_length < length {
                if self.read.is_empty() {
                    self.more().await?;
                }
                let taken = self.read.len().min(length - seen.body_length);
                if seen.body.len() < 64 * 1024 {
                    seen.body.extend_from_slice(&self.read[..taken]);
                }
                seen.body_length += taken;
                self.read.drain(..taken);
            }
        }
        Some(seen)
    }

    async fn more(&mut self) -> Option<()> {
        let length = self.stream.read_buf(&mut self.read).await.ok()?;
        (length > 0).then_some(())
    }
}

/// Returns when the peer has closed its side.
async fn gone(stream: &mut TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1)) {}
}

fn find(all: &[u8], wanted: &[u8]) -> Option<usize> {
    all.windows(wanted.len())
        .position(|window| window == wanted)
}
