//! `kubectl mail verify` and `test`: ask the operator to look now, and wait for what it finds. They differ in how much they tell.

use std::time::Duration;

use clap::Args;
use kube::Client;
use mailverity::{
    api::v1alpha1::{Level, MailServerSpec, VERIFY_REQUESTED_AT},
    runtime::ApiError,
};
use tokio::time::Instant;

use super::{Connect, Error, Exit, Kind, Patience, Request, Target, describe, object::Object, seen::Seen};

/// How long an operator may take to notice a request before what stands in its way is told.
const NOTICED: Duration = Duration::from_secs(10);

/// Have EmailProfiles, MailServers, RoundTripPolicies and MailReceivers verified now.
///
/// A profile in mode Automatic sends its mails; one in mode Manual asks for a new one (see `kubectl mail code`). A policy sends a
/// probe, as soon as none is under way.
///
/// Exit codes: 0 asked, or with --wait verified; 1 not verified, or not in time; 2 bad usage, no such object, or no API server when
/// time is over.
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

/// Have one object verified now, and follow it: each actor as it gets on, then the stages of each session.
///
/// As verify --wait with more to read. It asks for what the spec says and no more: of a MailServer below level Deliver no mail is sent
/// (see `kubectl mail send`).
///
/// Exit codes: 0 verified; 1 not verified, or not in time; 2 bad usage, no such object, or no API server when time is over.
#[derive(Args, Debug)]
pub struct Test {
    /// An EmailProfile's name, or KIND/NAME, as of verify.
    #[arg(value_name = "[KIND/]NAME", value_parser = Target::namespaced)]
    name: Target,
    /// Wait no longer.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = crate::time::duration)]
    timeout: Duration,
}

impl Verify {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let asked = Request::now();
        for target in &self.names {
            target.annotate(&client, &namespace, VERIFY_REQUESTED_AT, Some(asked.value())).await?;
            if self.wait.is_none() {
                println!("{}: verification requested at {}", target.title(&namespace), asked.value());
            }
        }
        let Some(patience) = self.wait else { return Ok(Exit::Good) };
        let mut exit = Exit::Good;
        let waits = self.names.iter().map(|target| follow(target, &client, &namespace, asked.clone(), patience, |_| ()));
        for (target, followed) in self.names.iter().zip(futures::future::join_all(waits).await) {
            exit = exit.max(followed?.1.tell(&target.title(&namespace)));
        }
        Ok(exit)
    }
}

impl Test {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let Self { name: target, timeout } = self;
        let before = Seen::of(&target.get(&client, &namespace).await?);
        let asked = Request::now();
        target.annotate(&client, &namespace, VERIFY_REQUESTED_AT, Some(asked.value())).await?;
        println!("{}: asked for at {}", target.title(&namespace), asked.value());
        let mut told = before.lines();
        let each = |seen: &Seen| {
            let lines = seen.lines();
            for line in lines.iter().filter(|line| seen.is_running && !told.contains(line)) {
                println!("{line}");
            }
            told = lines;
        };
        let (object, seen) = follow(&target, &client, &namespace, asked, timeout, each).await?;
        if seen.is_over {
            for line in describe::sessions(&object) {
                println!("{line}");
            }
        }
        if let Some(level) = level(&object).filter(|level| *level < Level::Deliver) {
            println!("No mail was sent: it is checked at level {level:?}.");
        }
        Ok(seen.tell(&target.title(&namespace)))
    }
}

/// How far a `MailServer` is checked; none of other kinds.
fn level(object: &Object) -> Option<Level> {
    (object.kind == Kind::MailServer).then(|| object.spec::<MailServerSpec>()).flatten().map(|spec| spec.level())
}

/// Waits until the request is answered and the run over, or something stands in its way, or nobody wants to wait longer; `each`
/// hears what is seen until then.
async fn follow(
    target: &Target,
    client: &Client,
    namespace: &str,
    mut asked: Request,
    patience: Duration,
    mut each: impl FnMut(&Seen),
) -> Result<(Object, Seen), ApiError> {
    let begun = Instant::now();
    let once = async || {
        let object = target.get(client, namespace).await?;
        let mut seen = Seen::of(&object);
        let answered = asked.is_answered(&object, seen.answered.as_deref());
        seen.is_over = answered && !seen.is_running;
        Ok((object, seen, answered))
    };
    let is_enough = |(_, seen, answered): &(Object, Seen, bool)| {
        let blocked = seen.is_blocked && !answered && begun.elapsed() >= NOTICED;
        if *answered && !seen.is_over {
            each(seen);
        }
        seen.is_over || blocked
    };
    let (object, seen, _) = Patience::of(patience).look(once, is_enough).await?;
    Ok((object, seen))
}
