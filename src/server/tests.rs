//! Deadlines that are longer than a test may take: the clock is paused, the connection a real one.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::config::{self, OsAccess};
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;

const CONFIG: &str = "
listeners: [{address: 127.0.0.1:1}]
upstreams: [{name: metrics, api: prometheus, url: http://127.0.0.1:1}]
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy: {claim: tenant_id, metrics: {label: tenant_id}}
";

fn proxy() -> Arc<Proxy> {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    std::fs::write(&path, CONFIG).unwrap();
    let loaded = config::load(&path, &OsAccess).unwrap();
    let snapshot = Snapshot::build(loaded, None).unwrap();
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
