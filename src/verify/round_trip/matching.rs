//! What a mail that came in is to a probe: the right answer, a wrong one, a report on its delivery, or nothing. Pure.
//!
//! Which probe it may be about is told by [`ids`]: the address that it came to, In-Reply-To and References are stronger hints than
//! a subject, which people and gateways rewrite.

use uuid::Uuid;

use crate::{
    api::{
        Reason,
        v1alpha1::{Expect, InFlight, RoundTripPolicySpec},
    },
    mail::{Diagnosis, bounce::Action, diagnosis::printable, letter::Letter},
};

/// The most probes that one mail is held to be about.
const IDS: usize = 16;
/// The most characters of what came that a message shows.
const EXCERPT: usize = 120;
/// The letters of a UUID as subjects have it.
const UUID: usize = 36;

/// What the answer to one probe has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The probe's id.
    pub id: Uuid,
    /// Whom the mail went to.
    to: String,
    /// The address in its From.
    from: String,
    body: String,
    expect: Expect,
    same_sender: bool,
    senders: Vec<String>,
    subject: bool,
    contains_body: bool,
}

/// What a mail is to a probe that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Why it is no right answer; none where it is.
    pub failure: Option<Diagnosis>,
    /// The From that it came with, where that should have been ours.
    pub rewritten_from: Option<String>,
}

impl Expectation {
    /// What is expected of the answer to the probe `id` of a policy, which was sent with this From.
    #[must_use]
    pub fn new(spec: &RoundTripPolicySpec, id: Uuid, from: &str) -> Self {
        let matching = spec.matching.clone().unwrap_or_default();
        Self {
            id,
            to: spec.to.clone(),
            from: from.to_owned(),
            body: folded(&spec.message.body),
            expect: spec.expect,
            same_sender: matching.same_sender.unwrap_or(spec.expect != Expect::Redirect),
            senders: matching.senders.unwrap_or_default(),
            subject: matching.contains_subject.unwrap_or(true),
            contains_body: matching.contains_body.unwrap_or(spec.expect != Expect::OutOfOffice),
        }
    }

    /// The same of a probe in flight; none where its id is none of ours.
    #[must_use]
    pub fn of(spec: &RoundTripPolicySpec, probe: &InFlight) -> Option<Self> {
        Some(Self::new(spec, probe.id.parse().ok()?, &probe.from))
    }

    /// What a mail is to this probe, which it is about; none where it tells nothing, as a report that the mail arrived.
    #[must_use]
    pub fn judge(&self, letter: &Letter) -> Option<Answer> {
        if let Some(bounce) = &letter.bounce {
            let told = bounce.action != Action::Delivered;
            return told.then(|| Answer { failure: Some(bounce.diagnosis()), rewritten_from: None });
        }
        let (sender, rewritten_from) = self.sender(letter);
        let failure = sender.err().or_else(|| self.subject(letter).err()).or_else(|| self.text(letter).err());
        Some(Answer { failure, rewritten_from })
    }

    /// Whether it comes from whom it has to; and what became of our From.
    fn sender(&self, letter: &Letter) -> (Result<(), Diagnosis>, Option<String>) {
        let from = &letter.header.from;
        let is = |known: &str| {
            from.iter().any(|address| match known.strip_prefix('@') {
                Some(domain) => address.rsplit_once('@').is_some_and(|(_, theirs)| same_domain(theirs, domain)),
                None => same_address(address, known),
            })
        };
        let listed = self.senders.iter().any(|known| is(known));
        let found = printable(&from.join(", "), EXCERPT);
        let mismatch = |wanted: &str| {
            let found = if found.is_empty() { "nobody" } else { found.as_str() };
            Diagnosis::new(Reason::ReplyFromMismatch)
                .detail(format!("an answer came from {found}"))
                .fact("found", found)
                .fact("wanted", wanted)
        };
        if self.expect == Expect::Redirect && !listed {
            if is(&self.from) {
                return (Ok(()), None);
            }
            // It has our Message-ID: it is our mail, whatever stands in its From now.
            let is_ours = letter.header.message_id.as_deref().and_then(id_of) == Some(self.id);
            if is_ours {
                return (Ok(()), Some(found));
            }
            if !self.same_sender {
                return (Err(mismatch(&self.from)), None);
            }
        }
        let wanted = listed || (self.same_sender && is(&self.to)) || (!self.same_sender && self.senders.is_empty());
        (if wanted { Ok(()) } else { Err(mismatch(&self.to)) }, None)
    }

    fn subject(&self, letter: &Letter) -> Result<(), Diagnosis> {
        let subject = letter.header.subject.as_deref().unwrap_or_default();
        if !self.subject || in_subject(subject).contains(&self.id) {
            return Ok(());
        }
        Err(Diagnosis::new(Reason::ReplySubjectMissing)
            .detail("the answer's subject lacks the probe's id")
            .fact("found", quoted(subject)))
    }

    fn text(&self, letter: &Letter) -> Result<(), Diagnosis> {
        if !self.contains_body || folded(&letter.text).contains(&self.body) {
            return Ok(());
        }
        Err(Diagnosis::new(Reason::ReplyBodyMissing)
            .detail("the answer lacks the probe's text")
            .fact("found", quoted(&letter.text)))
    }
}

/// Which probes a mail may be about, the strongest hint first. `tag`: what stood behind the + of the address that it came to.
#[must_use]
pub fn ids(letter: &Letter, tag: Option<&str>) -> Vec<Uuid> {
    let header = &letter.header;
    let mut all: Vec<Uuid> = Vec::new();
    let report = letter.bounce.iter().flat_map(|bounce| {
        bounce
            .envelope_id
            .iter()
            .filter_map(|id| Uuid::try_parse(id.trim()).ok())
            .chain(bounce.message_id.iter().filter_map(|id| id_of(id)))
    });
    let threads = header.in_reply_to.iter().chain(&header.references).chain(&header.message_id).filter_map(|id| id_of(id));
    let subject = header.subject.as_deref().map(in_subject).unwrap_or_default();
    for id in tag.and_then(|tag| Uuid::try_parse(tag).ok()).into_iter().chain(report).chain(threads).chain(subject) {
        if !all.contains(&id) && all.len() < IDS {
            all.push(id);
        }
    }
    all
}

/// The UUID that a Message-ID of ours begins with.
fn id_of(message_id: &str) -> Option<Uuid> {
    let (left, _) = message_id.trim().trim_start_matches('<').split_once('@')?;
    Uuid::try_parse(left).ok()
}

/// The UUIDs in a subject, wherever they stand: a gateway that folds it may put a space into one.
fn in_subject(subject: &str) -> Vec<Uuid> {
    let plain: String = subject.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = plain.as_bytes();
    let windows = bytes.windows(UUID).filter(|window| window[8] == b'-' && window[23] == b'-');
    windows.filter_map(|window| Uuid::try_parse_ascii(window).ok()).take(IDS).collect()
}

/// A text without what quoting and wrapping change: white space, and the marks at the beginnings of lines.
#[must_use]
pub fn folded(text: &str) -> String {
    let quoting = |c: char| c == '>' || c == '|' || c.is_whitespace();
    let visible = |c: &char| !c.is_whitespace() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}');
    text.lines().flat_map(|line| line.trim_start_matches(quoting).chars().filter(visible)).collect()
}

/// The beginning of what came, in quotation marks.
fn quoted(text: &str) -> String {
    let begin = printable(text, EXCERPT);
    if begin.is_empty() { "empty".to_owned() } else { format!("\"{begin}\"") }
}

/// Whether two addresses are one: domains in any case and form, local parts in any case, as no server in use tells them apart.
#[must_use]
pub fn same_address(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, domain)), Some((their_local, their_domain))) => {
            local.to_lowercase() == their_local.to_lowercase() && same_domain(domain, their_domain)
        }
        _ => false,
    }
}

/// Whether two domains are one, in whatever case and form.
#[must_use]
pub fn same_domain(one: &str, other: &str) -> bool {
    let form = |domain: &str| idna::domain_to_ascii(domain.trim_end_matches('.')).unwrap_or_else(|_| domain.to_ascii_lowercase());
    one.eq_ignore_ascii_case(other) || form(one) == form(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{ProbeMessage, ReplyMatch};

    const ID: &str = "7b4e1d3c-5a3c-8f10-9c1e-2b6f0a4d7e11";
    const BODY: &str = "mailverity round-trip probe - do not\nremove this line";

    fn uuid() -> Uuid {
        ID.parse().unwrap()
    }

    fn spec() -> RoundTripPolicySpec {
        RoundTripPolicySpec {
            to: "Echo@partner.example".to_owned(),
            message: ProbeMessage { subject: None, body: BODY.to_owned() },
            ..RoundTripPolicySpec::default()
        }
    }

    fn expects(spec: &RoundTripPolicySpec) -> Expectation {
        Expectation::new(spec, ID.parse().unwrap(), "probe@corp.example")
    }

    fn letter(from: &str, subject: &str, text: &str) -> Letter {
        Letter::read(format!("From: {from}\r\nSubject: {subject}\r\n\r\n{text}\r\n").as_bytes())
    }

    /// The reason that a mail gets; `right` where it is the answer.
    fn verdict(spec: &RoundTripPolicySpec, letter: &Letter) -> &'static str {
        let answer = expects(spec).judge(letter);
        answer.map_or("nothing", |answer| answer.failure.map_or("right", |failure| failure.reason.as_str()))
    }

    #[test]
    fn an_answer_that_quotes_the_mail_is_right_however_it_was_wrapped_and_marked() {
        for text in [
            BODY.to_owned(),
            "Thanks!\r\n> mailverity round-trip\r\n> probe - do not remove this line\r\n".to_owned(),
            ">> | mailverity  round-trip probe -\r\n>>do not remove\u{a0}this line".to_owned(),
        ] {
            let mail = letter("Echo <echo@PARTNER.example>", &format!("Re: AW: round trip ({ID})"), &text);
            assert_eq!(verdict(&spec(), &mail), "right", "{text}");
        }
        let html = format!(
            "From: echo@partner.example\r\nSubject: ({ID})\r\nContent-Type: text/html\r\n\r\n<blockquote>mailverity <b>round-trip</b> probe\
             - do not<br>remove this line</blockquote>"
        );
        assert_eq!(verdict(&spec(), &Letter::read(html.as_bytes())), "right");
    }

    #[test]
    fn a_wrong_answer_is_told_by_what_is_wrong_with_it_and_what_came() {
        let subject = format!("Re: ({ID})");
        for (mail, reason, words) in [
            (letter("other@partner.example", &subject, BODY), "ReplyFromMismatch", "from other@partner.example, not from Echo@"),
            (letter("", &subject, BODY), "ReplyFromMismatch", "from nobody"),
            (letter("echo@partner.example", "Thank you", BODY), "ReplySubjectMissing", "\"Thank you\""),
            (letter("echo@partner.example", "", BODY), "ReplySubjectMissing", "empty"),
            (letter("echo@partner.example", &subject, "We got your mail."), "ReplyBodyMissing", "\"We got your mail.\""),
        ] {
            let failure = expects(&spec()).judge(&mail).unwrap().failure.unwrap();
            assert_eq!(failure.reason.as_str(), reason);
            assert!(failure.hint().contains(words), "{}", failure.hint());
        }
    }

    #[test]
    fn what_match_says_counts_before_what_expect_says() {
        let matching = |matching: ReplyMatch| RoundTripPolicySpec { matching: Some(matching), ..spec() };
        let mail = letter("robot@helpdesk.example", "Ticket 7", "We got your mail.");
        let lax =
            ReplyMatch { same_sender: Some(false), contains_subject: Some(false), contains_body: Some(false), senders: None };
        assert_eq!(verdict(&matching(lax.clone()), &mail), "right");
        let listed = |senders: &[&str]| ReplyMatch {
            senders: Some(senders.iter().map(|one| (*one).to_owned()).collect()),
            same_sender: None,
            ..lax.clone()
        };
        assert_eq!(verdict(&matching(listed(&["@HelpDesk.example"])), &mail), "right");
        assert_eq!(verdict(&matching(listed(&["robot@other.example"])), &mail), "ReplyFromMismatch");
        assert_eq!(
            verdict(&matching(ReplyMatch { same_sender: Some(false), ..listed(&["@other.example"]) }), &mail),
            "ReplyFromMismatch"
        );
    }

    #[test]
    fn an_out_of_office_reply_needs_no_text_of_ours_and_our_own_mail_no_sender_of_theirs() {
        let away = RoundTripPolicySpec { expect: Expect::OutOfOffice, ..spec() };
        assert_eq!(verdict(&away, &letter("echo@partner.example", &format!("Auto: x ({ID})"), "I am away.")), "right");
        let redirect = RoundTripPolicySpec { expect: Expect::Redirect, ..spec() };
        let subject = format!("x ({ID})");
        assert_eq!(verdict(&redirect, &letter("probe@corp.example", &subject, BODY)), "right");
        assert_eq!(verdict(&redirect, &letter("echo@partner.example", &subject, BODY)), "ReplyFromMismatch");
        let rewritten =
            format!("From: account@gmail.example\r\nSubject: {subject}\r\nMessage-ID: <{ID}@corp.example>\r\n\r\n{BODY}\r\n");
        let answer = expects(&redirect).judge(&Letter::read(rewritten.as_bytes())).unwrap();
        assert_eq!((answer.failure, answer.rewritten_from.as_deref()), (None, Some("account@gmail.example")));
    }

    #[test]
    fn a_report_is_never_an_answer() {
        // promise 6
        let report = |action: &str| {
            Letter::read(
                format!(
                    "From: echo@partner.example\r\nSubject: ({ID})\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
                     --b\r\n\r\n{BODY}\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nOriginal-Envelope-Id: {ID}\r\n\r\n\
                     Final-Recipient: rfc822; echo@partner.example\r\nAction: {action}\r\nStatus: 5.1.1\r\n--b--\r\n"
                )
                .as_bytes(),
            )
        };
        assert_eq!(verdict(&spec(), &report("failed")), "MessageBounced");
        assert_eq!(verdict(&spec(), &report("delayed")), "MessageDelayed");
        assert_eq!(verdict(&spec(), &report("delivered")), "nothing");
        assert_eq!(ids(&report("failed"), None), [uuid()]);
    }

    #[test]
    fn the_probe_is_known_by_the_strongest_hint() {
        let of = |n: u8| Uuid::from_bytes([n; 16]);
        let mail = Letter::read(
            format!(
                "In-Reply-To: <{}@corp.example>\r\nReferences: <a@b> <{}@corp.example>\r\nSubject: Re: {} ({})\r\n\r\n",
                of(2),
                of(3),
                of(2),
                of(4),
            )
            .as_bytes(),
        );
        assert_eq!(ids(&mail, Some(&of(1).simple().to_string())), [of(1), of(2), of(3), of(4)]);
        assert_eq!(ids(&letter("a@b", "(7b4e1d3c-5a3c-8f10 -9c1e-2b6f0a4d7e11)", ""), Some("abc")), [uuid()]);
        assert!(ids(&Letter::default(), None).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_mail_is_too_broken_to_be_judged(mail: Vec<u8>, tag: Option<String>) {
            let letter = Letter::read(&mail);
            let _ = (ids(&letter, tag.as_deref()), expects(&spec()).judge(&letter));
        }

        #[test]
        fn no_subject_is_too_strange(subject: String) {
            let _ = in_subject(&subject);
        }
    }
}
