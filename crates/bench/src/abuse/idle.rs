//! More connections than a server has places for, which send nothing, and come again when they are let go.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::attack::Attack;
use super::each_second_from;

/// How many.
const CONNECTIONS: u64 = 10_000;
/// Between one and the next at first: all at once they overflow the system's queue, and the server never sees most of them.
const APART: Duration = Duration::from_micros(250);

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    let mut begins = Instant::now();
    for _ in 0..CONNECTIONS {
        begins += APART;
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second_from(begins);
            loop {
                seconds.tick().await;
                if stay(&attack).await.is_ok() {
                    attack.count("let go");
                }
            }
        });
    }
}

async fn stay(attack: &Arc<Attack>) -> Result<()> {
    let mut connection = attack.connect(CONNECTIONS).await?;
    // A reset ends it as well.
    drop(connection.tcp.read_u8().await);
    Ok(())
}
