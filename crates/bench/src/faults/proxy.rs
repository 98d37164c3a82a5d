//! A wire that can be cut and stalled: a TCP proxy between giftd and its database.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// They pass.
    Whole,
    /// They are held, in both directions; nobody hears of anything, not even that the other side closed.
    Stalled,
    /// Connections are reset, new ones refused.
    Cut,
}

/// The proxy; ends when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and leads to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, wire) = (listener.local_addr()?, Arc::new(watch::Sender::new(Wire::Whole)));
        let accepting = tokio::spawn(accept(listener, target, wire.clone()));
        Ok(Self { address, wire, accepting })
    }

    /// From now on.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, wire: Arc<watch::Sender<Wire>>) {
    let (Ok(address), mut listener) = (listener.local_addr(), Some(listener)) else { return };
    let (mut state, mut open) = (wire.subscribe(), JoinSet::new());
    loop {
        if *state.borrow_and_update() == Wire::Cut {
            // Nobody listens: connections are refused.
            listener = None;
            if state.wait_for(|wire| *wire != Wire::Cut).await.is_err() {
                return;
            }
        }
        let Some(listening) = listener.take().or_else(|| listen(address).ok()) else { return };
        tokio::select! {
            accepted = listening.accept() => if let Ok((client, _)) = accepted {
                let state = wire.subscribe();
                open.spawn(async move {
                    // An error is what its ends see too.
                    drop(lead(client, target, state).await);
                });
            },
            _ = state.changed() => {}
            Some(_) = open.join_next() => {}
        }
        listener = Some(listening);
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

/// One connection, until both its ends have closed or it is cut.
async fn lead(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<Wire>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (forth, back) = (state.clone(), state.clone());
    if state.wait_for(|wire| *wire != Wire::Stalled).await.is_ok_and(|wire| *wire == Wire::Cut) {
        return client.set_zero_linger();
    }
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    // Whoever is dropped with it resets its connection instead of closing it in order.
    client.set_zero_linger()?;
    server.set_zero_linger()?;
    // Halves of their own would take leave in order when they are dropped.
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    tokio::select! {
        (sent, received) = async { tokio::join!(pass(from_client, to_server, forth), pass(from_server, to_client, back)) } => sent.and(received),
        _ = state.wait_for(|wire| *wire == Wire::Cut) => Ok(()),
    }
}

/// Passes bytes on, and the end of them, whenever the wire is whole.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut wire: watch::Receiver<Wire>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        // Fails only when the proxy is gone.
        drop(wire.wait_for(|wire| *wire == Wire::Whole).await);
        match read? {
            0 => return to.shutdown().await,
            count => to.write_all(&bytes[..count]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo behind the proxy, and a connection to it.
    async fn bed() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let target = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        let proxy = Proxy::start(target).await.expect("a proxy");
        let client = TcpStream::connect(proxy.address).await.expect("a connection");
        (proxy, client)
    }

    async fn echo(client: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        client.write_all(b"word").await?;
        let mut heard = [0; 4];
        client.read_exact(&mut heard).await?;
        Ok(heard)
    }

    #[tokio::test]
    async fn what_is_stalled_comes_later() {
        let (proxy, mut client) = bed().await;
        assert_eq!(&echo(&mut client).await.expect("whole"), b"word");
        proxy.set(Wire::Stalled);
        client.write_all(b"held").await.expect("nobody hears of it");
        tokio::task::yield_now().await;
        assert!(client.try_read(&mut [0; 4]).is_err());
        proxy.set(Wire::Whole);
        let mut heard = [0; 4];
        client.read_exact(&mut heard).await.expect("later");
        assert_eq!(&heard, b"held");
    }

    #[tokio::test]
    async fn what_is_cut_is_reset_and_refused_until_it_is_whole() {
        let (proxy, mut client) = bed().await;
        echo(&mut client).await.expect("whole");
        proxy.set(Wire::Cut);
        let error = client.read_exact(&mut [0; 1]).await.expect_err("reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        while TcpStream::connect(proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proxy.set(Wire::Whole);
        let mut client = loop {
            if let Ok(client) = TcpStream::connect(proxy.address).await {
                break client;
            }
            tokio::task::yield_now().await;
        };
        echo(&mut client).await.expect("whole again");
    }
}
