//! What a mail is to those who wait: pure.

use std::collections::HashSet;

use jiff::Timestamp;
use mail_parser::MessageParser;
use uuid::Uuid;

use super::{Awaited, Tells};
use crate::{
    api::Reason,
    mail::{bounce::announces_report, letter::Letter, mailbox::HEADER},
    verify::round_trip::matching,
};

/// The fields that have the address to which a mail came.
const TO: [&str; 3] = ["Delivered-To", "X-Original-To", "To"];

/// A mail that was read, and the probes that it may be about.
pub(super) struct Read {
    letter: Letter,
    ids: Vec<Uuid>,
}

impl Read {
    pub(super) fn new(mail: &[u8]) -> Self {
        let letter = Letter::read(mail);
        let ids = matching::ids(&letter, tag(mail).as_deref());
        Self { letter, ids }
    }

    /// When it came, as its own server says.
    pub(super) fn arrived(&self) -> Option<Timestamp> {
        self.letter.header.arrived
    }
}

/// What a mail is to something that is waited for.
pub(super) struct Verdict {
    /// None where nobody needs to know.
    pub(super) tells: Option<Tells>,
    /// Whether it is ours to remove (promise 11).
    pub(super) is_ours: bool,
    /// Anybody may have sent it.
    pub(super) is_strange: bool,
}

/// Whether a mail with this header may be about one of these probes, or is a report: on which mail, its text tells.
pub(super) fn concerns(header: &[u8], probes: &HashSet<Uuid>) -> bool {
    announces_report(header) || (!probes.is_empty() && Read::new(header).ids.iter().any(|id| probes.contains(id)))
}

/// None where it is about something else.
pub(super) fn judge(awaited: &Awaited, read: &Read, junk: Option<&str>) -> Option<Verdict> {
    let Read { letter, ids } = read;
    match awaited {
        Awaited::Reports(sent) => {
            let bounce = letter.bounce.as_ref()?;
            let about = bounce.is_about(sent.envelope_id.as_deref(), sent.message_id.as_deref());
            about.then(|| {
                let bounce = bounce.clone().without(&sent.code.to_string());
                Verdict { tells: Some(Tells::Report(sent.clone(), bounce)), is_ours: true, is_strange: false }
            })
        }
        Awaited::Answer(expectation) => {
            let id = expectation.id;
            if !ids.contains(&id) {
                return None;
            }
            let mut answer = expectation.judge(letter);
            let is_strange = answer.as_ref().and_then(|answer| answer.failure.as_ref()).is_some_and(is_mismatch);
            // Who only quotes a probe's id in what looks like a report has not received it.
            let is_ours = if letter.bounce.is_some() { reports_on(letter, id) } else { !is_strange };
            if let (Some(answer), Some(folder)) = (&mut answer, junk) {
                answer.failure = answer.failure.take().map(|failure| failure.fact("folder", folder));
            }
            Some(Verdict { tells: answer.map(|answer| Tells::Answer(id, answer)), is_ours, is_strange })
        }
    }
}

fn is_mismatch(failure: &crate::mail::Diagnosis) -> bool {
    failure.reason == Reason::ReplyFromMismatch
}

/// Whether the report itself names the probe, by its ENVID or its Message-ID.
fn reports_on(letter: &Letter, id: Uuid) -> bool {
    let report = Letter { bounce: letter.bounce.clone(), ..Letter::default() };
    matching::ids(&report, None).contains(&id)
}

/// What stands behind the + of an address that the mail came to, where that is an id.
fn tag(mail: &[u8]) -> Option<String> {
    let header = MessageParser::default().parse_headers(mail.get(..HEADER).unwrap_or(mail))?;
    TO.into_iter().flat_map(|name| header.header_values(name)).find_map(|value| {
        let single = value.as_text().map(str::to_owned);
        let listed = value.as_address().into_iter().flat_map(|list| list.iter().take(8));
        let addresses = listed.filter_map(|address| address.address().map(str::to_owned)).chain(single);
        addresses.into_iter().find_map(|address| {
            let (local, _) = address.trim().rsplit_once('@')?;
            let (_, tag) = local.rsplit_once('+')?;
            Uuid::try_parse(tag).ok().map(|_| tag.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7b4e1d3c-5a3c-8f10-9c1e-2b6f0a4d7e11";

    fn is_of_interest(header: &str) -> bool {
        concerns(header.as_bytes(), &HashSet::from([ID.parse().unwrap()]))
    }

    #[test]
    fn a_header_is_of_interest_by_whatever_names_the_probe() {
        let simple = ID.replace('-', "");
        for field in [
            format!("Subject: Re: round trip ({ID})"),
            format!("In-Reply-To: <{ID}@corp.example>"),
            format!("References: <a@b> <{ID}@corp.example>"),
            format!("Message-ID: <{ID}@corp.example>"),
            format!("To: Probe <probe+{simple}@corp.example>, x@y"),
            format!("Delivered-To: probe+{simple}@corp.example"),
            format!("X-Original-To: probe+{ID}@corp.example"),
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b".to_owned(),
        ] {
            assert!(is_of_interest(&format!("From: a@b\r\n{field}\r\n\r\n")), "{field}");
            assert!(!concerns(format!("{field}\r\n\r\n").as_bytes(), &HashSet::new()) || field.contains("report"), "{field}");
        }
        for field in ["Subject: hello", "To: probe+7@corp.example", &format!("X-Other: {ID}")] {
            assert!(!is_of_interest(&format!("From: a@b\r\n{field}\r\n\r\n")), "{field}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_too_broken(header: Vec<u8>) {
            let _ = concerns(&header, &HashSet::from([Uuid::nil()]));
        }
    }
}
