//! From an `EmailProfile`'s spec to everything that a run needs: presets and defaults filled in, the account read, the
//! `MailServer`s that it names found and judged.

mod outgoing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::presets;
use crate::{
    api::{
        Reason,
        v1alpha1::{
            EmailProfile, EmailProfileSpec, Level, MailServer, MailboxCleanup, MailboxProtocol, ObjectRef, Security, Test,
            VerificationMode,
        },
    },
    mail::{Diagnosis, Stage, mailbox::Cleanup, protocol::Protocol},
    verify::{
        Endpoint, References,
        gate::Account,
        mail_server,
        mailbox::{self, desk::Desk},
        resolve::{About, account, host_name, invalid, port_number, trust},
        select::{Chosen, Wanted},
        sharing,
    },
};
use outgoing::Outward;

/// The time for opening a mailbox once: the looking has its own, `verification.timeout`.
const OPENING: Duration = Duration::from_secs(30);

/// Everything that a run needs.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The mailbox, the account on it and how it is opened.
    pub mailbox: mailbox::Inputs,
    /// The address that the mails go to.
    pub address: String,
    /// Who sends.
    pub mode: VerificationMode,
    /// What becomes of our own mails.
    pub cleanup: Cleanup,
    /// How long a mail may take.
    pub timeout: Duration,
    /// By what the mails are sent; none in mode Manual.
    pub sender: Option<Sender>,
    /// Where mails come back to, if that is another mailbox that is read.
    pub returns: Option<Returns>,
    /// The outgoing server whose login is proved; none where that is not asked for.
    pub outgoing: Option<mail_server::Inputs>,
    /// The actors that must find their codes.
    pub actors: Vec<Chosen>,
    /// `EmailProfile namespace/name`.
    pub object: String,
    /// The object's UID; empty where it lives in a file.
    pub uid: String,
    /// A keyed hash of all of this that a mailbox or a server can notice: another one begins a run.
    pub fingerprint: String,
    /// Why it must wait: a `MailServer` that it names does not work.
    pub waits: Option<Diagnosis>,
    /// Whether the `MailServer` that sends is being judged anew: what is known of it is of its spec as it was.
    pub unsettled: bool,
}

/// The mailbox of the sender's address, where what could not be delivered comes back to.
#[derive(Clone, Debug)]
pub struct Returns {
    /// How it is opened: over IMAP.
    pub mailbox: mailbox::Inputs,
    /// What becomes of reports on our mails there.
    pub cleanup: Cleanup,
    /// Where runs wait for it together.
    pub desk: Arc<Desk>,
}

/// The `MailServer` that sends the codes.
#[derive(Clone, Debug)]
pub struct Sender {
    /// As `namespace/name`.
    pub name: String,
    /// Its namespace, where that is another than the profile's: its `usage` counts then.
    pub lender: Option<String>,
    /// The mails in an hour that the lender grants to the profile's namespace.
    pub per_hour: Option<u32>,
    /// What sending through it needs, with the profile as the object and its address as the recipient.
    pub server: mail_server::Inputs,
    /// The connections that it grants to its account.
    pub connections: usize,
    /// The mails a minute that it grants to its account.
    pub per_minute: u32,
}

impl Inputs {
    /// The accounts that a run may log in to: on the incoming server, and on the outgoing one.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let incoming = self.mailbox.login.iter().map(|login| login.account(&self.mailbox.endpoint.host));
        let outgoing = self.outgoing.iter().flat_map(mail_server::Inputs::accounts);
        let mut accounts: Vec<Account> = Vec::new();
        for account in incoming.chain(outgoing) {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        accounts
    }
}

/// Resolves a spec.
///
/// # Errors
/// What is missing or wrong among the references, at [`Stage::Secrets`]: nothing has touched the network then.
pub async fn resolve(spec: &EmailProfileSpec, about: &About<'_>, references: &dyn References) -> Result<Inputs, Diagnosis> {
    resolve_unstaged(spec, about, references).await.map_err(|diagnosis| diagnosis.at(Stage::Secrets))
}

async fn resolve_unstaged(spec: &EmailProfileSpec, about: &About<'_>, references: &dyn References) -> Result<Inputs, Diagnosis> {
    let begun = Instant::now();
    let (protocol, endpoint) = incoming(spec)?;
    let wanted = Wanted { named: spec.actors.as_deref(), selector: spec.actor_selector.as_ref() };
    let actors = wanted.find(about.namespace, references).await?;
    let server_tls = spec.server.as_ref().and_then(|server| server.tls.as_ref());
    let (tls, tls_fingerprint) = trust(server_tls, about, references).await?;
    let auth = spec.account.as_ref().ok_or_else(|| invalid("protocol IMAP and POP3 need account"))?;
    let outgoing = Outward::of(spec, about, references).await?;
    // The one Secret goes to both servers.
    let mut places = vec![endpoint.clone()];
    places.extend(outgoing.iter().filter_map(Outward::endpoint).cloned());
    let skips = tls.skip_verify || outgoing.iter().any(Outward::skips_verification);
    let login = account(auth, about, references, &places, skips).await?;
    let login = login.ok_or_else(|| invalid("no mailbox is read without a login: set account.type to Password or OAuth2"))?;

    let (mut waits, mut unsettled) = (None, false);
    let sender = match &spec.verification.as_ref().and_then(|verification| verification.sender_ref.clone()) {
        Some(reference) if spec.mode() == VerificationMode::Automatic => {
            let sender = sender(spec, reference, about, references).await?;
            (waits, unsettled) = (sender.waits, sender.unsettled);
            Some(sender.sender)
        }
        _ => None,
    };
    let outgoing = match outgoing {
        Some(outgoing) => {
            let (server, not_ready) = outgoing.with(&login, about)?;
            waits = waits.or(not_ready);
            server.filter(|_| spec.checks_outgoing())
        }
        None => None,
    };
    let folder = spec.mailbox.clone().unwrap_or_default();
    let sends_from = sender.as_ref().map(|sender| {
        let from = sender.server.sender.as_ref().map(|sender| sender.address.as_str()).unwrap_or_default();
        let through: Vec<String> = sender.server.endpoints.iter().map(ToString::to_string).collect();
        serde_json::json!({ "server": sender.name, "from": from, "through": through })
    });
    let noticed = serde_json::json!({
        "address": spec.address, "protocol": spec.protocol, "endpoint": endpoint.to_string(),
        "security": endpoint.security, "account": spec.account, "mode": spec.mode(), "folder": folder.name,
        "outgoing": outgoing.as_ref().map(|outgoing| outgoing.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "sends": sends_from,
    })
    .to_string();
    let fingerprint = about.key.hash(&[noticed.as_bytes(), login.fingerprint.as_bytes(), tls_fingerprint.as_bytes()]);
    Ok(Inputs {
        mailbox: mailbox::Inputs {
            protocol,
            endpoint,
            tls,
            login: Some(login),
            mailbox: folder.name.unwrap_or_else(|| "INBOX".to_owned()),
            junk: folder.junk.unwrap_or_default(),
            level: Level::Authenticate,
            timeout: OPENING,
            resolving: begun.elapsed(),
        },
        address: spec.address.clone(),
        mode: spec.mode(),
        cleanup: cleanup(spec),
        timeout: spec.timeout().get(),
        sender,
        returns: None,
        outgoing,
        actors,
        object: format!("EmailProfile {}/{}", about.namespace, about.name),
        uid: about.uid.to_owned(),
        fingerprint,
        waits,
        unsettled,
    })
}

/// The mailbox of a profile as the place where mails of another one come back to; none where it cannot be watched for that: it
/// is not over IMAP, or not verified.
pub async fn returns(profile: &EmailProfile, about: &About<'_>, references: &dyn References) -> Option<Returns> {
    let (spec, status) = (&profile.spec, profile.status.as_ref()?);
    let verified = |c: &&Condition| c.type_ == crate::api::v1alpha1::condition::VERIFIED && c.status == "True";
    status.conditions.iter().find(verified).filter(|_| spec.suspend != Some(true))?;
    let (protocol, endpoint) = incoming(spec).ok().filter(|(protocol, _)| *protocol == Protocol::Imap)?;
    let (tls, _) = trust(spec.server.as_ref().and_then(|server| server.tls.as_ref()), about, references).await.ok()?;
    let login =
        account(spec.account.as_ref()?, about, references, std::slice::from_ref(&endpoint), tls.skip_verify).await.ok()??;
    let mailbox = mailbox::Inputs {
        protocol,
        endpoint,
        tls,
        login: Some(login),
        mailbox: spec.mailbox.clone().and_then(|folder| folder.name).unwrap_or_else(|| "INBOX".to_owned()),
        junk: Vec::new(),
        level: Level::Authenticate,
        timeout: OPENING,
        resolving: Duration::ZERO,
    };
    Some(Returns { mailbox, cleanup: cleanup(spec), desk: Arc::default() })
}

fn cleanup(spec: &EmailProfileSpec) -> Cleanup {
    match spec.cleanup() {
        MailboxCleanup::Delete => Cleanup::Delete,
        MailboxCleanup::MarkSeen => Cleanup::MarkSeen,
        MailboxCleanup::Keep => Cleanup::Keep,
    }
}

/// Where the mailbox is.
///
/// # Errors
/// `OAuthTokenFailed` for the protocols that this version does not speak, `SpecInvalid` where a host cannot be read.
pub fn incoming(spec: &EmailProfileSpec) -> Result<(Protocol, Endpoint), Diagnosis> {
    let (protocol, name) = match spec.protocol {
        MailboxProtocol::IMAP => (Protocol::Imap, "IMAP"),
        MailboxProtocol::POP3 => (Protocol::Pop3, "POP3"),
        MailboxProtocol::MicrosoftGraph | MailboxProtocol::GmailAPI => {
            let fault = "this version reads no mailbox by access tokens yet: use protocol IMAP or POP3 until it does";
            return Err(Diagnosis::new(Reason::OAuthTokenFailed).detail(fault).fact("fault", fault));
        }
    };
    if let Some(server) = &spec.server {
        let security = server.security.unwrap_or(Security::TLS);
        let usual = match (protocol, security) {
            (Protocol::Imap, Security::TLS) => 993,
            (Protocol::Imap, _) => 143,
            (_, Security::TLS) => 995,
            _ => 110,
        };
        let port = port_number(server.port)?.unwrap_or(usual);
        return Ok((protocol, Endpoint { host: host_name(&server.host, "server.host")?, port, security }));
    }
    let preset = spec.provider.and_then(|provider| presets::incoming(provider, spec.protocol));
    let (host, port, security) =
        preset.ok_or_else(|| invalid(&format!("the provider offers no {name}; set server, or another protocol")))?;
    Ok((protocol, Endpoint { host: host.to_owned(), port, security }))
}

/// The `MailServer` behind a reference, if this namespace may use it.
async fn server(reference: &ObjectRef, about: &About<'_>, references: &dyn References) -> Result<MailServer, Diagnosis> {
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let found = references.mail_server(namespace, &reference.name).await?;
    if namespace == about.namespace {
        return found.ok_or_else(|| {
            Diagnosis::new(Reason::MailServerNotFound)
                .fact("name", format!("{namespace}/{}", reference.name))
                .detail(format!("there is no MailServer {} in namespace {namespace}", reference.name))
        });
    }
    let denied = || sharing::denied("MailServer", namespace, &reference.name, about.namespace);
    let Some(server) = found else { return Err(denied()) };
    let labels = references.namespace_labels(about.namespace).await?;
    let admitted = sharing::admits(server.spec.allowed_namespaces.as_ref(), namespace, about.namespace, &labels);
    if admitted { Ok(server) } else { Err(denied()) }
}

/// Why a server's dependents must wait, if they must: it is not verified as it is now. A server in a file has no status.
fn not_ready(server: &MailServer, name: &str) -> Option<Diagnosis> {
    let status = server.status.as_ref()?;
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    let suspended = condition(crate::api::v1alpha1::condition::SUSPENDED).filter(|suspended| suspended.status == "True");
    let verified = condition(crate::api::v1alpha1::condition::VERIFIED);
    let why = match (suspended, verified) {
        (Some(suspended), _) => suspended.reason.as_str(),
        (None, Some(verified)) if verified.status == "True" => return None,
        (None, Some(verified)) => verified.reason.as_str(),
        (None, None) => Reason::NeverVerified.as_str(),
    };
    let waits = Diagnosis::new(Reason::DependencyNotReady).fact("kind", "MailServer").fact("name", name).fact("reason", why);
    Some(waits.detail(format!("MailServer {name}: {why}")))
}

/// Whether a server's spec has changed, and what is known of it was found before. A server in a file has no status.
fn is_unsettled(server: &MailServer) -> bool {
    let Some(status) = &server.status else { return false };
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    let of_now = |generation: Option<i64>| generation == server.metadata.generation;
    let verified = condition(crate::api::v1alpha1::condition::VERIFIED);
    let works_on_it = condition(crate::api::v1alpha1::condition::RECONCILING).is_some_and(|c| c.status == "True");
    !of_now(status.observed_generation) || (works_on_it && !verified.is_some_and(|verified| of_now(verified.observed_generation)))
}

/// A sender, and how its server is.
struct Found {
    sender: Sender,
    waits: Option<Diagnosis>,
    unsettled: bool,
}

async fn sender(
    spec: &EmailProfileSpec,
    reference: &ObjectRef,
    about: &About<'_>,
    references: &dyn References,
) -> Result<Found, Diagnosis> {
    let found = server(reference, about, references).await?;
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let name = format!("{namespace}/{}", reference.name);
    let Some(from) = &found.spec.sender else {
        return Err(invalid(&format!("MailServer {name} has no sender.address, so it cannot send the code; set it there")));
    };
    let lender = (namespace != about.namespace).then(|| namespace.to_owned());
    let usage = found.spec.usage.as_ref();
    if lender.is_some() && !sharing::usage_permits(usage, &from.address, &from.address, &spec.address) {
        let list = usage.and_then(|usage| usage.recipient_domains.clone()).map_or_else(
            || from.address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default(),
            |domains| domains.join(", "),
        );
        return Err(Diagnosis::new(Reason::UsageNotPermitted)
            .fact("server", name.as_str())
            .fact("list", list.as_str())
            .fact("me", about.namespace)
            .detail(format!("MailServer {name} lets namespace {} mail {list} only, not {}", about.namespace, spec.address)));
    }
    // What makes the server itself unusable is told there; here it is a dependency that is not ready.
    let (waits, unsettled) = (not_ready(&found, &name), is_unsettled(&found));
    let lending = About { namespace, name: &reference.name, uid: about.uid, ..*about };
    let server = mail_server::resolve(&found.spec, &lending, references).await;
    let mut server = match (server, &waits) {
        (Ok(server), _) => server,
        (Err(unreadable), _) if unreadable.reason == Reason::RefUnreadable => return Err(unreadable),
        (Err(failure), None) => {
            let why = failure.reason.as_str();
            return Err(Diagnosis::new(Reason::DependencyNotReady)
                .fact("kind", "MailServer")
                .fact("name", name.as_str())
                .fact("reason", why)
                .detail(format!("MailServer {name}: {why}")));
        }
        (Err(_), Some(waits)) => return Err(waits.clone()),
    };
    server.level = Level::Deliver;
    server.test = Some(Test { to: spec.address.clone(), subject: None });
    server.object = format!("EmailProfile {}/{}", about.namespace, about.name);
    about.uid.clone_into(&mut server.uid);
    let limits = found.spec.limits.as_ref();
    let granted = |written: Option<i32>, usual: u32| written.and_then(|n| u32::try_from(n).ok()).unwrap_or(usual);
    let per_hour = lender.as_ref().map(|_| granted(usage.and_then(|usage| usage.messages_per_hour_per_namespace), 12));
    let sender = Sender {
        name,
        lender,
        per_hour,
        server,
        connections: granted(limits.and_then(|limits| limits.connections), 1) as usize,
        per_minute: granted(limits.and_then(|limits| limits.messages_per_minute), mail_server::MESSAGES_PER_MINUTE),
    };
    Ok(Found { sender, waits, unsettled })
}
