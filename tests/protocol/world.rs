//! What a user wrote, and the check of it against played servers: the arranging that all tests share.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    api::v1alpha1::{
        Alternate, Auth, AuthType, CaKind, CaRef, ClientCertificateRef, Level, MailServerSpec, Mechanism, SecretRef, Security,
        Sender, Test, Tls, Verification,
    },
    mail::{Diagnosis, Vantage, dns::Resolver, guard::Guard, protocol::Protocol},
    verify::{
        Gate, References, Report, Stored,
        fingerprint::Key,
        gate::Account,
        mail_server::{Inputs, Run, check, inputs, refused, resolve},
        mailbox,
        report::LoginOutcome,
    },
};
use uuid::Uuid;

use crate::{
    certificates,
    names::NameServer,
    player::{Heard, Log, Player},
    script::Script,
};

pub const USER: &str = "relay@mx.test";
pub const PASSWORD: &str = "Tr0ub4dor&3-zebra";
pub const CODE: Uuid = Uuid::from_u128(0x0123_4567_89ab_8def_8123_4567_89ab_cdef);

/// Secrets and bundles in memory.
#[derive(Clone, Default)]
pub struct Kept {
    pub secrets: BTreeMap<String, Stored>,
    pub config_maps: BTreeMap<String, Stored>,
}

impl References for Kept {
    fn secret<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async { Ok(self.secrets.get(name).cloned()) }.boxed()
    }

    fn config_map<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async { Ok(self.config_maps.get(name).cloned()) }.boxed()
    }
}

/// Content of a Secret or a bundle.
pub fn stored(data: &[(&str, &str)]) -> Stored {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
    Stored { data, changed: Some("2026-01-02T03:04:05Z".to_owned()), ..Stored::default() }
}

/// A gate that keeps what it is asked in the servers' log, and refuses what a test wants refused.
pub struct Doorkeeper {
    pub log: Log,
    pub login: Option<Diagnosis>,
    pub send: Option<Diagnosis>,
    /// After so many answers, [`Gate::still`] says no.
    pub still: AtomicI64,
    pub why_not: Mutex<Option<Diagnosis>>,
}

impl Gate for Doorkeeper {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.log.add(format!("gate: may {} log in at {}?", account.user, account.host));
        async { self.login.clone().map_or(Ok(()), Err) }.boxed()
    }

    fn logged_in(&self, _: &Account, outcome: LoginOutcome) {
        self.log.add(format!("gate: {outcome:?}"));
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.log.add(format!("gate: may we send to {recipient}?"));
        async { self.send.clone().map_or(Ok(()), Err) }.boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.log.add("gate: still?");
        if self.still.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(self.why_not.lock().unwrap().clone().unwrap())
    }
}

/// What a user wrote, and what is around the check.
pub struct World {
    /// The mailbox's protocol, where it is one that is checked; `spec` then says where it is, and the account.
    pub mailbox: Option<Protocol>,
    pub spec: MailServerSpec,
    pub kept: Kept,
    pub gate: Doorkeeper,
    pub guard: Guard,
    /// Scheme and login of an egress proxy, which the first server then plays.
    pub proxy: Option<&'static str>,
    /// The conversations of the alternates, each on its own server.
    pub alternates: Vec<&'static str>,
    pub may_greet_with_tls: bool,
    pub require_allowed_hosts: bool,
    pub contact: Option<&'static str>,
}

/// What came of a check.
pub struct Played {
    pub report: Report,
    /// The primary's, then each alternate's.
    pub heard: Vec<Heard>,
    pub log: Vec<String>,
    pub took: Duration,
}

impl Played {
    /// What the clients said on the wire, without the names of speakers.
    pub fn said(&self) -> Vec<&str> {
        self.log.iter().filter_map(|line| line.strip_prefix("C: ")).collect()
    }

    pub fn failure(&self) -> &Diagnosis {
        self.report.failure.as_ref().expect("a check that fails")
    }

    /// Fails the test unless each client said what the conversations have.
    pub fn as_written(&self) -> &Self {
        let faults: Vec<&String> = self.heard.iter().flat_map(|heard| &heard.faults).collect();
        assert!(faults.is_empty(), "{faults:?}; the report says {}", self.report.message());
        self
    }

    /// Fails the test unless all went well.
    pub fn verified(&self) -> &Self {
        assert!(self.report.failure.is_none(), "{}", self.report.message());
        self.as_written()
    }
}

/// mx.test, security `StartTLS`, the test CA trusted, no login.
pub fn starttls() -> World {
    let ca_ref = CaRef { kind: CaKind::ConfigMap, name: "ca".to_owned(), key: "ca.crt".to_owned() };
    let spec = MailServerSpec {
        host: Some("mx.test".to_owned()),
        tls: Some(Tls { ca_ref: Some(ca_ref), ..Tls::default() }),
        sender: Some(Sender { address: "checks@sender.test".to_owned(), display_name: None, reply_to: None }),
        ..MailServerSpec::default()
    };
    let account = stored(&[("username", USER), ("password", PASSWORD)]);
    let kept = Kept {
        secrets: BTreeMap::from([("account".to_owned(), account)]),
        config_maps: BTreeMap::from([("ca".to_owned(), stored(&[("ca.crt", &certificates::trusted_pem())]))]),
    };
    let gate =
        Doorkeeper { log: Log::default(), login: None, send: None, still: AtomicI64::new(i64::MAX), why_not: Mutex::new(None) };
    World {
        mailbox: None,
        spec,
        kept,
        gate,
        guard: Guard::open(),
        proxy: None,
        alternates: Vec::new(),
        may_greet_with_tls: true,
        require_allowed_hosts: false,
        contact: None,
    }
}

/// The same in plain text.
pub fn plain() -> World {
    starttls().security(Security::None)
}

/// The same with TLS from the first byte.
pub fn implicit() -> World {
    starttls().security(Security::TLS)
}

/// `StartTLS`, with a login.
pub fn login() -> World {
    starttls().logging_in()
}

/// Plain text and no login, up to the test mail.
pub fn deliver() -> World {
    plain().delivering()
}

impl World {
    pub fn edit(mut self, edit: impl FnOnce(&mut MailServerSpec)) -> Self {
        edit(&mut self.spec);
        self
    }

    pub fn security(self, security: Security) -> Self {
        self.edit(|spec| spec.security = Some(security))
    }

    pub fn tls(self, edit: impl FnOnce(&mut Tls)) -> Self {
        self.edit(|spec| edit(spec.tls.as_mut().unwrap()))
    }

    pub fn auth(self, edit: impl FnOnce(&mut Auth)) -> Self {
        self.edit(|spec| edit(spec.auth.as_mut().unwrap()))
    }

    pub fn mechanisms(self, mechanisms: &[Mechanism]) -> Self {
        self.auth(|auth| auth.mechanisms = Some(mechanisms.to_vec()))
    }

    pub fn logging_in(self) -> Self {
        let reference =
            SecretRef { name: "account".to_owned(), username_key: "username".to_owned(), password_key: "password".to_owned() };
        let auth = Auth { r#type: AuthType::Password, secret_ref: Some(reference), ..Auth::default() };
        self.edit(|spec| spec.auth = Some(auth))
    }

    pub fn delivering(self) -> Self {
        self.edit(|spec| {
            spec.test = Some(Test { to: "probe@rcpt.test".to_owned(), subject: None });
            spec.verification = Some(Verification { level: Some(Level::Deliver), ..Verification::default() });
        })
    }

    pub fn secret(mut self, name: &str, secret: Stored) -> Self {
        self.kept.secrets.insert(name.to_owned(), secret);
        self
    }

    /// With a certificate of the client's own.
    pub fn client_certificate(self, known: bool) -> Self {
        let client = certificates::client(known);
        let secret = stored(&[("tls.crt", &client.chain_pem()), ("tls.key", &client.key.serialize_pem())]);
        self.secret("client", secret)
            .tls(|tls| tls.client_certificate_ref = Some(ClientCertificateRef { name: "client".to_owned() }))
    }

    pub fn alternate(mut self, talk: &'static str) -> Self {
        self.alternates.push(talk);
        self
    }

    /// Checks against the servers that play these conversations.
    pub async fn plays(mut self, talk: &str) -> Played {
        let script = Script::read(talk);
        let names = NameServer::start(script.names.clone()).await;
        let primary = Player::start(&script, self.gate.log.clone()).await;
        let mut players = vec![primary];
        for (at, talk) in self.alternates.iter().enumerate() {
            let player = Player::start(&Script::read(talk), self.gate.log.clone()).await;
            let port = Some(i32::from(player.address.port()));
            let alternate = Alternate { host: format!("alt{}.mx.test", at + 1), port, security: None };
            self.spec.alternates.get_or_insert_default().push(alternate);
            players.push(player);
        }
        let port = players[0].address.port();
        let proxy = self.proxy.map(|scheme| format!("{scheme}127.0.0.1:{port}").parse().unwrap());
        if proxy.is_none() && self.spec.url.is_none() {
            self.spec.port.get_or_insert(i32::from(port));
        }
        let resolver = Resolver::new(&[names.address]);
        let vantage = Vantage { actor: "default".to_owned(), resolver, guard: self.guard.clone(), proxy };
        let begun = Instant::now();
        let report = Box::pin(self.check(&vantage, script.time)).await;
        let took = begun.elapsed();
        let mut heard = Vec::new();
        for player in players {
            heard.push(player.heard().await);
        }
        Played { report, heard, log: self.gate.log.lines(), took }
    }

    /// Resolves the spec and checks what it names.
    pub async fn check(&self, vantage: &Vantage, time: Duration) -> Report {
        let key = Key::new(b"a key for tests");
        let about = inputs::About {
            kind: "MailServer",
            namespace: "mail",
            name: "relay",
            uid: "6f0d5d1e-0000-4000-8000-00000000000a",
            key: &key,
            require_allowed_hosts: self.require_allowed_hosts,
        };
        let mut inputs = match resolve(&self.spec, &about, &self.kept).await {
            Ok(inputs) => inputs,
            Err(failure) => return refused(&self.spec, failure),
        };
        inputs.timeout = time;
        if let Some(protocol) = self.mailbox {
            return Box::pin(self.check_mailbox(inputs, protocol, vantage)).await;
        }
        let run = Run {
            id: "run-1",
            code: CODE,
            message: CODE,
            reads_bounces: false,
            probe: None,
            now: "2026-03-04T05:06:07Z".parse().unwrap(),
            installation: "tests",
            contact: self.contact,
            level: inputs.level,
            may_greet_with_tls: self.may_greet_with_tls,
            watcher: None,
        };
        check(&inputs, vantage, &self.gate, &run).await
    }

    async fn check_mailbox(&self, inputs: Inputs, protocol: Protocol, vantage: &Vantage) -> Report {
        let Inputs { endpoints, tls, login, level, timeout, resolving, .. } = inputs;
        let endpoint = endpoints.into_iter().next().unwrap();
        let inputs = mailbox::Inputs {
            protocol,
            endpoint,
            tls,
            login,
            mailbox: "INBOX".to_owned(),
            junk: Vec::new(),
            level,
            timeout,
            resolving,
        };
        Box::pin(mailbox::check(&inputs, vantage, &self.gate, None)).await
    }
}
