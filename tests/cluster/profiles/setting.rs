//! What tests of profiles begin with: mailboxes of a test's own, a server that sends, and the spec between them.

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth, spec,
    support::{
        cloud::{self, Cloud},
        cluster::{Cluster, Operator},
        leaks,
        stack::Stack,
    },
};

/// The header of our mails.
pub const RUN: &str = "X-Mailverity-Run";

pub use crate::support::maildir::{INBOX, JUNK};

/// Puts what is in `rest` into a spec, or in the place of what is there.
pub fn with(mut spec: Value, rest: &Value) -> Value {
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// Users of the mail stack of this test's own. The first is the one of the Secret `account`, whose password is that of all.
pub async fn mailboxes<const N: usize>(cluster: &Cluster, stack: &Stack, test: &str) -> [String; N] {
    many_mailboxes(cluster, stack, test, N).await.try_into().unwrap()
}

/// The same for a number that a test finds while it runs.
pub async fn many_mailboxes(cluster: &Cluster, stack: &Stack, test: &str, count: usize) -> Vec<String> {
    let password = leaks::password(test);
    let names: Vec<String> = (0..count).map(|_| format!("{test}-{}", Uuid::new_v4().simple())).collect();
    let users = stack.users(&names, &password).await;
    cluster.account("account", &users[0], &password).await;
    cluster.ca(&stack.ca()).await;
    users
}

/// The account of one of them.
pub fn account_of(user: &str) -> Value {
    json!({"type": "Password", "username": user, "secretRef": {"name": "account"}})
}

/// A profile of a mailbox of this test's own, read by IMAP within TLS, whose mails go through `relay`.
pub fn mailbox(stack: &Stack, user: &str, rest: Value) -> Value {
    let spec = json!({
        "address": user, "protocol": "IMAP",
        "server": {"host": "localhost", "port": stack.port("IMAPS_PORT"), "security": "TLS",
            "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}}},
        "account": account_of(user),
        "verification": sent_by("relay"),
    });
    with(spec, &rest)
}

/// How a mailbox of the mail stack is read: by Dovecot, or by a played API that shows the same mail.
pub enum Way {
    Imap,
    Graph(Cloud),
    Gmail(Cloud),
}

impl Way {
    /// The played provider, where there is one.
    pub fn cloud(&self) -> Option<&Cloud> {
        match self {
            Self::Imap => None,
            Self::Graph(cloud) | Self::Gmail(cloud) => Some(cloud),
        }
    }

    /// What the operator has to be told for it.
    pub fn flags(&self) -> Vec<String> {
        let flags = self.cloud().map(|cloud| {
            [
                "--allowed-token-hosts".to_owned(),
                format!("localhost:{}", cloud.port),
                "--token-ca-file".to_owned(),
                cloud.ca_file(),
            ]
        });
        flags.into_iter().flatten().collect()
    }

    /// An operator that is told so, and this.
    pub async fn operator(&self, cluster: &Cluster, more: &[&str]) -> Operator {
        let flags = self.flags();
        cluster.operator(&flags.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>()).await
    }

    /// The Secrets behind it: the application's, and the consent of each user.
    pub async fn prepare(&self, cluster: &Cluster, users: &[String]) {
        let secret = |name: String, key: &str, value: String| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}});
        if self.cloud().is_some() {
            cluster.apply(secret("app".to_owned(), "clientSecret", cloud::secret())).await;
        }
        for (number, user) in users.iter().enumerate().filter(|_| matches!(self, Self::Gmail(_))) {
            cluster.apply(secret(format!("consent-{number}"), "refresh_token", Cloud::consent_of(user))).await;
        }
    }

    /// The profile of one of these users' mailbox.
    pub fn mailbox(&self, stack: &Stack, users: &[String], number: usize) -> Value {
        let user = &users[number];
        match self {
            Self::Imap => mailbox(stack, user, json!({})),
            Self::Graph(cloud) => json!({"address": user, "protocol": "MicrosoftGraph", "graph": cloud.graph(),
                "verification": sent_by("relay")}),
            Self::Gmail(cloud) => {
                let gmail = with(cloud.gmail(), &json!({"tokenSecretName": format!("consent-{number}")}));
                json!({"address": user, "protocol": "GmailAPI", "gmail": gmail, "verification": sent_by("relay")})
            }
        }
    }
}

/// How a profile of these tests is verified: by mails through a server of this name.
pub fn sent_by(server: &str) -> Value {
    json!({"senderRef": {"name": server}, "interval": "15m", "timeout": "30s"})
}

/// The server `relay`, by which the codes are sent; what is in `rest` is added or replaced.
pub async fn relay(cluster: &Cluster, stack: &Stack, rest: Value) {
    let rest = with(json!({"auth": auth(), "limits": {"messagesPerMinute": 1000}}), &rest);
    cluster.server("relay", spec(stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
}

/// The same without TLS, at a port where a proxy reads along.
pub async fn open_relay(cluster: &Cluster, stack: &Stack, port: u16, rest: Value) {
    let auth = with(auth(), &json!({"allowPlaintext": true}));
    let rest = with(json!({"auth": auth, "port": port, "limits": {"messagesPerMinute": 1000}}), &rest);
    cluster.server("relay", spec(stack, "PLAIN_PORT", "None", rest)).await;
}

/// The reason of `Verified`, once it is told of a run that has ended.
pub fn concluded(status: &EmailProfileStatus) -> Option<String> {
    let open = status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
    let verified = status.conditions.iter().find(|c| c.type_ == "Verified" && c.status != "Unknown" && !open)?;
    Some(verified.reason.clone())
}

/// The message of a condition.
pub fn message<'a>(status: &'a EmailProfileStatus, kind: &str) -> &'a str {
    status.conditions.iter().find(|c| c.type_ == kind).map_or("", |c| c.message.as_str())
}

/// The connections to mailboxes that Dovecot has let in for a user.
pub fn logins(stack: &Stack, user: &str) -> usize {
    stack.log("DOVECOT_LOG", &["-login: Info: Login: ", &format!("user=<{user}>")])
}
