//! Clients that ask for what is large and never read the answer: anyone for the documentation's script, a customer for an
//! order of 10,000 recipients.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::attack::Attack;
use super::each_second;

/// Readers of the documentation.
const STRANGERS: u32 = 1_000;
/// Readers of the order.
const CUSTOMERS: u32 = 200;
/// Bytes that the system keeps for a reader: few, so that the server keeps the rest.
const RECEIVE_BYTES: u32 = 4 * 1024;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for number in 0..STRANGERS + CUSTOMERS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second();
            loop {
                seconds.tick().await;
                match ask(&attack, number >= STRANGERS).await {
                    Ok(()) => attack.count("let go"),
                    Err(_) => attack.count("broken"),
                }
            }
        });
    }
}

/// Returns when the connection is ended by the server.
async fn ask(attack: &Arc<Attack>, is_customer: bool) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let mut connection = attack.keep_count(socket.connect(attack.address).await?, u64::from(STRANGERS + CUSTOMERS));
    let path = if is_customer { format!("/api/v1/orders/{}", attack.order) } else { super::SCRIPT_PATH.to_owned() };
    let head = format!("GET {path} HTTP/1.1\r\nHost: slow\r\nAuthorization: Bearer {}\r\n\r\n", attack.token);
    connection.tcp.write_all(head.as_bytes()).await?;
    let mut seconds = each_second();
    loop {
        seconds.tick().await;
        // Nothing is ever read; a byte of a next request tells whether the server has hung up.
        if connection.tcp.write_all(b"G").await.is_err() {
            return Ok(());
        }
    }
}
