//! What is counted, for `/metrics`. No label names an account, an app or anything else of a client.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Requests answered, by method, route and status.
const REQUESTS: &str = "giftd_http_requests_total";
/// Seconds until a request was answered, by route.
const SECONDS: &str = "giftd_http_request_seconds";
/// Connections that were let go because their clients made others wait, by why.
const LET_GO: &str = "giftd_connections_let_go_total";
/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The process's recorder, installed on first use: counters are global, servers in one process share them.
pub fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).expect("there are buckets");
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                // Only when someone else's code in this process was first: then /metrics is empty.
                tracing::warn!("another recorder of metrics is installed already");
            }
            metrics::describe_counter!(REQUESTS, "Requests answered, by method, route and status.");
            metrics::describe_counter!(
                LET_GO,
                "Connections let go: others needed their places or memory, or their time was up."
            );
            metrics::describe_histogram!(SECONDS, "Seconds until a request was answered, by route.");
            handle
        })
        .clone()
}

/// Counts an answered request. `route` is the template (`/api/v1/orders/{orderId}`), never the path.
pub fn answered(method: &Method, route: &str, status: StatusCode, after: Duration) {
    // Any word can be a method; the known ones are few.
    let method = match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    };
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!(REQUESTS, &labels).increment(1);
    metrics::histogram!(SECONDS, "route" => route.to_owned()).record(after.as_secs_f64());
}

/// Counts connections that were let go.
pub fn connections_let_go(why: &'static str, count: u64) {
    metrics::counter!(LET_GO, "why" => why).increment(count);
}
