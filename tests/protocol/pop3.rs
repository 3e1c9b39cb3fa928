//! POP3 against played servers: what each stage makes of what is said, what a login judges, and what of a maildrop is
//! touched.

use std::time::{Duration, Instant};

use mailverity::{
    api::{Class, Reason, v1alpha1::Mechanism},
    mail::{
        Diagnosis, Stage, Tcp,
        mailbox::{Cleanup, Mailbox, Mark},
        pop3::{About, Pop3Mailbox, Session},
        protocol::Protocol,
        sasl::{Attempt, Login, Redaction},
        smtp::providers::Provider,
        tls::{MinVersion, TlsPolicy, certificates},
        wire::Wire,
    },
};
use proptest::prelude::*;
use tokio::{net::TcpStream, runtime::Runtime};
use uuid::Uuid;

use crate::{
    certificates::trusted_pem,
    player::{Log, Player},
    script::Script,
    world::{CODE, PASSWORD, USER},
};

/// The provider decides some rows; here it is nobody's server.
const ABOUT: About<'static> = About { host: "mx.test", port: 110, user: USER, provider: None };
const OTHER: Uuid = Uuid::from_u128(0x0123_4567_89ab_8def_8123_4567_89ab_0000);

/// A played server, and a session with it on which nothing was said yet.
struct Played {
    player: Player,
    log: Log,
    session: Option<Session>,
}

impl Played {
    async fn start(talk: &str) -> Self {
        let script = Script::read(talk);
        let log = Log::default();
        let player = Player::start(&script, log.clone()).await;
        let tcp = Tcp::new(TcpStream::connect(player.address).await.unwrap()).unwrap();
        let wire = Wire::new(tcp, Protocol::Pop3, tokio::time::Instant::now() + script.time);
        Self { player, log, session: Some(Session::new(wire)) }
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    /// Greeted, and asked for capabilities.
    async fn met(talk: &str) -> Self {
        let mut played = Self::start(talk).await;
        played.session().greeting(&ABOUT).await.unwrap();
        played.session().capa().await.unwrap();
        played
    }

    async fn open(talk: &str) -> (Self, Result<Pop3Mailbox, Diagnosis>) {
        let mut played = Self::start(talk).await;
        let session = played.session.take().unwrap();
        let mailbox = Pop3Mailbox::open(session, &ABOUT).await;
        (played, mailbox)
    }

    /// What was said, once the client has gone; the conversation must have been kept to.
    async fn said(mut self) -> Vec<String> {
        self.session = None;
        let heard = self.player.heard().await;
        assert_eq!(heard.faults, Vec::<String>::new());
        self.log.lines().iter().filter_map(|line| line.strip_prefix("C: ")).map(str::to_owned).collect()
    }
}

fn policy() -> TlsPolicy {
    TlsPolicy::new(&certificates(trusted_pem().as_bytes()).unwrap(), MinVersion::default())
}

/// A conversation up to the login, with these capabilities.
fn offering(keywords: &str, rest: &str) -> String {
    let lines: String = keywords.split(", ").map(|keyword| format!("S: {keyword}\n")).collect();
    format!("S: +OK ready <1896.697170952@mx.test>\nC: CAPA\nS: +OK\n{lines}S: .\n{rest}")
}

async fn log_in(played: &mut Played, mechanism: Mechanism, password: &str) -> Attempt {
    let secret = password.to_owned().into();
    let login = Login { user: USER, secret: &secret, host: "mx.test", port: 110 };
    played.session().scrub(Redaction::of(USER, &secret));
    played.session().authenticate(mechanism, &login, &ABOUT).await
}

fn judged(attempt: &Attempt) -> (&'static str, Option<&Diagnosis>) {
    match attempt {
        Attempt::Accepted => ("accepted", None),
        Attempt::NotJudged(diagnosis) => ("not judged", Some(diagnosis)),
        Attempt::Refused(diagnosis) => ("refused", Some(diagnosis)),
        Attempt::TooMany(diagnosis) => ("too many", Some(diagnosis)),
        Attempt::Failed(diagnosis) => ("failed", Some(diagnosis)),
    }
}

// Greeting, Capa

#[tokio::test]
async fn a_greeting_that_is_none_is_named() {
    for (talk, reason) in [
        ("S: -ERR too many connections", Reason::RateLimited),
        ("S: -ERR [SYS/TEMP] down for a while", Reason::ServerBusy),
        ("S: * OK IMAP4rev1 ready", Reason::WrongProtocol),
        ("S: 220 mx.test ESMTP", Reason::WrongProtocol),
        ("S: + aGVsbG8=", Reason::ProtocolError),
        ("S: \\x00\\x00\\x00hello there", Reason::ProtocolError),
        ("TIME: 300ms\n-- hangs", Reason::ResponseTimedOut),
        ("-- closes", Reason::ConnectionClosed),
        ("-- says ever again: x", Reason::ProtocolError),
        ("TIME: 300ms\n-- drips every 10ms: +OK and so on and so on and so on and so on and so on", Reason::ResponseTimedOut),
    ] {
        let mut played = Played::start(talk).await;
        let failure = played.session().greeting(&ABOUT).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{talk}: {failure}");
    }
}

#[tokio::test]
async fn a_server_without_capa_offers_user_and_pass_and_what_its_greeting_has() {
    for (greeting, offered) in [("+OK ready", vec!["PLAIN"]), ("+OK <1.2@mx.test>", vec!["PLAIN", "APOP"])] {
        let mut played = Played::met(&format!("S: {greeting}\nC: CAPA\nS: -ERR what?")).await;
        assert_eq!(played.session().offered(), offered);
        assert!(played.session().capabilities().is_none());
    }
}

#[tokio::test]
async fn capabilities_tell_what_is_offered() {
    for (keywords, offered) in [
        ("SASL NTLM plain", vec!["NTLM", "PLAIN", "APOP"]),
        ("USER, SASL CRAM-MD5", vec!["CRAM-MD5", "PLAIN", "APOP"]),
        ("TOP, UIDL", vec!["APOP"]),
        ("..USER, SASL", vec!["APOP"]),
    ] {
        let mut played = Played::met(&offering(keywords, "")).await;
        assert_eq!(played.session().offered(), offered, "{keywords}");
    }
}

#[tokio::test]
async fn a_listing_without_end_is_bounded() {
    for endless in ["X\\r\\n", "x", "\\x00\\n", "..\\r\\n", "\\r\\n"] {
        let mut played = Played::start(&format!("S: +OK\nC: CAPA\nS: +OK\n-- says ever again: {endless}")).await;
        played.session().greeting(&ABOUT).await.unwrap();
        let begun = Instant::now();
        let failure = played.session().capa().await.unwrap_err();
        assert_eq!(failure.reason, Reason::ProtocolError, "{endless}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{endless}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_dot_that_was_put_before_another_is_taken_away() {
    // RFC 1939 section 3. A header line that is folded in an odd place may begin with one.
    let talk = "S: +OK\nC: CAPA\nS: +OK\nS: ..x-dotted\nS: ..\nS: .";
    let mut played = Played::met(talk).await;
    assert_eq!(played.session().capabilities().unwrap().keywords, [".x-dotted", "."]);
}

// STLS

#[tokio::test]
async fn stls_is_asked_for_only_where_it_is_offered() {
    let mut played = Played::met(&offering("USER", "")).await;
    let failure = played.session().stls(&ABOUT).await.unwrap_err();
    assert_eq!(
        (failure.reason, failure.get("port"), failure.get("tlsPort")),
        (Reason::StartTLSNotOffered, Some("110"), Some("995"))
    );
    assert_eq!(played.said().await, ["CAPA"]);

    let mut played = Played::met("S: +OK\nC: CAPA\nS: -ERR\nC: STLS\nS: -ERR unknown command").await;
    assert_eq!(played.session().stls(&ABOUT).await.unwrap_err().reason, Reason::StartTLSNotOffered);

    for (reply, class) in [("-ERR no key", Class::User), ("-ERR [SYS/TEMP] no entropy", Class::Transient)] {
        let mut played = Played::met(&offering("STLS", &format!("C: STLS\nS: {reply}"))).await;
        let failure = played.session().stls(&ABOUT).await.unwrap_err();
        assert_eq!((failure.reason, failure.class), (Reason::StartTLSRefused, class), "{reply}");
    }
}

#[tokio::test]
async fn what_was_said_before_tls_counts_no_more() {
    // promise 13
    let inside = "C: STLS\nS: +OK\n-- TLS good\nC: CAPA\nS: +OK\nS: SASL CRAM-MD5\nS: .";
    let mut played = Played::met(&offering("STLS, USER, SASL PLAIN", inside)).await;
    played.session().stls(&ABOUT).await.unwrap();
    let (examined, wire) = played.session.take().unwrap().into_tls(&policy(), "mx.test").await;
    assert!(examined.is_some());
    let mut session = wire.unwrap();
    assert!(session.capabilities().is_none());
    assert!(!session.offered().contains(&"APOP".to_owned()), "the timestamp is forgotten");
    session.capa().await.unwrap();
    assert_eq!(session.offered(), ["CRAM-MD5"]);
    drop(session);
    assert_eq!(played.said().await, ["CAPA", "STLS", "CAPA"]);
}

#[tokio::test]
async fn plain_text_behind_the_reply_to_stls_is_an_injection() {
    for injected in ["S: +OK\nS: +OK 1 1", "S: +OK\nS: CAPA", "S: +OK\n-- sees a TLS hello\nS: +OK 2 200"] {
        let mut played = Played::met(&offering("STLS", &format!("C: STLS\n{injected}"))).await;
        played.session().stls(&ABOUT).await.unwrap();
        let (_, wire) = played.session.take().unwrap().into_tls(&policy(), "mx.test").await;
        let failure = wire.err().unwrap();
        assert_eq!(failure.reason, Reason::StartTLSInjection, "{injected}: {failure}");
    }
}

// Auth

#[tokio::test]
async fn each_mechanism_says_what_its_document_prints() {
    for (keywords, mechanism, password, talk) in [
        ("SASL PLAIN", Mechanism::Plain, "pw", "C: AUTH PLAIN AHJlbGF5QG14LnRlc3QAcHc=\nS: +OK"),
        ("USER", Mechanism::Plain, "p w", "C: USER relay@mx.test\nS: +OK\nC: PASS p w\nS: +OK"),
        (
            "SASL LOGIN",
            Mechanism::Login,
            "pw",
            "C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: cmVsYXlAbXgudGVzdA==\nS: + Password please\nC: cHc=\nS: +OK",
        ),
        ("SASL XOAUTH2", Mechanism::XOAuth2, "t", "C: AUTH XOAUTH2 dXNlcj1yZWxheUBteC50ZXN0AWF1dGg9QmVhcmVyIHQBAQ==\nS: +OK"),
    ] {
        let mut played = Played::met(&offering(keywords, talk)).await;
        let attempt = log_in(&mut played, mechanism, password).await;
        assert_eq!(attempt, Attempt::Accepted, "{mechanism:?}");
        played.said().await;
    }
}

#[tokio::test]
async fn apop_is_as_rfc_1939_prints_it() {
    let talk = "S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\nC: CAPA\nS: -ERR\n\
                C: APOP mrose c4c9334bac560ecc979e58001b3e22fb\nS: +OK maildrop has 1 message (369 octets)";
    let mut played = Played::met(talk).await;
    let secret = "tanstaaf".to_owned().into();
    let login = Login { user: "mrose", secret: &secret, host: "mx.test", port: 110 };
    assert_eq!(played.session().authenticate(Mechanism::Apop, &login, &ABOUT).await, Attempt::Accepted);
    played.said().await;
}

#[tokio::test]
async fn what_does_not_fit_on_a_line_of_255_octets_goes_behind_the_challenge() {
    let mut played = Played::met(&offering("SASL XOAUTH2", "C: AUTH XOAUTH2\nS: +\nC: dXNlcj1*\nS: +OK")).await;
    assert_eq!(log_in(&mut played, Mechanism::XOAuth2, &"t".repeat(300)).await, Attempt::Accepted);
    let said = played.said().await;
    assert!(said[2].len() > 400, "{said:?}");
}

#[tokio::test]
async fn a_refusal_says_whether_the_password_was_judged() {
    let plain = |reply: &str| ("SASL PLAIN", Mechanism::Plain, format!("C: AUTH PLAIN *\nS: {reply}"));
    let pass = |reply: &str| ("USER", Mechanism::Plain, format!("C: USER *\nS: +OK\nC: PASS *\nS: {reply}"));
    let user = |reply: &str| ("USER", Mechanism::Plain, format!("C: USER *\nS: {reply}"));
    let cram = |reply: &str| ("SASL CRAM-MD5", Mechanism::CramMd5, format!("C: AUTH CRAM-MD5\nS: {reply}"));
    let answered =
        |reply: &str| ("SASL CRAM-MD5", Mechanism::CramMd5, format!("C: AUTH CRAM-MD5\nS: + PDFAYj4=\nC: *\nS: {reply}"));
    let apop = |reply: &str| ("TOP", Mechanism::Apop, format!("C: APOP *\nS: {reply}"));
    for ((keywords, mechanism, talk), what, reason) in [
        (plain("-ERR [AUTH] Authentication failed."), "refused", Reason::AuthenticationFailed),
        (plain("-ERR"), "refused", Reason::AuthenticationFailed),
        (plain("-ERR Unknown authentication mechanism"), "not judged", Reason::AuthMechanismNotOffered),
        (plain("-ERR [SYS/TEMP] Temporary authentication failure."), "failed", Reason::AuthenticationUnavailable),
        (plain("-ERR [IN-USE] mailbox is locked"), "failed", Reason::MailboxBusy),
        (plain("-ERR [SYS/PERM] POP is off"), "failed", Reason::MailboxAccessDenied),
        (plain("-ERR [AUTH] enable POP first"), "refused", Reason::MailboxAccessDenied),
        (plain("-ERR [AUTH] Plaintext authentication disallowed"), "not judged", Reason::TLSRequired),
        (plain("hello"), "failed", Reason::ProtocolError),
        (pass("-ERR"), "refused", Reason::AuthenticationFailed),
        (pass("-ERR invalid command"), "refused", Reason::AuthenticationFailed),
        (pass("-ERR [AUTH] Plaintext authentication disallowed"), "refused", Reason::AuthenticationFailed),
        (pass("-ERR [LOGIN-DELAY] wait"), "too many", Reason::RateLimited),
        (pass("-ERR too many logins"), "too many", Reason::RateLimited),
        (pass("-ERR maildrop already locked"), "failed", Reason::MailboxBusy),
        (pass("+ more"), "failed", Reason::ProtocolError),
        (user("-ERR sorry, no mailbox for you here"), "refused", Reason::AuthenticationFailed),
        (user("-ERR unknown command"), "not judged", Reason::AuthMechanismNotOffered),
        (user("-ERR must use TLS"), "not judged", Reason::TLSRequired),
        (cram("+OK Logged in."), "failed", Reason::ProtocolError),
        (cram("-ERR no"), "not judged", Reason::AuthMechanismNotOffered),
        (cram("-ERR [AUTH] no such mechanism"), "not judged", Reason::AuthMechanismNotOffered),
        (cram("-ERR [LOGIN-DELAY] wait"), "too many", Reason::RateLimited),
        (cram("+ no base64!\nC: *\nS: -ERR cancelled"), "failed", Reason::ProtocolError),
        (answered("-ERR unsupported mechanism"), "refused", Reason::AuthenticationFailed),
        (answered("-ERR [AUTH] no"), "refused", Reason::AuthenticationFailed),
        (apop("-ERR permission denied"), "refused", Reason::AuthenticationFailed),
        (apop("-ERR unknown command"), "not judged", Reason::AuthMechanismNotOffered),
    ] {
        let mut played = Played::met(&offering(keywords, &talk)).await;
        let attempt = log_in(&mut played, mechanism, PASSWORD).await;
        let (was, diagnosis) = judged(&attempt);
        let diagnosis = diagnosis.unwrap();
        assert_eq!((was, diagnosis.reason), (what, reason), "{talk}: {diagnosis}");
        assert!(!diagnosis.hint().contains(['{', '}']), "{}", diagnosis.hint());
        played.said().await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_no_judgement() {
    for end in ["-- closes", "-- resets", "TIME: 400ms\n-- hangs"] {
        let talk = offering("USER", &format!("C: USER *\nS: +OK\nC: PASS *\n{end}"));
        let mut played = Played::met(&talk).await;
        assert_eq!(judged(&log_in(&mut played, Mechanism::Plain, PASSWORD).await).0, "failed", "{end}");
    }
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_left() {
    let asks = "C: *\nS: + eA==\n".repeat(3);
    let mut played = Played::met(&offering("SASL LOGIN", &format!("{asks}C: *\nS: -ERR cancelled"))).await;
    let attempt = log_in(&mut played, Mechanism::Login, PASSWORD).await;
    let (was, diagnosis) = judged(&attempt);
    assert_eq!((was, diagnosis.unwrap().reason), ("failed", Reason::ProtocolError));
}

#[tokio::test]
async fn an_echo_shows_neither_password_nor_proof() {
    // promise 14
    for (keywords, mechanism, talk) in [
        ("USER", Mechanism::Plain, "C: USER *\nS: +OK\n-- throws back, behind -ERR what is"),
        ("SASL PLAIN", Mechanism::Plain, "-- throws back, behind -ERR what is"),
        ("SASL LOGIN", Mechanism::Login, "C: AUTH LOGIN\nS: +\nC: *\nS: +\n-- throws back, behind -ERR what is"),
        ("SASL CRAM-MD5", Mechanism::CramMd5, "C: AUTH CRAM-MD5\nS: + PDFAYj4=\n-- throws back, behind -ERR what is"),
        ("TOP", Mechanism::Apop, "-- throws back, behind -ERR what is"),
    ] {
        let mut played = Played::met(&offering(keywords, talk)).await;
        let attempt = log_in(&mut played, mechanism, PASSWORD).await;
        let told = format!("{attempt:?}");
        let log = played.log.lines();
        let sent = log.last().unwrap().rsplit(' ').next().unwrap();
        assert!(told.contains("[redacted]"), "{told}");
        assert!(!told.contains(PASSWORD) && !told.contains(sent), "{told}");
    }
}

#[tokio::test]
async fn what_would_begin_another_command_is_never_sent() {
    for mechanism in [Mechanism::Plain, Mechanism::Apop] {
        let mut played = Played::met(&offering("USER", "")).await;
        let secret = format!("{PASSWORD}\r\nDELE 1").into();
        let login = Login { user: "a\nb", secret: &secret, host: "mx.test", port: 110 };
        let attempt = played.session().authenticate(mechanism, &login, &ABOUT).await;
        let (was, diagnosis) = judged(&attempt);
        assert_eq!((was, diagnosis.unwrap().reason), ("not judged", Reason::SecretInvalid));
        assert_eq!(played.said().await, ["CAPA"]);
    }
}

#[tokio::test]
async fn a_password_is_not_shown_to_exchange_online_which_takes_none() {
    let mut played = Played::met(&offering("USER, SASL PLAIN XOAUTH2", "")).await;
    let secret = PASSWORD.to_owned().into();
    let login = Login { user: USER, secret: &secret, host: "outlook.office365.com", port: 995 };
    let about = About { host: "outlook.office365.com", provider: Some(Provider::Microsoft365), ..ABOUT };
    let attempt = played.session().authenticate(Mechanism::Plain, &login, &about).await;
    let (was, diagnosis) = judged(&attempt);
    assert_eq!((was, diagnosis.unwrap().reason), ("failed", Reason::BasicAuthDisabled));
    assert_eq!(played.said().await, ["CAPA"]);
}

// List, Top, Cleanup

fn header(number: u32, subject: &str) -> String {
    format!(
        "C: TOP {number} 0\nS: +OK\nS: Received: by mx.test\nS: Subject: {subject}\nS: X-Mailverity-Run: here/uid/{number}\nS: \nS: .\n"
    )
}

fn ours(number: u32) -> String {
    header(number, &format!("[EXTERNAL] mailverity check ({CODE})"))
}

fn not_ours(number: u32) -> String {
    header(number, &format!("mailverity check ({OTHER})"))
}

const fn noted(messages: u32) -> Mark {
    Mark::Pop3 { messages }
}

#[tokio::test]
async fn a_look_goes_from_the_newest_to_what_was_noted() {
    let talk = format!("C: STAT\nS: +OK 5 1200\n{}{}{}C: QUIT\nS: +OK", not_ours(5), ours(4), not_ours(3));
    let (played, mailbox) = Played::open(&talk).await;
    let mut mailbox = mailbox.unwrap();
    assert_eq!(mailbox.note().await.unwrap(), noted(5));
    assert_eq!((mailbox.shown().messages, mailbox.shown().junk.len()), (5, 0));
    let found = mailbox.look(&noted(2), &[CODE]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].place.number, found[0].run.as_deref()), (CODE, 4, Some("here/uid/4")));
    assert_eq!(mailbox.look_in_junk(&[CODE]).await.unwrap(), []);
    Box::new(mailbox).close().await;
    played.said().await;
}

#[tokio::test]
async fn the_newest_are_looked_at_where_the_count_did_not_grow() {
    for before in [2, 7] {
        let talk = format!("C: STAT\nS: +OK 2 1200\n{}{}C: QUIT\nS: +OK", not_ours(2), ours(1));
        let (played, mailbox) = Played::open(&talk).await;
        let mut mailbox = mailbox.unwrap();
        assert_eq!(mailbox.look(&noted(before), &[CODE]).await.unwrap().len(), 1);
        Box::new(mailbox).close().await;
        played.said().await;
    }
}

#[tokio::test]
async fn a_count_that_is_a_lie_costs_no_more_than_500_looks() {
    let refused = "C: TOP *\nS: -ERR no such message\n".repeat(500);
    let (played, mailbox) = Played::open(&format!("C: STAT\nS: +OK 4294967295 1\n{refused}C: QUIT\nS: +OK")).await;
    let mut mailbox = mailbox.unwrap();
    assert_eq!(mailbox.look(&noted(0), &[CODE]).await.unwrap(), []);
    Box::new(mailbox).close().await;
    assert_eq!(played.said().await.len(), 502);
}

#[tokio::test]
async fn a_count_that_is_none_is_a_fault_of_the_server() {
    for (reply, reason) in [
        ("+OK", Reason::ProtocolError),
        ("+OK -1 5", Reason::ProtocolError),
        ("+OK 4294967296 5", Reason::ProtocolError),
        ("+OK two 5", Reason::ProtocolError),
        ("-ERR [IN-USE] locked", Reason::MailboxBusy),
        ("-ERR [SYS/TEMP] no", Reason::ServerBusy),
        ("-ERR", Reason::MailboxAccessDenied),
    ] {
        let (_, mailbox) = Played::open(&format!("C: STAT\nS: {reply}")).await;
        let failure = mailbox.err().unwrap();
        assert_eq!((failure.reason, failure.stage), (reason, Some(Stage::List)), "{reply}");
    }
}

#[tokio::test]
async fn a_server_without_top_is_told_from_a_mail_that_went() {
    for (reply, reason) in [
        ("-ERR Unknown command: TOP", Some(Reason::ProtocolError)),
        ("-ERR [SYS/TEMP] disk", Some(Reason::ServerBusy)),
        ("-ERR There's no message 1.", None),
        ("-ERR message 1 is expunged", None),
    ] {
        let (_played, mailbox) = Played::open(&format!("C: STAT\nS: +OK 1 1\nC: TOP 1 0\nS: {reply}")).await;
        let result = mailbox.unwrap().look(&noted(0), &[CODE]).await;
        assert_eq!(
            result.as_ref().err().map(|failure| (failure.reason, failure.stage)),
            reason.map(|reason| (reason, Some(Stage::Top)))
        );
        if let Some(failure) = result.err() {
            assert!(!failure.hint().contains(['{', '}']), "{}", failure.hint());
        }
    }
}

#[tokio::test]
async fn a_long_header_is_cut_and_one_without_end_is_left() {
    let long = format!(
        "C: STAT\nS: +OK 1 1\nC: TOP 1 0\nS: +OK\nS: Subject: ({CODE})\nS: To: {}\n-- repeats 900 times: X: {}\\r\\n\nS: .",
        "x".repeat(20_000),
        "y".repeat(90)
    );
    let (_played, mailbox) = Played::open(&long).await;
    assert_eq!(mailbox.unwrap().look(&noted(0), &[CODE]).await.unwrap().len(), 1);

    for endless in ["X: y\\r\\n", "z", "..\\r\\n", "\\x00"] {
        let (_played, mailbox) =
            Played::open(&format!("C: STAT\nS: +OK 1 1\nC: TOP 1 0\nS: +OK\n-- says ever again: {endless}")).await;
        let failure = mailbox.unwrap().look(&noted(0), &[CODE]).await.unwrap_err();
        assert_eq!((failure.reason, failure.stage), (Reason::ProtocolError, Some(Stage::Top)), "{endless}");
    }
}

#[tokio::test]
async fn a_status_line_within_a_header_is_text_and_one_behind_it_is_out_of_turn() {
    let within = format!("C: STAT\nS: +OK 1 1\nC: TOP 1 0\nS: +OK\nS: +OK\nS: Subject: ({CODE})\nS: ..\nS: .");
    let (_played, mailbox) = Played::open(&within).await;
    assert_eq!(mailbox.unwrap().look(&noted(0), &[CODE]).await.unwrap().len(), 1);

    let behind = format!("C: STAT\nS: +OK 2 1\n{}S: +OK\nS: Subject: ({CODE})\nS: .", not_ours(2));
    let (_played, mailbox) = Played::open(&behind).await;
    let failure = mailbox.unwrap().look(&noted(0), &[CODE]).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ProtocolError, "{failure}");
}

#[tokio::test]
async fn only_what_was_found_here_is_removed() {
    // promise 11
    let talk = format!(
        "C: STAT\nS: +OK 3 1200\n{}{}{}C: DELE 2\nS: +OK\n{}{}C: QUIT\nS: +OK",
        not_ours(3),
        ours(2),
        not_ours(1),
        not_ours(3),
        not_ours(1)
    );
    let (played, mailbox) = Played::open(&talk).await;
    let mut mailbox = mailbox.unwrap();
    let found = mailbox.look(&noted(0), &[CODE]).await.unwrap();
    assert_eq!(mailbox.clean_up(&found, Cleanup::Keep).await.unwrap(), 0);
    assert_eq!(mailbox.clean_up(&found, Cleanup::MarkSeen).await.unwrap(), 0);
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 0, "it is gone");
    assert_eq!(mailbox.look(&noted(0), &[CODE]).await.unwrap(), []);
    Box::new(mailbox).close().await;
    played.said().await;
}

#[tokio::test]
async fn a_place_of_another_session_is_read_again_before_it_is_trusted() {
    let first = format!("C: STAT\nS: +OK 2 1\n{}{}", ours(2), ours(1));
    let (_played, mailbox) = Played::open(&first).await;
    let found = mailbox.unwrap().look(&noted(0), &[CODE]).await.unwrap();
    assert_eq!(found.len(), 2);

    // Number 2 is somebody else's now, number 1 is as it was.
    let second = format!("C: STAT\nS: +OK 2 1\n{}{}C: DELE 1\nS: +OK\nC: QUIT\nS: +OK", not_ours(2), ours(1));
    let (played, mailbox) = Played::open(&second).await;
    let mut mailbox = mailbox.unwrap();
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    Box::new(mailbox).close().await;
    played.said().await;

    let (played, mailbox) = Played::open("C: STAT\nS: +OK 0 0\nC: QUIT\nS: +OK").await;
    let mut mailbox = mailbox.unwrap();
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 0, "there is nothing");
    Box::new(mailbox).close().await;
    played.said().await;
}

#[tokio::test]
async fn a_removal_that_is_refused_is_told() {
    let talk = format!("C: STAT\nS: +OK 1 1\n{}C: DELE 1\nS: -ERR read-only", ours(1));
    let (_played, mailbox) = Played::open(&talk).await;
    let mut mailbox = mailbox.unwrap();
    let found = mailbox.look(&noted(0), &[CODE]).await.unwrap();
    let failure = mailbox.clean_up(&found, Cleanup::Delete).await.unwrap_err();
    assert_eq!((failure.reason, failure.stage), (Reason::MailboxAccessDenied, Some(Stage::Cleanup)));
}

#[tokio::test]
async fn a_goodbye_that_is_not_answered_is_not_waited_for() {
    let (_played, mailbox) = Played::open("C: STAT\nS: +OK 0 0\nC: QUIT\n-- hangs").await;
    let begun = Instant::now();
    Box::new(mailbox.unwrap()).close().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_server_says_ends_and_can_be_shown(place in 0..4usize, pieces in proptest::collection::vec(prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "(\\+OK|-ERR|\\+|\\.)( \\[?[A-Z/]{0,9}\\]?)? ?[ -~]{0,30}\r\n".prop_map(String::into_bytes),
        Just(format!("-ERR {PASSWORD}\r\n").into_bytes()),
        Just(b".\r\n".to_vec()),
    ], 1..8)) {
        let bytes: String = pieces.concat().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        prop_assume!(!bytes.is_empty());
        let before = [
            "", "S: +OK <a@b>\nC: CAPA", "S: +OK <a@b>\nC: CAPA\nS: -ERR\nC: USER *", "S: +OK <a@b>\nC: CAPA\nS: -ERR\nC: USER *\nS: +OK\nC: PASS *",
        ][place];
        let talk = format!("TIME: 250ms\n{before}\n-- says {bytes}\n-- hangs");
        let begun = Instant::now();
        let told = Runtime::new().unwrap().block_on(async {
            let mut played = Played::start(&talk).await;
            let secret = PASSWORD.to_owned().into();
            played.session().scrub(Redaction::of(USER, &secret));
            if let Err(failure) = played.session().greeting(&ABOUT).await {
                return format!("{failure} {}", failure.hint());
            }
            if let Err(failure) = played.session().capa().await {
                return format!("{failure} {}", failure.hint());
            }
            match judged(&log_in(&mut played, Mechanism::Plain, PASSWORD).await).1 {
                Some(failure) => format!("{failure} {}", failure.hint()),
                None => String::new(),
            }
        });
        prop_assert!(begun.elapsed() < Duration::from_secs(5));
        prop_assert!(!told.contains(PASSWORD), "{told}");
        prop_assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}
