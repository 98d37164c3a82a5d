//! The HTTP server around the router: who connects has to send a request's head in time, idle
//! connections are closed, and at the end requests under way are finished. Neither the idle nor the slow keep
//! others out: see [`places`].

pub mod places;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use giftd_domain::limits;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::places::{Place, Places};
use self::stream::{RequestBody, Stream};
use crate::clock::Clock;

/// Wait between looks whether clients take their answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Wait after the system refused a connection: it has no more file handles.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// A server that accepts connections until it is stopped.
pub struct HttpServer {
    accepting: JoinHandle<()>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl HttpServer {
    /// Serves `router` on `listener`, over as many connections at once as there are `places`.
    pub fn start(listener: TcpListener, router: Router, places: usize, clock: Clock) -> Self {
        let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
        let places = Places::new(places, clock.clone());
        connections.spawn(let_slow_readers_go(places.clone(), clock.clone(), stop.clone()));
        let accepting = tokio::spawn(accept(listener, router, places, clock, connections.clone(), stop.clone()));
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

async fn let_slow_readers_go(places: Places, clock: Clock, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(LOOK_EVERY) => places.let_slow_readers_go(),
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    places: Places,
    clock: Clock,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = tokio::select! {
                    () = stop.cancelled() => return,
                    place = places.take(peer.ip()) => place,
                };
                connections.spawn(serve(stream, peer, Arc::new(place), router.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                clock.sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

async fn serve(tcp: TcpStream, peer: SocketAddr, place: Arc<Place>, router: Router, stop: CancellationToken) {
    // Answers are written whole: waiting for more to send only delays them.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        place.head_is_whole();
        let mut request = request.map(|body| RequestBody::new(body, place.clone()));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answered = router.clone().call(request);
        async {
            let answer = answered.await;
            if let Ok(answer) = &answer {
                let bytes = answer.body().size_hint().lower();
                // A head, too, is memory until it is taken.
                place.answer_is_made(usize::try_from(bytes).unwrap_or(usize::MAX).max(1));
            }
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits::HEAD_SECONDS))
        .serve_connection(TokioIo::new(Stream::new(tcp, place.clone())), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = place.let_go() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;

    const PLACES: usize = 8;
    /// More than the system keeps for a connection.
    const LARGE: usize = 32 * 1024 * 1024;

    async fn server() -> (HttpServer, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/large", get(|| async { vec![b'x'; LARGE] }))
            .route("/", post(|body: String| async { body }));
        (HttpServer::start(listener, router, PLACES, Clock::system()), address)
    }

    async fn client(address: SocketAddr, says: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
        let mut tcp = socket.connect(address).await.expect("it listens");
        tcp.write_all(says.as_bytes()).await.expect("written");
        tcp
    }

    /// What is said until the connection ends.
    async fn heard(mut tcp: TcpStream) -> String {
        let mut answer = Vec::new();
        // A reset is an end, too.
        drop(timeout(Duration::from_secs(60), tcp.read_to_end(&mut answer)).await.expect("the connection ends"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    const ASK: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn neither_idle_nor_slow_clients_keep_a_newcomer_out() {
        for says in [
            "",
            "GET / HTTP/1.1\r\nHost: slow",
            "POST / HTTP/1.1\r\nHost: slow\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nslow",
            "GET /large HTTP/1.1\r\nHost: slow\r\n\r\n",
        ] {
            let (server, address) = server().await;
            let mut slow = Vec::new();
            for _ in 0..2 * PLACES {
                slow.push(client(address, says).await);
            }
            let answer = heard(client(address, ASK).await).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{says}: {answer}");
            drop(slow);
            server.stop().await;
        }
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_are_given_up_when_they_fill_the_memory() {
        let (server, address) = server().await;
        let most = limits::ANSWER_BYTES_IN_FLIGHT / LARGE;
        assert!(most < PLACES, "so that places aren't what they are short of");
        let mut readers = Vec::new();
        for _ in 0..most {
            let mut reader = client(address, "GET /large HTTP/1.1\r\nHost: slow\r\n\r\n").await;
            // Its answer is made.
            reader.read_exact(&mut [0; 15]).await.expect("an answer");
            readers.push(reader);
        }
        let last = heard(client(address, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
        assert!(last.len() > LARGE, "the newest gets its answer whole: {}", last.len());
        let first = heard(readers.remove(0)).await;
        assert!(first.len() < LARGE, "the oldest doesn't: {}", first.len());
        drop(readers);
        server.stop().await;
    }
}
