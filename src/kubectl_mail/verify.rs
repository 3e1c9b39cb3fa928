//! `kubectl mail verify`: asks the operator to look now, and waits for what it finds.

mod seen;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use kube::Client;

use mailverity::api::v1alpha1::VERIFY_REQUESTED_AT;

use self::seen::Seen;
use super::{Connect, Error, Exit, Target};

/// Between two looks at a status.
const EVERY: Duration = Duration::from_millis(500);
/// How long an operator may take to notice a request before what stands in its way is told.
const NOTICED: Duration = Duration::from_secs(10);

/// Have EmailProfiles, MailServers, RoundTripPolicies and MailReceivers verified now.
///
/// A profile in mode Automatic sends its mails; one in mode Manual asks for a new one (see `kubectl mail code`). A policy sends a
/// probe, as soon as none is under way.
///
/// Exit codes: 0 asked, or with --wait verified; 1 not verified, or not in time; 2 bad usage, or no such object.
#[derive(Args, Debug)]
pub struct Verify {
    /// An EmailProfile's name, or KIND/NAME: emailprofile (emp), mailserver (ms), roundtrippolicy (rtp) or mailreceiver (mr).
    #[arg(required = true, value_name = "[KIND/]NAME", value_parser = Target::namespaced)]
    names: Vec<Target>,
    /// Wait until the run is over, and tell what it found; at most so long, such as 90s or 5m (20m if absent).
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "20m",
        value_parser = crate::time::duration
    )]
    wait: Option<Duration>,
}

impl Verify {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        // Sub-seconds, so that two requests in one second are two.
        let asked = format!("{:.6}", Timestamp::now());
        for target in &self.names {
            target.annotate(&client, &namespace, VERIFY_REQUESTED_AT, Some(&asked)).await?;
            if self.wait.is_none() {
                println!("{}: verification requested at {asked}", target.title(&namespace));
            }
        }
        let Some(patience) = self.wait else { return Ok(Exit::Good) };
        let mut exit = Exit::Good;
        let waits = self.names.iter().map(|target| wait(target, &client, &namespace, &asked, patience));
        for (target, seen) in self.names.iter().zip(futures::future::join_all(waits).await) {
            exit = exit.max(seen?.tell(&target.title(&namespace)));
        }
        Ok(exit)
    }
}

/// Waits until the request is answered and the run over, or something stands in its way, or nobody wants to wait longer.
async fn wait(target: &Target, client: &Client, namespace: &str, asked: &str, patience: Duration) -> Result<Seen, Error> {
    let begun = tokio::time::Instant::now();
    loop {
        let mut seen = Seen::of(&target.get(client, namespace).await?)?;
        seen.is_over = seen.answered.as_deref() == Some(asked) && !seen.is_running;
        let blocked = seen.is_blocked && seen.answered.as_deref() != Some(asked) && begun.elapsed() >= NOTICED;
        if seen.is_over || blocked || begun.elapsed() >= patience {
            return Ok(seen);
        }
        tokio::time::sleep(EVERY).await;
    }
}
