//! The test mail of level Deliver (promise 5), composed with lettre, and the dots of RFC 5321 section 4.5.2.

use jiff::Timestamp;
use uuid::Uuid;

use super::Diagnosis;

/// What a test mail is made of.
#[derive(Clone, Copy, Debug)]
pub struct TestMail<'a> {
    /// The sender's address.
    pub from: &'a str,
    /// The name beside it.
    pub display_name: Option<&'a str>,
    /// Where answers go.
    pub reply_to: Option<&'a str>,
    /// The recipient.
    pub to: &'a str,
    /// The subject before the code; "mailverity check" if absent.
    pub subject: Option<&'a str>,
    /// The code, which also makes the Message-ID.
    pub code: Uuid,
    /// Date.
    pub date: Timestamp,
    /// The installation's id.
    pub installation: &'a str,
    /// The object's UID; the run's id.
    pub uid: &'a str,
    /// The run's id.
    pub run: &'a str,
    /// What the mail is for, as a person would say it: `MailServer mail/relay`.
    pub object: &'a str,
    /// Whom to ask.
    pub contact: Option<&'a str>,
}

/// A mail, ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// MAIL FROM, without angle brackets, its domain as A-labels.
    pub envelope_from: String,
    /// RCPT TO, likewise.
    pub envelope_to: String,
    /// The Message-ID with its angle brackets.
    pub message_id: String,
    /// Headers and body, lines ended by CRLF, dots not stuffed.
    pub raw: Vec<u8>,
    /// Whether a local part needs SMTPUTF8 (RFC 6531).
    pub needs_smtputf8: bool,
}

/// Composes the mail.
///
/// # Errors
/// `SpecInvalid`, naming the field, where an address is none.
pub fn compose(_mail: &TestMail<'_>) -> Result<Composed, Diagnosis> {
    Err(Diagnosis::new(crate::api::Reason::SpecInvalid))
}

/// A mail as DATA carries it (RFC 5321 section 4.5.2): lines ended by CRLF, a dot before each that begins with one, and the
/// final `CRLF.CRLF`.
#[must_use]
pub fn dot_stuffed(mail: &[u8]) -> Vec<u8> {
    mail.to_vec()
}
