//! The staged check from here: what `check --live` and `probe` share. A person at a shell is not bound by the operator's
//! guards, and no claim is taken: whoever asks for a mail gets one.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Error, elsewhere::Elsewhere, interrupt::Interrupt, output, tokens};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, MailServerSpec},
    },
    mail::{Diagnosis, Vantage, dns::Resolver, guard::Guard, https::Hosts, protocol::Protocol, proxy::Proxy},
    verify::{
        Gate, References, Report,
        email_profile::Agent,
        fingerprint::Key,
        gate::Account,
        mail_server::{
            By, Inputs, Run, check_by,
            inputs::{About, resolve},
            refused,
        },
        mailbox,
        report::LoginOutcome,
        tokens::Tokens,
    },
};

/// The variable that names an egress proxy with its password, which has no place on a command line.
const PROXY: &str = "MAILVERITY_EGRESS_PROXY";

/// By which way servers are reached.
#[derive(Clone, Debug, Default, Args)]
pub struct Way {
    /// Resolve names by these name servers instead of the system's (address or address:port; repeat, or use commas).
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = name_server)]
    nameservers: Vec<SocketAddr>,
    /// Connect through a proxy: socks5://host:port or http://host:port. One with a login goes into the environment
    /// variable MAILVERITY_EGRESS_PROXY.
    #[arg(long, value_name = "URL")]
    egress_proxy: Option<String>,
    /// Trust these CA certificates too, in PEM, where access tokens are asked for (auth.type OAuth2).
    #[arg(long, value_name = "FILE")]
    token_ca_file: Option<PathBuf>,
}

impl Way {
    /// The vantage that a check is made from.
    ///
    /// # Errors
    /// A proxy that cannot be used.
    pub fn vantage(&self) -> Result<Vantage, Error> {
        if self.egress_proxy.as_ref().is_some_and(|url| url.contains('@')) {
            return Err(Error::Usage(format!("--egress-proxy: a login would show in the process list; set {PROXY} instead")));
        }
        let url = self.egress_proxy.clone().or_else(|| std::env::var(PROXY).ok()).filter(|url| !url.is_empty());
        let proxy =
            url.map(|url| url.parse::<Proxy>()).transpose().map_err(|error| Error::Usage(format!("--egress-proxy: {error}")))?;
        let resolver = Resolver::new(&self.nameservers);
        Ok(Vantage { actor: "here".to_owned(), resolver, guard: Guard::open(), proxy })
    }
}

impl Way {
    /// How access tokens are asked for.
    ///
    /// # Errors
    /// A proxy or a file with CA certificates that cannot be used.
    pub fn tokens(&self) -> Result<Tokens, Error> {
        let https = tokens::https(self.vantage()?, Hosts::Any, self.token_ca_file.as_deref());
        https.map(Tokens::new).map_err(Error::Usage)
    }
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let place = || text.parse().or_else(|_| text.trim_matches(['[', ']']).parse().map(|address| SocketAddr::new(address, 53)));
    place().map_err(|_| "an IP address, or address:port, is needed".to_owned())
}

/// A parser for the names of an enum of the API, in any case.
pub fn named<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).try_map(move |given| {
        let name = names.iter().find(|name| name.eq_ignore_ascii_case(&given)).copied().unwrap_or_default();
        serde_json::from_value(name.into())
    })
}

/// The names of [`Level`].
pub const LEVELS: &[&str] = &["Connect", "Authenticate", "Deliver"];

/// What is checked.
pub struct Target<'a> {
    /// The namespace that references are looked up in.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// What is wanted.
    pub spec: &'a MailServerSpec,
}

/// The installation's name in the header of what is sent from a shell.
pub(super) const INSTALLATION: &str = "command-line";

/// Checks servers and mailboxes one after the other, by one vantage.
pub struct Checker {
    pub(super) vantage: Vantage,
    pub(super) key: Key,
    pub(super) refused: Refused,
    /// No check goes further than this.
    pub(super) most: Level,
    pub(super) interrupt: Interrupt,
    /// Who looks, if not this process.
    elsewhere: Option<Elsewhere>,
}

impl Checker {
    /// A checker by a vantage, that goes no further than `most`.
    #[must_use]
    pub fn new(vantage: Vantage, most: Level) -> Self {
        Self { vantage, key: Key::random(), refused: Refused::default(), most, interrupt: Interrupt::never(), elsewhere: None }
    }

    /// The same, and it ends in order when it is told to.
    #[must_use]
    pub fn until(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// The same by an actor's agent.
    #[must_use]
    pub fn by(mut self, elsewhere: Option<Elsewhere>) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    /// Which right was missing to have somebody else look, in the API server's words.
    #[must_use]
    pub fn denied(&self) -> Option<String> {
        self.elsewhere.as_ref()?.agent.denied().map(str::to_owned)
    }

    /// Leaves nothing behind.
    pub async fn end(self) {
        if let Some(elsewhere) = self.elsewhere {
            elsewhere.leave().await;
        }
    }

    /// Checks one server; `adjust` may change what came of the references. Progress is shown where standard error is a
    /// terminal. None where it was told to end before a mail was begun; one that is on its way is settled first.
    pub async fn check(
        &self,
        target: &Target<'_>,
        references: &dyn References,
        adjust: impl FnOnce(&mut Inputs),
    ) -> Option<Report> {
        let inputs = match self.resolve(target, references, adjust).await {
            Ok(inputs) => inputs,
            Err(failure) => return Some(refused(target.spec, failure)),
        };
        let id = Uuid::new_v4().to_string();
        let run = asking(&id, Uuid::new_v4(), inputs.level.min(self.most));
        let gate = Sending { refused: &self.refused, begun: AtomicBool::new(false) };
        let report = {
            let by = self.elsewhere.as_ref().map_or(By::Here(&self.vantage), |elsewhere| By::Agent(&elsewhere.agent));
            let mut check = std::pin::pin!(check_by(by, &inputs, &gate, &run));
            tokio::select! {
                report = &mut check => Some(report),
                () = self.interrupt.heard() => if gate.begun.load(Relaxed) { Some(check.await) } else { None },
            }
        };
        output::progress_ends();
        report
    }

    /// The same for a mailbox: host, protection and account are written as those of a server. None where it was told to end.
    pub async fn check_mailbox(
        &self,
        target: &Target<'_>,
        (protocol, mailbox): (Protocol, &str),
        references: &dyn References,
        adjust: impl FnOnce(&mut Inputs),
    ) -> Option<Report> {
        let resolved = self.resolve(target, references, adjust).await;
        let Inputs { endpoints, tls, login, level, timeout, resolving, .. } = match resolved {
            Ok(inputs) => inputs,
            Err(failure) => return Some(refused(target.spec, failure)),
        };
        let Some(endpoint) = endpoints.into_iter().next() else {
            return Some(refused(target.spec, Diagnosis::new(Reason::SpecInvalid).fact("fault", "there is no host")));
        };
        let (level, mailbox) = (level.min(self.most), mailbox.to_owned());
        let inputs = mailbox::Inputs { protocol, endpoint, tls, login, mailbox, junk: Vec::new(), level, timeout, resolving };
        let check = async {
            match &self.elsewhere {
                None => Box::pin(mailbox::check(&inputs, &self.vantage, &self.refused, Some(output::progress))).await,
                Some(elsewhere) => Box::pin(elsewhere.agent.attend(&inputs, &self.refused, None)).await.report,
            }
        };
        let report = tokio::select! {
            report = check => Some(report),
            () = self.interrupt.heard() => None,
        };
        output::progress_ends();
        report
    }

    async fn resolve(
        &self,
        target: &Target<'_>,
        references: &dyn References,
        adjust: impl FnOnce(&mut Inputs),
    ) -> Result<Inputs, Diagnosis> {
        let Target { namespace, name, spec } = *target;
        let mut spec = spec.clone();
        // It is checked from here, whoever else is to check it.
        if let Some(verification) = &mut spec.verification {
            (verification.actors, verification.actor_selector) = (None, None);
        }
        let about = About { kind: "MailServer", namespace, name, uid: "", key: &self.key, require_allowed_hosts: false };
        let mut inputs = resolve(&spec, &about, references).await?;
        adjust(&mut inputs);
        Ok(inputs)
    }
}

/// A check by hand that goes as far as this; one that sends no mail needs neither id nor code.
pub(super) fn asking(id: &str, code: Uuid, level: Level) -> Run<'_> {
    Run {
        id,
        code,
        message: code,
        reads_bounces: false,
        probe: None,
        now: Timestamp::now(),
        installation: INSTALLATION,
        contact: None,
        level,
        may_greet_with_tls: true,
        watcher: Some(output::progress),
    }
}

/// Lets everything through but credentials that were refused in this run: many objects with one wrong password would lock
/// the account.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<Mutex<HashSet<Account>>>);

impl Refused {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<Account>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Gate for Refused {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        let held = self.with(|refused| refused.contains(account));
        let diagnosis = || {
            Diagnosis::new(Reason::CredentialHeld)
                .fact("user", account.user.as_str())
                .fact("until", "the next run")
                .detail("the same credentials were refused a moment ago, and trying them again might lock the account")
        };
        async move { if held { Err(diagnosis()) } else { Ok(()) } }.boxed()
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        if matches!(outcome, LoginOutcome::Refused | LoginOutcome::TooMany) {
            self.with(|refused| refused.insert(account.clone()));
        }
    }

    fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async { Ok(()) }.boxed()
    }

    fn still(&self) -> Result<(), Diagnosis> {
        Ok(())
    }
}

/// The same, and notes that a mail is begun.
struct Sending<'a> {
    refused: &'a Refused,
    begun: AtomicBool,
}

impl Gate for Sending<'_> {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.refused.login(account)
    }

    fn logged_in(&self, account: &Account, outcome: LoginOutcome) {
        self.refused.logged_in(account, outcome);
    }

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        self.begun.store(true, Relaxed);
        self.refused.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        self.refused.still()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_that_were_refused_are_not_tried_again_in_the_same_run() {
        // promise 8, at a shell
        let account = |secret: &str| Account { host: "a".into(), user: "u".into(), secret: secret.into() };
        let gate = Refused::default();
        assert!(gate.login(&account("1")).await.is_ok());
        gate.logged_in(&account("1"), LoginOutcome::Refused);
        assert_eq!(gate.login(&account("1")).await.unwrap_err().reason, Reason::CredentialHeld);
        assert!(gate.login(&account("2")).await.is_ok());
    }

    #[test]
    fn name_servers_are_read_with_and_without_a_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[::1]", "[::1]:53"),
        ] {
            assert_eq!(name_server(text).unwrap().to_string(), address);
        }
        assert!(name_server("dns.example").is_err());
    }

    #[test]
    fn a_proxys_password_has_no_place_on_a_command_line() {
        let way = Way { egress_proxy: Some("socks5://user:hunter2@proxy:1080".into()), ..Way::default() };
        let words = way.vantage().err().unwrap().to_string();
        assert!(words.contains(PROXY) && !words.contains("hunter2"));
    }
}
