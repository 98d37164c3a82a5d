//! Bodies of 30 MiB, announced and in pieces, as orders and as forms: each must be answered 413 long before it has come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::attack::Attack;
use super::every;

/// Bytes of a body.
const BYTES: usize = 30 * 1024 * 1024;
/// Bytes that are written at once.
const PIECE: usize = 64 * 1024;
/// Clients at once.
const CLIENTS: u32 = 4;
/// How often each of them begins.
const EVERY: Duration = Duration::from_millis(500);
/// What is counted for a body that was sent whole before it was answered.
pub const TOO_LATE: &str = "too late";

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for number in 0..CLIENTS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut ticks = every(EVERY);
            loop {
                ticks.tick().await;
                match send(&attack, number % 2 == 0, number < CLIENTS / 2).await {
                    Ok(Some((status, sent))) if sent < BYTES => attack.count(status),
                    Ok(Some(_)) => attack.count(TOO_LATE),
                    Ok(None) | Err(_) => attack.count("broken"),
                }
            }
        });
    }
    attack.is_ready();
}

/// Sends until an answer comes. Its status, and how many bytes were sent by then.
async fn send(attack: &Attack, is_announced: bool, is_order: bool) -> Result<Option<(String, usize)>> {
    let (mut reader, mut writer) = TcpStream::connect(attack.address).await?.into_split();
    let length =
        if is_announced { format!("Content-Length: {BYTES}") } else { "Transfer-Encoding: chunked".to_owned() };
    let head = if is_order {
        format!(
            "POST {} HTTP/1.1\r\nHost: large\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n{length}\r\n\r\n",
            super::PATH,
            attack.token
        )
    } else {
        format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: large\r\nContent-Type: application/x-www-form-urlencoded\r\n{length}\r\n\r\n"
        )
    };
    writer.write_all(head.as_bytes()).await?;
    let piece = if is_announced {
        vec![b' '; PIECE]
    } else {
        [format!("{PIECE:x}\r\n").as_bytes(), &[b' '; PIECE], b"\r\n"].concat()
    };
    let mut sent = 0;
    let answer = status(&mut reader);
    let mut answer = std::pin::pin!(answer);
    while sent < BYTES {
        tokio::select! {
            biased;
            status = &mut answer => return Ok(status.map(|status| (status, sent))),
            written = writer.write_all(&piece) => written?,
        }
        sent += PIECE;
    }
    Ok(answer.await.map(|status| (status, sent)))
}

/// The status of an answer, from its first line; none where the connection ended before.
async fn status(reader: &mut OwnedReadHalf) -> Option<String> {
    let mut first = [0; b"HTTP/1.1 413".len()];
    reader.read_exact(&mut first).await.ok()?;
    String::from_utf8_lossy(&first).split(' ').nth(1).map(str::to_owned)
}
