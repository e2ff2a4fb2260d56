//! Clients that ask, wait for the whole answer, and ask again.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::net::TcpStream;

use crate::Outcome;
use crate::contestants::Contestant;
use crate::grpc::{self, Call};
use crate::message::Messages;

/// What is asked, from the first request to the last.
pub(crate) enum Requests {
    /// The n-th HTTP/1.1 request, as it goes over the wire; `None` after the last.
    Http1(Box<dyn Fn(usize) -> Option<Bytes>>),
    /// The same gRPC call every time.
    Grpc(Call),
}

/// When a run ends: at the first of both. What was asked before is answered.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) after: Duration,
    pub(crate) requests: usize,
}

/// What a run has seen.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) took: Duration,
    /// Of each answer's body, in bytes.
    pub(crate) length: u64,
}

/// Open connections to a proxy.
pub(crate) struct Clients {
    connections: Vec<Connection>,
}

/// One client; over HTTP/2 some share a connection.
pub(crate) enum Connection {
    Http1 {
        stream: TcpStream,
        answers: Messages,
    },
    Grpc(grpc::Connection),
}

impl Clients {
    pub(crate) async fn connect(
        to: &Contestant,
        requests: &Requests,
        count: usize,
    ) -> Outcome<Self> {
        let mut connections = Vec::with_capacity(count);
        match requests {
            Requests::Http1(_) => {
                for _ in 0..count {
                    let stream = TcpStream::connect(to.http1).await?;
                    stream.set_nodelay(true)?;
                    let answers = Messages::new(256 * 1024);
                    connections.push(Connection::Http1 { stream, answers });
                }
            }
            Requests::Grpc(_) => {
                let address = to.grpc.ok_or("it speaks no gRPC here")?;
                let all = grpc::Connection::open(address, count).await?;
                connections.extend(all.into_iter().map(Connection::Grpc));
            }
        }
        Ok(Self { connections })
    }

    /// Every client asks again as soon as it was answered. `next` numbers the requests.
    pub(crate) async fn run(
        &mut self,
        requests: &Requests,
        next: &Cell<usize>,
        end: End,
    ) -> Outcome<Run> {
        let start = Instant::now();
        let last = next.get() + end.requests;
        let take = || {
            let number = next.get();
            (number < last && start.elapsed() < end.after).then(|| next.set(number + 1))?;
            Some(number)
        };
        let clients = self.connections.iter_mut().map(|connection| async {
            let mut run = Run::default();
            while let Some(number) = take() {
                let asked = Instant::now();
                let Some(length) = connection.ask(requests, number).await? else {
                    break;
                };
                run.latencies.push(asked.elapsed());
                run.length = same_length(run.length, length)?;
            }
            Outcome::Ok(run)
        });
        let mut whole = Run::default();
        for run in try_join_all(clients).await? {
            whole.latencies.extend(run.latencies);
            if run.length > 0 {
                whole.length = same_length(whole.length, run.length)?;
            }
        }
        whole.took = start.elapsed();
        whole.latencies.sort_unstable();
        Ok(whole)
    }

    /// Each for itself, to be driven otherwise.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.connections.iter_mut()
    }
}

/// All answers of a run are of one length, or something else than the work was measured.
fn same_length(before: u64, now: u64) -> Outcome<u64> {
    match before {
        0 => Ok(now),
        before if before == now => Ok(now),
        before => Err(format!("an answer of {now} bytes after one of {before}").into()),
    }
}

impl Connection {
    /// Sends the request of this number, if there is one, and reads its answer; gives the length
    /// of its body. Refusals are faster and would look like an improvement, so they are errors.
    pub(crate) async fn ask(&mut self, requests: &Requests, number: usize) -> Outcome<Option<u64>> {
        match (self, requests) {
            (Self::Http1 { stream, answers }, Requests::Http1(request)) => {
                let Some(request) = request(number) else {
                    return Ok(None);
                };
                write(stream, &request).await?;
                let answer = answers.next(stream).await?;
                let (head, length) = answer.ok_or("the connection was closed")?;
                match head.status() {
                    "200" => Ok(Some(length)),
                    status => {
                        let request = String::from_utf8_lossy(&request);
                        Err(format!("answered {status}: {request}").into())
                    }
                }
            }
            (Self::Grpc(connection), Requests::Grpc(call)) => Ok(Some(connection.ask(call).await?)),
            _ => Err("a connection of another protocol".into()),
        }
    }
}

async fn write(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<()> {
    tokio::io::AsyncWriteExt::write_all(stream, request).await
}

impl Run {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of all requests did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        quantile(&self.latencies, share)
    }
}

/// Of sorted durations.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or_default()
}
