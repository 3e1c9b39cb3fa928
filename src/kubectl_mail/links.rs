//! What an object names, and who names it.

use kube::ResourceExt;
use mailverity::{
    api::v1alpha1::{
        ActorRef, EmailProfileSpec, IS_DEFAULT_SERVER, MailReceiverSpec, MailServerSpec, ObjectRef, RoundTripPolicySpec,
    },
    controllers::reconcile::references,
    runtime::secrets,
    verify::email_profile::inputs::auth,
};

use super::{Kind, object::Object};

/// An object of any kind that a spec names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Its kind, such as Secret or `MailServer`.
    pub kind: String,
    /// Its namespace; empty for Actors.
    pub namespace: String,
    pub name: String,
}

impl Link {
    fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn of(object: &Object) -> Self {
        Self::new(&object.kind.to_string(), &object.namespace(), &object.name())
    }

    /// As people read it; the namespace only where it is another than this.
    pub fn told(&self, namespace: &str) -> String {
        let Self { kind, namespace: own, name } = self;
        if own.is_empty() || own == namespace { format!("{kind} {name}") } else { format!("{kind} {own}/{name}") }
    }
}

/// What an object names. `others` are searched for the default server of its namespace.
pub fn uses(object: &Object, others: &[Object]) -> Vec<Link> {
    let mut links = match object.kind {
        Kind::MailServer => mail_server(object),
        Kind::EmailProfile => email_profile(object),
        Kind::RoundTripPolicy => round_trip_policy(object, others),
        Kind::MailReceiver => mail_receiver(object),
        Kind::Actor => Some(Vec::new()),
    }
    .unwrap_or_default();
    links.sort();
    links.dedup();
    links
}

/// Who of `others` names an object.
pub fn users(object: &Object, others: &[Object]) -> Vec<Link> {
    let own = Link::of(object);
    others.iter().filter(|other| uses(other, others).contains(&own)).map(Link::of).collect()
}

fn secrets_and_maps(found: impl IntoIterator<Item = secrets::Reference>) -> impl Iterator<Item = Link> {
    found
        .into_iter()
        .map(|reference| Link::new(&format!("{:?}", reference.kind), &reference.name.namespace, &reference.name.name))
}

fn actors(named: Option<&Vec<ActorRef>>) -> impl Iterator<Item = Link> {
    named.into_iter().flatten().map(|actor| Link::new("Actor", "", &actor.name))
}

fn ours(kind: Kind, namespace: &str, reference: &ObjectRef) -> Link {
    Link::new(&kind.to_string(), reference.namespace.as_deref().unwrap_or(namespace), &reference.name)
}

fn mail_server(object: &Object) -> Option<Vec<Link>> {
    let (spec, namespace) = (object.spec::<MailServerSpec>()?, object.namespace());
    let named = spec.verification.as_ref().and_then(|verification| verification.actors.as_ref());
    Some(secrets_and_maps(references(&namespace, spec.tls.iter(), spec.auth.as_ref())).chain(actors(named)).collect())
}

fn email_profile(object: &Object) -> Option<Vec<Link>> {
    let (spec, namespace) = (object.spec::<EmailProfileSpec>()?, object.namespace());
    let incoming = spec.server.iter().filter_map(|server| server.tls.as_ref());
    let tls = incoming.chain(spec.outgoing.iter().filter_map(|outgoing| outgoing.tls.as_ref()));
    let sender = spec.verification.iter().filter_map(|verification| verification.sender_ref.as_ref());
    let servers = sender.chain(spec.outgoing.iter().filter_map(|outgoing| outgoing.server_ref.as_ref()));
    let servers = servers.map(|server| ours(Kind::MailServer, &namespace, server));
    let account = auth(&spec).ok();
    let found = secrets_and_maps(references(&namespace, tls, account.as_deref()));
    Some(found.chain(servers).chain(actors(spec.actors.as_ref())).collect())
}

fn round_trip_policy(object: &Object, others: &[Object]) -> Option<Vec<Link>> {
    let (spec, namespace) = (object.spec::<RoundTripPolicySpec>()?, object.namespace());
    let is_default = |other: &&Object| {
        let marked = other.raw.annotations().get(IS_DEFAULT_SERVER).is_some_and(|value| value == "true");
        marked && other.kind == Kind::MailServer && other.namespace() == namespace
    };
    let server = match &spec.server_ref {
        Some(server) => Some(ours(Kind::MailServer, &namespace, server)),
        None => others.iter().find(is_default).map(Link::of),
    };
    let receiver = spec.receive.receiver_ref.iter().map(|receiver| ours(Kind::MailReceiver, &namespace, receiver));
    let profile = spec.receive.profile_ref.iter().map(|profile| ours(Kind::EmailProfile, &namespace, profile));
    let target = spec.target_ref.iter().map(|target| Link::new(&target.kind, &namespace, &target.name));
    Some(server.into_iter().chain(receiver).chain(profile).chain(target).collect())
}

fn mail_receiver(object: &Object) -> Option<Vec<Link>> {
    let certificate = object.spec::<MailReceiverSpec>()?.tls?.certificate_ref?;
    Some(vec![Link::new("Secret", &object.namespace(), &certificate.name)])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::tests::object;

    fn told(links: &[Link]) -> Vec<String> {
        links.iter().map(|link| link.told("mail")).collect()
    }

    fn spec(kind: Kind, name: &str, spec: &Value) -> Object {
        object(kind, name, spec, &json!({}))
    }

    #[test]
    fn what_a_spec_names_is_told_with_the_namespace_where_it_is_another() {
        let auth = json!({"type": "Password", "secretRef": {"name": "account"}});
        let tls = json!({"caRef": {"name": "ca"}});
        let actors = json!({"actors": [{"name": "default"}]});
        let server = spec(Kind::MailServer, "relay", &json!({"host": "a", "auth": auth, "tls": tls, "verification": actors}));
        assert_eq!(told(&uses(&server, &[])), ["Actor default", "ConfigMap ca", "Secret account"]);
        let profile = json!({
            "address": "a@b", "protocol": "IMAP", "account": auth,
            "outgoing": {"serverRef": {"name": "relay"}},
            "verification": {"senderRef": {"name": "relay", "namespace": "platform"}},
        });
        let profile = spec(Kind::EmailProfile, "box", &profile);
        assert_eq!(told(&uses(&profile, &[])), ["MailServer relay", "MailServer platform/relay", "Secret account"]);
        let graph = json!({"tenantID": "t", "clientID": "c", "client": {"secretRef": {"name": "app", "key": "secret"}}});
        let graph = spec(Kind::EmailProfile, "graph", &json!({"address": "a@b", "protocol": "MicrosoftGraph", "graph": graph}));
        assert_eq!(told(&uses(&graph, &[])), ["Secret app"]);
        let receiver = json!({"domains": ["a.b"], "tls": {"mode": "Required", "certificateRef": {"name": "tls"}}});
        assert_eq!(told(&uses(&spec(Kind::MailReceiver, "in", &receiver), &[])), ["Secret tls"]);
    }

    #[test]
    fn a_policy_without_a_server_uses_the_default_of_its_namespace() {
        let mut server = spec(Kind::MailServer, "relay", &json!({"host": "a"}));
        let policy = json!({"to": "a@b", "message": {"body": "x"}, "receive": {"profileRef": {"name": "box"}},
            "targetRef": {"kind": "Service", "name": "desk"}});
        let policy = spec(Kind::RoundTripPolicy, "echo", &policy);
        assert_eq!(told(&uses(&policy, &[server.clone()])), ["EmailProfile box", "Service desk"]);
        server.raw.annotations_mut().insert(IS_DEFAULT_SERVER.to_owned(), "true".to_owned());
        let all = [server.clone(), policy.clone()];
        assert_eq!(told(&uses(&policy, &all)), ["EmailProfile box", "MailServer relay", "Service desk"]);
        assert_eq!(told(&users(&server, &all)), ["RoundTripPolicy echo"]);
        assert!(users(&policy, &all).is_empty());
    }
}
