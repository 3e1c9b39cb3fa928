//! The conditions of one status while it is made: what is not set again keeps its value, and `lastTransitionTime` moves
//! only when a value does. Any kind may use it; what the conditions say is decided elsewhere.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::{
    api::{Class, Reason, v1alpha1::condition as c},
    mail::Diagnosis,
    verify::halt::Halt,
};

/// The most bytes of a message: the schema's bound is as many characters.
pub const MESSAGE: usize = 1024;

/// The order in which conditions stand in a status: the summary first.
const ORDER: [&str; 22] = [
    c::READY,
    c::VERIFIED,
    c::ROUND_TRIP_HEALTHY,
    c::ACCEPTED,
    c::RESOLVED_REFS,
    c::CREDENTIALS_READY,
    c::REACHABLE,
    c::TLS_VALID,
    c::AUTHENTICATED,
    c::DELIVERY_TESTED,
    c::SENDER_ALIGNED,
    c::LISTENING,
    c::MX_RECORDS_VALID,
    c::SUSPENDED,
    c::CREDENTIAL_HELD,
    c::CERTIFICATE_EXPIRING,
    c::CREDENTIAL_EXPIRING,
    c::BASIC_AUTH_RETIRING,
    c::FROM_REWRITTEN,
    c::DEGRADED,
    c::RECONCILING,
    c::STALLED,
];

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can say.
    Unknown,
}

impl Truth {
    /// The word in a condition's status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The conditions of a status in the making.
#[derive(Clone, Debug)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl Conditions {
    /// Begins with what the last status said.
    #[must_use]
    pub fn new(last: &[Condition], generation: i64, now: Timestamp) -> Self {
        Self { list: last.to_vec(), generation, now }
    }

    /// A condition as it stands now.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.list.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether a condition is there and True.
    #[must_use]
    pub fn is(&self, kind: &str, truth: Truth) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == truth.as_str())
    }

    /// Sets a condition for this generation. The message is cut to [`MESSAGE`].
    pub fn set(&mut self, kind: &str, truth: Truth, reason: impl Into<String>, message: &str) {
        let since = self.get(kind).filter(|old| old.status == truth.as_str()).map(|old| old.last_transition_time.clone());
        let condition = Condition {
            type_: kind.to_owned(),
            status: truth.as_str().to_owned(),
            reason: reason.into(),
            message: cut(message, MESSAGE).to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since.unwrap_or(Time(self.now)),
        };
        self.drop(kind);
        self.list.push(condition);
    }

    /// Sets a condition to what a diagnosis says.
    pub fn tell(&mut self, kind: &str, truth: Truth, diagnosis: &Diagnosis) {
        self.set(kind, truth, diagnosis.reason.as_str(), &sentence(diagnosis));
    }

    /// Sets a condition to True with the plain reason.
    pub fn holds(&mut self, kind: &str, message: &str) {
        self.set(kind, Truth::True, Reason::Succeeded.as_str(), message);
    }

    /// Sets one condition to what another says, its generation too.
    pub fn mirror(&mut self, kind: &str, of: &str) {
        let Some(source) = self.get(of).cloned() else { return };
        let since = self.get(kind).filter(|old| old.status == source.status).map(|old| old.last_transition_time.clone());
        self.drop(kind);
        let last_transition_time = since.unwrap_or(Time(self.now));
        self.list.push(Condition { type_: kind.to_owned(), last_transition_time, ..source });
    }

    /// Takes a condition away.
    pub fn drop(&mut self, kind: &str) {
        self.list.retain(|condition| condition.type_ != kind);
    }

    /// Says of all conditions that they hold for this generation: it changed nothing that they speak of.
    pub fn still_hold(&mut self) {
        for condition in &mut self.list {
            condition.observed_generation = Some(self.generation);
        }
    }

    /// What follows from the spec and its references alone: whether it is `unacceptable`, and what of it could not be had.
    ///
    /// `same`: what was found of an access token still speaks of the account.
    pub fn references(&mut self, unacceptable: Option<&Diagnosis>, refused: Option<&Diagnosis>, same: bool) {
        match unacceptable {
            Some(diagnosis) => self.tell(c::ACCEPTED, Truth::False, diagnosis),
            None => self.holds(c::ACCEPTED, "The spec makes sense as a whole."),
        }
        for (kind, told) in [
            (c::RESOLVED_REFS, "Everything that the spec names was found."),
            (c::CREDENTIALS_READY, "The credentials were read."),
        ] {
            match refused {
                None if kind == c::CREDENTIALS_READY && same && self.tells_of_a_token() => {}
                None => self.holds(kind, told),
                Some(refused) if refused.condition() == kind && refused.class != Class::Transient => {
                    self.tell(kind, Truth::False, refused);
                }
                Some(refused) if unresolves(refused) && kind == c::RESOLVED_REFS => self.holds(kind, told),
                Some(refused) if unresolves(refused) => {
                    let told = format!("Not reached; see {}.", refused.condition());
                    self.set(kind, Truth::Unknown, refused.reason.as_str(), &told);
                }
                Some(refused) if refused.condition() == c::ACCEPTED => self.tell(c::ACCEPTED, Truth::False, refused),
                Some(unread) if self.get(kind).is_none() => self.tell(kind, Truth::Unknown, unread),
                Some(_) => {}
            }
        }
    }

    /// Whether `CredentialsReady` says what came of asking for an access token: reading Secrets tells less.
    #[must_use]
    pub fn tells_of_a_token(&self) -> bool {
        let reasons = [
            Reason::TokenAcquired,
            Reason::OAuthTokenFailed,
            Reason::ClientSecretExpired,
            Reason::RefreshTokenExpired,
            Reason::ConsentRequired,
            Reason::DeviceCodePending,
            Reason::DeviceCodeExpired,
            Reason::DeviceCodeBlocked,
        ];
        self.get(c::CREDENTIALS_READY).is_some_and(|known| reasons.iter().any(|reason| reason.as_str() == known.reason))
    }

    /// What came of asking for an access token: it was had from `provider`, or it was not.
    pub fn token(&mut self, provider: Option<&str>, failure: Option<&Diagnosis>) {
        match (failure.filter(|failure| failure.condition() == c::CREDENTIALS_READY), provider) {
            (Some(failure), _) => self.tell(c::CREDENTIALS_READY, Truth::False, failure),
            (None, Some(provider)) => {
                let told = format!("An access token was had from {provider}.");
                self.set(c::CREDENTIALS_READY, Truth::True, Reason::TokenAcquired.as_str(), &told);
            }
            (None, None) => {}
        }
    }

    /// Says whether nothing goes out. While that is so, nobody waits for Ready: kstatus would, for ever.
    pub fn halted(&mut self, halt: Option<&Halt>) {
        let Some(halt) = halt else { return self.drop(c::SUSPENDED) };
        self.tell(c::SUSPENDED, Truth::True, &halt.diagnosis);
        for kind in [c::READY, c::RECONCILING, c::STALLED] {
            self.drop(kind);
        }
    }

    /// kstatus's two conditions, which follow from Ready: never both, as it takes the first in the list. `before` is Ready's
    /// status and reason before it was made anew, `class` that of a failure that was told now.
    pub fn kstatus(&mut self, before: Option<(String, String)>, class: Option<Class>, pending: bool) {
        let Some(ready) = self.get(c::READY).cloned() else { return };
        let was_stalled = self.is(c::STALLED, Truth::True);
        // Where nothing new was found, what the last finding was classed as still holds: a 4xx may have made it transient.
        let class = class.unwrap_or_else(|| match before {
            Some((status, reason)) if (&status, &reason) == (&ready.status, &ready.reason) => {
                if was_stalled {
                    Class::User
                } else {
                    Class::Transient
                }
            }
            _ => Reason::ALL.iter().find(|known| known.as_str() == ready.reason).map_or(Class::Transient, |known| known.class()),
        });
        if pending {
            self.drop(c::STALLED);
            let diagnosis = Diagnosis::new(Reason::NewGeneration).fact("generation", self.generation.to_string());
            self.set(c::RECONCILING, Truth::True, diagnosis.reason.as_str(), &diagnosis.hint());
            return;
        }
        self.drop(c::RECONCILING);
        if ready.status == "False" && class == Class::User {
            self.set(c::STALLED, Truth::True, ready.reason, &ready.message);
        } else {
            self.drop(c::STALLED);
        }
    }

    /// The list, in its fixed order.
    #[must_use]
    pub fn finish(mut self) -> Vec<Condition> {
        let place = |condition: &Condition| ORDER.iter().position(|kind| *kind == condition.type_).unwrap_or(ORDER.len());
        self.list.sort_by_key(place);
        self.list
    }
}

/// Whether a refusal means that what is named could not be had: then nothing that was proved with it is known any more.
#[must_use]
pub fn unresolves(refusal: &Diagnosis) -> bool {
    refusal.class != Class::Transient && ![c::ACCEPTED, c::READY].contains(&refusal.condition())
}

/// What was said, and what to do: `message. hint`.
#[must_use]
pub fn sentence(diagnosis: &Diagnosis) -> String {
    sentence_of(&diagnosis.message(), &diagnosis.hint())
}

/// The same of a message and a hint.
#[must_use]
pub fn sentence_of(message: &str, hint: &str) -> String {
    let message = message.trim();
    if hint.is_empty() || message.contains(hint.trim_end_matches('.')) {
        return closed(message);
    }
    if hint.starts_with(message) {
        return hint.to_owned();
    }
    // The hint is what a user acts on: a long message gives way to it.
    let room = MESSAGE.saturating_sub(hint.len() + 2).max(MESSAGE / 2);
    format!("{} {hint}", closed(cut(message, room)))
}

/// Ends in a full stop, if it does not end in something of that kind already.
fn closed(text: &str) -> String {
    let text = text.trim_end_matches([' ', ',', ';', ':']);
    if text.ends_with(['.', '!', '?']) || text.is_empty() { text.to_owned() } else { format!("{text}.") }
}

/// The longest beginning that takes at most `most` bytes as JSON, without its quotes: so it is bounded in characters, and
/// in what a status may weigh.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    let mut weight = 0;
    let end = text.char_indices().find(|(_, c)| {
        weight += match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        weight > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_value_does() {
        let mut conditions = Conditions::new(&[], 1, at(10));
        conditions.set(c::READY, Truth::False, "ConnectionRefused", "x");
        let mut conditions = Conditions::new(&conditions.finish(), 2, at(20));
        conditions.set(c::READY, Truth::False, "DNSLookupFailed", "y");
        let list = conditions.finish();
        assert_eq!((list[0].last_transition_time.0, list[0].reason.as_str()), (at(10), "DNSLookupFailed"));
        assert_eq!(list[0].observed_generation, Some(2));
        let mut conditions = Conditions::new(&list, 2, at(30));
        conditions.holds(c::READY, "");
        assert_eq!(conditions.finish()[0].last_transition_time.0, at(30));
    }

    #[test]
    fn a_message_is_followed_by_its_hint_with_tidy_punctuation() {
        for (diagnosis, told) in [
            (
                Diagnosis::new(Reason::AuthenticationFailed).words("535 5.7.8 no.").fact("secret", "mail/relay"),
                "535 5.7.8 no. Check Secret mail/relay.",
            ),
            (
                Diagnosis::new(Reason::AuthenticationRequired).words("530 5.7.0 first:"),
                "530 5.7.0 first. The server demands AUTH; set auth.",
            ),
            (
                Diagnosis::new(Reason::RecipientRejected)
                    .fact("to", "a@b.test")
                    .words("The server refuses a@b.test; check the address."),
                "The server refuses a@b.test; check the address.",
            ),
            (
                Diagnosis::new(Reason::SpecInvalid).detail("x is y").fact("fault", "x is y"),
                "x is y. `mailverity check -f` shows the line.",
            ),
            (Diagnosis::new(Reason::Succeeded), "It works."),
        ] {
            assert_eq!(sentence(&diagnosis), told);
        }
    }

    #[test]
    fn a_long_message_gives_way_to_the_hint() {
        let diagnosis = Diagnosis::new(Reason::AuthenticationRequired).detail("é".repeat(2000));
        let told = sentence(&diagnosis);
        assert!(told.len() <= MESSAGE && told.ends_with("set auth."), "{}", told.len());
    }

    #[test]
    fn conditions_stand_in_one_order() {
        let mut conditions = Conditions::new(&[], 1, at(10));
        for kind in ORDER.iter().rev() {
            conditions.holds(kind, "");
        }
        assert_eq!(conditions.finish().iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ORDER);
    }
}
