//! From an `EmailProfile`'s spec to everything that a run needs: presets and defaults filled in, the account read, the
//! `MailServer`s that it names found and judged.

mod incoming;
mod outgoing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::v1alpha1::{EmailProfile, EmailProfileSpec, Level, MailboxCleanup, VerificationMode},
    mail::{Diagnosis, Stage, mailbox::Cleanup, protocol::Protocol},
    verify::{
        References,
        gate::Account,
        lending::{Errand, Sender, lend},
        mail_server,
        mailbox::{self, desk::Desk},
        resolve::{About, account, invalid, trust},
        select::{Chosen, Wanted},
    },
};
pub use incoming::{auth, consented, incoming};
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
    /// How it is opened: not over POP3, which shows nothing that comes.
    pub mailbox: mailbox::Inputs,
    /// What becomes of reports on our mails there.
    pub cleanup: Cleanup,
    /// Where runs wait for it together.
    pub desk: Arc<Desk>,
}

impl Inputs {
    /// The accounts that a run may log in to: on the incoming server, and on the outgoing one.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let incoming = self.mailbox.login.iter().map(|login| login.account(&self.mailbox.endpoint.host));
        let outgoing = self.outgoing.iter().flat_map(mail_server::Inputs::accounts);
        let mut accounts: Vec<Account> = Vec::new();
        let provider = self.mailbox.login.iter().filter_map(crate::verify::Login::at_provider);
        for account in incoming.chain(outgoing).chain(provider) {
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
    let auth = auth(spec)?;
    let outgoing = Outward::of(spec, about, references).await?;
    // The one Secret goes to both servers.
    let mut places = vec![endpoint.clone()];
    places.extend(outgoing.iter().filter_map(Outward::endpoint).cloned());
    let skips = tls.skip_verify || outgoing.iter().any(Outward::skips_verification);
    let login = account(&auth, about, references, &places, skips).await?;
    let login = login.ok_or_else(|| invalid("no mailbox is read without a login: set account.type to Password or OAuth2"))?;

    let (mut waits, mut unsettled) = (None, false);
    let sender = match &spec.verification.as_ref().and_then(|verification| verification.sender_ref.clone()) {
        Some(reference) if spec.mode() == VerificationMode::Automatic => {
            let errand = Errand { kind: "EmailProfile", to: &spec.address, from: None };
            let sender = lend(errand, reference, about, references).await?;
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
        "security": endpoint.security, "account": auth, "mode": spec.mode(), "folder": folder.name,
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
/// is over POP3, or not verified.
pub async fn returns(profile: &EmailProfile, about: &About<'_>, references: &dyn References) -> Option<Returns> {
    let (spec, status) = (&profile.spec, profile.status.as_ref()?);
    let verified = |c: &&Condition| c.type_ == crate::api::v1alpha1::condition::VERIFIED && c.status == "True";
    status.conditions.iter().find(verified).filter(|_| spec.suspend != Some(true))?;
    let (mut mailbox, cleanup) = mailbox(spec, about, references).await.ok()?;
    mailbox.junk = Vec::new();
    (mailbox.protocol != Protocol::Pop3).then(|| Returns { mailbox, cleanup, desk: Arc::default() })
}

/// The mailbox of a profile, where something else than its own code is looked for there; and what becomes of our mails in it.
///
/// # Errors
/// What is missing or wrong among the references.
pub async fn mailbox(
    spec: &EmailProfileSpec,
    about: &About<'_>,
    references: &dyn References,
) -> Result<(mailbox::Inputs, Cleanup), Diagnosis> {
    let (protocol, endpoint) = incoming(spec)?;
    let (tls, _) = trust(spec.server.as_ref().and_then(|server| server.tls.as_ref()), about, references).await?;
    let auth = auth(spec)?;
    let login = account(&auth, about, references, std::slice::from_ref(&endpoint), tls.skip_verify).await?;
    let folder = spec.mailbox.clone().unwrap_or_default();
    let mailbox = mailbox::Inputs {
        protocol,
        endpoint,
        tls,
        login: Some(login.ok_or_else(|| invalid("no mailbox is read without a login: set account.type to Password or OAuth2"))?),
        mailbox: folder.name.unwrap_or_else(|| "INBOX".to_owned()),
        junk: folder.junk.unwrap_or_default(),
        level: Level::Authenticate,
        timeout: OPENING,
        resolving: Duration::ZERO,
    };
    Ok((mailbox, cleanup(spec)))
}

fn cleanup(spec: &EmailProfileSpec) -> Cleanup {
    match spec.cleanup() {
        MailboxCleanup::Delete => Cleanup::Delete,
        MailboxCleanup::MarkSeen => Cleanup::MarkSeen,
        MailboxCleanup::Keep => Cleanup::Keep,
    }
}
