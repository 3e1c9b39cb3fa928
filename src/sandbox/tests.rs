//! Conversations with the sandbox, written as RFCs print them: `C:` is said, `S:` must come back; a line of the
//! server's may be cut short by `...`.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Account, Error, Options, Running, Sandbox, maildrop::MOST_MESSAGES, peer::Socket};

const USER: &str = "demo@sandbox.test";
const PASSWORD: &str = "correct horse";

fn options() -> Options {
    let account = |user: &str| Account { user: user.to_owned(), password: PASSWORD.into() };
    Options { accounts: vec![account(USER), account("other@sandbox.test")], ..Options::default() }
}

async fn sandbox() -> Running {
    Sandbox::start(options()).await.unwrap()
}

fn plain(password: &str) -> String {
    BASE64.encode(format!("\0{USER}\0{password}"))
}

struct Client {
    socket: BufReader<Box<dyn Socket>>,
    /// What the server said last.
    heard: String,
}

impl Client {
    async fn connect(port: u16) -> Self {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self { socket: BufReader::new(Box::new(socket)), heard: String::new() }
    }

    async fn tls(self, sandbox: &Running) -> Self {
        self.tls_to("localhost", sandbox).await
    }

    async fn tls_to(self, name: &'static str, sandbox: &Running) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sandbox.ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let socket = TlsConnector::from(Arc::new(config)).connect(name, self.socket.into_inner()).await.unwrap();
        Self { socket: BufReader::new(Box::new(socket)), heard: self.heard }
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    async fn hear(&mut self) -> &str {
        self.heard.clear();
        self.socket.read_line(&mut self.heard).await.unwrap();
        assert!(self.heard.ends_with("\r\n") || self.heard.is_empty(), "{:?}", self.heard);
        self.heard = self.heard.trim().to_owned();
        &self.heard
    }

    async fn play(&mut self, conversation: &str) {
        for line in conversation.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_at(2) {
                ("C:", said) => self.say(format!("{}\r\n", said.trim_start())).await,
                ("S:", expected) => {
                    let (expected, heard) = (expected.trim_start(), self.hear().await);
                    match expected.strip_suffix("...") {
                        Some(start) => assert!(heard.starts_with(start), "{heard:?} instead of {expected:?}"),
                        None => assert_eq!(heard, expected),
                    }
                }
                _ => panic!("neither C: nor S: in {line:?}"),
            }
        }
    }

    async fn is_cut(&mut self) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// A client on the STARTTLS port, up to the reply to the second EHLO.
async fn in_tls(sandbox: &Running) -> Client {
    let mut client = Client::connect(sandbox.ports.smtp).await;
    client
        .play(
            "S: 220 sandbox.test ESMTP mailverity sandbox
             C: EHLO client.test
             S: 250-sandbox.test
             S: 250-PIPELINING
             S: 250-SIZE 1048576
             S: 250-STARTTLS
             S: 250-ENHANCEDSTATUSCODES
             S: 250-8BITMIME
             S: 250-DSN
             S: 250 SMTPUTF8
             C: STARTTLS
             S: 220 2.0.0 Ready to start TLS",
        )
        .await;
    let mut client = client.tls(sandbox).await;
    client
        .play(
            "C: EHLO client.test
             S: 250-sandbox.test
             S: 250-PIPELINING
             S: 250-SIZE 1048576
             S: 250-AUTH PLAIN LOGIN CRAM-MD5
             S: 250-ENHANCEDSTATUSCODES
             S: 250-8BITMIME
             S: 250-DSN
             S: 250 SMTPUTF8",
        )
        .await;
    client
}

/// A client that may send.
async fn logged_in(sandbox: &Running) -> Client {
    let mut client = in_tls(sandbox).await;
    client.play(&format!("C: AUTH PLAIN {}\nS: 235 2.7.0 Authentication successful", plain(PASSWORD))).await;
    client
}

async fn send(client: &mut Client, body: &str) {
    client
        .play(
            "C: MAIL FROM:<demo@sandbox.test>
             S: 250 2.1.0 Ok
             C: RCPT TO:<demo@sandbox.test>
             S: 250 2.1.5 Ok
             C: DATA
             S: 354 End data with <CR><LF>.<CR><LF>",
        )
        .await;
    client.say(format!("{body}\r\n.\r\n")).await;
    client.play("S: 250 2.0.0 Ok: queued as ...").await;
}

/// A client of POP3 whose login was taken.
async fn pop3(sandbox: &Running) -> Client {
    let mut client = Client::connect(sandbox.ports.pop3s).await.tls(sandbox).await;
    client
        .play(&format!(
            "S: +OK mailverity sandbox ready. <...
             C: USER {USER}
             S: +OK ...
             C: PASS {PASSWORD}
             S: +OK Logged in."
        ))
        .await;
    client
}

#[tokio::test]
async fn a_mail_sent_after_starttls_and_login_is_read_by_pop3() {
    let sandbox = sandbox().await;
    send(&mut logged_in(&sandbox).await, "Subject: hello\r\n\r\n..stuffed\r\nlast").await;
    let mut reader = pop3(&sandbox).await;
    reader.play("C: STAT\nS: +OK 1 ...\nC: UIDL\nS: +OK 1 messages:\nS: 1 ...\nS: .").await;
    reader
        .play(
            "C: RETR 1
             S: +OK ...
             S: Return-Path: <demo@sandbox.test>
             S: Received: from client.test ([127.0.0.1])
             S: by sandbox.test (mailverity sandbox) with ESMTPSA id ...
             S: ...
             S: Subject: hello
             S:
             S: ..stuffed
             S: last
             S: .
             C: TOP 1 1
             S: +OK ...
             S: Return-Path: ...
             S: Received: ...
             S: by ...
             S: ...
             S: Subject: hello
             S:
             S: ..stuffed
             S: .",
        )
        .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_every_mechanism() {
    let sandbox = sandbox().await;
    let mut client = in_tls(&sandbox).await;
    let refused = "S: 535 5.7.8 Error: authentication failed: authentication failure";
    client.play(&format!("C: AUTH PLAIN {}\n{refused}", plain("wrong"))).await;
    client.play(&format!("C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {}\nS: 334 UGFzc3dvcmQ6", BASE64.encode(USER))).await;
    client.play(&format!("C: {}\n{refused}", BASE64.encode("wrong"))).await;
    client.play(&format!("C: AUTH CRAM-MD5\nS: 334 ...\nC: {}\n{refused}", BASE64.encode(format!("{USER} ")))).await;
    client
        .play(
            "C: AUTH PLAIN
             S: 334
             C: *
             S: 501 5.7.0 Authentication aborted
             C: AUTH PLAIN !!!
             S: 501 5.5.2 ...
             C: AUTH GSSAPI
             S: 504 5.5.4 ...
             C: MAIL FROM:<demo@sandbox.test>
             S: 530 5.7.0 Authentication required",
        )
        .await;
}

#[tokio::test]
async fn cram_md5_logs_in_and_is_all_that_is_offered_without_tls() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.ports.plain).await;
    client
        .play(
            "S: 220 ...
             C: EHLO client.test
             S: 250-sandbox.test
             S: 250-PIPELINING
             S: 250-SIZE 1048576
             S: 250-AUTH CRAM-MD5
             S: 250-ENHANCEDSTATUSCODES
             S: 250-8BITMIME
             S: 250-DSN
             S: 250 SMTPUTF8
             C: STARTTLS
             S: 502 5.5.1 Error: command not implemented
             C: AUTH PLAIN AA==
             S: 538 5.7.11 Encryption required for requested authentication mechanism
             C: AUTH CRAM-MD5
             S: 334 ...",
        )
        .await;
    let challenge = BASE64.decode(client.heard.strip_prefix("334 ").unwrap()).unwrap();
    let mac = <hmac::Hmac<md5::Md5> as hmac::Mac>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    let digest = hmac::Mac::finalize(hmac::Mac::chain_update(mac, challenge)).into_bytes();
    client.play(&format!("C: {}\nS: 235 ...", BASE64.encode(format!("{USER} {digest:x}")))).await;
    client.play("C: AUTH CRAM-MD5\nS: 503 5.5.1 Error: already authenticated\nC: QUIT\nS: 221 2.0.0 Bye").await;
    client.is_cut().await;
}

#[tokio::test]
async fn passwords_go_without_tls_only_where_that_is_allowed() {
    let sandbox = Sandbox::start(Options { allow_plaintext: true, ..options() }).await.unwrap();
    let mut client = Client::connect(sandbox.ports.plain).await;
    client
        .play("S: 220 ...\nC: HELO client.test\nS: 250 sandbox.test\nC: AUTH PLAIN AA==\nS: 503 5.5.1 Error: send EHLO first")
        .await;
    client.say("EHLO client.test\r\n").await;
    while !client.hear().await.starts_with("250 ") {}
    client.play(&format!("C: AUTH PLAIN {}\nS: 235 ...", plain(PASSWORD))).await;
}

#[tokio::test]
async fn before_tls_neither_login_nor_mail_is_taken() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.ports.smtp).await;
    client.play("S: 220 ...\nC: EHLO client.test").await;
    while !client.hear().await.starts_with("250 ") {}
    client
        .play(
            "C: AUTH PLAIN AA==
             S: 530 5.7.0 Must issue a STARTTLS command first
             C: MAIL FROM:<demo@sandbox.test>
             S: 530 5.7.0 Must issue a STARTTLS command first",
        )
        .await;
    let mut client = in_tls(&sandbox).await;
    client.play("C: STARTTLS\nS: 503 5.5.1 Error: TLS already active").await;
}

#[tokio::test]
async fn what_stands_behind_starttls_is_dropped() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.ports.smtp).await;
    client.play("S: 220 ...").await;
    client.say("STARTTLS\r\nEHLO injected.test\r\nVRFY injected\r\n").await;
    client.play("S: 220 2.0.0 Ready to start TLS").await;
    let mut client = client.tls(&sandbox).await;
    client.play("C: NOOP\nS: 250 2.0.0 Ok\nC: MAIL FROM:<demo@sandbox.test>\nS: 503 5.5.1 Error: send HELO/EHLO first").await;
}

#[tokio::test]
async fn only_mail_for_its_own_accounts_is_taken() {
    let sandbox = sandbox().await;
    let mut client = logged_in(&sandbox).await;
    client
        .play(
            "C: RCPT TO:<demo@sandbox.test>
             S: 503 5.5.1 Error: need MAIL command
             C: MAIL FROM:<> RET=HDRS ENVID=abc BODY=8BITMIME SIZE=100
             S: 250 2.1.0 Ok
             C: RCPT TO:<someone@example.com>
             S: 550 5.7.1 <someone@example.com>: Relay access denied
             C: RCPT TO:<nobody@sandbox.test>
             S: 550 5.1.1 <nobody@sandbox.test>: Recipient address rejected: User unknown in virtual mailbox table
             C: DATA
             S: 554 5.5.1 Error: no valid recipients
             C: RCPT TO:<Demo+tag@SANDBOX.test> NOTIFY=NEVER
             S: 250 2.1.5 Ok
             C: RCPT TO:<postmaster@sandbox.test>
             S: 250 2.1.5 Ok
             C: RCPT TO:<other@sandbox.test>
             S: 250 2.1.5 Ok
             C: VRFY demo
             S: 252 2.0.0 demo
             C: DATA
             S: 354 ...
             C: hello
             C: .
             S: 250 2.0.0 Ok: queued as ...",
        )
        .await;
    assert_eq!((sandbox.mail(USER).len(), sandbox.mail("other@sandbox.test").len()), (1, 1));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let sandbox = sandbox().await;
    let mut client = logged_in(&sandbox).await;
    client.say("MAIL FROM:<demo@sandbox.test>\r\nRCPT TO:<x@example.com>\r\nRCPT TO:<demo@sandbox.test>\r\nDATA\r\n").await;
    client.play("S: 250 2.1.0 Ok\nS: 550 5.7.1 ...\nS: 250 2.1.5 Ok\nS: 354 ...").await;
    client.say("hello\r\n.\r\nRSET\r\nQUIT\r\n").await;
    client.play("S: 250 2.0.0 Ok: queued as ...\nS: 250 2.0.0 Ok\nS: 221 2.0.0 Bye").await;
    client.is_cut().await;
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_refused_before_or_behind_it() {
    let sandbox = sandbox().await;
    let mut client = logged_in(&sandbox).await;
    client
        .play(
            "C: MAIL FROM:<demo@sandbox.test> SIZE=1048577
             S: 552 5.3.4 Message size exceeds fixed limit
             C: MAIL FROM:<demo@sandbox.test>
             S: 250 ...
             C: RCPT TO:<demo@sandbox.test>
             S: 250 ...
             C: DATA
             S: 354 ...",
        )
        .await;
    client.say((format!("{}\r\n", "x".repeat(998))).repeat(1049) + ".\r\n").await;
    client.play("S: 552 5.3.4 Error: message file too big\nC: NOOP\nS: 250 2.0.0 Ok").await;
    assert!(sandbox.mail(USER).is_empty());
}

#[tokio::test]
async fn a_line_feed_alone_ends_no_mail_but_the_conversation() {
    let sandbox = sandbox().await;
    for smuggled in ["hello\r\n.\n", "hello\n.\r\n", "hello\n.\n", "hello\r.\r\n"] {
        let mut client = logged_in(&sandbox).await;
        client.play("C: MAIL FROM:<>\nS: 250 ...\nC: RCPT TO:<demo@sandbox.test>\nS: 250 ...\nC: DATA\nS: 354 ...").await;
        client.say(format!("{smuggled}MAIL FROM:<smuggled@sandbox.test>\r\n")).await;
        client.play("S: 521 5.5.2 ...").await;
        client.is_cut().await;
    }
    assert!(sandbox.mail(USER).is_empty());
}

#[tokio::test]
async fn recipients_errors_and_lines_are_bounded() {
    let sandbox = sandbox().await;
    let mut client = logged_in(&sandbox).await;
    client.play("C: MAIL FROM:<>\nS: 250 ...\nC: RCPT TO:<>\nS: 501 5.1.3 Bad recipient address syntax").await;
    for _ in 0..100 {
        client.play("C: RCPT TO:<demo@sandbox.test>\nS: 250 2.1.5 Ok").await;
    }
    client.play("C: RCPT TO:<demo@sandbox.test>\nS: 452 4.5.3 Error: too many recipients").await;
    for junk in ["NONSENSE", "MAIL", "MAIL FROM:<a b>", "RCPT TO:<@>", "EHLO", "MAIL FROM:<a@b.test> X=Y", "EXPN x", "BDAT 5"] {
        client.play(&format!("C: {junk}\nS: 5...")).await;
    }
    for _ in 9..20 {
        client.play("C: NONSENSE\nS: 502 5.5.2 Error: command not recognized").await;
    }
    client.play("C: NONSENSE\nS: 421 4.7.0 sandbox.test Error: too many errors").await;

    for most in [4 * 1024, 100_000] {
        let mut client = in_tls(&sandbox).await;
        client.say(format!("NOOP {}\r\n", "x".repeat(most))).await;
        client.play("S: 500 5.5.2 sandbox.test Error: line too long").await;
        client.is_cut().await;
    }
}

#[tokio::test]
async fn a_silent_client_is_sent_away() {
    let sandbox = Sandbox::start(Options { patience: Duration::from_millis(50), ..options() }).await.unwrap();
    let mut client = Client::connect(sandbox.ports.smtp).await;
    client.play("S: 220 ...\nS: 421 4.4.2 sandbox.test Error: timeout exceeded").await;
    client.is_cut().await;
    let mut client = Client::connect(sandbox.ports.pop3).await;
    client.play("S: +OK ...\nS: -ERR Disconnected for inactivity.").await;
    client.is_cut().await;
    Client::connect(sandbox.ports.smtps).await.is_cut().await;
}

#[tokio::test]
async fn pop3_deletes_at_quit_what_is_marked_then() {
    let sandbox = sandbox().await;
    let mut sender = logged_in(&sandbox).await;
    for n in 1..=3 {
        send(&mut sender, &format!("Subject: {n}\r\n\r\nbody")).await;
    }
    let mut reader = pop3(&sandbox).await;
    reader
        .play("C: DELE 2\nS: +OK ...\nC: RSET\nS: +OK 3 messages, ...\nC: DELE 1\nS: +OK ...\nC: DELE 1\nS: -ERR There's ...")
        .await;
    reader.play("C: LIST\nS: +OK 2 messages:\nS: 2 ...\nS: 3 ...\nS: .\nC: UIDL 1\nS: -ERR ...\nC: LIST 3\nS: +OK 3 ...").await;
    assert_eq!(sandbox.mail(USER).len(), 3);
    reader.play("C: QUIT\nS: +OK Logging out, messages deleted.").await;
    assert_eq!(sandbox.mail(USER).len(), 2);
}

#[tokio::test]
async fn pop3_admits_one_session_to_a_maildrop() {
    let sandbox = sandbox().await;
    let first = pop3(&sandbox).await;
    let mut second = Client::connect(sandbox.ports.pop3s).await.tls(&sandbox).await;
    let login = format!("C: AUTH PLAIN {}", plain(PASSWORD));
    second.play(&format!("S: +OK ...\n{login}\nS: -ERR [IN-USE] Mailbox is locked by another POP3 session.")).await;
    drop(first);
    while {
        second.play(&login).await;
        second.hear().await != "+OK Logged in."
    } {}
}

#[tokio::test]
async fn pop3_takes_a_password_only_inside_tls_and_a_digest_anywhere() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.ports.pop3).await;
    client.play("S: +OK ...").await;
    let timestamp = client.heard.rsplit(' ').next().unwrap().to_owned();
    client
        .play(
            "C: CAPA
             S: +OK Capabilities:
             S: TOP
             S: UIDL
             S: RESP-CODES
             S: AUTH-RESP-CODE
             S: PIPELINING
             S: STLS
             S: SASL CRAM-MD5
             S: .
             C: USER demo@sandbox.test
             S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
             C: APOP demo@sandbox.test 0123
             S: -ERR [AUTH] Authentication failed.
             C: STAT
             S: -ERR Unknown command.",
        )
        .await;
    let digest = <md5::Md5 as md5::Digest>::digest(format!("{timestamp}{PASSWORD}"));
    client.play(&format!("C: APOP {USER} {digest:x}\nS: +OK Logged in.\nC: NOOP\nS: +OK NOOP\nC: QUIT\nS: +OK ...")).await;

    let mut client = Client::connect(sandbox.ports.pop3).await;
    client.play("S: +OK ...\nC: STLS\nS: +OK Begin TLS negotiation now.").await;
    let mut client = client.tls(&sandbox).await;
    client.play(&format!("C: AUTH PLAIN\nS: +\nC: {}\nS: -ERR [AUTH] Authentication failed.", plain("wrong"))).await;
    client.play(&format!("C: PASS {PASSWORD}\nS: -ERR No username given.\nC: STLS\nS: -ERR ...")).await;
}

#[tokio::test]
async fn the_certificate_is_good_for_every_name_of_this_machine() {
    let sandbox = sandbox().await;
    for name in ["localhost", "127.0.0.1", "::1"] {
        Client::connect(sandbox.ports.smtps).await.tls_to(name, &sandbox).await.play("S: 220 ...").await;
    }
}

#[tokio::test]
async fn a_full_maildrop_forgets_the_oldest_mail() {
    let sandbox = sandbox().await;
    let mut client = logged_in(&sandbox).await;
    for n in 0..=MOST_MESSAGES {
        send(&mut client, &format!("mail {n}.")).await;
    }
    let mail = sandbox.mail(USER);
    assert_eq!(mail.len(), MOST_MESSAGES);
    assert!(mail[0].bytes.ends_with(b"mail 1.\r\n"));
}

#[tokio::test]
async fn only_loopback_and_only_addresses_will_do() {
    let elsewhere = Options { address: Ipv4Addr::UNSPECIFIED.into(), ..options() };
    assert!(matches!(Sandbox::start(elsewhere).await, Err(Error::NotLoopback(_))));
    let elsewhere = Options { address: "::ffff:10.0.0.1".parse().unwrap(), ..options() };
    assert!(matches!(Sandbox::start(elsewhere).await, Err(Error::NotLoopback(_))));
    assert!(matches!(Sandbox::start(Options { accounts: Vec::new(), ..options() }).await, Err(Error::BadAccount(_))));
    let nobody = Account { user: "demo".to_owned(), password: PASSWORD.into() };
    assert!(matches!(Sandbox::start(Options { accounts: vec![nobody], ..options() }).await, Err(Error::BadAccount(_))));
    assert!(matches!(
        Sandbox::start(Options { address: Ipv6Addr::LOCALHOST.into(), ..options() }).await,
        Ok(_) | Err(Error::Listen { .. })
    ));
}

#[tokio::test]
async fn a_dropped_sandbox_is_gone_and_its_ports_are_free() {
    let first = sandbox().await;
    let ports = first.ports;
    let mut client = Client::connect(ports.smtp).await;
    client.play("S: 220 ...").await;
    let taken = Sandbox::start(Options { ports, ..options() }).await;
    assert!(matches!(taken, Err(Error::Listen { .. })));
    drop(first);
    client.is_cut().await;
    drop(Sandbox::start(Options { ports, ..options() }).await.unwrap());
}
