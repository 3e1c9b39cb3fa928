//! POP3 at a real Dovecot: each security and mechanism, what it refuses, and what of a maildir is found and removed.

use std::{fs, path::PathBuf, time::Duration};

use mailverity::{
    api::{Reason, v1alpha1::Mechanism},
    mail::{
        Stage, Tcp,
        mailbox::{Cleanup, Mailbox, Mark, Sighting},
        pop3::{About, Pop3Mailbox, Session},
        protocol::Protocol,
        sasl::{Attempt, Kind, Login, Redaction, Terms, choose},
        tls::{MinVersion, TlsPolicy, certificates},
        wire::Wire,
    },
};
use tokio::{net::TcpStream, time::Instant};
use uuid::Uuid;

use super::{
    login::jwt,
    support::stack::{NTLM, Stack},
};

fn about(stack: &Stack) -> About<'static> {
    About { host: "localhost", port: stack.port("POP3_PORT"), user: "probe", provider: None }
}

/// A session that was greeted and asked for capabilities, as its security wants it.
async fn meet(stack: &Stack, security: &str) -> Session {
    let port = if security == "TLS" { "POP3S_PORT" } else { "POP3_PORT" };
    let tcp = Tcp::new(TcpStream::connect(("127.0.0.1", stack.port(port))).await.unwrap()).unwrap();
    let mut wire = Wire::new(tcp, Protocol::Pop3, Instant::now() + Duration::from_secs(20));
    let policy = TlsPolicy::new(&certificates(&stack.ca()).unwrap(), MinVersion::default());
    if security == "TLS" {
        wire = wire.into_tls(&policy, "localhost", Stage::ImplicitTls).await.1.unwrap();
    }
    let mut session = Session::new(wire);
    session.greeting(&about(stack)).await.unwrap();
    session.capa().await.unwrap();
    if security == "StartTLS" {
        session.stls(&about(stack)).await.unwrap();
        session = session.into_tls(&policy, "localhost").await.1.unwrap();
        session.capa().await.unwrap();
    }
    session
}

async fn attempt(stack: &Stack, session: &mut Session, mechanism: Mechanism, user: &str, secret: &str) -> Attempt {
    let secret = secret.to_owned().into();
    let login = Login { user, secret: &secret, host: "localhost", port: stack.port("POP3_PORT") };
    session.scrub(Redaction::of(user, &secret));
    session.authenticate(mechanism, &login, &about(stack)).await
}

async fn open(stack: &Stack, user: &str, password: &str) -> Pop3Mailbox {
    let mut session = meet(stack, "TLS").await;
    assert_eq!(attempt(stack, &mut session, Mechanism::Plain, user, password).await, Attempt::Accepted);
    Pop3Mailbox::open(session, &about(stack)).await.unwrap()
}

async fn account(stack: &Stack) -> String {
    stack.user(&format!("pop-{}", Uuid::new_v4().simple()), "right").await
}

/// Puts a mail where Dovecot finds it.
fn put(stack: &Stack, user: &str, subject: &str, run: &str) {
    let dir = PathBuf::from(stack.var("MAIL_DIR")).join(user);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(dir.join(part)).unwrap();
    }
    let mail = format!("From: a@example.test\r\nSubject: {subject}\r\nX-Mailverity-Run: {run}\r\n\r\n.\r\nbody\r\n");
    let name = format!("{}.{}.test", jiff::Timestamp::now().as_nanosecond(), Uuid::new_v4().simple());
    fs::write(dir.join("tmp").join(&name), mail).unwrap();
    fs::rename(dir.join("tmp").join(&name), dir.join("new").join(&name)).unwrap();
    // Maildir's files belong to who reads them.
    let owner = fs::metadata(stack.var("MAIL_DIR")).unwrap();
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    let parts = [dir.clone(), dir.join("cur"), dir.join("new"), dir.join("tmp"), dir.join("new").join(&name)];
    for part in parts {
        std::os::unix::fs::chown(part, Some(uid), Some(gid)).unwrap();
    }
}

fn codes(found: &[Sighting]) -> Vec<(Uuid, u32)> {
    found.iter().map(|sighting| (sighting.code, sighting.place.number)).collect()
}

#[tokio::test]
async fn each_security_works_with_each_mechanism() {
    let stack = Stack::get();
    let token = jwt(stack.var("JWT_SECRET"), 3600);
    for security in ["None", "StartTLS", "TLS"] {
        for (mechanism, user, secret) in [
            (Mechanism::Plain, "alice@example.test", "alice-secret"),
            (Mechanism::Login, "alice@example.test", "alice-secret"),
            (Mechanism::CramMd5, "alice@example.test", "alice-secret"),
            (Mechanism::Ntlm, "EXAMPLE\\alice", "alice-secret"),
            (Mechanism::XOAuth2, "alice@example.test", &token),
            (Mechanism::OAuthBearer, "alice@example.test", &token),
            (Mechanism::Apop, "alice@example.test", "alice-secret"),
        ] {
            let mut session = meet(&stack, security).await;
            let offered = session.offered();
            // The timestamp came before TLS, and is forgotten.
            if mechanism == Mechanism::Apop && security == "StartTLS" {
                assert!(!offered.contains(&"APOP".to_owned()));
                continue;
            }
            let kind = if secret == token { Kind::Token } else { Kind::Password };
            let terms =
                Terms { allowed: &[mechanism], offered: &offered, verified_tls: security != "None", allow_plaintext: true, kind };
            assert_eq!(choose(&terms).unwrap(), [mechanism], "{offered:?}");
            let _alone = if mechanism == Mechanism::Ntlm { Some(NTLM.lock().await) } else { None };
            let came = attempt(&stack, &mut session, mechanism, user, secret).await;
            assert_eq!(came, Attempt::Accepted, "{security} {mechanism:?}");
            let mailbox = Pop3Mailbox::open(session, &about(&stack)).await.unwrap();
            Box::new(mailbox).close().await;
        }
    }
}

#[tokio::test]
async fn user_and_pass_log_in_where_sasl_is_not_known() {
    let stack = Stack::get();
    let tcp = Tcp::new(TcpStream::connect(("127.0.0.1", stack.port("POP3_PORT"))).await.unwrap()).unwrap();
    let mut session = Session::new(Wire::new(tcp, Protocol::Pop3, Instant::now() + Duration::from_secs(20)));
    session.greeting(&about(&stack)).await.unwrap();
    assert_eq!(session.offered(), ["PLAIN", "APOP"]);
    let came = attempt(&stack, &mut session, Mechanism::Plain, "alice@example.test", "alice-secret").await;
    assert_eq!(came, Attempt::Accepted);
}

#[tokio::test]
async fn a_wrong_password_is_one_failed_login() {
    // promise 7
    let stack = Stack::get();
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::Apop] {
        let user = account(&stack).await;
        let mut session = meet(&stack, "TLS").await;
        let Attempt::Refused(failure) = attempt(&stack, &mut session, mechanism, &user, "wrong").await else {
            panic!("{mechanism:?} is not refused");
        };
        assert_eq!((failure.reason, failure.stage), (Reason::AuthenticationFailed, Some(Stage::Auth)));
        assert_eq!(failure.words.as_deref(), Some("-ERR [AUTH] Authentication failed."));
        drop(session);
        // Written when Dovecot sees us go; of APOP this is the only line.
        let attempts = || stack.log("DOVECOT_LOG", &[&user, "auth failed"]);
        let end = Instant::now() + Duration::from_secs(10);
        while attempts() == 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((attempts(), stack.log("DOVECOT_LOG", &[&user, "auth failed, 1 attempts"])), (1, 1), "{mechanism:?}");
    }
}

#[tokio::test]
async fn a_refused_token_says_why() {
    let stack = Stack::get();
    for mechanism in [Mechanism::XOAuth2, Mechanism::OAuthBearer] {
        let mut session = meet(&stack, "TLS").await;
        let token = jwt(stack.var("JWT_SECRET"), -10);
        let Attempt::Refused(failure) = attempt(&stack, &mut session, mechanism, "alice@example.test", &token).await else {
            panic!("{mechanism:?} is not refused");
        };
        assert_eq!(failure.reason, Reason::AuthenticationFailed);
        assert!(failure.said().contains("invalid_token") || failure.said().contains("401"), "{}", failure.said());
    }
}

#[tokio::test]
async fn our_mail_is_found_and_removed_and_nothing_else_is() {
    // promises 10 and 11
    let stack = Stack::get();
    let user = account(&stack).await;
    let (ours, foreign) = (Uuid::new_v4(), Uuid::new_v4());
    put(&stack, &user, "of before", "x");
    let mut before = open(&stack, &user, "right").await;
    let mark = before.note().await.unwrap();
    assert_eq!(mark, Mark::Pop3 { messages: 1 });

    tokio::time::sleep(Duration::from_millis(1100)).await;
    put(&stack, &user, &format!("[EXTERNAL] mailverity check ({ours})"), "here/uid/1");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    put(&stack, &user, &format!("mailverity check ({foreign})"), "there/uid/2");
    assert_eq!(before.look(&mark, &[ours]).await.unwrap(), [], "a session sees what was there when it began");
    Box::new(before).close().await;

    let mut after = open(&stack, &user, "right").await;
    assert_eq!(after.shown().messages, 3);
    let found = after.look(&mark, &[ours]).await.unwrap();
    assert_eq!(codes(&found), [(ours, 2)]);
    assert_eq!(found[0].run.as_deref(), Some("here/uid/1"));
    assert_eq!(after.clean_up(&found, Cleanup::Keep).await.unwrap(), 0);
    Box::new(after).close().await;

    // By what another session found.
    let mut third = open(&stack, &user, "right").await;
    assert_eq!(third.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    Box::new(third).close().await;

    // What is number 2 now is somebody else's.
    let mut fourth = open(&stack, &user, "right").await;
    assert_eq!(fourth.shown().messages, 2);
    assert_eq!(fourth.clean_up(&found, Cleanup::Delete).await.unwrap(), 0);
    assert_eq!(codes(&fourth.look(&Mark::Pop3 { messages: 0 }, &[ours, foreign]).await.unwrap()), [(foreign, 2)]);
    Box::new(fourth).close().await;
}

#[tokio::test]
async fn without_a_goodbye_nothing_is_removed() {
    let stack = Stack::get();
    let user = account(&stack).await;
    let code = Uuid::new_v4();
    put(&stack, &user, &format!("mailverity check ({code})"), "here/uid/1");
    let mut mailbox = open(&stack, &user, "right").await;
    let found = mailbox.look(&Mark::Pop3 { messages: 0 }, &[code]).await.unwrap();
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    drop(mailbox);
    assert_eq!(open(&stack, &user, "right").await.shown().messages, 1);
}

#[tokio::test]
async fn one_session_too_many_is_a_busy_mailbox_and_no_refusal() {
    let stack = Stack::get();
    let user = account(&stack).await;
    let mut held = Vec::new();
    // Dovecot's mail_max_userip_connections is 10.
    for _ in 0..10 {
        held.push(open(&stack, &user, "right").await);
    }
    let mut session = meet(&stack, "TLS").await;
    let Attempt::Failed(failure) = attempt(&stack, &mut session, Mechanism::Plain, &user, "right").await else {
        panic!("the eleventh session is not refused");
    };
    assert_eq!((failure.reason, failure.stage), (Reason::MailboxBusy, Some(Stage::Auth)));
    assert!(failure.words.as_deref().unwrap().starts_with("-ERR [IN-USE]"), "{failure}");
}
