//! Mail providers: how they are recognised, and what their own refusals mean. One row a refusal, each with its source.
//!
//! Rows come before everything else, since providers give codes a meaning of their own: 5.7.30 is REQUIRETLS by the
//! registry, a failed DKIM at Google, and the end of passwords at Microsoft.

use Provider::{Fastmail, Google, ICloud, Mailgun, Microsoft365, SendGrid, Ses, Yahoo, Zoho};

use super::classify::Said;
use crate::api::Reason;

/// A provider whose refusals are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Microsoft 365, Exchange Online and Outlook.com.
    Microsoft365,
    /// Gmail and Google Workspace.
    Google,
    /// Amazon Simple Email Service.
    Ses,
    /// Twilio `SendGrid`.
    SendGrid,
    /// Mailgun.
    Mailgun,
    /// Fastmail.
    Fastmail,
    /// Yahoo Mail and AOL.
    Yahoo,
    /// Apple's iCloud Mail.
    ICloud,
    /// Zoho Mail.
    Zoho,
}

impl Provider {
    /// The name that people know.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Microsoft365 => "Microsoft 365",
            Google => "Google",
            Ses => "Amazon SES",
            SendGrid => "SendGrid",
            Mailgun => "Mailgun",
            Fastmail => "Fastmail",
            Yahoo => "Yahoo",
            ICloud => "iCloud",
            Zoho => "Zoho",
        }
    }

    /// Where an app password is made; none where there is no such thing.
    #[must_use]
    pub fn app_passwords(self) -> Option<&'static str> {
        match self {
            Microsoft365 => Some("https://mysignins.microsoft.com/security-info"),
            Google => Some("https://myaccount.google.com/apppasswords"),
            Fastmail => Some("https://app.fastmail.com/settings/security"),
            Yahoo => Some("https://login.yahoo.com/account/security"),
            ICloud => Some("https://account.apple.com/account/manage"),
            Zoho => Some("https://accounts.zoho.com/home#security/app_password"),
            Ses | SendGrid | Mailgun => None,
        }
    }
}

/// A provider, ends of its servers' names, and what only its banners say (in lower case).
const KNOWN: &[(Provider, &[&str], &[&str])] = &[
    (
        Microsoft365,
        &["office365.com", "outlook.com", "office365.us", "partner.outlook.cn", "hotmail.com"],
        &["outlook.com microsoft esmtp", "office365.com microsoft esmtp"],
    ),
    (Google, &["gmail.com", "google.com", "googlemail.com"], &["gsmtp"]),
    (Ses, &["amazonaws.com", "amazonaws.com.cn"], &["simpleemailservice"]),
    (SendGrid, &["sendgrid.net"], &["sg esmtp service"]),
    (Mailgun, &["mailgun.org", "mailgun.net"], &["mailgun"]),
    (Fastmail, &["fastmail.com", "messagingengine.com"], &["messagingengine.com"]),
    (Yahoo, &["yahoo.com", "yahoo.co.jp", "aol.com", "yahoodns.net"], &["yahoo.com esmtp", "mail.yahoo.com"]),
    (ICloud, &["mail.me.com", "icloud.com"], &["icloud.com"]),
    (Zoho, &["zoho.com", "zoho.eu", "zoho.in", "zoho.com.au", "zoho.jp", "zohomail.com", "zeptomail.com"], &["zoho"]),
];

/// Whose server it is: by its host name, else by its banner (the text behind 220).
#[must_use]
pub fn recognise(host: &str, banner: Option<&str>) -> Option<Provider> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let within = |domain: &&str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let by_host = KNOWN.iter().find(|(_, domains, _)| domains.iter().any(&within));
    let by_banner = || {
        let banner = banner?.to_ascii_lowercase();
        KNOWN.iter().find(|(_, _, marks)| marks.iter().any(|mark| banner.contains(mark)))
    };
    by_host.or_else(by_banner).map(|(provider, ..)| *provider)
}

/// Enhanced codes of one subject, of either class: `x.7.606` to `x.7.649`.
#[derive(Clone, Copy, Debug)]
struct Subjects {
    subject: u16,
    from: u16,
    to: u16,
}

/// One refusal of one provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Whose it is.
    pub(super) provider: Provider,
    /// The basic code; 0 for any.
    code: u16,
    /// The enhanced codes; none for any or no code.
    enhanced: Option<Subjects>,
    /// What must stand in it, all of it, in lower case.
    words: &'static [&'static str],
    /// What it means.
    pub(super) reason: Reason,
    /// Where the provider, or else those whom it happened to, tell it.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by a test that none is missing"))]
    source: &'static str,
}

impl Row {
    fn fits(&self, said: &Said<'_>, provider: Option<Provider>) -> bool {
        let whose = match provider {
            Some(provider) => provider == self.provider,
            // Behind a relay or another name: words tell, and so do codes that no registry has.
            None => !self.words.is_empty() || self.enhanced.is_some_and(|codes| codes.from > 40),
        };
        whose
            && (self.code == 0 || self.code == said.reply.code)
            && self.enhanced.is_none_or(|codes| {
                said.reply
                    .enhanced
                    .is_some_and(|code| code.subject == codes.subject && (codes.from..=codes.to).contains(&code.detail))
            })
            && said.says_all(self.words)
    }
}

/// The first row that fits. Only rows of that provider are asked, or, where it is not known, the unmistakable ones of all.
pub(super) fn find(said: &Said<'_>, provider: Option<Provider>) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.fits(said, provider))
}

const fn row(
    provider: Provider,
    code: u16,
    enhanced: Option<Subjects>,
    words: &'static [&'static str],
    reason: Reason,
    source: &'static str,
) -> Row {
    Row { provider, code, enhanced, words, reason, source }
}

const ANY: Option<Subjects> = None;

#[expect(clippy::unnecessary_wraps, reason = "stands beside ANY in the rows")]
const fn is(subject: u16, detail: u16) -> Option<Subjects> {
    Some(Subjects { subject, from: detail, to: detail })
}

#[expect(clippy::unnecessary_wraps, reason = "stands beside ANY in the rows")]
const fn between(subject: u16, from: u16, to: u16) -> Option<Subjects> {
    Some(Subjects { subject, from, to })
}

const M365_AUTH: &str =
    "https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission";
const M365_SUBMISSION: &str = "https://learn.microsoft.com/en-us/exchange/mail-flow-best-practices/fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off";
const M365_NDR: &str =
    "https://learn.microsoft.com/en-us/troubleshoot/exchange/email-delivery/ndr/non-delivery-reports-in-exchange-online";
const M365_RETIRED: &str = "https://techcommunity.microsoft.com/blog/exchange/exchange-online-to-retire-basic-auth-for-client-submission-smtp-auth/4114750";
const GOOGLE: &str = "https://support.google.com/a/answer/3726730";
const GOOGLE_RELAY: &str = "https://support.google.com/a/answer/6140680";
const SES: &str = "https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html";
const SES_QUOTA: &str = "https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html";
const SES_ERRORS: &str = "https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html";
const SENDGRID: &str = "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-errors-and-troubleshooting";
const MAILGUN_RECIPIENTS: &str = "https://help.mailgun.com/hc/en-us/articles/217531258-Authorized-Recipients";
const MAILGUN_RELAY: &str = "https://help.mailgun.com/hc/en-us/articles/360012360833";
const FASTMAIL_APP: &str = "https://www.fastmail.help/hc/en-us/articles/360058752854";
const FASTMAIL_FROM: &str = "https://github.com/mealie-recipes/mealie/issues/1887";
const YAHOO: &str = "https://help.yahoo.com/kb/SLN15241.html";
const ICLOUD: &str = "https://github.com/TryGhost/Ghost/issues/17012";
const ZOHO: &str = "https://www.zoho.com/mail/help/zoho-smtp.html";
const ZOHO_ZEPTO: &str = "https://www.zoho.com/zeptomail/help/api/smtp-error-codes.html";
const ZOHO_BLOCKED: &str =
    "https://help.zoho.com/portal/en/community/topic/unable-to-send-message-reason-550-5-4-6-unusual-sending-activity-detected";
const ZOHO_SENDER: &str = "https://help.zoho.com/portal/en/community/topic/issue-with-outgoing-mail";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Microsoft 365. 5.7.139 says both that passwords are off and that this one is wrong: the words decide.
    row(Microsoft365, 535, is(7, 139), &["credentials were incorrect"], Reason::AuthenticationFailed, M365_AUTH),
    row(Microsoft365, 0, ANY, &["smtpclientauthentication is disabled"], Reason::BasicAuthDisabled, M365_AUTH),
    row(Microsoft365, 0, ANY, &["basic authentication is disabled"], Reason::BasicAuthDisabled, M365_AUTH),
    row(Microsoft365, 0, ANY, &["basic authentication is not supported"], Reason::BasicAuthDisabled, M365_RETIRED),
    row(Microsoft365, 0, is(7, 139), &["disabled"], Reason::BasicAuthDisabled, M365_AUTH),
    row(Microsoft365, 0, is(7, 139), &["security defaults"], Reason::BasicAuthDisabled, M365_AUTH),
    row(Microsoft365, 0, is(7, 139), &["did not meet the criteria"], Reason::BasicAuthDisabled, M365_AUTH),
    row(Microsoft365, 0, is(7, 139), &[], Reason::AuthenticationFailed, M365_AUTH),
    row(Microsoft365, 550, is(7, 30), &[], Reason::BasicAuthDisabled, M365_RETIRED),
    row(Microsoft365, 535, is(7, 3), &[], Reason::AuthenticationFailed, M365_SUBMISSION),
    row(Microsoft365, 0, is(7, 57), &[], Reason::AuthenticationRequired, M365_SUBMISSION),
    row(Microsoft365, 0, ANY, &["client was not authenticated"], Reason::AuthenticationRequired, M365_SUBMISSION),
    row(Microsoft365, 0, ANY, &["sendasdenied"], Reason::SendAsDenied, M365_SUBMISSION),
    row(Microsoft365, 0, is(7, 60), &[], Reason::SendAsDenied, M365_SUBMISSION),
    row(Microsoft365, 0, is(2, 252), &[], Reason::SendAsDenied, M365_SUBMISSION),
    row(Microsoft365, 0, is(7, 64), &[], Reason::RelayDenied, M365_NDR),
    row(Microsoft365, 0, ANY, &["submissionquotaexceeded"], Reason::QuotaExceeded, M365_NDR),
    row(Microsoft365, 0, is(1, 90), &[], Reason::QuotaExceeded, M365_NDR),
    row(Microsoft365, 0, ANY, &["bad outbound sender"], Reason::SendingBlocked, M365_NDR),
    row(Microsoft365, 0, between(7, 501, 503), &[], Reason::SendingBlocked, M365_NDR),
    row(Microsoft365, 550, between(7, 700, 750), &[], Reason::SendingBlocked, M365_NDR),
    row(Microsoft365, 0, is(7, 509), &[], Reason::SenderAuthenticationFailed, M365_NDR),
    row(Microsoft365, 0, is(7, 515), &[], Reason::SenderAuthenticationFailed, M365_NDR),
    row(Microsoft365, 451, between(7, 500, 699), &[], Reason::RateLimited, M365_NDR),
    row(Microsoft365, 550, between(7, 606, 649), &[], Reason::ClientHostRejected, M365_NDR),
    row(Microsoft365, 0, ANY, &["banned sending ip"], Reason::ClientHostRejected, M365_NDR),
    row(Microsoft365, 432, is(3, 2), &["storedrv"], Reason::RateLimited, M365_NDR),

    // Google.
    row(Google, 534, is(7, 9), &["application-specific password"], Reason::AppPasswordRequired, GOOGLE),
    row(Google, 534, is(7, 9), &["log in with your web browser"], Reason::AuthenticationFailed, GOOGLE),
    row(Google, 534, is(7, 14), &[], Reason::AuthenticationFailed, GOOGLE),
    row(Google, 454, is(7, 0), &["too many login attempts"], Reason::RateLimited, GOOGLE),
    row(Google, 550, is(4, 5), &["sending"], Reason::QuotaExceeded, GOOGLE),
    row(Google, 550, is(7, 1), &["daily smtp relay"], Reason::QuotaExceeded, GOOGLE_RELAY),
    row(Google, 0, ANY, &["invalid credentials for relay"], Reason::RelayDenied, GOOGLE_RELAY),
    row(Google, 0, ANY, &["mail relay denied"], Reason::RelayDenied, GOOGLE_RELAY),
    row(Google, 421, is(7, 0), &["ip not in whitelist"], Reason::RelayDenied, GOOGLE),
    row(Google, 421, is(7, 0), &["tls required"], Reason::TLSRequired, GOOGLE),
    row(Google, 0, ANY, &["unusual rate of unsolicited mail"], Reason::RateLimited, GOOGLE),
    row(Google, 0, ANY, &["the ip you're using to send mail is not authorized"], Reason::ClientHostRejected, GOOGLE),
    row(Google, 0, ANY, &["does not meet ipv6 sending guidelines"], Reason::ClientHostRejected, GOOGLE),
    row(Google, 0, is(7, 29), &[], Reason::TLSRequired, GOOGLE),
    row(Google, 0, is(7, 27), &[], Reason::SenderAuthenticationFailed, GOOGLE),
    row(Google, 0, between(7, 30, 32), &[], Reason::SenderAuthenticationFailed, GOOGLE),
    row(Google, 0, is(7, 40), &[], Reason::SenderAuthenticationFailed, GOOGLE),
    row(Google, 552, is(7, 0), &[], Reason::MessageRejected, GOOGLE),

    // Amazon SES.
    row(Ses, 454, ANY, &["throttling failure", "daily message quota"], Reason::QuotaExceeded, SES_QUOTA),
    row(Ses, 454, ANY, &["throttling failure"], Reason::RateLimited, SES_QUOTA),
    row(Ses, 554, ANY, &["email address is not verified"], Reason::SenderRejected, SES_ERRORS),
    row(Ses, 554, ANY, &["is not authorized to perform", "ses:"], Reason::SendAsDenied, SES),
    row(Ses, 554, ANY, &["sending suspended"], Reason::SendingBlocked, SES_ERRORS),
    row(Ses, 554, ANY, &["sending paused"], Reason::SendingBlocked, SES_ERRORS),

    // SendGrid.
    row(SendGrid, 0, ANY, &["does not match a verified sender identity"], Reason::SenderRejected, SENDGRID),
    row(SendGrid, 0, ANY, &["not authorized to send from that email address"], Reason::SenderRejected, SENDGRID),
    row(SendGrid, 0, ANY, &["maximum credits exceeded"], Reason::QuotaExceeded, SENDGRID),
    row(SendGrid, 550, ANY, &["unauthenticated senders not allowed"], Reason::AuthenticationRequired, SENDGRID),

    // Mailgun. A sandbox domain sends to authorized recipients alone; it is said with 421 too, where time is no help.
    row(Mailgun, 0, ANY, &["sandbox subdomains are for test purposes only"], Reason::RecipientRejected, MAILGUN_RECIPIENTS),
    row(Mailgun, 0, ANY, &["add the address to authorized recipients"], Reason::RecipientRejected, MAILGUN_RECIPIENTS),
    row(Mailgun, 0, ANY, &["is not allowed to send"], Reason::SendingBlocked, MAILGUN_RECIPIENTS),
    row(Mailgun, 550, ANY, &["relaying denied"], Reason::RelayDenied, MAILGUN_RELAY),

    // Fastmail takes app passwords alone, with or without two-step verification.
    row(Fastmail, 535, ANY, &[], Reason::AppPasswordRequired, FASTMAIL_APP),
    row(Fastmail, 551, is(7, 1), &["multiple addresses in a from header"], Reason::MessageRejected, FASTMAIL_FROM),
    row(Fastmail, 551, is(7, 1), &[], Reason::SendAsDenied, FASTMAIL_FROM),

    // Yahoo says this to the first login with the account's own password.
    row(Yahoo, 535, ANY, &["#auth005"], Reason::AppPasswordRequired, YAHOO),

    // iCloud.
    row(ICloud, 550, ANY, &["from address is not one of your addresses"], Reason::SendAsDenied, ICLOUD),

    // Zoho.
    row(Zoho, 0, ANY, &["relaying disallowed as"], Reason::SendAsDenied, ZOHO_ZEPTO),
    row(Zoho, 553, ANY, &["relaying disallowed"], Reason::SendAsDenied, ZOHO),
    row(Zoho, 0, ANY, &["unusual sending activity"], Reason::SendingBlocked, ZOHO_BLOCKED),
    row(Zoho, 554, is(1, 8), &["sender address blocked"], Reason::SendingBlocked, ZOHO_SENDER),
    row(Zoho, 552, is(7, 1), &[], Reason::MessageRejected, ZOHO_ZEPTO),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_recognised_by_host_or_banner() {
        let rows = [
            ("smtp.office365.com", None, Some(Microsoft365)),
            ("contoso-com.mail.protection.outlook.com", None, Some(Microsoft365)),
            ("SMTP.Gmail.com.", None, Some(Google)),
            ("aspmx.l.google.com", None, Some(Google)),
            ("email-smtp.eu-west-1.amazonaws.com", None, Some(Ses)),
            ("smtp.sendgrid.net", None, Some(SendGrid)),
            ("smtp.eu.mailgun.org", None, Some(Mailgun)),
            ("smtp.fastmail.com", None, Some(Fastmail)),
            ("smtp.mail.yahoo.com", None, Some(Yahoo)),
            ("smtp.mail.me.com", None, Some(ICloud)),
            ("smtppro.zoho.eu", None, Some(Zoho)),
            ("notgmail.com", None, None),
            ("gmail.com.evil.example", None, None),
            ("relay.example.org", Some("relay.example.org ESMTP Postfix"), None),
            ("relay.example.org", Some("mx.google.com ESMTP a1-2 - gsmtp"), Some(Google)),
            ("relay.example.org", Some("AM0PR01.outlook.com Microsoft ESMTP MAIL Service ready at"), Some(Microsoft365)),
            ("exchange.corp.example", Some("exchange.corp.example Microsoft ESMTP MAIL Service ready at"), None),
            ("relay.example.org", Some("email-smtp.amazonaws.com ESMTP SimpleEmailService-d-ABC"), Some(Ses)),
        ];
        for (host, banner, want) in rows {
            assert_eq!(recognise(host, banner), want, "{host} {banner:?}");
        }
    }

    #[test]
    fn every_row_has_a_source_and_words_that_can_match() {
        for row in ROWS {
            assert!(row.source.starts_with("https://"), "{row:?}");
            assert!(row.words.iter().all(|words| *words == words.to_ascii_lowercase()), "{row:?}");
            assert!(row.code != 0 || row.enhanced.is_some() || !row.words.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn a_row_of_one_provider_does_not_speak_for_another() {
        let reply = crate::mail::smtp::Reply::parse("550 5.7.30 no").unwrap();
        let words = reply.text();
        let said = Said { stage: crate::mail::Stage::Data, reply: &reply, words: &words };
        assert_eq!(find(&said, Some(Microsoft365)).map(|row| row.reason), Some(Reason::BasicAuthDisabled));
        assert_eq!(find(&said, Some(Google)).map(|row| row.reason), Some(Reason::SenderAuthenticationFailed));
        assert!(find(&said, None).is_none());
    }
}
