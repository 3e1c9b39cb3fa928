//! Watching a mailbox of a real Dovecot for a mail that a real Postfix delivers: found, cleaned up, swept, bounced.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use mailverity::{
    api::{
        Reason,
        v1alpha1::{Level, Mechanism, Security},
    },
    mail::{
        Diagnosis, Stage, Vantage,
        dns::Resolver,
        guard::Guard,
        mailbox::{Cleanup, Mark},
        protocol::Protocol,
        tls::{MinVersion, TlsPolicy, certificates},
    },
    verify::{
        Credential, Endpoint, Login, Open,
        mail_server::{self, Run},
        mailbox::{
            Inputs, attend,
            attend::{Begin, Dispatch, Dispatched, Finding, Patience, Search},
        },
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use super::{given, password, resolve, spec, support::stack::Stack};

/// A user of the test's own, who sends and whose mailbox is watched.
pub struct Owner {
    pub stack: Stack,
    pub address: String,
}

impl Owner {
    pub async fn new(name: &str) -> Self {
        let stack = Stack::get();
        let address = stack.user(&format!("{name}-{}", Uuid::new_v4().simple()), "own-secret").await;
        Self { stack, address }
    }

    pub fn inputs(&self, protocol: Protocol) -> Inputs {
        let port = if protocol == Protocol::Pop3 { "POP3S_PORT" } else { "IMAPS_PORT" };
        let login = Login {
            credential: Credential::Password { user: self.address.clone(), password: "own-secret".to_owned().into() },
            mechanisms: vec![Mechanism::Auto],
            allow_plaintext: true,
            secret: "mail/account".to_owned(),
            changed: None,
            fingerprint: "f".to_owned(),
        };
        Inputs {
            protocol,
            endpoint: Endpoint { host: "localhost".to_owned(), port: self.stack.port(port), security: Security::TLS },
            tls: TlsPolicy::new(&certificates(&self.stack.ca()).unwrap(), MinVersion::default()),
            login: Some(login),
            mailbox: "INBOX".to_owned(),
            junk: Vec::new(),
            level: Level::Authenticate,
            timeout: Duration::from_secs(20),
            resolving: Duration::ZERO,
        }
    }

    fn maildir(&self) -> PathBuf {
        PathBuf::from(self.stack.var("MAIL_DIR")).join(&self.address)
    }

    /// Puts a mail into the mailbox, with flags of maildir's (`T` is deleted).
    pub fn put(&self, subject: &str, run: &str, flags: &str) {
        let owner = fs::metadata(self.stack.var("MAIL_DIR")).unwrap();
        let dir = self.maildir();
        let name = format!("{}.{}.test:2,{flags}", Timestamp::now().as_nanosecond(), Uuid::new_v4().simple());
        for part in ["", "tmp", "new", "cur"] {
            fs::create_dir_all(dir.join(part)).unwrap();
            chown(dir.join(part), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let text = format!("From: a@example.test\r\nSubject: {subject}\r\nX-Mailverity-Run: {run}\r\n\r\nbody\r\n");
        fs::write(dir.join("tmp").join(&name), text).unwrap();
        chown(dir.join("tmp").join(&name), Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::rename(dir.join("tmp").join(&name), dir.join("cur").join(&name)).unwrap();
    }

    /// The mails in the mailbox, each with its file's name before it.
    pub fn mails(&self) -> Vec<String> {
        let files = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(self.maildir().join(part)).unwrap().flatten());
        files.map(|file| format!("{}\n{}", file.file_name().display(), fs::read_to_string(file.path()).unwrap())).collect()
    }

    fn sends<'a>(&'a self, to: &'a str, id: &'a str, code: Uuid) -> Submits<'a> {
        Submits { owner: self, to, id, code }
    }
}

/// Sends by the mail server's own check.
struct Submits<'o> {
    owner: &'o Owner,
    to: &'o str,
    id: &'o str,
    code: Uuid,
}

impl Dispatch for Submits<'_> {
    fn dispatch<'a>(&'a mut self, _: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        async move {
            let Self { owner: Owner { stack, address }, to, id, code } = self;
            let rest = json!({"auth": password("Auto"), "sender": {"address": address}, "test": {"to": to}});
            let inputs = resolve(&spec(stack, "SUBMISSION_PORT", "StartTLS", rest), &given(stack, address, "own-secret")).await;
            let (now, level) = (Timestamp::now(), Level::Deliver);
            let run = Run {
                id,
                code: *code,
                message: *code,
                reads_bounces: true,
                probe: None,
                now,
                installation: "test",
                contact: None,
                level,
                may_greet_with_tls: false,
                watcher: None,
            };
            let report = Box::pin(mail_server::check(&inputs, &vantage(), &Open, &run)).await;
            match (report.failure, report.delivery) {
                (None, Some(delivery)) => {
                    Ok(Dispatched { at: tokio::time::Instant::now(), message_id: Some(delivery.message_id), envelope_id: None })
                }
                (failure, _) => Err(failure.unwrap()),
            }
        }
        .boxed()
    }
}

/// Sends with the wish to hear of a failure (RFC 3461), as the sender of a profile does who reads the mailbox.
struct AsksForReports<'o> {
    owner: &'o Owner,
    to: &'o str,
}

impl Dispatch for AsksForReports<'_> {
    fn dispatch<'a>(&'a mut self, _: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        async move {
            let Self { owner: Owner { stack, address }, to } = self;
            let stream = TcpStream::connect(("127.0.0.1", stack.port("PLAIN_PORT"))).await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut replies = BufReader::new(read).lines();
            let id = format!("<{}@example.test>", Uuid::new_v4());
            for (said, code) in [
                (String::new(), "220 "),
                ("EHLO example.test\r\n".to_owned(), "250 "),
                (format!("MAIL FROM:<{address}> RET=HDRS ENVID=env-7\r\n"), "250 "),
                (format!("RCPT TO:<{to}> NOTIFY=FAILURE,DELAY\r\n"), "250 "),
                ("DATA\r\n".to_owned(), "354 "),
                (format!("From: <{address}>\r\nMessage-ID: {id}\r\nSubject: hello\r\n\r\nyou\r\n.\r\n"), "250 "),
            ] {
                write.write_all(said.as_bytes()).await.unwrap();
                while !replies.next_line().await.unwrap().expect("a reply").starts_with(code) {}
            }
            let at = tokio::time::Instant::now();
            Ok(Dispatched { at, message_id: Some(id), envelope_id: Some("env-7".to_owned()) })
        }
        .boxed()
    }
}

pub fn vantage() -> Vantage {
    Vantage { actor: "default".to_owned(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None }
}

fn search(code: Uuid, run: &str, seconds: u64) -> Search<'_> {
    Search {
        code,
        run: Some(run),
        cleanup: Cleanup::Delete,
        timeout: Duration::from_secs(seconds),
        patience: Patience::Stay,
        earlier: None,
        witness: None,
    }
}

async fn watch(inputs: &Inputs, search: &Search<'_>, dispatch: &mut dyn Dispatch) -> Finding {
    attend(inputs, &vantage(), &Open, search, Begin::Send(dispatch), None).await
}

#[tokio::test]
async fn a_mail_is_sent_found_and_removed_with_what_a_run_before_has_left_and_nothing_else_goes() {
    // promises 10 and 11
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let owner = Owner::new("watch").await;
        let (code, old) = (Uuid::new_v4(), Uuid::new_v4());
        owner.put(&format!("mailverity check ({old})"), "test/uid-1/before", "");
        owner.put(&format!("mailverity check ({old})"), "other/uid-1/before", "");
        owner.put(&format!("somebody else's ({})", Uuid::new_v4()), "there/uid/1", "");
        owner.put("somebody else's, marked as deleted", "x", "ST");
        let earlier = |id: &str| if id == "before" { vec![old] } else { Vec::new() };
        let mut search = search(code, "test/uid-1/now", 30);
        search.earlier = Some(&earlier);
        let finding = watch(&owner.inputs(protocol), &search, &mut owner.sends(&owner.address, "now", code)).await;
        assert!(finding.report.failure.is_none(), "{:#?}", finding.report);
        let found = finding.found.unwrap();
        assert_eq!((found.sighting.run.as_deref(), found.copies), (Some("test/uid-1/now"), 1));
        assert_eq!((finding.removed, finding.swept), (1, 1), "{:#?}", finding.report.stages);

        let left = owner.mails();
        assert_eq!(left.len(), 3, "{left:#?}");
        assert!(!left.iter().any(|mail| mail.contains(&code.to_string()) || mail.contains("test/uid-1/before")), "{left:#?}");
        assert!(left.iter().any(|mail| mail.contains("marked as deleted")), "{left:#?}");
    }
}

#[tokio::test]
async fn over_imap_a_mail_is_found_in_the_moment_that_it_is_there() {
    let owner = Owner::new("swift").await;
    let code = Uuid::new_v4();
    let finding =
        watch(&owner.inputs(Protocol::Imap), &search(code, "test/uid-1/r", 30), &mut owner.sends(&owner.address, "r", code))
            .await;
    let took = finding.found.unwrap().at.duration_since(finding.dispatched.unwrap().at);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(finding.sessions, 1);
}

/// A server in front of Dovecot that does not tell of UIDPLUS.
async fn without_uidplus(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut chunk = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
                    let text = String::from_utf8_lossy(&chunk[..count]).replace("UIDPLUS", "X-NONE");
                    to_client.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    own
}

#[tokio::test]
async fn without_uidplus_ours_is_marked_and_nobody_elses_mail_is_expunged() {
    // promise 11
    let owner = Owner::new("plain").await;
    owner.put("somebody else's, marked as deleted", "x", "ST");
    let code = Uuid::new_v4();
    let mut inputs = owner.inputs(Protocol::Imap);
    inputs.endpoint.security = Security::None;
    inputs.endpoint.port = without_uidplus(owner.stack.port("IMAP_PORT")).await;
    let finding = watch(&inputs, &search(code, "test/uid-1/r", 30), &mut owner.sends(&owner.address, "r", code)).await;
    assert!(finding.report.failure.is_none(), "{:#?}", finding.report);
    assert_eq!(finding.removed, 1);
    let left = owner.mails();
    assert_eq!(left.len(), 2, "{left:#?}");
    let ours = left.iter().find(|mail| mail.contains(&code.to_string())).expect("ours, which is only marked");
    assert!(ours.lines().next().unwrap().contains('T'), "{ours}");
}

#[tokio::test]
async fn the_bounce_of_a_real_server_ends_the_search_and_is_removed() {
    // promise 6
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let owner = Owner::new("bounce").await;
        let (code, begun) = (Uuid::new_v4(), Instant::now());
        // Postfix takes it, and Dovecot does not know it.
        let nobody = format!("nobody-{}@example.test", Uuid::new_v4().simple());
        let mut sends = AsksForReports { owner: &owner, to: &nobody };
        let finding = watch(&owner.inputs(protocol), &search(code, "test/uid-1/r", 60), &mut sends).await;
        let failure = finding.report.failure.expect("a failure");
        assert_eq!(failure.reason, Reason::MessageBounced, "{failure}");
        assert!(failure.words.as_deref().unwrap().contains("User doesn't exist"), "{failure}");
        assert!(failure.hint().starts_with(&format!("The mail to {nobody} came back from ")), "{}", failure.hint());
        assert!(begun.elapsed() < Duration::from_secs(30), "long before the time is over");
        assert_eq!(owner.mails(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_not_looked_for() {
    let owner = Owner::new("refused").await;
    let code = Uuid::new_v4();
    let mut sends = owner.sends("full@example.test", "r", code);
    let finding = watch(&owner.inputs(Protocol::Imap), &search(code, "test/uid-1/r", 60), &mut sends).await;
    let failure = finding.report.failure.expect("a failure");
    assert_eq!((failure.reason, failure.stage), (Reason::MailboxFull, Some(Stage::Rcpt)), "{failure}");
    assert!(finding.mark.is_some() && finding.dispatched.is_none());
}
