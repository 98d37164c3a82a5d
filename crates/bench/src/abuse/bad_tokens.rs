//! 100,000 bad tokens a minute: random texts, well-formed tokens with a wrong signature, and wrong secrets at the token
//! endpoint, of apps that exist and that don't. From another address than the good clients', so that they don't
//! share its failures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};

use super::attack::Attack;
use super::every;
use crate::load::{self, Sender};

/// A minute.
const TOKENS: u32 = 100_000;
/// Connections, each kept for [`REQUESTS`].
const CONNECTIONS: u32 = 20;
/// Requests of a connection, before it is opened again.
const REQUESTS: usize = 500;

/// Starts them.
pub fn start(attack: &Arc<Attack>) {
    for _ in 0..CONNECTIONS {
        let attack = attack.clone();
        tokio::spawn(async move {
            // Somewhat faster than promised, as ticks that are missed aren't made up for.
            let mut ticks = every(Duration::from_secs(60) * CONNECTIONS / (TOKENS + TOKENS / 5));
            loop {
                let Ok(mut sender) = attack.connect_from_elsewhere().await else {
                    attack.count("not connected");
                    ticks.tick().await;
                    continue;
                };
                for number in 0..REQUESTS {
                    ticks.tick().await;
                    match ask(&attack, &mut sender, number).await {
                        Ok(status) => attack.count(status.as_str()),
                        Err(_) => {
                            attack.count("broken");
                            break;
                        }
                    }
                }
            }
        });
    }
    attack.is_ready();
}

async fn ask(attack: &Attack, sender: &mut Sender, number: usize) -> Result<StatusCode> {
    let request = match number % 4 {
        0 => with_token(&attack.clock.secret())?,
        1 => with_token(&forged(attack))?,
        2 => with_secret(&attack.clock.secret(), &attack.clock.secret())?,
        _ => with_secret(crate::shop::CLIENT_ID, &attack.clock.secret())?,
    };
    Ok(load::ask(sender, request).await?.0)
}

/// The good token with another signature.
fn forged(attack: &Attack) -> String {
    let signed = attack.token.rsplit_once('.').map_or("", |(signed, _)| signed);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(attack.clock.random_bytes::<64>()))
}

fn with_token(token: &str) -> Result<Request<Full<Bytes>>> {
    let request = Request::get("/api/v1/orders").header(HOST, "bad");
    Ok(request.header(AUTHORIZATION, format!("Bearer {token}")).body(Full::default())?)
}

fn with_secret(client_id: &str, secret: &str) -> Result<Request<Full<Bytes>>> {
    let form = format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}");
    let request = Request::post("/oauth2/token").header(HOST, "bad");
    Ok(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(Full::from(form))?)
}
