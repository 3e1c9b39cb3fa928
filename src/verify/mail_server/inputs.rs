//! From a `MailServer`'s spec to everything that a check needs: defaults filled in, Secrets and bundles read and judged.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    api::{
        Reason,
        v1alpha1::{
            ALLOWED_HOSTS, Alternate, Auth, AuthType, CaKind, CaRef, Level, MailServerSpec, Mechanism, Security, Sender, Test,
            Tls,
        },
    },
    mail::{
        Diagnosis, Stage,
        guard::bare,
        tls::{ClientIdentity, MinVersion, TlsPolicy, certificates},
    },
    verify::{Credential, Endpoint, Login, References, Stored, fingerprint::Key, gate::Account},
};

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
    /// `namespace/name` of the object.
    pub object: String,
    /// The object's UID; empty where it lives in a file.
    pub uid: String,
    /// A keyed hash of all of this that a server can notice: another one makes a check due.
    pub fingerprint: String,
    /// The time that reading took.
    pub resolving: Duration,
}

impl Inputs {
    /// The accounts that a check may log in to: the primary's, then those of alternates on other hosts. Empty where no
    /// login is set.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let Some(login) = &self.login else { return Vec::new() };
        let mut accounts: Vec<Account> = Vec::with_capacity(self.endpoints.len());
        for account in self.endpoints.iter().map(|endpoint| login.account(&endpoint.host)) {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }
}

/// Which object is resolved, and the rules of the installation.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object's UID; empty where it lives in a file.
    pub uid: &'a str,
    /// The installation's key.
    pub key: &'a Key,
    /// Whether each Secret must name the hosts that it may go to.
    pub require_allowed_hosts: bool,
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

fn host_name(host: &str, field: &str) -> Result<String, Diagnosis> {
    let host = bare(host.trim());
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return Err(invalid(&format!("{field} is no name and no IP address")));
    }
    Ok(host.to_owned())
}

fn port_number(port: Option<i32>) -> Result<Option<u16>, Diagnosis> {
    let number = |port| u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| invalid("a port is between 1 and 65535"));
    port.map(number).transpose()
}

fn invalid(fault: &str) -> Diagnosis {
    Diagnosis::new(Reason::SpecInvalid).detail(fault).fact("fault", fault)
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
    actors(spec)?;
    let (tls, tls_fingerprint) = tls_policy(spec.tls.as_ref(), about, references).await?;
    let login = match &spec.auth {
        Some(auth) => login(auth, about, references, &endpoints, tls.skip_verify).await?,
        None => None,
    };
    let sender_domain = spec.sender.as_ref().and_then(|sender| sender.address.rsplit_once('@')).map(|(_, domain)| domain);
    // Never a name without a dot (promise 12): the session then gives its address literal.
    let helo = spec.helo_name.as_deref().or(sender_domain).filter(|name| is_host_name(name));
    let noticed = noticed_by_a_server(spec);
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
        object: format!("{}/{}", about.namespace, about.name),
        uid: about.uid.to_owned(),
        fingerprint,
        resolving: begun.elapsed(),
    })
}

/// Whether a name may stand in EHLO: it has a dot, or is an address literal, and nothing in it ends the command.
fn is_host_name(name: &str) -> bool {
    name.contains(['.', ':']) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
}

/// The part of a spec that a server can notice, in a form that is the same for the same meaning.
fn noticed_by_a_server(spec: &MailServerSpec) -> String {
    let level = spec.level();
    let deliver = level == Level::Deliver;
    serde_json::json!({
        "host": spec.host, "url": spec.url, "port": spec.port, "security": spec.security,
        "tls": spec.tls.as_ref().map(|tls| Tls { expiry_warning: None, ..tls.clone() }),
        "auth": spec.auth, "sender": spec.sender, "helo": spec.helo_name, "alternates": spec.alternates,
        "test": spec.test.as_ref().filter(|_| deliver), "level": level,
    })
    .to_string()
}

/// No Actor but the operator itself is known so far.
fn actors(spec: &MailServerSpec) -> Result<(), Diagnosis> {
    let Some(verification) = &spec.verification else { return Ok(()) };
    if verification.actor_selector.is_some() {
        return Err(Diagnosis::new(Reason::NoActorSelected));
    }
    let unknown = verification.actors.iter().flatten().find(|actor| actor.name != crate::api::v1alpha1::DEFAULT_ACTOR);
    match unknown {
        Some(actor) => Err(Diagnosis::new(Reason::ActorNotFound)
            .fact("name", actor.name.as_str())
            .detail(format!("there is no Actor {}", actor.name))),
        None => Ok(()),
    }
}

async fn tls_policy(tls: Option<&Tls>, about: &About<'_>, references: &dyn References) -> Result<(TlsPolicy, String), Diagnosis> {
    let Some(tls) = tls else { return Ok((TlsPolicy::default(), String::new())) };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut added = Vec::new();
    if let Some(ca) = &tls.ca_ref {
        let pem = bundle(ca, about, references).await?;
        let kind = if ca.kind == CaKind::Secret { "Secret" } else { "ConfigMap" };
        let broken = |fault: String| {
            Diagnosis::new(Reason::CABundleInvalid)
                .fact("kind", kind)
                .fact("name", ca.name.as_str())
                .fact("key", ca.key.as_str())
                .detail(format!("{kind} {} key {} holds no PEM certificate that can be read", ca.name, ca.key))
                .fact("fault", fault)
        };
        added = certificates(&pem).map_err(broken)?;
        if added.is_empty() {
            return Err(broken(String::new()));
        }
        seen.push(pem);
    }
    let min = if tls.min_version.as_deref() == Some("1.3") { MinVersion::Tls13 } else { MinVersion::Tls12 };
    let mut policy = TlsPolicy::new(&added, min);
    policy.server_name.clone_from(&tls.server_name);
    policy.skip_verify = tls.insecure_skip_verify.unwrap_or(false);
    if let Some(reference) = &tls.client_certificate_ref {
        let place = format!("{}/{}", about.namespace, reference.name);
        let secret = secret(references, about.namespace, &reference.name, "tls.crt and tls.key").await?;
        let missing: Vec<&str> = ["tls.crt", "tls.key"].into_iter().filter(|key| !secret.data.contains_key(*key)).collect();
        let (Some(chain), Some(key)) = (secret.data.get("tls.crt"), secret.data.get("tls.key")) else {
            return Err(key_missing(&place, &missing, &secret));
        };
        let unfit = |fault: String| {
            Diagnosis::new(Reason::ClientCertificateInvalid)
                .fact("secret", place.as_str())
                .detail(format!("Secret {place}: {fault}"))
                .fact("fault", fault)
        };
        policy.client = Some(ClientIdentity::from_pem(chain, key).map_err(unfit)?);
        seen.extend([chain.clone(), key.clone()]);
    }
    let parts: Vec<&[u8]> = seen.iter().map(Vec::as_slice).collect();
    Ok((policy, about.key.hash(&parts)))
}

async fn bundle(ca: &CaRef, about: &About<'_>, references: &dyn References) -> Result<Vec<u8>, Diagnosis> {
    let (kind, found) = match ca.kind {
        CaKind::ConfigMap => ("ConfigMap", references.config_map(about.namespace, &ca.name).await?),
        CaKind::Secret => ("Secret", references.secret(about.namespace, &ca.name).await?),
    };
    let missing = match found {
        Some(mut stored) => match stored.data.remove(&ca.key) {
            Some(pem) => return Ok(pem),
            None => format!("{kind} {} has no key {}", ca.name, ca.key),
        },
        None => format!("there is no {kind} {}", ca.name),
    };
    Err(Diagnosis::new(Reason::CABundleNotFound)
        .fact("kind", kind)
        .fact("name", ca.name.as_str())
        .fact("key", ca.key.as_str())
        .detail(missing))
}

async fn login(
    auth: &Auth,
    about: &About<'_>,
    references: &dyn References,
    endpoints: &[Endpoint],
    skip_verify: bool,
) -> Result<Option<Login>, Diagnosis> {
    match auth.r#type {
        AuthType::None => return Ok(None),
        AuthType::OAuth2 => {
            let fault = "this version fetches no access tokens yet: use auth.type Password until it does";
            return Err(Diagnosis::new(Reason::OAuthTokenFailed).detail(fault).fact("fault", fault));
        }
        AuthType::Password => {}
    }
    let reference = auth.secret_ref.as_ref().ok_or_else(|| invalid("auth.type Password needs auth.secretRef"))?;
    let place = format!("{}/{}", about.namespace, reference.name);
    let keys = match &auth.username {
        Some(_) => reference.password_key.clone(),
        None => format!("{} and {}", reference.username_key, reference.password_key),
    };
    let secret = secret(references, about.namespace, &reference.name, &keys).await?;
    let wanted: Vec<&str> = match &auth.username {
        Some(_) => vec![&reference.password_key],
        None => vec![&reference.username_key, &reference.password_key],
    };
    let missing: Vec<&str> = wanted.iter().copied().filter(|key| !secret.data.contains_key(*key)).collect();
    if !missing.is_empty() {
        return Err(key_missing(&place, &missing, &secret));
    }
    let user = match &auth.username {
        Some(user) => user.clone(),
        None => value(&place, &reference.username_key, &secret)?.expose_secret().to_owned(),
    };
    let password = value(&place, &reference.password_key, &secret)?;
    pinned(&place, &secret, about.require_allowed_hosts, endpoints, skip_verify)?;
    let fingerprint = about.key.hash(&[b"account", user.as_bytes(), password.expose_secret().as_bytes()]);
    Ok(Some(Login {
        credential: Credential::Password { user, password },
        mechanisms: auth.mechanisms.clone().unwrap_or_else(|| vec![Mechanism::Auto]),
        allow_plaintext: auth.allow_plaintext.unwrap_or(false),
        secret: place,
        changed: secret.changed.clone(),
        fingerprint,
    }))
}

async fn secret(references: &dyn References, namespace: &str, name: &str, keys: &str) -> Result<Stored, Diagnosis> {
    references.secret(namespace, name).await?.ok_or_else(|| {
        Diagnosis::new(Reason::SecretNotFound)
            .fact("secret", format!("{namespace}/{name}"))
            .fact("keys", keys)
            .detail(format!("there is no Secret {namespace}/{name}"))
    })
}

fn key_missing(place: &str, missing: &[&str], secret: &Stored) -> Diagnosis {
    let present: Vec<&str> = secret.data.keys().map(String::as_str).take(16).collect();
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    Diagnosis::new(Reason::SecretKeyMissing)
        .fact("secret", place)
        .fact("missing", missing.join(", "))
        .detail(format!("Secret {place} lacks {}", missing.join(", ")))
        .fact("present", present)
}

fn value(place: &str, key: &str, secret: &Stored) -> Result<SecretString, Diagnosis> {
    let unfit = |fault: &str| {
        Diagnosis::new(Reason::SecretInvalid)
            .fact("secret", place)
            .fact("key", key)
            .fact("fault", fault)
            .detail(format!("key {key} of Secret {place} {fault}"))
    };
    let bytes = secret.data.get(key).map(Vec::as_slice).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| unfit("is no UTF-8 text"))?;
    if text.is_empty() {
        return Err(unfit("is empty"));
    }
    if text.ends_with(['\n', '\r']) {
        return Err(unfit("ends in a newline"));
    }
    if text.contains('\0') {
        return Err(unfit("holds a NUL, which no login can carry"));
    }
    Ok(SecretString::from(text))
}

/// The Secret's own word on where it may go, and the installation's rule that there must be one.
fn pinned(place: &str, secret: &Stored, required: bool, endpoints: &[Endpoint], skip_verify: bool) -> Result<(), Diagnosis> {
    let denied = |host: &str, fault: &str| {
        Diagnosis::new(Reason::SecretHostNotAllowed)
            .fact("secret", place)
            .fact("host", host)
            .fact("fault", fault)
            .detail(format!("Secret {place} may not go to {host}: {fault}"))
    };
    let Some(allowed) = secret.annotations.get(ALLOWED_HOSTS) else {
        return match endpoints.first() {
            Some(endpoint) if required => {
                Err(denied(&endpoint.host, "this installation demands the annotation, and it is missing"))
            }
            _ => Ok(()),
        };
    };
    let same =
        |host: &str, known: &str| bare(known.trim()).trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'));
    for endpoint in endpoints {
        if !allowed.split(',').any(|known| same(&endpoint.host, known)) {
            return Err(denied(&endpoint.host, "the annotation does not name it"));
        }
        if endpoint.security == Security::None || skip_verify {
            return Err(denied(&endpoint.host, "a pinned Secret goes only through verified TLS"));
        }
    }
    Ok(())
}
