//! Token endpoints that lie, are slow, or are not there; and what is asked of them, how often, and by whom.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant as Clock},
};

use mailverity::{
    api::{Class, Reason},
    mail::{
        Diagnosis, Vantage,
        dns::Resolver,
        guard::Guard,
        https::{Hosts, Https},
        oauth2::{Grant, Proof, Request},
        tls::certificates as read,
    },
    verify::{
        Gate,
        gate::Account,
        report::LoginOutcome,
        tokens::{Source, Tokens},
    },
};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use crate::{
    certificates::{acceptor, trusted_pem},
    names::NameServer,
    script::Names,
    world::{Doorkeeper, login},
};

const SECRET: &str = "Tr0ub4dor&3-client-secret";

const GOOD: &str = r#"{"access_token":"an-access-token","token_type":"Bearer","expires_in":3600}"#;

/// What a token endpoint does.
#[derive(Clone)]
pub enum Does {
    /// Answers with this status and body.
    Says(u16, &'static str, String),
    /// Answers with these bytes as they are.
    Raw(String),
    /// Sends a body without end.
    Floods,
    /// Sends a byte in a while.
    Drips,
    Nothing,
    HangsUp,
}

pub fn json(status: u16, body: &str) -> Does {
    Does::Says(status, "application/json", body.to_owned())
}

/// A token endpoint on loopback, as `mx.test`.
pub struct Provider {
    url: String,
    names: NameServer,
    asked: Arc<AtomicUsize>,
    pub heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provider {
    /// Does one after the other, the last for ever.
    pub async fn that(does: Vec<Does>, certificate: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, log) = (Arc::clone(&asked), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (does, count, log) = (does.clone(), Arc::clone(&count), Arc::clone(&log));
                serving.spawn(async move {
                    let Ok(mut stream) = acceptor(certificate).accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    log.lock().unwrap().push(String::from_utf8(request).unwrap());
                    let turn = count.fetch_add(1, SeqCst).min(does.len() - 1);
                    answer(&mut stream, &does[turn]).await;
                    stream.shutdown().await.ok();
                });
            }
        });
        let names = NameServer::start(Names::Answer { rcode: 0, a: vec![[127, 0, 0, 1].into()], aaaa: Vec::new() }).await;
        Self { url: format!("https://mx.test:{port}/token"), names, asked, heard, task }
    }

    fn vantage(&self, guard: Guard) -> Vantage {
        Vantage { actor: "default".to_owned(), resolver: Resolver::new(&[self.names.address]), guard, proxy: None }
    }

    fn source_by(&self, https: Https, key: &str) -> Source {
        Source::new(Arc::new(Tokens::new(https)), self.request(), key.to_owned())
    }

    pub fn request(&self) -> Request {
        Request {
            endpoint: self.url.parse().unwrap(),
            client_id: "us".to_owned(),
            proof: Proof::Post(SECRET.to_owned().into()),
            grant: Grant::ClientCredentials,
            scopes: vec!["mail".to_owned()],
        }
    }

    pub fn https(&self) -> Https {
        Https::new(self.vantage(Guard::open()), &read(trusted_pem().as_bytes()).unwrap(), Hosts::Any)
    }

    fn source(&self) -> Source {
        self.source_by(self.https(), "a")
    }

    pub fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn answer(stream: &mut (impl AsyncWriteExt + Unpin), does: &Does) {
    let head = |status: u16, media: &str, length: usize| {
        format!("HTTP/1.1 {status} Whatever\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n")
    };
    let text = match does {
        Does::Says(status, media, body) => head(*status, media, body.len()) + body,
        Does::Raw(text) => text.clone(),
        Does::Floods => {
            let mut whole = head(200, "application/json", 10_000_000).into_bytes();
            whole.resize(whole.len() + 10_000_000, b' ');
            stream.write_all(&whole).await.ok();
            return;
        }
        Does::Drips => {
            let body = head(200, "application/json", 1000);
            stream.write_all(body.as_bytes()).await.ok();
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return;
        }
        Does::Nothing => std::future::pending().await,
        Does::HangsUp => return,
    };
    stream.write_all(text.as_bytes()).await.ok();
}

pub fn gate() -> Doorkeeper {
    login().gate
}

pub async fn ask(source: &Source, gate: &dyn Gate, time: Duration) -> Result<String, Diagnosis> {
    use secrecy::ExposeSecret;
    source.token(gate, Instant::now() + time).await.map(|access| access.secret.expose_secret().to_owned())
}

pub const TIME: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_token_is_asked_for_once_and_shared() {
    let provider = Provider::that(vec![json(200, GOOD)], "good").await;
    let source = Arc::new(provider.source());
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let source = Arc::clone(&source);
        asking.spawn(async move { ask(&source, &mailverity::verify::Open, TIME).await });
    }
    for token in asking.join_all().await {
        assert_eq!(token.unwrap(), "an-access-token");
    }
    assert_eq!(provider.asked(), 1);
    let _ = source.judged(&"an-access-token".to_owned().into(), source.account(), LoginOutcome::Refused);
    ask(&source, &gate(), TIME).await.unwrap();
    assert_eq!(provider.asked(), 2, "what a mail server refused is not shown again");
}

#[tokio::test]
async fn a_refusal_is_forgiven_to_none_but_an_account_that_the_token_has_opened_before() {
    // promise 8
    let another = json(200, r#"{"access_token":"another","token_type":"Bearer","expires_in":3600}"#);
    let provider = Provider::that(vec![json(200, GOOD), another], "good").await;
    let source = provider.source();
    let token: SecretString = ask(&source, &gate(), TIME).await.unwrap().into();
    let account = |user: &str| Account { host: "mail.test".to_owned(), user: user.to_owned(), secret: user.to_owned() };
    let judged = |user: &str, verdict| source.judged(&token, &account(user), verdict);
    assert_eq!(judged("alice", LoginOutcome::Accepted), LoginOutcome::Accepted);
    for _ in 0..2 {
        assert_eq!(judged("bob", LoginOutcome::Refused), LoginOutcome::Refused, "alice's luck is not bob's");
    }
    ask(&source, &gate(), TIME).await.unwrap();
    assert_eq!(provider.asked(), 1, "and his refusal takes nothing from alice");
    assert_eq!(judged("alice", LoginOutcome::Refused), LoginOutcome::Undecided, "it may have been revoked");
    ask(&source, &gate(), TIME).await.unwrap();
    assert_eq!(provider.asked(), 2);
    assert_eq!(
        judged("alice", LoginOutcome::Refused),
        LoginOutcome::Refused,
        "the verdict on an older one says nothing of a newer"
    );
    ask(&source, &gate(), TIME).await.unwrap();
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn what_a_provider_refuses_is_told_to_the_gate_and_not_asked_for_again() {
    // promise 8
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000222: The secret Tr0ub4dor&3-client-secret is expired.","error_codes":[7000222]}"#;
    let provider = Provider::that(vec![json(401, body)], "good").await;
    let (source, gate) = (provider.source(), gate());
    let refused = ask(&source, &gate, TIME).await.unwrap_err();
    assert_eq!((refused.reason, refused.class), (Reason::ClientSecretExpired, Class::User));
    assert!(refused.said().contains("AADSTS7000222: The secret [redacted] is expired"), "{}", refused.said());
    let refused = refused.fact("secret", "mail/us");
    assert_eq!(refused.hint(), "Make a new client secret for application us at mx.test, and put its value into Secret mail/us.");
    assert_eq!(gate.log.lines(), ["gate: may us log in at mx.test?", "gate: still?", "gate: Refused"]);

    let held = Diagnosis::new(Reason::CredentialHeld);
    let closed = Doorkeeper { login: Some(held), ..self::gate() };
    assert_eq!(ask(&source, &closed, TIME).await.unwrap_err().reason, Reason::CredentialHeld);
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_for_a_while() {
    let provider = Provider::that(vec![json(503, "{}")], "good").await;
    let source = provider.source();
    for _ in 0..10 {
        let failed = ask(&source, &gate(), TIME).await.unwrap_err();
        assert_eq!((failed.reason, failed.class), (Reason::OAuthTokenFailed, Class::Transient));
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_short_token_is_renewed_and_one_that_still_holds_is_used_while_the_provider_is_away() {
    let short = r#"{"access_token":"short","expires_in":3}"#;
    let provider = Provider::that(vec![json(200, short), json(500, "{}")], "good").await;
    let source = provider.source();
    assert_eq!(ask(&source, &gate(), TIME).await.unwrap(), "short");
    tokio::time::sleep(Duration::from_millis(2600)).await;
    assert_eq!(ask(&source, &gate(), TIME).await.unwrap(), "short", "it is renewed ahead of its end, which fails");
    assert_eq!(provider.asked(), 2);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(ask(&source, &gate(), TIME).await.unwrap_err().reason, Reason::OAuthTokenFailed);
}

#[tokio::test]
async fn whatever_a_token_endpoint_does_ends_in_time_and_is_told_without_a_secret() {
    let redirect = "HTTP/1.1 307 There\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n".to_owned();
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Long: ".to_owned() + &"x".repeat(1_000_000));
    let echo = format!(r#"{{"error":"invalid_request","error_description":"client_secret={SECRET}"}}"#);
    let html = "<html><title>Sign in</title></html>".to_owned();
    for (does, says, transient) in [
        (Does::Says(200, "text/html; charset=utf-8", html), "200 with HTML", true),
        (json(200, r#"{"error":"invalid_scope","error_description":"no"}"#), "answered invalid_scope: no", false),
        (json(200, "{}"), "without an access token", true),
        (json(400, &echo), "client_secret=[redacted]", false),
        (Does::Floods, "larger than 256 KiB", true),
        (Does::Drips, "did not answer in time", true),
        (Does::Nothing, "did not answer in time", true),
        (Does::HangsUp, "closed the connection", true),
        (Does::Raw(redirect), "redirects", true),
        (Does::Raw(headers), "no HTTP", true),
        (Does::Raw("220 mx.test ESMTP\r\n".to_owned()), "no HTTP", true),
    ] {
        let provider = Provider::that(vec![does], "good").await;
        let begun = Clock::now();
        let failed = ask(&provider.source(), &gate(), Duration::from_secs(2)).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(4), "{says}: {:?}", begun.elapsed());
        assert_eq!(failed.reason, Reason::OAuthTokenFailed, "{says}");
        assert!(failed.said().contains(says), "{says}: {}", failed.said());
        assert_eq!(failed.class == Class::Transient, transient, "{says}");
        assert!(!format!("{failed:?}{}", failed.hint()).contains(SECRET), "{failed:?}");
        assert!(!failed.hint().is_empty(), "{says}");
    }
}

#[tokio::test]
async fn no_secret_goes_to_whom_nobody_vouches_for() {
    let provider = Provider::that(vec![json(200, GOOD)], "good").await;
    let guarded = |hosts: &[&str], guard: Guard, trusted: bool| {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let pem = if trusted { trusted_pem() } else { String::new() };
        let https = Https::new(provider.vantage(guard), &read(pem.as_bytes()).unwrap(), Hosts::These(hosts));
        provider.source_by(https, "a")
    };
    let place = provider.url.strip_prefix("https://").unwrap().strip_suffix("/token").unwrap();
    let denied = || Guard::new(Guard::default_denied(), [25]);
    for (source, says) in [
        (guarded(&["mx.test"], Guard::open(), true), "--allowed-token-hosts does not name"),
        (guarded(&[place], denied(), true), "--deny-cidrs"),
        (guarded(&[place], Guard::open(), false), "is not trusted"),
    ] {
        let failed = ask(&source, &gate(), TIME).await.unwrap_err();
        assert_eq!(failed.reason, Reason::OAuthTokenFailed);
        assert!(failed.said().contains(says), "{says}: {}", failed.said());
    }
    assert_eq!(provider.asked(), 0);
    ask(&guarded(&[place], Guard::new(Vec::new(), [25]), true), &gate(), TIME).await.unwrap();
    let heard = provider.heard.lock().unwrap().join("\n");
    assert!(heard.starts_with("POST /token HTTP/1.1\r\n") && heard.contains(&format!("host: {place}\r\n")), "{heard}");
    assert!(heard.ends_with("grant_type=client_credentials&scope=mail&client_id=us&client_secret=Tr0ub4dor%263-client-secret"));
}
