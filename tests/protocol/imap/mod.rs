//! IMAP against played servers: what is said and in which order, what refusals mean, and what hostile servers come to.

mod hostile;
mod idling;
mod logging_in;
pub mod looking;
mod removing;

use std::{net::SocketAddr, time::Duration};

use mailverity::{
    api::v1alpha1::{Mechanism, Security},
    mail::{
        Diagnosis, Stage, Stages, Tcp,
        imap::{About, ImapMailbox, Session, Wanted},
        protocol::Protocol,
        sasl::{self, Attempt, Kind, Redaction, Terms},
        tls::{self, TlsPolicy},
        wire::Wire,
    },
};
use secrecy::SecretString;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    certificates,
    player::{Log, Player},
    script::Script,
    world::{PASSWORD, USER},
};

/// A login without TLS, up to the mailbox.
const LOGGED_IN: &str = "
    S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
    C: a1 AUTHENTICATE PLAIN *
    S: a1 OK [CAPABILITY IMAP4rev1 UIDPLUS IDLE] in
";
/// INBOX with five messages, UIDs up to 20.
const OPENED: &str = r#"
    C: a2 LIST "" "*"
    S: * LIST () "/" INBOX
    S: * LIST () "/" Spam
    S: a2 OK listed
    C: a3 SELECT "INBOX"
    S: * 5 EXISTS
    S: * OK [UIDVALIDITY 9]
    S: * OK [UIDNEXT 21]
    S: a3 OK [READ-WRITE] opened
"#;

/// A played server, and how it is spoken to.
struct Played {
    security: Security,
    host: &'static str,
    password: &'static str,
    mechanisms: Vec<Mechanism>,
    kind: Kind,
    address: SocketAddr,
    player: Option<Player>,
    log: Log,
    deadline: Instant,
}

impl Played {
    async fn start(talk: &str) -> Self {
        let (log, script) = (Log::default(), Script::read(talk));
        let player = Player::start(&script, log.clone()).await;
        let security = if talk.contains("STARTTLS") { Security::StartTLS } else { Security::None };
        let (deadline, address) = (Instant::now() + script.time, player.address);
        Self { security, log, deadline, player: Some(player), ..Self::at(address) }
    }

    /// A server that is played elsewhere.
    fn at(address: SocketAddr) -> Self {
        Self {
            security: Security::None,
            host: "mx.test",
            password: PASSWORD,
            mechanisms: Vec::new(),
            kind: Kind::Password,
            address,
            player: None,
            log: Log::default(),
            deadline: Instant::now() + Duration::from_secs(20),
        }
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    async fn connect(&self) -> Session {
        let tcp = Tcp::new(TcpStream::connect(self.address).await.unwrap()).unwrap();
        let about = About {
            host: self.host.to_owned(),
            port: 143,
            user: Some(USER.to_owned()),
            mailbox: "INBOX".to_owned(),
            ..About::default()
        };
        Session::new(Wire::new(tcp, Protocol::Imap, self.deadline), about)
    }

    /// All stages up to the login, which says what the server did.
    async fn logs_in(&self) -> Result<(Session, Attempt), Diagnosis> {
        let mut stages = Stages::default();
        let mut session = self.connect().await;
        stages.run(Stage::Greeting, session.greeting(self.security == Security::StartTLS)).await?;
        if self.security == Security::StartTLS {
            stages.run(Stage::StartTls, session.starttls()).await?;
            let trusted = tls::certificates(certificates::trusted_pem().as_bytes()).unwrap();
            let policy = TlsPolicy::new(&trusted, tls::MinVersion::default());
            session = stages.run(Stage::Tls, async { session.into_tls(&policy, "mx.test", Stage::Tls).await.1 }).await?;
        }
        let offered = stages.run(Stage::Capability, session.capability()).await?.mechanisms();
        let terms = Terms {
            allowed: &self.mechanisms,
            offered: &offered,
            verified_tls: self.security == Security::StartTLS,
            allow_plaintext: true,
            kind: self.kind,
        };
        let mechanisms = sasl::choose(&terms).map_err(|diagnosis| diagnosis.at(Stage::Auth))?;
        let secret = SecretString::from(self.password);
        session.scrub(Redaction::of(USER, &secret));
        let login = sasl::Login { user: USER, secret: &secret, host: "mx.test", port: 143 };
        let mut attempt = None;
        for mechanism in mechanisms {
            let tried = session.authenticate(mechanism, &login).await;
            let next = matches!(tried, Attempt::NotJudged(_));
            attempt = Some(tried);
            if !next {
                break;
            }
        }
        Ok((session, attempt.unwrap()))
    }

    /// A session that is logged in, else why not.
    async fn session(&self) -> Result<Session, Diagnosis> {
        let (session, attempt) = self.logs_in().await?;
        match attempt {
            Attempt::Accepted => Ok(session),
            Attempt::NotJudged(why) | Attempt::Refused(why) | Attempt::TooMany(why) | Attempt::Failed(why) => Err(why),
        }
    }

    async fn opens(&self) -> Result<ImapMailbox, Diagnosis> {
        let wanted = Wanted { mailbox: "INBOX".to_owned(), junk: Vec::new(), read_only: false };
        ImapMailbox::open(self.session().await?, &wanted).await
    }

    /// Fails unless the client, which has gone, said what the conversation has.
    async fn ends_as_written(self) {
        let heard = self.player.expect("a player").heard().await;
        assert!(heard.faults.is_empty(), "{:?}; heard {:?}", heard.faults, self.log.lines());
    }
}

/// A mailbox that is open, and its server goes on with `talk`.
async fn mailbox(talk: &str) -> (Played, ImapMailbox) {
    let played = Played::start(&[LOGGED_IN, OPENED, talk].concat()).await;
    let mailbox = played.opens().await.unwrap();
    (played, mailbox)
}
