//! Guesses of a gift's link, from another address than the good clients', so that they don't share its failures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};

use super::attack::Attack;
use super::every;
use crate::load;

/// A second.
const GUESSES: u32 = 500;
/// Clients at once.
const CLIENTS: u32 = 20;
/// Bytes of a link's token.
const TOKEN_BYTES: usize = 48;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for _ in 0..CLIENTS {
        let attack = attack.clone();
        tokio::spawn(async move {
            let mut ticks = every(Duration::from_secs(1) * CLIENTS / GUESSES);
            loop {
                ticks.tick().await;
                match guess(&attack).await {
                    Ok(status) => attack.count(status.as_str()),
                    Err(_) => attack.count("broken"),
                }
            }
        });
    }
    attack.is_ready();
}

async fn guess(attack: &Attack) -> Result<StatusCode> {
    let token = URL_SAFE_NO_PAD.encode(attack.clock.random_bytes::<TOKEN_BYTES>());
    let request = Request::get(format!("/r/{token}")).header(HOST, "guess").body(Full::default())?;
    let (status, _) = load::ask(&mut attack.connect_from_elsewhere().await?, request).await?;
    Ok(status)
}
