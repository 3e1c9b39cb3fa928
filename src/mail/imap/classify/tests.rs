use Stage::{Auth, Capability, Cleanup, Fetch, Greeting, Search, Select, StartTls};

use super::*;

fn about(host: &str) -> About {
    About {
        host: host.to_owned(),
        port: 993,
        user: Some("alice@example.org".to_owned()),
        mailbox: "INBOX".to_owned(),
        provider: providers::recognise(host, ""),
        offered: vec!["PLAIN".to_owned()],
        allowed: vec![Mechanism::CramMd5],
        tls: true,
    }
}

fn judged(stage: Stage, text: &str, host: &str) -> Diagnosis {
    classify(stage, &Said::parse(text).unwrap(), &about(host))
}

#[test]
fn a_response_code_means_what_rfc_5530_says_where_it_is_said() {
    use Reason::*;
    for (stage, text, reason) in [
        (Auth, "NO [UNAVAILABLE] x", AuthenticationUnavailable),
        (Auth, "NO [SERVERBUG] x", AuthenticationUnavailable),
        (Auth, "NO [AUTHORIZATIONFAILED] x", AuthenticationFailed),
        (Auth, "NO [expired] x", AuthenticationFailed),
        (Auth, "NO [CONTACTADMIN] x", AuthenticationFailed),
        (Auth, "NO [PRIVACYREQUIRED] x", AuthMechanismNotOffered),
        (Auth, "NO [LIMIT] x", RateLimited),
        (Select, "NO [UNAVAILABLE] x", ServerBusy),
        (Select, "NO [CORRUPTION] x", ServerBusy),
        (Select, "NO [NOPERM] does not exist", MailboxAccessDenied),
        (Select, "NO [CONTACTADMIN] x", MailboxAccessDenied),
        (Select, "NO [INUSE] x", MailboxBusy),
        (Select, "NO [TRYCREATE] x", MailboxNotFound),
        (Cleanup, "NO [OVERQUOTA] x", MailboxFull),
        (Search, "NO [BADCHARSET (UTF-8)] x", ProtocolError),
        (Fetch, "NO [EXPUNGEISSUED] x", ServerBusy),
        (StartTls, "NO [UNAVAILABLE] x", StartTLSRefused),
        (Capability, "NO x", ProtocolError),
        (Capability, "OK x", ProtocolError),
        (Greeting, "BYE x", ConnectionClosed),
        (Fetch, "BYE Disconnected for inactivity.", ConnectionClosed),
        (Fetch, "BYE [UNAVAILABLE] x", ServerBusy),
        (Fetch, "BYE Session expired, too many connections", RateLimited),
        (Cleanup, "NO x", MailboxAccessDenied),
    ] {
        assert_eq!(judged(stage, text, "mail.example.org").reason, reason, "{stage} {text}");
    }
}

#[test]
fn what_time_may_heal_is_transient_also_where_starttls_is_refused() {
    assert_eq!(judged(StartTls, "NO [UNAVAILABLE] x", "mail.example.org").class, Class::Transient);
    assert_eq!(judged(StartTls, "NO x", "mail.example.org").class, Class::User);
}

#[test]
fn a_providers_own_words_count_only_at_that_provider_where_it_is_known() {
    let words = "NO Please use an app password";
    assert_eq!(judged(Auth, words, "imap.mail.yahoo.com").reason, Reason::AppPasswordRequired);
    assert_eq!(judged(Auth, "NO not enabled for IMAP", "imap.gmail.com").reason, Reason::MailboxAccessDenied);
    let hint = judged(Auth, words, "imap.mail.yahoo.com").fact("secret", "mail/account").hint();
    assert_eq!(hint, "Make an app password at https://login.yahoo.com/account/security and put it in Secret mail/account.");
}

#[test]
fn every_hint_is_filled_in() {
    for (text, host, part) in [
        ("NO [NONEXISTENT] x", "mail.example.org", "no mailbox INBOX for alice@example.org"),
        ("NO [NOPERM] x", "mail.example.org", "enable IMAP for the account, or"),
        ("NO [NOPERM] x", "imap.zoho.com", "enable IMAP for the account at Zoho, or"),
        ("BAD x", "mail.example.org", "broke RFC 9051 section 7.1 (BAD is no answer there) at stage Select"),
    ] {
        let hint = judged(Select, text, host).hint();
        assert!(hint.contains(part), "{hint}");
    }
}

proptest::proptest! {
    #[test]
    fn no_words_are_too_odd_to_be_judged(text: String) {
        for stage in [Greeting, Auth, Select, Cleanup] {
            let said = Said { status: Status::No, code: None, text: text.clone() };
            let _ = of_login(&said, &classify(stage, &said, &About::default()), true);
        }
    }
}
