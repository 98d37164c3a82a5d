//! `giftd serve`

use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::output::{Failure, Output, print_line};
use crate::log;
use crate::settings::Settings;

#[derive(Args)]
#[command(
    after_help = "Example:\n  GIFTD_DATABASE_URL=postgres://giftd:secret@db/giftd giftd serve --listen 0.0.0.0:8080"
)]
pub struct Serve {
    /// Address and port to listen on, instead of the setting; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Listening {
    listening: String,
}

impl Serve {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let mut settings = context.settings()?;
        if let Some(listen) = self.listen {
            settings.listen = listen;
        }
        begin_log(&settings);
        let end = end()?;
        let running = crate::serve::start(settings, context.clock.clone()).await?;
        let url = format!("http://{}", running.address);
        if context.json {
            print_line(&serde_json::to_string_pretty(&Listening { listening: url }).unwrap_or_default());
        } else {
            print_line(&format!("giftd listens on {url} (the API's documentation: {url}/docs)"));
        }
        end.await;
        running.stop().await;
        Ok(Output::silent())
    }
}

/// Logs as the settings say.
pub fn begin_log(settings: &Settings) {
    log::init(&settings.log, settings.log_format);
}

/// Resolves on SIGTERM and on SIGINT (Ctrl-C); these no longer end the process by themselves.
pub fn end() -> Result<impl Future<Output = ()>, Failure> {
    let cannot = |error| Failure::new("FAILED", format!("can't wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
