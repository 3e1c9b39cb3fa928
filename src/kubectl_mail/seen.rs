//! What a status tells of a verification: whether our request is answered, what stands in its way, what was found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mailverity::{
    api::v1alpha1::{
        CheckPhase, EmailProfileStatus, MailReceiverStatus, MailServerStatus, ProfileActorState, RoundTrip,
        RoundTripPolicyStatus, condition,
    },
    mail::diagnosis::printable,
};

use crate::{Exit, Kind, line::Line, object::Object};

/// The reason of what waits for another object.
const WAITS: &str = "DependencyNotReady";
/// The result of what went well.
const SUCCEEDED: &str = "Succeeded";

/// What a status tells.
pub struct Seen {
    /// The last request that was answered.
    pub answered: Option<String>,
    /// Whether what it began is still under way.
    pub is_running: bool,
    /// Whether something stands in its way, so that it will not answer soon.
    pub is_blocked: bool,
    /// Whether our request was answered and the run is over.
    pub is_over: bool,
    lines: Vec<Line>,
    /// The probe that was settled last, where it failed: Ready may be True all the same, below the threshold.
    failed: Option<RoundTrip>,
    ready: Option<Condition>,
    blocks: Option<Condition>,
}

impl Seen {
    /// What the status of an object tells.
    pub fn of(object: &Object) -> Self {
        match object.kind {
            Kind::MailServer => object.status::<MailServerStatus>().into(),
            Kind::EmailProfile => object.status::<EmailProfileStatus>().into(),
            Kind::RoundTripPolicy => object.status::<RoundTripPolicyStatus>().into(),
            Kind::MailReceiver => object.status::<MailReceiverStatus>().into(),
            Kind::Actor => Self::new(None, false, Vec::new(), &object.conditions()),
        }
    }

    fn new(answered: Option<String>, is_running: bool, lines: Vec<Line>, conditions: &[Condition]) -> Self {
        let find = |kind: &str, status: &str| conditions.iter().find(|c| c.type_ == kind && c.status == status);
        let missing = [condition::ACCEPTED, condition::RESOLVED_REFS, condition::CREDENTIALS_READY];
        // What other reasons tell is of the last run, and the next may be on its way.
        let blocks = find(condition::SUSPENDED, "True")
            .or_else(|| find(condition::CREDENTIAL_HELD, "True"))
            .or_else(|| missing.iter().find_map(|kind| find(kind, "False")))
            .or_else(|| find(condition::READY, "Unknown").filter(|ready| ready.reason == WAITS))
            .cloned();
        let ready = conditions.iter().find(|c| c.type_ == condition::READY).cloned();
        Self { answered, is_running, is_blocked: blocks.is_some(), is_over: false, lines, failed: None, ready, blocks }
    }

    /// What each actor, process or part found.
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().flat_map(Line::told).collect()
    }

    /// Prints what was found, and what it comes to.
    pub fn tell(&self, title: &str) -> Exit {
        let (lines, exit) = self.told(title);
        println!("{}", lines.join("\n"));
        exit
    }

    fn told(&self, title: &str) -> (Vec<String>, Exit) {
        let mut lines = self.lines();
        let (verdict, exit) = self.verdict(title);
        lines.push(verdict);
        (lines, exit)
    }

    fn verdict(&self, title: &str) -> (String, Exit) {
        if let Some(row) = self.failed.as_ref().filter(|_| self.is_over) {
            let message = row.message.as_deref().unwrap_or_default();
            return (format!("Unverified  {title}  {}: {message}", row.result), Exit::Unverified);
        }
        let summary = if self.is_over { self.ready.as_ref() } else { self.blocks.as_ref().or(self.ready.as_ref()) };
        let (reason, message) = summary.map_or(("", ""), |told| (told.reason.as_str(), told.message.as_str()));
        if self.is_over && self.ready.as_ref().is_some_and(|ready| ready.status == "True") {
            return (format!("Verified  {title}  {reason}: {message}"), Exit::Good);
        }
        let late = if self.is_over { "" } else { "the request is not answered yet; " };
        (format!("Unverified  {title}  {late}{reason}: {message}"), Exit::Unverified)
    }
}

/// How an object stands, in a sentence: what it comes to, which it is, `remark`, why.
pub fn sentence(title: &str, remark: &str, summary: Option<&Condition>) -> String {
    let word = match summary.map(|summary| (summary.type_.as_str(), summary.status.as_str())) {
        Some((condition::READY, "True")) => "Verified",
        Some((condition::READY, "False")) => "Unverified",
        Some((condition::SUSPENDED, "True")) => "Suspended",
        _ => "Pending",
    };
    let why = summary.map(|summary| format!("{}: {}", summary.reason, printable(&summary.message, 1200)));
    format!("{word}  {title}  {remark}{}", why.unwrap_or_default()).trim_end().to_owned()
}

/// The same of an object as it is now, with whether something is under way.
pub fn standing(title: &str, object: &Object) -> String {
    let remark = if Seen::of(object).is_running { "(looking) " } else { "" };
    sentence(title, remark, object.summary().as_ref())
}

impl From<EmailProfileStatus> for Seen {
    fn from(status: EmailProfileStatus) -> Self {
        let running = status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
        let lines = status.actors.into_iter().map(Line::from).chain(status.outgoing.map(Line::from)).collect();
        Self::new(status.last_handled_verify_request, running, lines, &status.conditions)
    }
}

impl From<MailServerStatus> for Seen {
    fn from(status: MailServerStatus) -> Self {
        let running = status.last_check.is_some_and(|check| check.phase == CheckPhase::Running);
        // One actor alone tells what the verdict tells.
        let actors = status.actors.into_iter().map(Line::from);
        let lines = if actors.len() > 1 { actors.collect() } else { Vec::new() };
        Self::new(status.last_handled_verify_request, running, lines, &status.conditions)
    }
}

impl From<RoundTripPolicyStatus> for Seen {
    /// A request is answered by the claim of its probe, which is over once that is settled.
    fn from(status: RoundTripPolicyStatus) -> Self {
        let running = status.in_flight.is_some();
        let last = status.last_round_trip.filter(|_| !running);
        let lines = last.iter().map(Line::from).collect();
        let failed = last.filter(|row| row.result != SUCCEEDED);
        Self { failed, ..Self::new(status.last_handled_verify_request, running, lines, &status.conditions) }
    }
}

impl From<MailReceiverStatus> for Seen {
    fn from(status: MailReceiverStatus) -> Self {
        let lines = status.listeners.into_iter().map(Line::from).chain(status.mx.into_iter().map(Line::from)).collect();
        Self::new(status.last_handled_verify_request, false, lines, &status.conditions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ASKED: &str = "2026-11-22T11:00:00Z";

    /// What is told of a policy with this status, if our request is answered and nothing runs.
    fn policy(status: Value) -> (String, Exit, bool) {
        let mut status: RoundTripPolicyStatus = serde_json::from_value(status).unwrap();
        status.last_handled_verify_request = Some(ASKED.to_owned());
        let mut seen = Seen::from(status);
        seen.is_over = seen.answered.as_deref() == Some(ASKED) && !seen.is_running;
        let (lines, exit) = seen.told("RoundTripPolicy a/b");
        (lines.join("\n"), exit, seen.is_over)
    }

    fn ready(status: &str, reason: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "It was so.", "lastTransitionTime": ASKED}])
    }

    fn row(result: &str) -> Value {
        json!({"id": "x", "sentAt": ASKED, "result": result})
    }

    #[test]
    fn a_probe_that_was_answered_is_told_with_its_time() {
        let mut right = row(SUCCEEDED);
        right["duration"] = "1.2s".into();
        let (text, exit, _) = policy(json!({"lastRoundTrip": right, "conditions": ready("True", "Succeeded")}));
        let words = "  probe      Succeeded  sent 2026-11-22T11:00:00Z, answered after 1.2s\nVerified  RoundTripPolicy a/b  Succeeded: It was so.";
        assert_eq!((text.as_str(), exit), (words, Exit::Good));
    }

    #[test]
    fn a_probe_that_failed_is_told_although_one_failure_leaves_the_policy_ready() {
        let mut wrong = row("ReplyTimeout");
        wrong["message"] = "Nothing came.".into();
        let (text, exit, _) = policy(json!({"lastRoundTrip": wrong, "conditions": ready("True", "Succeeded")}));
        let words =
            "  probe      ReplyTimeout  sent 2026-11-22T11:00:00Z\nUnverified  RoundTripPolicy a/b  ReplyTimeout: Nothing came.";
        assert_eq!((text.as_str(), exit), (words, Exit::Unverified));
    }

    #[test]
    fn a_probe_under_way_is_waited_for_and_an_older_one_is_not_told_for_it() {
        let flight = json!({"id": "y", "attempt": 1, "claimedAt": "2026-11-22T11:00:00.000000Z", "deadline": "2026-11-22T11:10:00.000000Z", "from": "a@b.se"});
        let status = json!({"inFlight": flight, "lastRoundTrip": row(SUCCEEDED), "conditions": ready("True", "Succeeded")});
        let (text, exit, is_over) = policy(status);
        let words = "Unverified  RoundTripPolicy a/b  the request is not answered yet; Succeeded: It was so.";
        assert_eq!((text.as_str(), exit, is_over), (words, Exit::Unverified, false));
    }

    #[test]
    fn a_receiver_tells_of_its_processes_and_of_the_domains_records() {
        let status = json!({
            "listeners": [
                {"pod": "receiver-a", "address": "10.0.0.1:2525", "generation": 1},
                {"pod": "receiver-b", "address": "10.0.0.2:2525", "generation": 1, "reason": "PortUnavailable", "message": "no such port"},
            ],
            "mx": [{"domain": "in.b.se", "records": ["10 mx.b.se"], "result": "Succeeded"}],
            "conditions": ready("True", "Succeeded"), "lastHandledVerifyRequest": ASKED,
        });
        let mut seen = Seen::from(serde_json::from_value::<MailReceiverStatus>(status).unwrap());
        seen.is_over = true;
        let words = "  receiver-a Listening  10.0.0.1:2525\n  receiver-b Closed  10.0.0.2:2525  PortUnavailable  no such port\n  MX in.b.se Succeeded  10 mx.b.se\nVerified  MailReceiver a/b  Succeeded: It was so.";
        let (lines, exit) = seen.told("MailReceiver a/b");
        assert_eq!((lines.join("\n").as_str(), exit), (words, Exit::Good));
    }
}
