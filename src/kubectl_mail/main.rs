//! `kubectl mail`: what people ask of mailverity's objects in a cluster, a file or folder a command. Nothing is decided here: it reads
//! objects, and what it writes is for the operator to heed. Mail servers are spoken to by `probe` alone, which is that of
//! [`mailverity::cli`].

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::doc_markdown, reason = "clap prints the documentation of flags as it is written")]

mod ask;
mod code;
mod complete;
mod connect;
mod describe;
mod init;
mod kind;
mod line;
mod links;
mod list;
mod login;
mod object;
mod out;
mod patience;
mod pause;
mod plan;
mod probe;
mod request;
mod reset;
mod seen;
mod send;
mod table;
mod target;
mod time;
mod verify;
mod wait;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mailverity::cli::Exit;

use connect::Connect;
use kind::Kind;
use patience::Patience;
use request::Request;
use target::Target;

/// Why a command could not do its work; it ends in exit code 2.
type Error = Box<dyn std::error::Error>;

/// Ask about mailverity's objects, and have them verified now.
#[derive(Debug, Parser)]
#[command(name = "kubectl-mail", bin_name = "kubectl mail", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Code(code::Code),
    /// Print the program kubectl_complete-mail, by which kubectl completes `kubectl mail`: put it on your PATH.
    Completion,
    Describe(describe::Describe),
    Init(Box<init::Init>),
    #[command(visible_alias = "ls")]
    List(list::List),
    Login(login::Login),
    Pause(pause::Pause),
    Plan(plan::Plan),
    Probe(Box<probe::Probe>),
    Reset(reset::Reset),
    Resume(pause::Resume),
    Send(send::Send),
    Test(verify::Test),
    Verify(verify::Verify),
    Wait(wait::Wait),
    Watch(watch::Watch),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run()));
    let exit = done.unwrap_or_else(|error| {
        eprintln!("kubectl-mail: {}", connect::words(&*error));
        Exit::Bad
    });
    exit.into()
}

async fn run() -> Result<Exit, Error> {
    // Half a command line is none.
    if let Some(words) = complete::words(std::env::args_os()) {
        return Ok(complete::run(&words).await);
    }
    let cli = Cli::parse();
    match cli.command {
        Command::Code(code) => code.run(&cli.connect).await,
        Command::Completion => complete::program(),
        Command::Describe(describe) => describe.run(&cli.connect).await,
        Command::Init(init) => init.run(&cli.connect),
        Command::List(list) => list.run(&cli.connect).await,
        Command::Login(login) => login.run(&cli.connect).await,
        Command::Pause(pause) => pause.run(&cli.connect).await,
        Command::Plan(plan) => plan.run(&cli.connect).await,
        Command::Probe(probe) => probe.run(&cli.connect).await,
        Command::Reset(reset) => reset.run(&cli.connect).await,
        Command::Resume(resume) => resume.run(&cli.connect).await,
        Command::Send(send) => send.run(&cli.connect).await,
        Command::Test(test) => test.run(&cli.connect).await,
        Command::Verify(verify) => verify.run(&cli.connect).await,
        Command::Wait(wait) => wait.run(&cli.connect).await,
        Command::Watch(watch) => watch.run(&cli.connect).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_makes_sense() {
        super::Cli::command().debug_assert();
    }
}
