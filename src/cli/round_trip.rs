//! A `RoundTripPolicy` proved from here, where its answers come to a mailbox: the mailbox is opened, a probe is sent, and its answer
//! waited for. The same exchange as the operator's, with the permits of a person at a shell. What comes to a `MailReceiver` comes
//! to a cluster: from here, only the server that sends is checked.

mod shell;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use self::shell::{Noted, Shell};
use super::{
    interrupt::Interrupt,
    live::{Checker, INSTALLATION, asking},
    output::{self, Proof},
};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, RoundTripPolicySpec},
    },
    mail::{
        Diagnosis, Stage,
        protocol::Protocol,
        stage::{Outcome, Record},
    },
    verify::{
        References, Report,
        email_profile::{Finding, Mail},
        halt::told_time,
        mail_server,
        mailbox::{self, desk::Desk},
        resolve::About,
        round_trip::{
            Back, Inputs, Posting, ProbeReport,
            exchange::{Opening, Place, exchange},
            inputs::{resolve, sender},
            matching::Expectation,
        },
    },
};

/// Which policy is proved.
pub struct Target<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is wanted.
    pub spec: &'a RoundTripPolicySpec,
    /// A sandbox stands for all servers.
    pub practises: bool,
}

/// A mailbox that answers come to, and what is expected there.
#[derive(Clone, Copy)]
struct Trip<'a> {
    spec: &'a RoundTripPolicySpec,
    inputs: &'a Inputs,
    place: Place<'a>,
}

impl Checker {
    /// Proves one policy. None where it was told to end before it came to a result; for the answer to a probe that was sent by then
    /// the mailbox is looked at once more.
    pub async fn round_trip(&self, target: &Target<'_>, references: &dyn References) -> Option<Proof> {
        let (kind, Target { namespace, name, .. }) = ("RoundTripPolicy", target);
        let about = About { kind, namespace, name, uid: "", key: &self.key, require_allowed_hosts: false };
        let spec = target.spec;
        let only_in_a_cluster = spec.receive.profile_ref.is_none();
        let proof = if only_in_a_cluster || target.practises {
            let why = if only_in_a_cluster {
                "its answers come to a MailReceiver, so only a cluster can prove it"
            } else {
                "the sandbox answers no mail"
            };
            self.sender_alone(spec, &about, references, why).await
        } else {
            let resolved = resolve(spec, &about, references).await;
            match resolved.and_then(|inputs| inputs.waits.clone().map_or(Ok(inputs), Err)) {
                Ok(inputs) => Box::pin(self.round_trip_by(spec, &inputs)).await,
                Err(failure) => Some(self.refused(failure)),
            }
        };
        output::progress_ends();
        proof
    }

    /// Of a policy that cannot be proved from here, the server that sends.
    async fn sender_alone(
        &self,
        spec: &RoundTripPolicySpec,
        about: &About<'_>,
        references: &dyn References,
        why: &str,
    ) -> Option<Proof> {
        // A receiver, or a mailbox, that is not given is one of the cluster.
        let resolved = match resolve(spec, about, references).await {
            Ok(inputs) => Ok((inputs.sender, inputs.waits)),
            Err(failure) if missing(&failure) => sender(spec, about, references).await.map(|lent| (lent.sender, lent.waits)),
            Err(failure) => Err(failure),
        };
        let sender = match resolved {
            Ok((sender, None)) => sender,
            Ok((_, Some(failure))) | Err(failure) => return Some(self.refused(failure)),
        };
        let sending = self.server(&sender.server, Level::Authenticate.min(self.most)).await?;
        let mut proof = Proof::new(Report::new(sending.level, sending.endpoint.clone()), sending.level);
        proof.report.failure.clone_from(&sending.failure);
        proof.unproved = Some(format!("{why}; the server that sends is checked: {}", sending.message()));
        proof.sending = Some(sending);
        Some(proof)
    }

    async fn round_trip_by(&self, spec: &RoundTripPolicySpec, inputs: &Inputs) -> Option<Proof> {
        let Back::Mailbox { mailbox, cleanup, .. } = &inputs.back else { return None };
        let level = Level::Authenticate.min(self.most);
        let opened = mailbox::Inputs { level, ..(**mailbox).clone() };
        // Nobody is sent a mail whose answer cannot be seen.
        let visited = tokio::select! {
            report = mailbox::check(&opened, &self.vantage, &self.refused, Some(output::progress)) => report,
            () = self.interrupt.heard() => return None,
        };
        if visited.failure.is_some() {
            return Some(Proof::new(visited, self.most));
        }
        if self.most < Level::Deliver {
            let sending = self.server(&inputs.sender.server, level).await?;
            let mut proof = Proof::new(visited, level);
            proof.report.failure.clone_from(&sending.failure);
            proof.sending = Some(sending);
            return Some(proof);
        }
        let desk = Desk::default();
        let trip = Trip { spec, inputs, place: Place { mailbox, desk: &desk, cleanup: *cleanup } };
        Box::pin(self.exchange(trip, visited)).await
    }

    /// Sends the probe, and waits for its answer.
    async fn exchange(&self, trip: Trip<'_>, visited: Report) -> Option<Proof> {
        let Trip { inputs, place, .. } = trip;
        let id = Uuid::new_v4();
        let expected = Expectation::new(trip.spec, id, &inputs.from);
        let posting = Posting { inputs, vantage: &self.vantage, installation: INSTALLATION, watcher: Some(output::progress) };
        let mut permits = Shell::new(&self.refused, &self.interrupt);
        let mut report = exchange(posting, place, &permits, &expected, Opening::Send).await;
        let mut interrupted = false;
        if let (None, Some(mark)) = (&report, permits.awaits()) {
            // Nobody comes back for it: one look, and what it finds is removed.
            interrupted = true;
            permits = permits.with(&Interrupt::never());
            let now = Timestamp::now();
            let opening = Opening::Look { mark: Some(&mark), deadline: now, tries_until: now };
            report = exchange(posting, place, &permits, &expected, opening).await;
        }
        let noted = permits.noted();
        if report.is_none() && noted.settled.is_none() {
            return None;
        }
        Some(trip.proof(visited, report, noted, id, interrupted))
    }

    /// The server that sends, as far as the level says: no mail goes.
    async fn server(&self, server: &mail_server::Inputs, level: Level) -> Option<Report> {
        let run = asking("", Uuid::nil(), level);
        tokio::select! {
            report = mail_server::check(server, &self.vantage, &self.refused, &run) => Some(report),
            () = self.interrupt.heard() => None,
        }
    }

    /// A check that ended before it touched the network.
    fn refused(&self, failure: Diagnosis) -> Proof {
        Proof::new(Report::refused(self.most, String::new(), failure), self.most)
    }
}

/// Whether a failure says that answers come to something that is not given.
fn missing(failure: &Diagnosis) -> bool {
    matches!(failure.reason, Reason::ReceiverNotFound | Reason::ProfileNotFound | Reason::RefNotPermitted)
}

impl Trip<'_> {
    /// What it all comes to. `visited` is the session in which the mailbox was opened for the first time.
    fn proof(self, visited: Report, report: Option<ProbeReport>, noted: Noted, id: Uuid, interrupted: bool) -> Proof {
        let mut proof = Proof::new(visited, Level::Deliver);
        let Noted { sending, sent, settled, worst, .. } = noted;
        let sent_at = sent.or_else(|| sending.as_ref().map(|_| Timestamp::now()));
        let dot_sent = sending.as_ref().and_then(|sending| sending.delivery.as_ref()).is_some_and(|delivery| delivery.dot_sent);
        if let Some(sent) = sent_at.filter(|_| dot_sent) {
            proof.mail = Some(Mail { sent, dot_sent, uncertain: None });
        }
        let unopened = report.and_then(|report| report.report.failure);
        let failure = match settled {
            Some((received, answer)) if answer.failure.is_none() => {
                let took = sent.and_then(|sent| Duration::try_from(received.duration_since(sent)).ok());
                self.looked(&mut proof, took, "answer found", Outcome::Passed);
                proof.found = Some(Finding { received, took, results: crate::api::v1alpha1::AuthenticationResults::default() });
                proof.answer = Some(self.remarks(took, answer.rewritten_from.as_deref()));
                None
            }
            Some((_, answer)) => answer.failure,
            None if !dot_sent => sending.as_ref().and_then(|sending| sending.failure.clone()).or(unopened),
            None => Some(unopened.or(worst).unwrap_or_else(|| {
                let uncertain = sending.as_ref().and_then(|sending| sending.failure.clone());
                uncertain.unwrap_or_else(|| self.silence(sent, id, interrupted))
            })),
        };
        proof.report.failure = failure.map(|failure| {
            let failure = if dot_sent && failure.stage.is_none() {
                let waited = sent.and_then(|sent| Duration::try_from(Timestamp::now().duration_since(sent)).ok());
                self.looked(&mut proof, waited, &failure.said(), Outcome::Failed);
                failure.at(self.stage())
            } else {
                failure
            };
            let Inputs { from, to, .. } = self.inputs;
            failure.fact("from", from.as_str()).fact("to", to.as_str()).fact("address", self.inputs.address())
        });
        proof.sending = sending;
        proof
    }

    /// The stage in which answers are looked for.
    fn stage(self) -> Stage {
        if self.place.mailbox.protocol == Protocol::Pop3 { Stage::Top } else { Stage::Fetch }
    }

    /// The look, before the goodbye of the session that is told of.
    fn looked(self, proof: &mut Proof, took: Option<Duration>, detail: &str, outcome: Outcome) {
        let duration = took.unwrap_or_default();
        let detail = Some(crate::mail::diagnosis::printable(detail, 128));
        let record = Record { stage: self.stage(), outcome, duration, detail };
        let stages = &mut proof.report.stages;
        let at = stages.iter().position(|record| record.stage == Stage::Quit).unwrap_or(stages.len());
        stages.insert(at, record);
        proof.report.duration += duration;
    }

    /// What is to be said of a right answer.
    fn remarks(self, took: Option<Duration>, rewritten_from: Option<&str>) -> String {
        let slow = self.spec.slow_after.as_ref().filter(|slow| took.is_some_and(|took| took > slow.get()));
        let slow = slow.map(|slow| format!(", later than slowAfter {slow} (SlowReply)")).unwrap_or_default();
        let rewritten = rewritten_from.filter(|from| !from.is_empty());
        let rewritten = rewritten.map(|from| format!("; it came with From {from} (FromRewritten)")).unwrap_or_default();
        slow + &rewritten
    }

    /// That nothing came.
    fn silence(self, sent: Option<Timestamp>, id: Uuid, interrupted: bool) -> Diagnosis {
        let silent = Diagnosis::new(Reason::ReplyTimeout)
            .fact("timeout", self.spec.timeout().to_string())
            .fact("sentAt", sent.map(told_time).unwrap_or_default())
            .fact("messageID", id.to_string());
        if interrupted {
            return Diagnosis::new(Reason::ReplyTimeout)
                .detail("the mail was sent, and no answer had come when the search was ended");
        }
        silent.detail(format!("no answer within {}", self.spec.timeout()))
    }
}
