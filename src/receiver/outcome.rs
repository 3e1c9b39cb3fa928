//! What became of what came in, as metrics count it.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What became of a mail, a recipient or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A consumer took the mail.
    Taken,
    /// Nobody wanted the mail; it was for the notify address alone, and is gone without a trace.
    Unclaimed,
    /// Nobody wanted the mail, and it was not for the notify address alone: refused.
    Unwanted,
    /// A consumer could not take the mail now, or took too long: the client comes again.
    Later,
    /// The mail was larger than allowed.
    TooLarge,
    /// Too many mails were on their way in: the client comes again.
    NoRoom,
    /// The mail held a bare CR or LF, or a NUL: refused, and the connection closed.
    Malformed,
    /// The client left, or was too slow, before the mail was whole.
    Cut,
    /// A recipient's domain is none of ours.
    RelayDenied,
    /// A recipient in one of our domains is nobody that we know.
    UnknownRecipient,
    /// A connection or a recipient was refused by the client's address.
    SourceDenied,
    /// A connection was turned away, as there were too many.
    Busy,
    /// A connection was cut for too many commands or refusals, or for what is no SMTP.
    Abuse,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Taken,
        Self::Unclaimed,
        Self::Unwanted,
        Self::Later,
        Self::TooLarge,
        Self::NoRoom,
        Self::Malformed,
        Self::Cut,
        Self::RelayDenied,
        Self::UnknownRecipient,
        Self::SourceDenied,
        Self::Busy,
        Self::Abuse,
    ];

    /// The value of the label `outcome`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unclaimed => "unclaimed",
            Self::Unwanted => "unwanted",
            Self::Later => "later",
            Self::TooLarge => "too_large",
            Self::NoRoom => "no_room",
            Self::Malformed => "malformed",
            Self::Cut => "cut",
            Self::RelayDenied => "relay_denied",
            Self::UnknownRecipient => "unknown_recipient",
            Self::SourceDenied => "source_denied",
            Self::Busy => "busy",
            Self::Abuse => "abuse",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// The counters of a receiver. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Counters([Counter; Outcome::ALL.len()], Family<Labels, Counter>);

impl Default for Counters {
    fn default() -> Self {
        let family = Family::<Labels, Counter>::default();
        // Made at once: a rate needs a zero to begin with.
        Self(Outcome::ALL.map(|outcome| family.get_or_create_owned(&Labels { outcome: outcome.as_str() })), family)
    }
}

impl Counters {
    /// Adds `received_total{outcome}` to a registry, whose prefix is `mailverity`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("received", "Mails, recipients and connections by what became of them", self.1.clone());
    }

    /// How often this happened.
    #[must_use]
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].get()
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_series_from_the_begin() {
        let (counters, mut registry) = (Counters::default(), Registry::default());
        counters.register(registry.sub_registry_with_prefix("mailverity"));
        counters.clone().count(Outcome::Taken);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("mailverity_received_total{outcome=\"taken\"} 1"), "{text}");
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            assert!(text.contains(&format!("outcome=\"{}\"", outcome.as_str())), "{text}");
        }
        assert_eq!((counters.get(Outcome::Taken), counters.get(Outcome::Busy)), (1, 0));
    }
}
