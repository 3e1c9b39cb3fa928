//! From a `RoundTripPolicy`'s spec to everything that a probe needs: the server found and judged, and where answers come to.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use uuid::Uuid;

use super::matching::{same_address, same_domain};
use crate::{
    api::{
        Reason,
        v1alpha1::{ObjectRef, RoundTripPolicySpec, condition as c},
    },
    mail::{Diagnosis, mailbox::Cleanup},
    verify::{
        References, email_profile,
        gate::Account,
        lending::{Errand, Lent, Sender, admitted, lend},
        mailbox,
        resolve::{About, invalid},
    },
};

/// The kind, in what is told of it.
const KIND: &str = "RoundTripPolicy";

/// Everything that a probe needs.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// By what it is sent.
    pub sender: Sender,
    /// The address in its From.
    pub from: String,
    /// The name beside it: only beside the server's own sender.
    pub display_name: Option<String>,
    /// Whom it goes to.
    pub to: String,
    /// What its subject begins with.
    pub subject: Option<String>,
    /// Its text.
    pub body: String,
    /// Where answers come to.
    pub back: Back,
    /// The address that answers come to, as the spec gives it; without it, one is made of `back`.
    pub envelope_from: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The object's UID; empty where it lives in a file.
    pub uid: String,
    /// A keyed hash of all of this that a responder can notice, and of what is asked of an answer.
    pub fingerprint: String,
    /// Why it must wait: something that it names does not work.
    pub waits: Option<Diagnosis>,
    /// Whether the `MailServer` that sends is being judged anew.
    pub unsettled: bool,
}

/// Where answers come to.
#[derive(Clone, Debug)]
pub enum Back {
    /// A `MailReceiver`.
    Receiver {
        /// As `namespace/name`.
        name: String,
        /// The local part that it takes mail for.
        local: String,
        /// The first of its domains.
        domain: String,
    },
    /// The mailbox of an `EmailProfile`.
    Mailbox {
        /// As `namespace/name`.
        name: String,
        /// Its address.
        address: String,
        /// How it is opened.
        mailbox: Box<mailbox::Inputs>,
        /// What becomes of our mails there.
        cleanup: Cleanup,
    },
}

impl Inputs {
    /// The address that answers to the probe `id` come to.
    #[must_use]
    pub fn return_address(&self, id: Uuid) -> String {
        match (&self.envelope_from, &self.back) {
            (Some(written), _) => written.clone(),
            (None, Back::Receiver { local, domain, .. }) => format!("{local}+{}@{domain}", id.simple()),
            (None, Back::Mailbox { address, .. }) => address.clone(),
        }
    }

    /// The same without an id, as people are told.
    #[must_use]
    pub fn address(&self) -> String {
        match (&self.envelope_from, &self.back) {
            (Some(written), _) => written.clone(),
            (None, Back::Receiver { local, domain, .. }) => format!("{local}@{domain}"),
            (None, Back::Mailbox { address, .. }) => address.clone(),
        }
    }

    /// The accounts that a probe may log in to: on the server that sends, and on the mailbox's.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let mut accounts = self.sender.server.accounts();
        if let Back::Mailbox { mailbox, .. } = &self.back
            && let Some(account) = mailbox.login.as_ref().map(|login| login.account(&mailbox.endpoint.host))
            && !accounts.contains(&account)
        {
            accounts.push(account);
        }
        accounts
    }

    /// Whether a mailbox has to be looked at for the answer.
    #[must_use]
    pub fn reads(&self) -> bool {
        matches!(self.back, Back::Mailbox { .. })
    }
}

/// Resolves a spec.
///
/// # Errors
/// What is missing or wrong among the references: nothing has touched the network then.
pub async fn resolve(spec: &RoundTripPolicySpec, about: &About<'_>, references: &dyn References) -> Result<Inputs, Diagnosis> {
    let (back, back_waits) = match (&spec.receive.receiver_ref, &spec.receive.profile_ref) {
        (Some(reference), None) => receiver(spec, reference, about, references).await?,
        (None, Some(reference)) => profile(reference, about, references).await?,
        _ => return Err(invalid("set exactly one of receive.receiverRef or receive.profileRef")),
    };
    let lent = sender(spec, about, references).await?;
    let own = lent.sender.server.sender.clone();
    let address = own.as_ref().map(|sender| sender.address.clone()).unwrap_or_default();
    let display_name = own.and_then(|sender| sender.display_name).filter(|_| spec.from.is_none());
    let through: Vec<String> = lent.sender.server.endpoints.iter().map(ToString::to_string).collect();
    let from = spec.from.clone().unwrap_or(address);
    let login = lent.sender.server.login.as_ref().map(|login| login.fingerprint.clone()).unwrap_or_default();
    let mut inputs = Inputs {
        from,
        display_name,
        to: spec.to.clone(),
        subject: spec.message.subject.clone(),
        body: spec.message.body.clone(),
        back,
        envelope_from: spec.envelope_from.clone(),
        timeout: spec.timeout().get(),
        uid: about.uid.to_owned(),
        fingerprint: String::new(),
        waits: lent.waits.or(back_waits),
        unsettled: lent.unsettled,
        sender: lent.sender,
    };
    inputs.differ_from_the_recipient()?;
    let noticed = serde_json::json!({
        "to": inputs.to, "from": inputs.from, "back": inputs.address(), "message": spec.message, "expect": spec.expect,
        "match": spec.matching, "server": inputs.sender.name, "through": through,
    })
    .to_string();
    inputs.fingerprint = about.key.hash(&[noticed.as_bytes(), login.as_bytes()]);
    Ok(inputs)
}

impl Inputs {
    /// A probe to an address of its own would answer itself.
    fn differ_from_the_recipient(&self) -> Result<(), Diagnosis> {
        let sender = self.sender.server.sender.as_ref().map(|sender| sender.address.as_str()).unwrap_or_default();
        let back = self.address();
        if [sender, &self.from, &back].into_iter().all(|own| !same_address(own, &self.to)) {
            return Ok(());
        }
        Err(Diagnosis::new(Reason::SelfAddressed)
            .detail(format!("the probe would go to {}, where it comes from", self.to))
            .fact("to", self.to.as_str()))
    }
}

/// The server that sends, whatever becomes of the answers.
///
/// # Errors
/// Those of [`resolve`] that are about it.
pub async fn sender(spec: &RoundTripPolicySpec, about: &About<'_>, references: &dyn References) -> Result<Lent, Diagnosis> {
    let reference = match &spec.server_ref {
        Some(reference) => reference.clone(),
        None => default_server(about, references).await?,
    };
    lend(Errand { kind: KIND, to: &spec.to, from: spec.from.as_deref() }, &reference, about, references).await
}

async fn default_server(about: &About<'_>, references: &dyn References) -> Result<ObjectRef, Diagnosis> {
    let name = references.default_server(about.namespace).await?.ok_or_else(|| {
        Diagnosis::new(Reason::NoDefaultServer)
            .detail(format!("no MailServer of namespace {} is its default", about.namespace))
            .fact("me", about.namespace)
    })?;
    Ok(ObjectRef { name, namespace: None })
}

/// A `MailReceiver`, if this namespace may use it, and why it is to be waited for.
async fn receiver(
    spec: &RoundTripPolicySpec,
    reference: &ObjectRef,
    about: &About<'_>,
    references: &dyn References,
) -> Result<(Back, Option<Diagnosis>), Diagnosis> {
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let name = format!("{namespace}/{}", reference.name);
    let found = references.mail_receiver(namespace, &reference.name).await?;
    let allowed = found.as_ref().and_then(|receiver| receiver.spec.allowed_namespaces.clone());
    let found =
        admitted(("MailReceiver", Reason::ReceiverNotFound), found, allowed.as_ref(), reference, about, references).await?;
    let local = found.spec.notify_local_part().to_owned();
    if let Some(address) = &spec.envelope_from {
        let (theirs, domain) = address.rsplit_once('@').unwrap_or_default();
        let theirs = theirs.split_once('+').map_or(theirs, |(local, _)| local);
        if !theirs.eq_ignore_ascii_case(&local) || !found.spec.domains.iter().any(|own| same_domain(own, domain)) {
            let list: Vec<String> = found.spec.domains.iter().map(|own| format!("{local}@{own}")).collect();
            return Err(Diagnosis::new(Reason::DomainNotAuthorized)
                .detail(format!("envelopeFrom {address} is no address of MailReceiver {name}"))
                .fact("address", address.as_str())
                .fact("name", name.as_str())
                .fact("list", list.join(", ")));
        }
    }
    let status = found.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let waits = conditions.and_then(|conditions| not_fit(conditions, &[c::LISTENING], "MailReceiver", &name));
    let domain = found.spec.domains.first().cloned().unwrap_or_default();
    Ok((Back::Receiver { name, local, domain }, waits))
}

/// An `EmailProfile`, if this namespace may use it, and why it is to be waited for.
async fn profile(
    reference: &ObjectRef,
    about: &About<'_>,
    references: &dyn References,
) -> Result<(Back, Option<Diagnosis>), Diagnosis> {
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let name = format!("{namespace}/{}", reference.name);
    let found = references.email_profile(namespace, &reference.name).await?;
    let allowed = found.as_ref().and_then(|profile| profile.spec.allowed_namespaces.clone());
    let found =
        admitted(("EmailProfile", Reason::ProfileNotFound), found, allowed.as_ref(), reference, about, references).await?;
    let conditions = found.status.as_ref().map(|status| status.conditions.as_slice());
    let waits = conditions.and_then(|conditions| not_fit(conditions, &[c::VERIFIED], "EmailProfile", &name));
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let lending = About { kind: "EmailProfile", namespace, name: &reference.name, uid, ..*about };
    let (mailbox, cleanup) = match email_profile::inputs::mailbox(&found.spec, &lending, references).await {
        Ok(opened) => opened,
        Err(unreadable) if unreadable.reason == Reason::RefUnreadable => return Err(unreadable),
        Err(failure) => {
            return Err(waits.unwrap_or_else(|| {
                let reason = failure.reason.as_str();
                Diagnosis::new(Reason::DependencyNotReady)
                    .fact("kind", "EmailProfile")
                    .fact("name", name.as_str())
                    .fact("reason", reason)
                    .detail(format!("EmailProfile {name}: {reason}"))
            }));
        }
    };
    let address = found.spec.address.clone();
    Ok((Back::Mailbox { name, address, mailbox: Box::new(mailbox), cleanup }, waits))
}

/// Why an object with these conditions is to be waited for: it is suspended, or one of `needed` is not True. One in a file has
/// none.
fn not_fit(conditions: &[Condition], needed: &[&str], kind: &str, name: &str) -> Option<Diagnosis> {
    let of = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let conflict = of(c::READY).filter(|ready| ready.status == "False" && ready.reason == Reason::Conflict.as_str());
    let suspended = of(c::SUSPENDED).filter(|suspended| suspended.status == "True").or(conflict);
    let lacks = || {
        needed.iter().find_map(|type_| match of(type_) {
            Some(condition) if condition.status == "True" => None,
            Some(condition) => Some(condition.reason.clone()),
            None => Some(Reason::NeverVerified.as_str().to_owned()),
        })
    };
    let why = suspended.map(|suspended| suspended.reason.clone()).or_else(lacks)?;
    let waits = Diagnosis::new(Reason::DependencyNotReady).fact("kind", kind).fact("name", name).fact("reason", why.as_str());
    Some(waits.detail(format!("{kind} {name}: {why}")))
}
