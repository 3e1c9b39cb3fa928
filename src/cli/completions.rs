//! `mailverity completions`: scripts that complete the command line.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Error, Exit};

/// Print a script that completes this command line in a shell.
///
/// bash: `source <(mailverity completions bash)`; fish: `mailverity completions fish | source`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Error> {
        // Collected first, because clap_complete panics where a pipe is closed early.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mailverity", &mut script);
        io::Write::write_all(&mut io::stdout(), &script).map_err(Error::about("standard output"))?;
        Ok(Exit::Good)
    }
}
