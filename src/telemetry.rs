//! Logs: text for people, JSON for machines, one line an event on standard error. Nothing secret is ever handed to
//! `tracing`, and of other crates only what cannot hold a body is let through. Traces, where somebody collects them: [`spans`].

mod otlp;
pub mod spans;

use clap::{Args, ValueEnum};
pub use otlp::{Collector, Traces};
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

/// Where traces go.
#[derive(Args, Clone, Debug)]
pub struct Tracing {
    /// Send a trace of each check, with its stages, to the OpenTelemetry collector at this URL (OTLP over HTTP); '' sends none.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "", hide_default_value = true, value_name = "URL", value_parser = collector)]
    otlp_endpoint: Endpoint,
}

/// A collector, or none.
type Endpoint = Option<Collector>;

fn collector(text: &str) -> Result<Endpoint, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
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
    /// Traces cannot be sent.
    #[error("--otlp-endpoint: {0}")]
    Traces(String),
}

/// Sets up logs for the process. `level` is `error`, `warn`, `info`, `debug` or `trace`, or directives such as
/// `mailverity=debug`; `RUST_LOG` in the environment overrides it.
///
/// # Errors
/// [`NoLogs`].
pub fn init(format: Format, level: &str) -> Result<(), NoLogs> {
    set_up(format, level, None, "").map(drop)
}

/// The same, and traces where they are wanted; `process` is what this is: `operator`, `agent`. To be called inside the runtime.
///
/// # Errors
/// [`NoLogs`].
pub fn traced(format: Format, level: &str, tracing: &Tracing, process: &'static str) -> Result<Option<Traces>, NoLogs> {
    set_up(format, level, tracing.otlp_endpoint.as_ref(), process)
}

fn set_up(format: Format, level: &str, collector: Option<&Collector>, process: &'static str) -> Result<Option<Traces>, NoLogs> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|set| !set.is_empty());
    let filter = EnvFilter::try_new(directives.as_deref().unwrap_or(level))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let logs = tracing_subscriber::registry().with(lines.with_filter(filter_fn(harmless)).with_filter(filter));
    let Some(collector) = collector else {
        logs.try_init()?;
        return Ok(None);
    };
    let (layer, traces) = otlp::layer(collector, process).map_err(NoLogs::Traces)?;
    logs.with(layer).try_init()?;
    tracing::info!(%collector, "checks are traced");
    Ok(Some(traces))
}

/// Whether an event cannot hold what a server or the API server sent, and is not of a trace.
///
/// kube's client logs the body of an answer that it cannot read, as a warning: that body may be a Secret. Other crates may
/// log what they read at debug and below.
fn harmless(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target != spans::TARGET
        && (target.starts_with("mailverity") || (*metadata.level() <= Level::INFO && !target.starts_with("kube_client")))
}
