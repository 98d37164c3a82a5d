//! The HTTP server around the router: who connects has to send a request's head in time, idle
//! connections are closed, and at the end requests under way are finished.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use giftd_domain::limits;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::clock::Clock;

/// Wait after the system refused a connection: it has no more file handles.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// A server that accepts connections until it is stopped.
pub struct HttpServer {
    accepting: JoinHandle<()>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl HttpServer {
    /// Serves `router` on `listener`.
    pub fn start(listener: TcpListener, router: Router, clock: Clock) -> Self {
        let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
        let accepting = tokio::spawn(accept(listener, router, clock, connections.clone(), stop.clone()));
        Self { accepting, connections, stop }
    }

    /// Accepts nothing more, finishes the requests under way, and returns when all connections are
    /// closed, at the latest after [`limits::STOP_SECONDS`].
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "accepting connections had failed");
        }
        self.connections.close();
        if timeout(Duration::from_secs(limits::STOP_SECONDS), self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "requests didn't finish in time and are dropped");
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    clock: Clock,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => return,
            // Fails only when closed, which nobody does.
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve(stream, peer, router.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                clock.sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Answers are written whole: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits::HEAD_SECONDS))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}
