//! Logs: text for people, JSON for machines, one line an event on standard error. Nothing secret is ever handed to
//! `tracing`, and of other crates only what cannot hold a body is let through.

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum NoLogs {
    /// The level cannot be read.
    #[error("log level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// They were set up before.
    #[error("logs: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logs for the process. `level` is `error`, `warn`, `info`, `debug` or `trace`, or directives such as
/// `mailverity=debug`; `RUST_LOG` in the environment overrides it.
///
/// # Errors
/// [`NoLogs`].
pub fn init(format: Format, level: &str) -> Result<(), NoLogs> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|set| !set.is_empty());
    let filter = EnvFilter::try_new(directives.as_deref().unwrap_or(level))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter_fn(harmless)).with_filter(filter)).try_init()?;
    Ok(())
}

/// Whether an event cannot hold what a server or the API server sent.
///
/// kube's client logs the body of an answer that it cannot read, as a warning: that body may be a Secret. Other crates may
/// log what they read at debug and below.
fn harmless(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target.starts_with("mailverity") || (*metadata.level() <= Level::INFO && !target.starts_with("kube_client"))
}
