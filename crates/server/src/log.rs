//! The log: to standard error, for people or for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

/// Begins logging what `filter` lets through. A second call in one process changes nothing.
pub fn init(filter: &str, format: LogFormat) {
    // The settings have checked it.
    let filter: Targets = filter.parse().unwrap_or_default();
    let registry = tracing_subscriber::registry().with(filter);
    // Colours only for eyes.
    let colours = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let begun = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    // Fails only where tests in one process have begun already.
    drop(begun);
}
