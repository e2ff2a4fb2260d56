//! Deadlines that are longer than a test may take: the clock is paused, the connection a real one.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;
use crate::testing::loaded;

fn proxy() -> Arc<Proxy> {
    let snapshot = Snapshot::build(loaded(""), None).unwrap();
    let metrics = Arc::new(Metrics::new());
    let audit = Audit::new(&snapshot.settings().audit, metrics.audit_counters()).unwrap();
    let spans = Spans::new(None, metrics.span_counters()).unwrap();
    let (audit, spans) = (Arc::new(audit), Arc::new(spans));
    Arc::new(Proxy::new(snapshot, metrics, audit, spans))
}

#[tokio::test(start_paused = true)]
async fn default_deadlines_are_those_of_the_config() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_drain, watch) = drain::channel();
    let table = Arc::new(ConnectionTable::default());
    tokio::spawn(serve(listener, address, proxy(), table, watch));

    let request = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    for (sent, seconds) in [("", 10), (request, 10)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let began = Instant::now();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.starts_with(b"HTTP/1.1 401"), !sent.is_empty());
        let lasted = began.elapsed();
        let expected = Duration::from_secs(seconds);
        assert!(
            lasted >= expected && lasted < expected + Duration::from_secs(5),
            "{lasted:?} where {expected:?} is configured"
        );
    }
}
