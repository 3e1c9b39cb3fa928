//! A mailbox, whatever the protocol: note what is there, look for our mails among what came since, remove them, leave.
//!
//! A mail is ours by the code in its subject and the header of its run. Both are matched here, on decoded headers: a
//! server's own search matches words, indexes late, and cannot see through a gateway that wrote a subject anew.

use futures::future::BoxFuture;
use mail_parser::{HeaderName, Message, MessageParser};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::Diagnosis;

/// The header of every mail that we send: installation, object and run (promise 5).
pub const RUN: &str = "X-Mailverity-Run";
/// The most reports on deliveries of one look that are read.
pub const REPORTS: usize = 10;
/// The most octets of a mail's header that are read.
pub const HEADER: usize = 64 * 1024;

/// What a mailbox held before a mail was sent (promise 10). Only the protocol that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// IMAP: UIDVALIDITY and UIDNEXT (RFC 9051 section 2.3.1.1).
    Imap {
        /// While it stays, so do the numbers of messages.
        validity: u32,
        /// No message that is there has this number or a higher one.
        next: u32,
    },
    /// POP3: STAT (RFC 1939 section 5).
    Pop3 {
        /// The messages that are there.
        messages: u32,
    },
    /// Microsoft Graph and the Gmail API, which know a mail by when it came.
    Time {
        /// The time, in seconds since 1970.
        at: i64,
    },
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Imap { validity, next } => write!(f, "IMAP/{validity}/{next}"),
            Self::Pop3 { messages } => write!(f, "POP3/{messages}"),
            Self::Time { at } => write!(f, "Time/{at}"),
        }
    }
}

impl std::str::FromStr for Mark {
    type Err = ();

    fn from_str(written: &str) -> Result<Self, ()> {
        let mut parts = written.split('/');
        let mark = parts.next();
        let mut part = || parts.next().ok_or(());
        let number = |part: &str| part.parse().map_err(drop);
        match mark {
            Some("IMAP") => Ok(Self::Imap { validity: number(part()?)?, next: number(part()?)? }),
            Some("POP3") => Ok(Self::Pop3 { messages: number(part()?)? }),
            Some("Time") => Ok(Self::Time { at: part()?.parse().map_err(drop)? }),
            _ => Err(()),
        }
    }
}

/// Where in a mailbox a message stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The folder's name as the server lists it; empty over POP3, which has one.
    pub folder: String,
    /// IMAP's UIDVALIDITY of the folder; 0 over other protocols.
    pub validity: u32,
    /// IMAP's UID; over POP3 the message's number in this session; 0 where the message has an id.
    pub number: u32,
    /// Microsoft Graph's and Gmail's id of the message; empty over other protocols.
    pub id: String,
    /// Whether the folder is for junk.
    pub junk: bool,
}

/// A mail of ours that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The code in its subject.
    pub code: Uuid,
    /// Its header `X-Mailverity-Run`: absent where a gateway took it away, or a person sent the mail (mode Manual).
    pub run: Option<String>,
    /// What the receiving servers wrote of SPF, DKIM and DMARC (RFC 8601), the topmost first.
    pub authentication_results: Vec<String>,
    /// Where it is.
    pub place: Place,
}

/// What becomes of our mails once they are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// They are removed, and nothing else is (promise 11).
    Delete,
    /// They are marked as read.
    MarkSeen,
    /// They stay.
    Keep,
}

/// What a mailbox shows of itself to whoever may open it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The folder's name.
    pub name: String,
    /// The messages in it.
    pub messages: u32,
    /// The folders for junk that the server tells of; none over POP3, which cannot see them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub junk: Vec<String>,
}

impl Shown {
    /// `1 message`, `7 messages`.
    #[must_use]
    pub fn count(&self) -> String {
        format!("{} {}", self.messages, if self.messages == 1 { "message" } else { "messages" })
    }
}

/// The codes that the run of this id had; none where its mails must stay.
pub type CodesOf<'a> = &'a (dyn Fn(&str) -> Vec<Uuid> + Send + Sync);

/// Which mails of earlier runs are ours (promise 11): those with a header that begins so, and a code of the run that it names.
pub struct Earlier<'a> {
    /// `installation/object/`, with which the header [`RUN`] begins.
    pub prefix: &'a str,
    /// The codes of these runs.
    pub codes: CodesOf<'a>,
}

impl Earlier<'_> {
    /// The mail with this header, if it is one of theirs.
    #[must_use]
    pub fn recognise(&self, header: &[u8], place: Place) -> Option<Sighting> {
        let header = MessageParser::default().parse_headers(header)?;
        let run = run_of(&header)?;
        let codes = (self.codes)(run.strip_prefix(self.prefix).filter(|id| !id.is_empty())?);
        sighting(&header, &codes, place)
    }
}

/// Whether a mail with this header, or this start of one, is of interest.
pub type Concerns<'a> = &'a (dyn Fn(&[u8]) -> bool + Send + Sync);

/// What came into a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// Where the mails of interest stand, in the order in which they came.
    pub places: Vec<Place>,
    /// From where the next look goes on.
    pub mark: Mark,
}

/// A mailbox that is open. Every failure names its stage.
pub trait Mailbox: Send {
    /// What the mailbox shows of itself.
    fn shown(&self) -> &Shown;

    /// Notes what is there now.
    fn note(&mut self) -> BoxFuture<'_, Result<Mark, Diagnosis>>;

    /// The mails with one of these codes that came since; all that are there, if the mark does not hold any more.
    fn look<'a>(&'a mut self, since: &'a Mark, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>>;

    /// The mails of interest that came since, by their headers; of those that are there, if the mark does not hold any more. Of
    /// very many the newest few hundred are looked at.
    fn arrivals<'a>(&'a mut self, since: &'a Mark, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Arrivals, Diagnosis>>;

    /// The same in the folders for junk, of what is newest there.
    fn arrivals_in_junk<'a>(&'a mut self, concerns: Concerns<'a>) -> BoxFuture<'a, Result<Vec<Place>, Diagnosis>>;

    /// As [`Mailbox::look`] in the folders for junk, of what is newest there.
    fn look_in_junk<'a>(&'a mut self, codes: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>>;

    /// Does this with these mails, and with no other, and says with how many it was done.
    fn clean_up<'a>(&'a mut self, ours: &'a [Sighting], how: Cleanup) -> BoxFuture<'a, Result<usize, Diagnosis>>;

    /// The mails of earlier runs, at most so many, the oldest first where that is known. None where the server cannot search
    /// for them: a sweep is a courtesy.
    fn earlier<'a>(&'a mut self, runs: &'a Earlier<'a>, most: usize) -> BoxFuture<'a, Result<Vec<Sighting>, Diagnosis>>;

    /// Where reports on deliveries stand (RFC 3464), among the mails that looks have passed since this was asked last: the
    /// newest few.
    fn reports(&mut self) -> Vec<Place>;

    /// The start of a mail, at most [`MOST`](super::bounce::MOST) octets of it; none where it is gone.
    fn read<'a>(&'a mut self, place: &'a Place) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>>;

    /// Does this with one mail that was read in this session and found to be about ours.
    fn clear<'a>(&'a mut self, place: &'a Place, how: Cleanup) -> BoxFuture<'a, Result<(), Diagnosis>>;

    /// Whether the session stays open and shows what comes. If not, it shows what was there when it began, and looking again
    /// takes a new session.
    fn stays(&self) -> bool;

    /// Waits until there is reason to look again, or until then, or until it is woken; whether there is reason. Where a server
    /// tells nothing by itself, that it is time is a reason. A second of the deadline is left for what follows.
    fn wait<'a>(&'a mut self, until: Instant, woken: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<bool, Diagnosis>>;

    /// Something is expected from now on: what comes next is looked at at once, however much came before.
    fn hurry(&mut self);

    /// Moves the moment after which nothing is said or heard.
    fn set_deadline(&mut self, deadline: Instant);

    /// Leaves in order. What the server says to that does not matter.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The mail with this header, if its subject has one of the codes in parentheses.
#[must_use]
pub fn recognise(header: &[u8], codes: &[Uuid], place: Place) -> Option<Sighting> {
    sighting(&MessageParser::default().parse_headers(header)?, codes, place)
}

fn sighting(header: &Message<'_>, codes: &[Uuid], place: Place) -> Option<Sighting> {
    let code = code_in(header.subject()?, codes)?;
    let results = header.header_values(HeaderName::AuthenticationResults);
    let authentication_results = results.filter_map(|value| value.as_text()).map(str::to_owned).collect();
    Some(Sighting { code, run: run_of(header), authentication_results, place })
}

fn run_of(header: &Message<'_>) -> Option<String> {
    let mut values = header.header_values(HeaderName::Other(RUN.into()));
    values.find_map(|value| value.as_text()).map(|run| run.trim().to_owned())
}

/// The one of the codes that stands in parentheses in a subject, in any case, whatever stands around it.
fn code_in(subject: &str, codes: &[Uuid]) -> Option<Uuid> {
    let inside = subject.split('(').skip(1).filter_map(|part| part.split_once(')'));
    // A gateway that folds a subject may put a space into it.
    let words = inside.map(|(word, _)| word.split_whitespace().collect::<String>());
    words.filter_map(|word| Uuid::try_parse(&word).ok()).find(|code| codes.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "0190a7d2-5a3c-8f10-9c1e-2b6f0a4d7e11";

    fn place() -> Place {
        Place { folder: "INBOX".to_owned(), validity: 1, number: 7, id: String::new(), junk: false }
    }

    fn found(header: &str) -> Option<Sighting> {
        recognise(header.as_bytes(), &[CODE.parse().unwrap()], place())
    }

    #[test]
    fn our_mail_is_recognised_whatever_a_gateway_makes_of_its_subject() {
        let encoded = "=?utf-8?B?W0VYVEVSTkFMXSBtYWlsdmVyaXR5IGNoZWNrICgwMTkwYTdkMi01YTNjLThmMTAtOWMxZS0yYjZmMGE0ZDdlMTEp?=";
        for subject in [
            format!("mailverity check ({CODE})"),
            format!("[EXTERNAL] Re: mailverity check ({}) [bulk]", CODE.to_uppercase()),
            format!("=?utf-8?Q?mailverity_check_=28{CODE}=29?="),
            format!("mailverity check\r\n ({CODE})"),
            format!("(a) (b ({CODE})"),
            encoded.to_owned(),
        ] {
            let sighting = found(&format!("Subject: {subject}\r\nX-Mailverity-Run: here/uid/1\r\n\r\n"));
            assert_eq!(sighting.unwrap_or_else(|| panic!("{subject}")).run.as_deref(), Some("here/uid/1"), "{subject}");
        }
    }

    #[test]
    fn other_mail_is_not_ours() {
        for header in [
            "Subject: mailverity check (0190a7d2-5a3c-8f10-9c1e-2b6f0a4d7e12)\r\n\r\n".to_owned(),
            format!("Subject: mailverity check {CODE}\r\n\r\n"),
            format!("X-Subject: ({CODE})\r\n\r\n"),
            format!("From: a@b\r\n\r\nSubject: ({CODE})\r\n"),
            format!("Subject: (({CODE}\r\n\r\n"),
            String::new(),
        ] {
            assert_eq!(found(&header), None, "{header:?}");
        }
    }

    #[test]
    fn what_servers_wrote_of_the_sender_is_kept_in_order() {
        let header = format!(
            "Authentication-Results: mx.example; spf=pass\r\nSubject: ({CODE})\r\n\
             Authentication-Results: other.example;\r\n dkim=fail\r\n\r\n"
        );
        let sighting = found(&header).unwrap();
        assert_eq!(sighting.run, None);
        assert_eq!(sighting.authentication_results.len(), 2, "{sighting:?}");
        assert!(sighting.authentication_results[0].contains("spf=pass"), "{sighting:?}");
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let marks =
            [Mark::Imap { validity: 17, next: 4_000_000_000 }, Mark::Pop3 { messages: 3 }, Mark::Time { at: 1_767_225_600 }];
        for mark in marks {
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
        for bad in ["", "IMAP", "IMAP/1", "POP3/x", "Time/", "Graph/1"] {
            assert_eq!(bad.parse::<Mark>(), Err(()), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_too_broken_to_be_looked_at(header: Vec<u8>) {
            let _ = recognise(&header, &[CODE.parse().unwrap()], place());
        }
    }
}
