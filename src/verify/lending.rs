//! A `MailServer` that an object of another kind sends through: found, allowed, and fit for it. Which mail it is to carry is the
//! other kind's matter.

use super::{
    References, mail_server,
    resolve::{About, invalid},
    sharing,
};
use crate::{
    api::{
        Reason,
        v1alpha1::{AllowedNamespaces, Level, MailServer, ObjectRef, Test, condition as c},
    },
    mail::Diagnosis,
};

/// The mails in an hour that a server grants to each namespace that borrows it, where its `usage` does not say.
pub const MESSAGES_PER_HOUR: u32 = 12;

/// What is to be sent through a server.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    /// The kind of the object that sends, such as `EmailProfile`.
    pub kind: &'a str,
    /// Whom the mail goes to.
    pub to: &'a str,
    /// The address in its From, where that is not the server's sender.
    pub from: Option<&'a str>,
}

/// A sender, and how its server is.
#[derive(Clone, Debug)]
pub struct Lent {
    /// What sending needs.
    pub sender: Sender,
    /// Why it must wait: the server does not work.
    pub waits: Option<Diagnosis>,
    /// Whether the server is being judged anew: what is known of it is of its spec as it was.
    pub unsettled: bool,
}

/// The `MailServer` that sends.
#[derive(Clone, Debug)]
pub struct Sender {
    /// As `namespace/name`.
    pub name: String,
    /// Its namespace, where that is another than the object's: its `usage` counts then.
    pub lender: Option<String>,
    /// The mails in an hour that the lender grants to the object's namespace.
    pub per_hour: Option<u32>,
    /// What sending through it needs, with the object that sends as the object, and its recipient.
    pub server: mail_server::Inputs,
    /// The connections that it grants to its account.
    pub connections: usize,
    /// The mails a minute that it grants to its account.
    pub per_minute: u32,
}

/// The `MailServer` behind a reference, if this namespace may use it.
///
/// # Errors
/// `MailServerNotFound`, `RefNotPermitted`, or that it could not be read.
pub async fn server(reference: &ObjectRef, about: &About<'_>, references: &dyn References) -> Result<MailServer, Diagnosis> {
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let found = references.mail_server(namespace, &reference.name).await?;
    let allowed = found.as_ref().and_then(|server| server.spec.allowed_namespaces.clone());
    admitted(("MailServer", Reason::MailServerNotFound), found, allowed.as_ref(), reference, about, references).await
}

/// An object that a reference names, if this namespace may use it.
pub(super) async fn admitted<T>(
    (kind, missing): (&str, Reason),
    found: Option<T>,
    allowed: Option<&AllowedNamespaces>,
    reference: &ObjectRef,
    about: &About<'_>,
    references: &dyn References,
) -> Result<T, Diagnosis> {
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    if namespace == about.namespace {
        return found.ok_or_else(|| {
            let name = format!("{namespace}/{}", reference.name);
            Diagnosis::new(missing)
                .detail(format!("there is no {kind} {} in namespace {namespace}", reference.name))
                .fact("name", name)
        });
    }
    let denied = || sharing::denied(kind, namespace, &reference.name, about.namespace);
    let found = found.ok_or_else(denied)?;
    let labels = references.namespace_labels(about.namespace).await?;
    if sharing::admits(allowed, namespace, about.namespace, &labels) { Ok(found) } else { Err(denied()) }
}

/// Why a server's dependents must wait, if they must: it is not verified as it is now. A server in a file has no status.
#[must_use]
pub fn not_ready(server: &MailServer, name: &str) -> Option<Diagnosis> {
    let status = server.status.as_ref()?;
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    let suspended = condition(c::SUSPENDED).filter(|suspended| suspended.status == "True");
    let verified = condition(c::VERIFIED);
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
    let verified = condition(c::VERIFIED);
    let works_on_it = condition(c::RECONCILING).is_some_and(|c| c.status == "True");
    !of_now(status.observed_generation) || (works_on_it && !verified.is_some_and(|verified| of_now(verified.observed_generation)))
}

/// The `MailServer` behind a reference, ready for an errand.
///
/// # Errors
/// Why the object may not send this through it, or why it cannot.
pub async fn lend(
    errand: Errand<'_>,
    reference: &ObjectRef,
    about: &About<'_>,
    references: &dyn References,
) -> Result<Lent, Diagnosis> {
    let found = server(reference, about, references).await?;
    let namespace = reference.namespace.as_deref().unwrap_or(about.namespace);
    let name = format!("{namespace}/{}", reference.name);
    let Some(sender) = &found.spec.sender else {
        return Err(invalid(&format!("MailServer {name} has no sender.address, so it cannot send; set it there")));
    };
    let lender = (namespace != about.namespace).then(|| namespace.to_owned());
    let usage = found.spec.usage.as_ref();
    let from = errand.from.unwrap_or(&sender.address);
    if lender.is_some() && !sharing::usage_permits(usage, &sender.address, from, errand.to) {
        let own = || sender.address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
        let list = usage.and_then(|usage| usage.recipient_domains.clone()).map_or_else(own, |domains| domains.join(", "));
        let as_whom = errand.from.map(|from| format!(" as {from}")).unwrap_or_default();
        return Err(Diagnosis::new(Reason::UsageNotPermitted)
            .fact("server", name.as_str())
            .fact("list", list.as_str())
            .fact("me", about.namespace)
            .detail(format!(
                "MailServer {name} lets namespace {} mail {list} only, not {}{as_whom}",
                about.namespace, errand.to
            )));
    }
    // What makes the server itself unusable is told there; here it is a dependency that is not ready.
    let (waits, unsettled) = (not_ready(&found, &name), is_unsettled(&found));
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let lending = About { kind: "MailServer", namespace, name: &reference.name, uid, ..*about };
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
    server.test = Some(Test { to: errand.to.to_owned(), subject: None });
    server.object = format!("{} {}/{}", errand.kind, about.namespace, about.name);
    about.uid.clone_into(&mut server.uid);
    let limits = found.spec.limits.as_ref();
    let granted = |written: Option<i32>, usual: u32| written.and_then(|n| u32::try_from(n).ok()).unwrap_or(usual);
    let per_hour =
        lender.as_ref().map(|_| granted(usage.and_then(|usage| usage.messages_per_hour_per_namespace), MESSAGES_PER_HOUR));
    let sender = Sender {
        name,
        lender,
        per_hour,
        server,
        connections: granted(limits.and_then(|limits| limits.connections), 1) as usize,
        per_minute: granted(limits.and_then(|limits| limits.messages_per_minute), mail_server::MESSAGES_PER_MINUTE),
    };
    Ok(Lent { sender, waits, unsettled })
}
