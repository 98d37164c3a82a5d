//! A customer's orders of nearly 16 MiB each that stop short of their end: together more than a node has room for.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::attack::Attack;
use super::each_second;

/// Clients at once.
const CLIENTS: u64 = 12;
/// Bytes that each sends, of 16 MiB that it announces.
const SENT: usize = 15 * 1024 * 1024;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for _ in 0..CLIENTS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second();
            loop {
                seconds.tick().await;
                match send(&attack).await {
                    Ok(answer) if answer.is_empty() => attack.count("let go"),
                    Ok(answer) => attack.count(answer.split(' ').nth(1).unwrap_or("?")),
                    Err(_) => attack.count("broken"),
                }
            }
        });
    }
}

async fn send(attack: &Arc<Attack>) -> Result<String> {
    let mut connection = attack.connect(CLIENTS).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: stalled\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
        super::PATH,
        16 * 1024 * 1024,
        attack.token
    );
    connection.tcp.write_all(head.as_bytes()).await?;
    connection.tcp.write_all(&vec![b' '; SENT]).await?;
    let mut answer = Vec::new();
    connection.tcp.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
