//! `kubectl mail probe`: `mailverity probe`, with an Actor's agent found in the cluster that kubectl's flags name.

use clap::Args;
use mailverity::cli::probe;

use super::{Connect, Error, Exit, connect::words};

/// Check a mail server stage by stage: DNS, TCP, greeting, TLS, login and, if asked for, one mail; or a mailbox: the same
/// up to the login, and the mailbox opened. Nothing in a mailbox is changed. From this machine, or with --actor from where an Actor's
/// agent stands.
///
/// Exit codes: 0 verified, 1 unverified, 2 bad usage, or no way to the Actor's agent or no right to ask it.
///
/// A password is read from a file or from standard input, never from the command line.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Probe {
    #[command(flatten)]
    probe: probe::Probe,
    /// No colour. The environment variable NO_COLOR (any value but an empty one) does the same.
    #[arg(long)]
    no_color: bool,
}

impl Probe {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let cluster = async || match connect.client().await {
            Ok((client, _)) => Ok(client),
            Err(error) => Err(words(&*error)),
        };
        match Box::pin(self.probe.run(self.no_color, cluster)).await {
            Err(error) if error.is_enough() => Ok(Exit::Good),
            done => Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::Cli;

    #[test]
    fn it_takes_what_the_same_command_of_mailverity_takes() {
        let mut plugin = Cli::command();
        let mut other = mailverity::cli::Cli::command();
        let [flags, known] = [&mut plugin, &mut other].map(|program| {
            program.build();
            let probe = program.find_subcommand("probe").unwrap();
            let arguments = probe.get_arguments();
            arguments
                .map(|argument| (argument.get_id().to_string(), argument.get_help().map(ToString::to_string)))
                .collect::<Vec<_>>()
        });
        let missing: Vec<_> = known.iter().filter(|argument| !flags.contains(argument)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let more = flags.iter().filter(|argument| !known.contains(argument)).map(|(id, _)| id.as_str());
        assert_eq!(more.collect::<Vec<_>>(), ["namespace", "context", "kubeconfig"], "which cluster it is");
    }
}
