//! `kubectl mail wait`: until objects stand as scripts need them. It asks nobody for anything.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Connect, Error, Exit, Patience, Target, object::Object, seen};

/// Wait until objects are verified, or until they are not. Nothing is asked for: what was found, or is found next, counts.
///
/// Exit codes: 0 all are; 1 not in time; 2 bad usage, no such object, or no API server when time is over.
#[derive(Args, Debug)]
pub struct Wait {
    /// An EmailProfile's name, or KIND/NAME: emailprofile (emp), mailserver (ms), roundtrippolicy (rtp), mailreceiver (mr) or actor.
    #[arg(required = true, value_name = "[KIND/]NAME")]
    targets: Vec<Target>,
    /// What is waited for: condition Ready True or False, of the spec as it is now.
    #[arg(long = "for", value_enum, default_value_t, ignore_case = true)]
    wanted: Wanted,
    /// Wait no longer.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = crate::time::duration)]
    timeout: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Wanted {
    #[default]
    Verified,
    Unverified,
}

impl Wait {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let (patience, mut exit) = (Patience::of(self.timeout), Exit::Good);
        let waits = self.targets.iter().map(|target| {
            let once = async || target.get(&client, &namespace).await;
            patience.look(once, |object| self.wanted.is(object))
        });
        for (target, ended) in self.targets.iter().zip(futures::future::join_all(waits).await) {
            let object = ended?;
            let reached = self.wanted.is(&object);
            let late = if reached { "" } else { "not in time; " };
            println!("{}", seen::sentence(&target.title(&namespace), late, object.summary().as_ref()));
            exit = exit.max(if reached { Exit::Good } else { Exit::Unverified });
        }
        Ok(exit)
    }
}

impl Wanted {
    fn is(self, object: &Object) -> bool {
        let status = match self {
            Self::Verified => "True",
            Self::Unverified => "False",
        };
        object.is_judged() && object.summary().is_some_and(|summary| summary.type_ == "Ready" && summary.status == status)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Kind, object::tests::object};

    #[test]
    fn what_is_known_of_an_older_spec_and_a_suspension_are_not_waited_for() {
        let object = |kind: &str, status: &str, generation: i64| {
            let condition: Value = json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-11-22T10:00:00Z"});
            object(Kind::MailServer, "relay", &json!({}), &json!({"observedGeneration": generation, "conditions": [condition]}))
        };
        let (good, bad) = (object("Ready", "True", 2), object("Ready", "False", 2));
        assert!(Wanted::Verified.is(&good) && !Wanted::Unverified.is(&good));
        assert!(Wanted::Unverified.is(&bad) && !Wanted::Verified.is(&bad));
        for waiting in [object("Ready", "True", 1), object("Ready", "Unknown", 2), object("Suspended", "True", 2)] {
            assert!(!Wanted::Verified.is(&waiting) && !Wanted::Unverified.is(&waiting));
        }
    }
}
