//! What one actor, process or part of an object found, as a line for people.

use mailverity::{
    api::v1alpha1::{ActorStatus, ListenerStatus, MxStatus, OutgoingStatus, ProfileActorStatus, RoundTrip},
    mail::diagnosis::printable,
};

/// What is printed of a text at most: a message and its hint are shorter.
const LONGEST: usize = 1100;

/// What was found by one actor, or of one part.
#[derive(Clone, Debug)]
pub struct Line {
    name: String,
    state: String,
    told: String,
    hint: Option<String>,
}

impl Line {
    /// As it is printed: who, how it stands, why, and below it what to do.
    pub fn told(&self) -> Vec<String> {
        let Self { name, state, told, hint } = self;
        let line = format!("  {name:<10} {state}  {told}").trim_end().to_owned();
        let hint = hint.as_ref().map(|hint| format!("             {}", printable(hint, LONGEST)));
        std::iter::once(line).chain(hint).collect()
    }
}

fn reasoned(reason: Option<&str>, message: Option<&str>) -> String {
    [reason, message].map(|part| printable(part.unwrap_or_default(), LONGEST)).join("  ").trim().to_owned()
}

impl From<ProfileActorStatus> for Line {
    fn from(actor: ProfileActorStatus) -> Self {
        let told = reasoned(actor.reason.as_deref(), actor.message.as_deref());
        Self { name: actor.name, state: format!("{:?}", actor.state), told, hint: actor.hint }
    }
}

impl From<OutgoingStatus> for Line {
    fn from(outgoing: OutgoingStatus) -> Self {
        let told = reasoned(outgoing.reason.as_deref(), outgoing.message.as_deref());
        let name = format!("outgoing {}", outgoing.address);
        Self { name, state: format!("{:?}", outgoing.state), told, hint: outgoing.hint }
    }
}

impl From<&RoundTrip> for Line {
    fn from(row: &RoundTrip) -> Self {
        let answered = row.duration.as_ref().map(|took| format!(", answered after {took}")).unwrap_or_default();
        let told = format!("sent {}{answered}", row.sent_at.0);
        Self { name: "probe".to_owned(), state: row.result.clone(), told, hint: None }
    }
}

impl From<ListenerStatus> for Line {
    fn from(listener: ListenerStatus) -> Self {
        let state = if listener.reason.is_some() { "Closed" } else { "Listening" }.to_owned();
        let told = reasoned(listener.reason.as_deref(), listener.message.as_deref());
        Self { name: listener.pod, state, told: format!("{}  {told}", listener.address), hint: None }
    }
}

impl From<MxStatus> for Line {
    fn from(mx: MxStatus) -> Self {
        Self { name: format!("MX {}", mx.domain), state: mx.result, told: printable(&mx.records.join(", "), LONGEST), hint: None }
    }
}

impl From<ActorStatus> for Line {
    fn from(actor: ActorStatus) -> Self {
        let told = reasoned(actor.reason.as_deref(), actor.message.as_deref());
        Self { name: actor.name, state: actor.state, told, hint: actor.hint }
    }
}
