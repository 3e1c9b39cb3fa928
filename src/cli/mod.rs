//! The program's subcommands, one file each; [`probe`] is a command of the kubectl plugin, too. What they print, and how they exit, is
//! described in `docs/cli.md`.
//!
//! Nothing is decided here: `check` and `probe` go through [`crate::verify`] as the operator does.

#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "clap prints the documentation of flags as it is written")]

mod agent;
mod check;
mod completions;
mod crds;
mod docs;
mod elsewhere;
pub mod given;
mod interrupt;
mod live;
mod operator;
pub mod output;
mod practice;
pub mod probe;
mod prove;
mod reach;
mod receiver;
mod round_trip;
mod sandbox;
pub mod tokens;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Verified, valid, or done: 0.
    Good,
    /// Checked, and not verified: 1.
    Unverified,
    /// Bad usage or a bad manifest: 2, as clap exits too.
    Bad,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work at all; it ends in exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or standard output did not do what it should.
    #[error("{what}: {source}")]
    Io {
        /// What was read or written.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The runtime did not start.
    #[error("the runtime did not start: {0}")]
    Runtime(#[from] std::io::Error),
    /// What was given makes no sense, in words for the person who gave it.
    #[error("{0}")]
    Usage(String),
    /// The schemas could not be made.
    #[error("the schemas could not be made: {0}")]
    Schema(#[from] serde_json::Error),
    /// The schemas could not be written as YAML.
    #[error("could not be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

impl Error {
    /// Whether it is none: whoever reads us has seen enough (`mailverity … | head`).
    #[must_use]
    pub fn is_enough(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Names the file that an I/O error is about.
    pub(crate) fn about(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }
}

/// Keeps mail settings as Kubernetes resources and proves that they work.
#[derive(Debug, Parser)]
#[command(name = "mailverity", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// No colour. The environment variable NO_COLOR (any value but an empty one) does the same.
    #[arg(long, global = true)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Probe(Box<probe::Probe>),
    Crds(crds::Crds),
    Completions(completions::Completions),
    Docs(docs::Docs),
    Operator(Box<operator::Operator>),
    Agent(Box<agent::Agent>),
    Receiver(Box<receiver::Receiver>),
    Sandbox(sandbox::Args),
}

/// Reads the command line, does what it says and tells how it went. Bad usage exits at once, with 2.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Check(check) => check.run(cli.no_color),
        Command::Probe(probe) => alone(probe.run(cli.no_color, current)),
        Command::Crds(crds) => crds.run(),
        Command::Completions(completions) => completions.run(),
        Command::Docs(docs) => docs.run(),
        Command::Operator(operator) => {
            several(operator.run()).map(|()| Exit::Good).map_err(|error| Error::Usage(error.to_string()))
        }
        Command::Agent(agent) => several(agent.run()).map(|()| Exit::Good).map_err(|error| Error::Usage(error.to_string())),
        Command::Receiver(receiver) if receiver.is_alone() => alone(receiver.run()),
        Command::Receiver(receiver) => several(receiver.serve()).map_err(|error| Error::Usage(error.to_string())),
        Command::Sandbox(args) => alone(sandbox::run(args)).map_err(|error| Error::Usage(error.to_string())),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) if error.is_enough() => Exit::Good.into(),
        Err(error) => {
            eprintln!("mailverity: {error}");
            Exit::Bad.into()
        }
    }
}

/// The cluster of the current kubeconfig, or of the pod that this is.
async fn current() -> Result<kube::Client, String> {
    kube::Client::try_default().await.map_err(|error| error.to_string())
}

/// Runs what needs no second thread.
fn alone<T, E: From<std::io::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Runs what must not wait for one busy thread: a Lease is renewed while handshakes are computed.
fn several<T>(work: impl Future<Output = Result<T, operator::Error>>) -> Result<T, operator::Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(operator::Error::Signals)?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_password_or_a_token_itself() {
        // a process list shows what it was given
        let mut all = vec![Cli::command()];
        while let Some(command) = all.pop() {
            let takes = command.get_arguments().filter(|argument| argument.get_action().takes_values());
            for flag in takes.filter_map(|argument| argument.get_long()) {
                let secret = flag.contains("password") || flag.contains("token") || flag.contains("secret");
                let names_places = flag.ends_with("-file") || flag.ends_with("-hosts") || flag.starts_with("secrets-");
                assert!(!secret || names_places, "--{flag}");
            }
            all.extend(command.get_subcommands().cloned());
        }
    }
}
