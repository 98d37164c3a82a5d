//! What can only happen to a database behind a wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use giftd_domain::limits;
use giftd_store::{Placed, Store, StoreError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bed::Bed;
use crate::world::{World, at_once};

/// What callers are promised: half a minute.
const BOUND: Duration = Duration::from_secs(30);

pub async fn a_wire_that_falls_silent_makes_it_unavailable_within_half_a_minute(bed: Bed) {
    let world = World::new(&bed).await;
    let wire = Wire::to(&bed).await;
    let store = giftd_store::open(&wire.url, limits::GROUP_ORDERS).await.expect("the store opens");
    let world = World { store, ..world };
    world.place(world.command("before", 1)).await;

    wire.silent.send_replace(true);
    // More than a group takes, and than there are connections.
    let placing = (0..40).map(|number| {
        let (store, command) = (world.store.clone(), world.command(&format!("meanwhile-{number}"), 1));
        async move {
            // Some wait behind the first.
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            store.place_order(command).await.err()
        }
    });
    let reading = (0..40).map(|_| {
        let (store, account) = (world.store.clone(), world.production);
        async move { store.account(account).await.err() }
    });
    let answers = timeout(BOUND, async { tokio::join!(at_once(placing), at_once(reading)) }).await;
    let (placing, reading) = answers.expect("an answer for everyone");
    for answer in placing.into_iter().chain(reading) {
        assert!(matches!(answer, Some(StoreError::Unavailable(_))), "{answer:?}");
    }

    wire.silent.send_replace(false);
    let placed = timeout(BOUND, place_again(&world.store, &world)).await.expect("it recovers by itself");
    assert!(matches!(placed, Placed::New(_) | Placed::Known { same_request: true, .. }), "{placed:?}");
    world.place(world.command("after", 1)).await;
}

/// As a client does.
async fn place_again(store: &Arc<dyn Store>, world: &World) -> Placed {
    loop {
        match store.place_order(world.command("meanwhile-0", 1)).await {
            Ok(placed) => return placed,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

/// A way to the bed's database on which nothing passes for a while, though nothing closes.
struct Wire {
    url: String,
    silent: Arc<watch::Sender<bool>>,
}

impl Wire {
    async fn to(bed: &Bed) -> Self {
        let config: tokio_postgres::Config = bed.url().parse().expect("a URL");
        let [tokio_postgres::config::Host::Tcp(host), ..] = config.get_hosts() else {
            panic!("TEST_POSTGRES_URL has no host")
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let target = lookup_host((host.as_str(), port)).await.expect("addresses").next().expect("an address");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let here = listener.local_addr().expect("its address");
        let silent = Arc::new(watch::Sender::new(false));
        tokio::spawn(lead(listener, target, silent.clone()));
        let url = bed.url().replacen(&format!("{host}:{port}"), &here.to_string(), 1);
        assert_ne!(url, bed.url(), "TEST_POSTGRES_URL names host and port");
        Self { url, silent }
    }
}

async fn lead(listener: TcpListener, target: SocketAddr, silent: Arc<watch::Sender<bool>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (forth, back) = (silent.subscribe(), silent.subscribe());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::join!(pass(from_client, to_server, forth), pass(from_server, to_client, back));
        });
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut silent: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let goes_on = silent.wait_for(|silent| !silent).await.is_ok();
        if !goes_on || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    // The end passes as late as the rest.
    drop(silent.wait_for(|silent| !silent).await);
    drop(to.shutdown().await);
}
