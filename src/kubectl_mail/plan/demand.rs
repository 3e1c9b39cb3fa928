//! What a spec makes mailverity do: how often it logs in where, and how many mails go to whom. Pure, and the most that it comes to: what
//! is found at the first look is looked for no more.

use std::time::Duration;

use mailverity::{
    api::v1alpha1::{
        Auth, AuthType, EmailProfileSpec, EmailProfileStatus, Level, MailServerSpec, MailServerStatus, ObjectRef,
        RoundTripPolicySpec, VerificationMode,
    },
    mail::protocol::Protocol,
    verify::{
        email_profile::{
            inputs::{auth, incoming},
            presets,
        },
        lending::MESSAGES_PER_HOUR,
        mail_server::{MESSAGES_PER_MINUTE, inputs::endpoints},
    },
};

use crate::{
    Kind,
    links::{Link, uses},
    object::Object,
};

/// A day.
const DAY: Duration = Duration::from_hours(24);
/// The most logins of one run over POP3 (promise 9), or two an actor where that is more.
const POP3: f64 = 8.0;

/// An account on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// host:port.
    pub server: String,
    /// The user, or the Secret that names it; empty without a login.
    pub login: String,
}

/// A namespace that sends through another's server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Borrower {
    /// The server, as namespace/name.
    pub server: String,
    pub namespace: String,
    /// What the server grants it in an hour.
    pub per_hour: u32,
}

/// Work on one account, for one reason.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    pub account: Account,
    /// Logins in a day.
    pub logins: f64,
    /// Mails in a day.
    pub mails: f64,
    /// Mails in an hour, at most.
    pub hourly: f64,
    /// Whom they go to.
    pub recipient: Option<String>,
    /// Runs in an hour, at most, by which recipients are counted: one run counts as one.
    pub runs: f64,
    /// `limits.messagesPerMinute` of the server that sends.
    pub per_minute: Option<u32>,
    /// Who borrows that server, if it is another namespace's.
    pub borrower: Option<Borrower>,
}

/// What an object makes mailverity do; nothing where its spec cannot be read, or does not lead to a server.
pub fn of(object: &Object, all: &[Object]) -> Vec<Demand> {
    let demands = match object.kind {
        Kind::MailServer => server(object).map(|demand| vec![demand]),
        Kind::EmailProfile => profile(object, all),
        Kind::RoundTripPolicy => policy(object, all),
        Kind::MailReceiver | Kind::Actor => None,
    };
    demands.unwrap_or_default()
}

/// How often something with this interval happens in a day, and how often at most in an hour.
fn often(interval: Duration) -> (f64, f64) {
    let seconds = interval.as_secs_f64().max(1.0);
    (DAY.as_secs_f64() / seconds, (3600.0 / seconds).ceil())
}

fn count(actors: usize) -> f64 {
    u32::try_from(actors.max(1)).map_or(1.0, f64::from)
}

fn login(auth: Option<&Auth>, namespace: &str) -> Option<String> {
    let auth = auth.filter(|auth| auth.r#type != AuthType::None)?;
    let secret = || auth.secret_ref.as_ref().map(|secret| format!("Secret {namespace}/{}", secret.name));
    let client = || auth.oauth2.as_ref().and_then(|oauth2| oauth2.subject.clone().or_else(|| oauth2.client_id.clone()));
    Some(auth.username.clone().or_else(secret).or_else(client).unwrap_or_else(|| "OAuth2".to_owned()))
}

/// The account of a `MailServer`, whether it logs in, and its limit.
fn sender(object: &Object) -> Option<(Account, f64, u32)> {
    let spec = object.spec::<MailServerSpec>()?;
    let server = endpoints(&spec).ok()?.first()?.to_string();
    let login = login(spec.auth.as_ref(), &object.namespace());
    let limit = spec.limits.and_then(|limits| limits.messages_per_minute).and_then(|most| u32::try_from(most).ok());
    let logins = if login.is_some() { 1.0 } else { 0.0 };
    Some((Account { server, login: login.unwrap_or_default() }, logins, limit.unwrap_or(MESSAGES_PER_MINUTE)))
}

/// A namespace as the borrower of a `MailServer`; none where it is its own.
fn borrower(server: &Object, namespace: &str) -> Option<Borrower> {
    let lender = server.namespace();
    let granted = server.spec::<MailServerSpec>()?.usage.and_then(|usage| usage.messages_per_hour_per_namespace);
    let per_hour = granted.and_then(|most| u32::try_from(most).ok()).unwrap_or(MESSAGES_PER_HOUR);
    let named = || Borrower { server: format!("{lender}/{}", server.name()), namespace: namespace.to_owned(), per_hour };
    (lender != namespace).then(named)
}

fn server(object: &Object) -> Option<Demand> {
    let (account, logins, limit) = sender(object)?;
    let spec = object.spec::<MailServerSpec>()?;
    let ((daily, hourly), named) = (often(spec.interval().get()), spec.verification.as_ref().and_then(|v| v.actors.as_ref()));
    let actors = count(named.map_or_else(|| object.status::<MailServerStatus>().actors.len(), Vec::len));
    let delivers = spec.level() == Level::Deliver;
    let mails = if delivers { actors } else { 0.0 };
    let logins = if spec.level() == Level::Connect { 0.0 } else { logins * actors };
    Some(Demand {
        account,
        logins: logins * daily,
        mails: mails * daily,
        hourly: mails * hourly,
        recipient: spec.test.filter(|_| delivers).map(|test| test.to),
        runs: hourly,
        per_minute: Some(limit),
        borrower: None,
    })
}

/// A `MailServer` among all objects.
fn find<'a>(reference: &ObjectRef, namespace: &str, all: &'a [Object]) -> Option<&'a Object> {
    let namespace = reference.namespace.as_deref().unwrap_or(namespace);
    all.iter().find(|other| other.kind == Kind::MailServer && other.namespace() == namespace && other.name() == reference.name)
}

fn profile(object: &Object, all: &[Object]) -> Option<Vec<Demand>> {
    let (spec, namespace) = (object.spec::<EmailProfileSpec>()?, object.namespace());
    let (daily, hourly) = often(spec.interval().get());
    let named = spec.actors.as_ref().map(Vec::len);
    let actors = count(named.unwrap_or_else(|| object.status::<EmailProfileStatus>().actors.len()));
    let (protocol, place) = incoming(&spec).ok()?;
    let user = login(auth(&spec).ok().as_deref(), &namespace).unwrap_or_default();
    let looks = match (protocol, spec.mode()) {
        (Protocol::Pop3, _) => POP3.max(2.0 * actors),
        (_, VerificationMode::Automatic) => actors,
        // A look a minute, until it is there.
        (_, VerificationMode::Manual) => actors * (spec.timeout().get().as_secs_f64() / 60.0).ceil(),
    };
    let mailbox = Account { server: place.to_string(), login: user.clone() };
    let mut demands = vec![Demand { account: mailbox, logins: looks * daily, ..Demand::default() }];
    demands.extend(outgoing(&spec, user).map(|account| Demand { account, logins: daily, ..Demand::default() }));
    let through =
        spec.verification.as_ref().and_then(|v| v.sender_ref.as_ref()).filter(|_| spec.mode() == VerificationMode::Automatic);
    let through = through.and_then(|reference| find(reference, &namespace, all));
    let sent = through.and_then(|server| Some((sender(server)?, borrower(server, &namespace))));
    demands.extend(sent.map(|((account, logins, limit), borrower)| Demand {
        account,
        logins: logins * actors * daily,
        mails: actors * daily,
        hourly: actors * hourly,
        recipient: Some(spec.address.clone()),
        runs: hourly,
        per_minute: Some(limit),
        borrower,
    }));
    Some(demands)
}

/// The outgoing server whose login a profile proves; none where a `MailServer` is it.
fn outgoing(spec: &EmailProfileSpec, login: String) -> Option<Account> {
    if !spec.checks_outgoing() {
        return None;
    }
    let server = match &spec.outgoing {
        Some(outgoing) if outgoing.auth.as_ref().is_some_and(|auth| !auth.required) => return None,
        Some(outgoing) => {
            let security = outgoing.security.unwrap_or_default();
            let port = outgoing.port.unwrap_or_else(|| i32::from(security.smtp_port()));
            format!("{}:{port}", outgoing.host.as_ref()?)
        }
        None => {
            let (host, port, _) = presets::outgoing(spec.provider?);
            format!("{host}:{port}")
        }
    };
    Some(Account { server, login })
}

fn policy(object: &Object, all: &[Object]) -> Option<Vec<Demand>> {
    let (spec, namespace) = (object.spec::<RoundTripPolicySpec>()?, object.namespace());
    let (daily, hourly) = often(spec.interval().get());
    let linked = |link: &Link| link.kind == Kind::MailServer.to_string();
    let link = uses(object, all).into_iter().find(linked)?;
    let reference = ObjectRef { name: link.name, namespace: Some(link.namespace) };
    let server = find(&reference, &namespace, all)?;
    let (account, logins, limit) = sender(server)?;
    let sent = Demand {
        account,
        logins: logins * daily,
        mails: daily,
        hourly,
        recipient: Some(spec.to),
        runs: hourly,
        per_minute: Some(limit),
        borrower: borrower(server, &namespace),
    };
    let own = |reference: &ObjectRef| reference.namespace.clone().unwrap_or_else(|| namespace.clone());
    let mailbox = spec.receive.profile_ref.and_then(|reference| {
        let place = own(&reference);
        let named =
            |other: &&Object| other.kind == Kind::EmailProfile && other.namespace() == place && other.name() == reference.name;
        let profile = all.iter().find(named)?.spec::<EmailProfileSpec>()?;
        let (protocol, server) = incoming(&profile).ok()?;
        let looks = if protocol == Protocol::Pop3 { POP3 } else { 1.0 };
        let account =
            Account { server: server.to_string(), login: login(auth(&profile).ok().as_deref(), &place).unwrap_or_default() };
        Some(Demand { account, logins: looks * daily, ..Demand::default() })
    });
    Some(std::iter::once(sent).chain(mailbox).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::tests::object;

    fn spec(kind: Kind, name: &str, spec: &Value) -> Object {
        object(kind, name, spec, &json!({}))
    }

    fn relay(verification: &Value) -> Object {
        let auth = json!({"type": "Password", "secretRef": {"name": "relay"}});
        let relay = json!({"host": "smtp.a.example", "auth": auth, "test": {"to": "x@b.example"}, "verification": verification});
        spec(Kind::MailServer, "relay", &relay)
    }

    /// Server, logins, mails and mails an hour of each demand.
    fn told(object: &Object, all: &[Object]) -> Vec<String> {
        let told = |demand: &Demand| {
            let Demand { account: Account { server, .. }, logins, mails, hourly, .. } = demand;
            format!("{server} {logins} {mails} {hourly}")
        };
        of(object, all).iter().map(told).collect()
    }

    #[test]
    fn a_server_is_logged_in_to_by_each_actor_and_sends_at_level_deliver_alone() {
        assert_eq!(told(&relay(&json!({"level": "Connect"})), &[]), ["smtp.a.example:587 0 0 0"]);
        assert_eq!(told(&relay(&json!({})), &[]), ["smtp.a.example:587 24 0 0"]);
        let actors = json!([{"name": "default"}, {"name": "dmz"}]);
        let deliver = relay(&json!({"level": "Deliver", "interval": "30m", "actors": actors}));
        assert_eq!(told(&deliver, &[]), ["smtp.a.example:587 96 96 4"]);
        let demand = &of(&deliver, &[])[0];
        assert_eq!((demand.recipient.as_deref(), demand.runs, demand.per_minute), (Some("x@b.example"), 2.0, Some(6)));
        assert_eq!(demand.account.login, "Secret mail/relay");
    }

    #[test]
    fn a_profile_logs_in_to_its_mailbox_its_outgoing_server_and_the_one_that_sends() {
        let account = json!({"type": "Password", "secretRef": {"name": "box"}});
        let profile = json!({
            "address": "box@a.example", "protocol": "IMAP", "account": account, "server": {"host": "imap.a.example"},
            "outgoing": {"host": "out.a.example"}, "actors": [{"name": "default"}, {"name": "dmz"}],
            "verification": {"senderRef": {"name": "relay"}},
        });
        let mut profile = spec(Kind::EmailProfile, "box", &profile);
        let all = [relay(&json!({}))];
        assert_eq!(told(&profile, &all), ["imap.a.example:993 2 0 0", "out.a.example:587 1 0 0", "smtp.a.example:587 2 2 2"]);
        assert_eq!(told(&profile, &[]).len(), 2, "without its server nothing is sent");
        profile.raw.data["spec"]["protocol"] = "POP3".into();
        assert_eq!(told(&profile, &all)[0], "imap.a.example:995 8 0 0");
        profile.raw.data["spec"]["verification"] = json!({"mode": "Manual", "timeout": "30m", "senderRef": {"name": "relay"}});
        profile.raw.data["spec"]["protocol"] = "IMAP".into();
        assert_eq!(told(&profile, &all), ["imap.a.example:993 60 0 0", "out.a.example:587 1 0 0"]);
    }

    #[test]
    fn a_policy_sends_a_mail_an_interval_and_looks_into_the_mailbox_that_answers_come_to() {
        let policy = json!({"to": "echo@b.example", "message": {"body": "x"}, "serverRef": {"name": "relay"}, "receive": {"profileRef": {"name": "box"}}});
        let policy = spec(Kind::RoundTripPolicy, "echo", &policy);
        let account = json!({"type": "Password", "username": "box", "secretRef": {"name": "box"}});
        let profile = json!({"address": "box@a.example", "protocol": "IMAP", "account": account, "provider": "Fastmail"});
        let all = [relay(&json!({})), spec(Kind::EmailProfile, "box", &profile)];
        assert_eq!(told(&policy, &all), ["smtp.a.example:587 96 96 4", "imap.fastmail.com:993 96 0 0"]);
        assert_eq!(of(&policy, &all)[1].account.login, "box");
    }

    #[test]
    fn who_sends_through_another_namespaces_server_is_its_borrower() {
        let mut lender = relay(&json!({}));
        lender.raw.metadata.namespace = Some("platform".to_owned());
        let reference = json!({"name": "relay", "namespace": "platform"});
        let policy = json!({"to": "echo@b.example", "message": {"body": "x"}, "serverRef": reference, "receive": {"receiverRef": {"name": "in"}}});
        let account = json!({"type": "Password", "secretRef": {"name": "box"}});
        let profile = json!({
            "address": "box@a.example", "protocol": "IMAP", "account": account, "server": {"host": "imap.a.example"},
            "verification": {"senderRef": reference},
        });
        let objects = [spec(Kind::RoundTripPolicy, "echo", &policy), spec(Kind::EmailProfile, "box", &profile)];
        for (usage, per_hour) in [(json!({}), 12), (json!({"messagesPerHourPerNamespace": 2}), 2)] {
            lender.raw.data["spec"]["usage"] = usage;
            let borrower = Borrower { server: "platform/relay".to_owned(), namespace: "mail".to_owned(), per_hour };
            for object in &objects {
                let demands = of(object, std::slice::from_ref(&lender));
                let borrowers: Vec<&Borrower> = demands.iter().filter_map(|demand| demand.borrower.as_ref()).collect();
                assert_eq!(borrowers, [&borrower], "{}", object.name());
            }
        }
        let own = relay(&json!({"level": "Deliver"}));
        assert!(of(&own, &[]).iter().all(|demand| demand.borrower.is_none()), "its own namespace borrows nothing");
    }
}
