//! Mail providers over IMAP: how they are recognised, and what their own refusals mean. One row a refusal, with its source.

use Provider::{Fastmail, Google, ICloud, Microsoft365, Yahoo, Zoho};

use crate::{
    api::Reason,
    mail::smtp::providers::{self, Provider},
};

/// Whose server it is: by its host name, else by its greeting.
#[must_use]
pub fn recognise(host: &str, greeting: &str) -> Option<Provider> {
    // Exchange greets alike in every cellar: "The Microsoft Exchange IMAP4 service is ready" names no provider.
    let by_greeting = || {
        let greeting = greeting.to_ascii_lowercase();
        let known = [("gimap ready", Google), ("imap4 ready from zoho", Zoho), ("yahoo", Yahoo)];
        known.into_iter().find(|(mark, _)| greeting.contains(mark)).map(|(_, provider)| provider)
    };
    providers::recognise(host, None).or_else(by_greeting)
}

/// One refusal of one provider.
#[derive(Debug)]
pub(super) struct Row {
    /// Whose it is.
    pub(super) provider: Provider,
    /// What must stand in it, all of it, in lower case.
    words: &'static [&'static str],
    /// What it means.
    pub(super) reason: Reason,
    /// Where the provider, or else those whom it happened to, tell it.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by a test that none is missing"))]
    source: &'static str,
}

/// The first row of this provider that fits; of all, where it is not known: the words are unmistakable.
pub(super) fn find(words: &str, provider: Option<Provider>) -> Option<&'static Row> {
    let whose = |row: &&Row| provider.is_none_or(|provider| provider == row.provider);
    ROWS.iter().filter(whose).find(|row| row.words.iter().all(|part| words.contains(part)))
}

const fn row(provider: Provider, words: &'static [&'static str], reason: Reason, source: &'static str) -> Row {
    Row { provider, words, reason, source }
}

const GMAIL: &str = "https://support.google.com/mail/answer/7126229";
const GMAIL_PASSWORDS: &str = "https://support.google.com/mail/answer/185833";
const BASIC: &str = "https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/deprecation-of-basic-authentication-exchange-online";
const EXCHANGE: &str =
    "https://learn.microsoft.com/en-us/exchange/troubleshoot/email-delivery/pop3-imap-owa-activesync-office-365";
const YAHOO: &str = "https://help.yahoo.com/kb/SLN15241.html";
const ICLOUD: &str = "https://support.apple.com/en-us/102525";
const ZOHO: &str = "https://www.zoho.com/mail/help/imap-access.html";
const FASTMAIL: &str = "https://www.fastmail.help/hc/en-us/articles/360058752854";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Google, &["application-specific password required"], Reason::AppPasswordRequired, GMAIL_PASSWORDS),
    row(Google, &["web browser"], Reason::AppPasswordRequired, GMAIL_PASSWORDS),
    row(Google, &["web login required"], Reason::AppPasswordRequired, GMAIL_PASSWORDS),
    row(Google, &["not enabled for imap"], Reason::MailboxAccessDenied, GMAIL),
    row(Google, &["imap access is disabled"], Reason::MailboxAccessDenied, GMAIL),
    row(Google, &["domain policy"], Reason::MailboxAccessDenied, GMAIL),
    row(Google, &["too many simultaneous connections"], Reason::RateLimited, GMAIL),
    row(Google, &["exceeded", "bandwidth"], Reason::RateLimited, "https://support.google.com/a/answer/1071518"),
    row(Google, &["invalid credentials (failure)"], Reason::AuthenticationFailed, GMAIL),
    row(Microsoft365, &["basicauthblocked"], Reason::BasicAuthDisabled, BASIC),
    row(Microsoft365, &["basic authentication is disabled"], Reason::BasicAuthDisabled, BASIC),
    row(Microsoft365, &["authenticated but not connected"], Reason::MailboxAccessDenied, EXCHANGE),
    row(Microsoft365, &["request is throttled"], Reason::RateLimited, EXCHANGE),
    row(Yahoo, &["app password"], Reason::AppPasswordRequired, YAHOO),
    row(Yahoo, &["application password"], Reason::AppPasswordRequired, YAHOO),
    row(ICloud, &["app-specific password"], Reason::AppPasswordRequired, ICLOUD),
    row(Zoho, &["not imap enabled"], Reason::MailboxAccessDenied, ZOHO),
    row(Zoho, &["enable imap"], Reason::MailboxAccessDenied, ZOHO),
    row(Zoho, &["application-specific password"], Reason::AppPasswordRequired, ZOHO),
    row(Zoho, &["application specific password"], Reason::AppPasswordRequired, ZOHO),
    row(Fastmail, &["app password"], Reason::AppPasswordRequired, FASTMAIL),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_source_and_words_in_lower_case() {
        for row in ROWS {
            assert!(row.source.starts_with("https://") && !row.words.is_empty(), "{row:?}");
            assert!(row.words.iter().all(|words| words.len() > 3 && *words == words.to_ascii_lowercase()), "{row:?}");
        }
    }

    #[test]
    fn a_provider_is_known_by_its_host_else_by_its_greeting() {
        assert_eq!(recognise("imap.gmail.com", ""), Some(Google));
        assert_eq!(recognise("outlook.office365.com", "* OK"), Some(Microsoft365));
        assert_eq!(recognise("mail.example.org", "Gimap ready for requests from 192.0.2.1"), Some(Google));
        assert_eq!(recognise("mail.example.org", "The Microsoft Exchange IMAP4 service is ready."), None);
    }
}
