//! A panic is a defect of ours, and must not affect other requests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;

use super::error::ProxyError;
use crate::telemetry::metrics::Metrics;

/// The result of `work`; a panic becomes an error.
pub(super) async fn caught<T>(
    work: impl Future<Output = Result<T, ProxyError>>,
    metrics: &Metrics,
) -> Result<T, ProxyError> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|_panic| counted(metrics))
}

/// The same for work that is not async.
pub(super) fn caught_now<T>(
    work: impl FnOnce() -> Result<T, ProxyError>,
    metrics: &Metrics,
) -> Result<T, ProxyError> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|_panic| counted(metrics))
}

fn counted<T>(metrics: &Metrics) -> Result<T, ProxyError> {
    metrics.panics.inc();
    Err(ProxyError::defect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// O3: a panic skips no step, and the process survives.
    #[tokio::test]
    async fn o3_a_panic_is_a_500_and_is_counted() {
        let metrics = Metrics::new();
        let work = async {
            tokio::task::yield_now().await;
            assert!(metrics.panics.get() > 0, "with a secret");
            Ok(())
        };
        let error = caught(work, &metrics).await.unwrap_err();
        assert_eq!(error.status(), 500);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(metrics.panics.get(), 1);
        assert!(caught(async { Ok(()) }, &metrics).await.is_ok());
        let panics = || -> Result<(), ProxyError> { panic!("with a secret") };
        assert_eq!(caught_now(panics, &metrics).unwrap_err().status(), 500);
        assert_eq!(metrics.panics.get(), 2);
    }
}
