//! From a `MailServer`'s spec to everything that a check needs: defaults filled in, Secrets and bundles read and judged.

use std::time::{Duration, Instant};

use crate::{
    api::v1alpha1::{Alternate, Level, MailServerSpec, Security, Sender, Test, Tls},
    mail::{Diagnosis, Stage, tls::TlsPolicy},
    verify::{
        Endpoint, Login, References,
        gate::Account,
        resolve::{account, host_name, invalid, port_number, trust},
        select::{Chosen, Wanted},
    },
};

pub use crate::verify::resolve::About;

/// Everything that a check needs.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The primary, then the alternates.
    pub endpoints: Vec<Endpoint>,
    /// How certificates are judged.
    pub tls: TlsPolicy,
    /// How to log in; none where no login is set.
    pub login: Option<Login>,
    /// Whom mail comes from.
    pub sender: Option<Sender>,
    /// The name in EHLO, where the spec or the sender gives one.
    pub helo: Option<String>,
    /// How far the check goes.
    pub level: Level,
    /// The time for all of it.
    pub timeout: Duration,
    /// The test mail of level Deliver.
    pub test: Option<Test>,
    /// The object as mails name it: `MailServer namespace/name`.
    pub object: String,
    /// The object's UID; empty where it lives in a file.
    pub uid: String,
    /// Who checks.
    pub actors: Vec<Chosen>,
    /// A keyed hash of all of this that a server can notice: another one makes a check due.
    pub fingerprint: String,
    /// The time that reading took.
    pub resolving: Duration,
}

/// `limits.messagesPerMinute` where the spec names none.
pub const MESSAGES_PER_MINUTE: u32 = 6;

impl Inputs {
    /// What proving a login alone needs, on a server that no `MailServer` describes.
    #[must_use]
    pub fn login_only(endpoint: Endpoint, tls: TlsPolicy, login: Option<Login>, object: String) -> Self {
        Self {
            endpoints: vec![endpoint],
            tls,
            login,
            sender: None,
            helo: None,
            level: Level::Authenticate,
            timeout: Duration::from_secs(30),
            test: None,
            object,
            uid: String::new(),
            actors: Vec::new(),
            fingerprint: String::new(),
            resolving: Duration::ZERO,
        }
    }

    /// Whose budget its mails are charged to: the primary's host, lower case, and the user, which is empty where no login is set.
    #[must_use]
    pub fn payer(&self) -> (String, &str) {
        let host = self.endpoints.first().map(|endpoint| endpoint.host.to_ascii_lowercase()).unwrap_or_default();
        (host, self.login.as_ref().map(|login| login.credential.user()).unwrap_or_default())
    }

    /// The accounts that a check may log in to: the primary's, then those of alternates on other hosts, then the one at the
    /// provider of access tokens. Empty where no login is set.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let Some(login) = &self.login else { return Vec::new() };
        let mut accounts: Vec<Account> = Vec::with_capacity(self.endpoints.len());
        let servers = self.endpoints.iter().map(|endpoint| login.account(&endpoint.host));
        for account in servers.chain(login.at_provider()) {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }
}

/// The endpoints of a spec: the primary, then the alternates.
///
/// # Errors
/// `SpecInvalid` where a host or URL cannot be read; the API server's validation lets none through.
pub fn endpoints(spec: &MailServerSpec) -> Result<Vec<Endpoint>, Diagnosis> {
    let mut all = vec![primary(spec)?];
    for Alternate { host, port, security } in spec.alternates.iter().flatten() {
        let security = security.unwrap_or(all[0].security);
        all.push(Endpoint {
            host: host_name(host, "alternates.host")?,
            port: port_number(*port)?.unwrap_or(security.smtp_port()),
            security,
        });
    }
    Ok(all)
}

fn primary(spec: &MailServerSpec) -> Result<Endpoint, Diagnosis> {
    if let Some(url) = &spec.url {
        let (security, place) = match url.split_once("://") {
            Some(("smtps", place)) => (Security::TLS, place),
            Some(("smtp", place)) => (spec.security.unwrap_or_default(), place),
            _ => return Err(invalid("url must look like smtp://host:port or smtps://host:port")),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port: u16 = port.parse().map_err(|_| invalid("the port in url must be between 1 and 65535"))?;
                (host, Some(i32::from(port)))
            }
            _ => (place, None),
        };
        return Ok(Endpoint {
            host: host_name(host, "url")?,
            port: port_number(port)?.unwrap_or(security.smtp_port()),
            security,
        });
    }
    let host = spec.host.as_deref().ok_or_else(|| invalid("set exactly one of host or url"))?;
    let security = spec.security.unwrap_or_default();
    Ok(Endpoint { host: host_name(host, "host")?, port: port_number(spec.port)?.unwrap_or(security.smtp_port()), security })
}

/// Resolves a spec.
///
/// # Errors
/// What is missing or wrong among the references, at [`Stage::Secrets`]: nothing has touched the network then.
pub async fn resolve(spec: &MailServerSpec, about: &About<'_>, references: &dyn References) -> Result<Inputs, Diagnosis> {
    resolve_unstaged(spec, about, references).await.map_err(|diagnosis| diagnosis.at(Stage::Secrets))
}

async fn resolve_unstaged(spec: &MailServerSpec, about: &About<'_>, references: &dyn References) -> Result<Inputs, Diagnosis> {
    let begun = Instant::now();
    let endpoints = endpoints(spec)?;
    let verification = spec.verification.as_ref();
    let wanted = Wanted {
        named: verification.and_then(|verification| verification.actors.as_deref()),
        selector: verification.and_then(|verification| verification.actor_selector.as_ref()),
    };
    let actors = wanted.find(about.namespace, references).await?;
    let (tls, tls_fingerprint) = trust(spec.tls.as_ref(), about, references).await?;
    let login = match &spec.auth {
        Some(auth) => account(auth, about, references, &endpoints, tls.skip_verify).await?,
        None => None,
    };
    let sender_domain = spec.sender.as_ref().and_then(|sender| sender.address.rsplit_once('@')).map(|(_, domain)| domain);
    // Never a name without a dot (promise 12): the session then gives its address literal.
    let helo = spec.helo_name.as_deref().or(sender_domain).filter(|name| is_host_name(name));
    let who: Vec<&str> = actors.iter().map(|actor| actor.name.as_str()).collect();
    let noticed = noticed(spec, &who);
    let login_fingerprint = login.as_ref().map(|login| login.fingerprint.as_str()).unwrap_or_default();
    let fingerprint = about.key.hash(&[noticed.as_bytes(), login_fingerprint.as_bytes(), tls_fingerprint.as_bytes()]);
    Ok(Inputs {
        endpoints,
        tls,
        login,
        sender: spec.sender.clone(),
        helo: helo.map(str::to_owned),
        level: spec.level(),
        timeout: spec.timeout().get(),
        test: spec.test.clone(),
        object: format!("MailServer {}/{}", about.namespace, about.name),
        uid: about.uid.to_owned(),
        actors,
        fingerprint,
        resolving: begun.elapsed(),
    })
}

/// Whether a name may stand in EHLO: it has a dot, or is an address literal, and nothing in it ends the command.
fn is_host_name(name: &str) -> bool {
    name.contains(['.', ':']) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
}

/// What a server can notice of a spec, and who checks it: in a form that is the same for the same meaning.
fn noticed(spec: &MailServerSpec, actors: &[&str]) -> String {
    let level = spec.level();
    let deliver = level == Level::Deliver;
    serde_json::json!({
        "host": spec.host, "url": spec.url, "port": spec.port, "security": spec.security,
        "tls": spec.tls.as_ref().map(|tls| Tls { expiry_warning: None, ..tls.clone() }),
        "auth": spec.auth, "sender": spec.sender, "helo": spec.helo_name, "alternates": spec.alternates,
        "test": spec.test.as_ref().filter(|_| deliver), "level": level, "actors": actors,
    })
    .to_string()
}
