//! `giftd serve`

use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use super::output::{Failure, Output, print_line};
use crate::log;
use crate::serve::Running;
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
        let mut signals = Signals::new()?;
        let running = crate::serve::start(settings, context.clock.clone()).await?;
        let url = format!("http://{}", running.address);
        if context.json {
            print_line(&serde_json::to_string_pretty(&Listening { listening: url }).unwrap_or_default());
        } else {
            print_line(&format!("giftd listens on {url} (the API's documentation: {url}/docs)"));
        }
        signals.next().await;
        stop(running, signals).await
    }
}

/// Stops a node in order; at once on another signal.
pub async fn stop(running: Running, mut signals: Signals) -> Result<Output, Failure> {
    tokio::select! {
        () = running.stop() => Ok(Output::silent()),
        () = signals.next() => Err(Failure::new(
            "INTERRUPTED",
            "stopped at once: mails in hand are sent again when their lease ends",
        )),
    }
}

/// Logs as the settings say.
pub fn begin_log(settings: &Settings) {
    log::init(&settings.log, settings.log_format);
}

/// SIGTERM and SIGINT (Ctrl-C), which no longer end the process by themselves.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Failure> {
        let cannot = |error| Failure::new("FAILED", format!("can't wait for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
