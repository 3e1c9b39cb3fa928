//! A mailbox of a real Dovecot: each security and mechanism, looking, waiting, and what survives when ours are removed.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use mailverity::{
    api::{
        Reason,
        v1alpha1::{Mechanism, Security},
    },
    mail::{
        Stage, Tcp,
        imap::{About, ImapMailbox, Session, Wanted},
        mailbox::{Cleanup, Mailbox, Mark, Sighting},
        protocol::Protocol,
        sasl::{self, Attempt, Redaction},
        tls::{self, TlsPolicy},
        wire::Wire,
    },
};
use secrecy::SecretString;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::support::stack::{NTLM, Stack};

/// A session of which the login is still to come.
async fn session(stack: &Stack, security: Security) -> Session {
    let port = stack.port(if security == Security::TLS { "IMAPS_PORT" } else { "IMAP_PORT" });
    let tcp = Tcp::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let about = About { host: "localhost".to_owned(), port, mailbox: "INBOX".to_owned(), ..About::default() };
    let mut session = Session::new(Wire::new(tcp, Protocol::Imap, deadline), about);
    let policy = TlsPolicy::new(&tls::certificates(&stack.ca()).unwrap(), tls::MinVersion::default());
    if security == Security::TLS {
        session = session.into_tls(&policy, "localhost", Stage::ImplicitTls).await.1.unwrap();
    }
    assert!(session.greeting(security == Security::StartTLS).await.unwrap().contains("Dovecot"));
    if security == Security::StartTLS {
        session.starttls().await.unwrap();
        session = session.into_tls(&policy, "localhost", Stage::Tls).await.1.unwrap();
    }
    session.capability().await.unwrap();
    session
}

async fn authenticate(session: &mut Session, mechanism: Mechanism, user: &str, secret: &str) -> Attempt {
    let secret = SecretString::from(secret);
    session.scrub(Redaction::of(user, &secret));
    session.authenticate(mechanism, &sasl::Login { user, secret: &secret, host: "localhost", port: 143 }).await
}

/// A user of the test's own, and its mailbox.
struct Owner {
    stack: Stack,
    address: String,
}

impl Owner {
    async fn new(name: &str) -> Self {
        let stack = Stack::get();
        let address = stack.user(&format!("{name}-{}", Uuid::new_v4().simple()), "own-secret").await;
        Self { stack, address }
    }

    async fn opens(&self) -> ImapMailbox {
        let mut session = session(&self.stack, Security::TLS).await;
        let attempt = authenticate(&mut session, Mechanism::Plain, &self.address, "own-secret").await;
        assert_eq!(attempt, Attempt::Accepted);
        let wanted = Wanted { mailbox: "INBOX".to_owned(), junk: Vec::new(), read_only: false };
        ImapMailbox::open(session, &wanted).await.unwrap()
    }

    fn maildir(&self, folder: &str) -> PathBuf {
        PathBuf::from(self.stack.var("MAIL_DIR")).join(&self.address).join(folder)
    }

    /// Puts a mail into a folder, with flags of maildir's (`T` is deleted).
    fn put(&self, folder: &str, subject: &str, flags: &str) {
        let (id, owner) = (Uuid::new_v4(), fs::metadata(self.maildir("")).unwrap());
        let text = format!("From: a@example.test\r\nSubject: {subject}\r\nX-Mailverity-Run: here/uid/1\r\n\r\nbody\r\n");
        let made = self.maildir(folder).join("tmp").join(id.to_string());
        fs::write(&made, text).unwrap();
        std::os::unix::fs::chown(
            &made,
            Some(std::os::unix::fs::MetadataExt::uid(&owner)),
            Some(std::os::unix::fs::MetadataExt::gid(&owner)),
        )
        .unwrap();
        let place = if flags.is_empty() { format!("new/{id}") } else { format!("cur/{id}:2,{flags}") };
        fs::rename(made, self.maildir(folder).join(place)).unwrap();
    }

    /// The texts of the mails in the mailbox.
    fn mails(&self) -> String {
        let files = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(self.maildir(part)).unwrap().flatten());
        files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
    }
}

fn subject(code: Uuid) -> String {
    format!("mailverity check ({code})")
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(5)
}

/// Waits until this one is found.
async fn found(mailbox: &mut ImapMailbox, since: &Mark, code: Uuid) -> Vec<Sighting> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = mailbox.look(since, &[code]).await.unwrap();
        if !found.is_empty() {
            return found;
        }
        assert!(Instant::now() < end, "{code} did not come");
        mailbox.wait(soon()).await.unwrap();
    }
}

fn codes(found: &[Sighting]) -> Vec<Uuid> {
    found.iter().map(|sighting| sighting.code).collect()
}

#[tokio::test]
async fn each_security_works_with_each_mechanism_over_imap() {
    use Mechanism::{CramMd5, Login, Ntlm, OAuthBearer, Plain, XOAuth2};
    let stack = Stack::get();
    let token = super::login::jwt(stack.var("JWT_SECRET"), 3600);
    for security in [Security::None, Security::StartTLS, Security::TLS] {
        for mechanism in [Plain, Login, CramMd5, Ntlm, XOAuth2, OAuthBearer] {
            let mut session = session(&stack, security).await;
            let user = if mechanism == Ntlm { "EXAMPLE\\alice" } else { "alice@example.test" };
            let secret = if matches!(mechanism, XOAuth2 | OAuthBearer) { &token } else { "alice-secret" };
            let _alone = if mechanism == Ntlm { Some(NTLM.lock().await) } else { None };
            let attempt = authenticate(&mut session, mechanism, user, secret).await;
            assert_eq!(attempt, Attempt::Accepted, "{security:?} {mechanism:?}");
            session.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refused_login_over_imap_is_told_in_the_servers_words() {
    let stack = Stack::get();
    let user = stack.user(&format!("once-{}", Uuid::new_v4().simple()), "right").await;
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5] {
        let mut session = session(&stack, Security::TLS).await;
        let attempt = authenticate(&mut session, mechanism, &user, "wrong").await;
        let Attempt::Refused(why) = attempt else { panic!("{mechanism:?}: {attempt:?}") };
        assert_eq!((why.reason, why.stage), (Reason::AuthenticationFailed, Some(Stage::Auth)));
        assert!(why.words.as_deref().unwrap().starts_with("NO [AUTHENTICATIONFAILED]"), "{why}");
    }
    assert_eq!(stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]), 3);
    let mut session = session(&stack, Security::TLS).await;
    let stale = super::login::jwt(stack.var("JWT_SECRET"), -10);
    let attempt = authenticate(&mut session, Mechanism::XOAuth2, "alice@example.test", &stale).await;
    let Attempt::Refused(why) = attempt else { panic!("{attempt:?}") };
    assert!(why.said().contains("invalid_token") || why.said().contains("401"), "{}", why.said());
}

#[tokio::test]
async fn odd_passwords_log_in() {
    let stack = Stack::get();
    for password in ["with \"quotes\" and \\", "pässwörd"] {
        let user = stack.user(&format!("odd-{}", Uuid::new_v4().simple()), password).await;
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let mut session = session(&stack, Security::TLS).await;
            assert_eq!(authenticate(&mut session, mechanism, &user, password).await, Attempt::Accepted, "{password}");
        }
    }
}

#[tokio::test]
async fn ours_is_found_among_what_came_since_and_nothing_else_is() {
    let owner = Owner::new("look").await;
    let (ours, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut mailbox = owner.opens().await;
    assert_eq!((mailbox.shown().messages, mailbox.shown().junk.as_slice()), (0, &["Junk".to_owned()][..]));
    owner.put("", &subject(ours), "");
    let before = mailbox.note().await.unwrap();
    owner.put("", &subject(other), "");
    found(&mut mailbox, &before, ours).await;
    found(&mut mailbox, &before, other).await;
    let found = mailbox.look(&before, &[ours, other]).await.unwrap();
    assert_eq!((found.len(), codes(&found).contains(&ours)), (2, true));
    assert!(found.iter().all(|sighting| sighting.run.as_deref() == Some("here/uid/1")));

    let after = mailbox.note().await.unwrap();
    assert_ne!(before, after);
    assert!(mailbox.look(&after, &[ours, other]).await.unwrap().is_empty());
    Box::new(mailbox).close().await;
}

#[tokio::test]
async fn idle_tells_what_comes_while_one_waits() {
    let owner = Owner::new("idle").await;
    let mut mailbox = owner.opens().await;
    let mark = mailbox.note().await.unwrap();
    let code = Uuid::new_v4();
    // Longer than all of the short steps.
    assert!(!mailbox.wait(tokio::time::Instant::now() + Duration::from_millis(2500)).await.unwrap());
    let (waited, ()) = tokio::join!(mailbox.wait(tokio::time::Instant::now() + Duration::from_secs(20)), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        owner.put("", &subject(code), "");
    });
    assert!(waited.unwrap(), "a notice came");
    assert_eq!(codes(&mailbox.look(&mark, &[code]).await.unwrap()), [code]);
}

#[tokio::test]
async fn junk_is_found_by_its_special_use_and_the_mailbox_is_open_again_behind_it() {
    let owner = Owner::new("junk").await;
    let mut mailbox = owner.opens().await;
    let mark = mailbox.note().await.unwrap();
    let (junk, here) = (Uuid::new_v4(), Uuid::new_v4());
    // Dovecot makes the folder when it is opened for the first time.
    assert!(mailbox.look_in_junk(&[junk]).await.unwrap().is_empty());
    owner.put(".Junk", &subject(junk), "");
    owner.put("", &subject(here), "");
    let found = mailbox.look_in_junk(&[junk, here]).await.unwrap();
    assert_eq!((codes(&found), found[0].place.junk, found[0].place.folder.as_str()), (vec![junk], true, "Junk"));
    assert_eq!(codes(&mailbox.look(&mark, &[junk, here]).await.unwrap()), [here]);

    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    assert!(mailbox.look_in_junk(&[junk]).await.unwrap().is_empty());
    assert_eq!(codes(&mailbox.look(&mark, &[junk, here]).await.unwrap()), [here]);
}

#[tokio::test]
async fn only_ours_is_removed() {
    // promise 11
    let owner = Owner::new("clean").await;
    drop(owner.opens().await);
    let (ours, stranger) = (Uuid::new_v4(), Uuid::new_v4());
    owner.put("", "somebody else's, deleted and not yet expunged", "ST");
    owner.put("", &format!("somebody else's ({stranger})"), "");
    let mut mailbox = owner.opens().await;
    let mark = mailbox.note().await.unwrap();
    owner.put("", &subject(ours), "");
    let found = found(&mut mailbox, &mark, ours).await;
    assert_eq!(mailbox.clean_up(&found, Cleanup::MarkSeen).await.unwrap(), 1);
    assert!(owner.mails().contains(&ours.to_string()));
    assert_eq!(mailbox.clean_up(&found, Cleanup::Delete).await.unwrap(), 1);
    Box::new(mailbox).close().await;

    let left = owner.mails();
    assert!(!left.contains(&ours.to_string()), "ours is still there");
    assert!(left.contains("deleted and not yet expunged"), "a foreign mail that is marked as deleted is gone");
    assert!(left.contains(&stranger.to_string()), "a foreign mail is gone");
}

#[tokio::test]
async fn among_many_new_ones_ours_is_found_wherever_it_stands() {
    let owner = Owner::new("many").await;
    let mut mailbox = owner.opens().await;
    let mark = mailbox.note().await.unwrap();
    let (first, last) = (Uuid::new_v4(), Uuid::new_v4());
    // Dovecot numbers what it finds at one time by the files' names: each is found before the next is put there.
    owner.put("", &subject(first), "");
    found(&mut mailbox, &mark, first).await;
    for _ in 0..600 {
        owner.put("", "noise", "");
    }
    assert!(mailbox.wait(soon()).await.unwrap());
    owner.put("", &subject(last), "");
    found(&mut mailbox, &mark, last).await;
    let begun = Instant::now();
    found(&mut mailbox, &mark, first).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "by a search");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let stack = Stack::get();
    let mut session = session(&stack, Security::TLS).await;
    assert_eq!(authenticate(&mut session, Mechanism::Plain, "alice@example.test", "alice-secret").await, Attempt::Accepted);
    let wanted = Wanted { mailbox: "Prüfung".to_owned(), junk: Vec::new(), read_only: true };
    let failure = ImapMailbox::open(session, &wanted).await.err().unwrap();
    assert_eq!((failure.reason, failure.stage), (Reason::MailboxNotFound, Some(Stage::Select)), "{failure}");
    assert!(failure.words.as_deref().unwrap().contains("Prüfung"), "{failure}");
}
