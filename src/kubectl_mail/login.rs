//! `kubectl mail login`: has a person sign in at the provider by a device code (RFC 8628), and follows it to a checked token.

use std::{fmt, str::FromStr, time::Duration};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use mailverity::api::{
    Reason,
    v1alpha1::{
        Auth, DeviceCode, EmailProfile, Grant, MailServer, OAuth2Status, ProfileActorState, VERIFY_REQUESTED_AT, condition,
    },
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Connect, Error, Exit};

/// Between two looks at a status.
const EVERY: Duration = Duration::from_millis(500);
/// How long an operator may take to notice a request before what stands in its way is told.
const NOTICED: Duration = Duration::from_secs(10);

/// Sign in for a MailServer or an EmailProfile whose grant is DeviceCode: print the page and the code, wait until somebody has
/// signed in there, and for the check that follows.
///
/// Exit codes: 0 a token was had and the check is good; 1 nobody signed in, the provider refused, or the check failed; 2 bad usage,
/// no such object, or its grant is another.
#[derive(Args, Debug)]
pub struct Login {
    /// An EmailProfile's name, or KIND/NAME: emailprofile (emp) or mailserver (ms).
    #[arg(value_name = "[KIND/]NAME")]
    object: Object,
    /// Give up after so long, such as 5m; a code is good for 15 minutes as a rule.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = duration)]
    timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|error| error.to_string())
}

/// Whose account it is.
#[derive(Clone, Debug)]
enum Object {
    EmailProfile(String),
    MailServer(String),
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("emailprofile", text));
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        match kind.to_lowercase().trim_end_matches(".mailverity.dev") {
            "emailprofile" | "emailprofiles" | "emp" => Ok(Self::EmailProfile(name.to_owned())),
            "mailserver" | "mailservers" | "ms" => Ok(Self::MailServer(name.to_owned())),
            other => Err(format!("{other} is no kind that signs in: emailprofile (emp) or mailserver (ms)")),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmailProfile(name) => write!(f, "EmailProfile {name}"),
            Self::MailServer(name) => write!(f, "MailServer {name}"),
        }
    }
}

/// What an object tells of its account.
#[derive(Debug, Default)]
struct Seen {
    grant: Option<Grant>,
    answered: Option<String>,
    is_running: bool,
    code: Option<DeviceCode>,
    conditions: Vec<Condition>,
}

/// What is to be done after a look.
#[derive(Debug, PartialEq)]
enum Next<'a> {
    Wait,
    /// A person is to enter this.
    Show(&'a DeviceCode),
    /// It is over: how, and in which words.
    Over(Exit, String),
}

impl Object {
    async fn look(&self, client: &Client, namespace: &str) -> Result<Seen, Error> {
        Ok(match self {
            Self::EmailProfile(name) => {
                let profile = Api::<EmailProfile>::namespaced(client.clone(), namespace).get(name).await?;
                let (grant, status) = (grant(profile.spec.account.as_ref()), profile.status.unwrap_or_default());
                Seen {
                    grant,
                    answered: status.last_handled_verify_request,
                    is_running: status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage),
                    code: code(status.oauth2),
                    conditions: status.conditions,
                }
            }
            Self::MailServer(name) => {
                let server = Api::<MailServer>::namespaced(client.clone(), namespace).get(name).await?;
                let (grant, status) = (grant(server.spec.auth.as_ref()), server.status.unwrap_or_default());
                Seen {
                    grant,
                    answered: status.last_handled_verify_request,
                    is_running: false,
                    code: code(status.oauth2),
                    conditions: status.conditions,
                }
            }
        })
    }

    async fn ask(&self, client: &Client, namespace: &str, value: &str) -> Result<(), Error> {
        match self {
            Self::EmailProfile(name) => annotate::<EmailProfile>(client, namespace, name, value).await,
            Self::MailServer(name) => annotate::<MailServer>(client, namespace, name, value).await,
        }
    }
}

fn grant(auth: Option<&Auth>) -> Option<Grant> {
    auth?.oauth2.as_ref().map(|oauth2| oauth2.grant)
}

fn code(status: Option<OAuth2Status>) -> Option<DeviceCode> {
    status.and_then(|status| status.device_code)
}

async fn annotate<K>(client: &Client, namespace: &str, name: &str, value: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + fmt::Debug,
{
    let patch = Patch::Merge(json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: value}}}));
    Api::<K>::namespaced(client.clone(), namespace).patch_metadata(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

impl Seen {
    /// What is to be done, where `asked` was asked for and the operator had its time to notice.
    fn next(&self, asked: &str, noticed: bool) -> Next<'_> {
        let find = |kind: &str| self.conditions.iter().find(|condition| condition.type_ == kind);
        let told = |condition: &Condition| format!("{}: {}", condition.reason, condition.message);
        if self.answered.as_deref() != Some(asked) {
            let blocks =
                [condition::SUSPENDED, condition::CREDENTIAL_HELD].into_iter().filter_map(find).find(|c| c.status == "True");
            let missing =
                [condition::ACCEPTED, condition::RESOLVED_REFS].into_iter().filter_map(find).find(|c| c.status == "False");
            // Where the operator has nowhere to keep what a person would bring, it asks nobody.
            let refused = find(condition::CREDENTIALS_READY).filter(|c| c.reason == Reason::OAuthTokenFailed.as_str());
            return match blocks.or(missing).or(refused) {
                Some(blocks) if noticed => Next::Over(Exit::Unverified, format!("not asked for yet; {}", told(blocks))),
                _ => Next::Wait,
            };
        }
        let Some(credentials) = find(condition::CREDENTIALS_READY) else { return Next::Wait };
        if credentials.reason == Reason::DeviceCodePending.as_str() {
            return self.code.as_ref().map_or(Next::Wait, Next::Show);
        }
        if credentials.status != "True" {
            return Next::Over(Exit::Unverified, told(credentials));
        }
        // The next check began with the token and has not come to its end.
        let stale = |ready: &Condition| ready.reason == Reason::DeviceCodePending.as_str();
        match find(condition::READY) {
            Some(ready) if ready.status == "True" && !self.is_running => Next::Over(Exit::Good, told(ready)),
            Some(ready) if ready.status == "False" && !self.is_running && !stale(ready) => {
                Next::Over(Exit::Unverified, format!("signed in; {}", told(ready)))
            }
            _ => Next::Wait,
        }
    }
}

impl Login {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let object = &self.object;
        if object.look(&client, &namespace).await?.grant != Some(Grant::DeviceCode) {
            eprintln!("{object}: nobody signs in for it; only an account whose oauth2.grant is DeviceCode waits for a person");
            return Ok(Exit::Bad);
        }
        let asked = format!("{:.6}", Timestamp::now());
        object.ask(&client, &namespace, &asked).await?;
        let begun = tokio::time::Instant::now();
        let mut shown = None;
        loop {
            let seen = object.look(&client, &namespace).await?;
            match seen.next(&asked, begun.elapsed() >= NOTICED) {
                Next::Over(exit, words) => {
                    println!("{object}: {words}");
                    return Ok(exit);
                }
                Next::Show(code) if shown.as_ref() != Some(&code.user_code) => {
                    println!("Open {}\nand enter {}\nbefore {}", code.verification_uri, code.user_code, code.expires_at.0);
                    shown = Some(code.user_code.clone());
                }
                Next::Show(_) | Next::Wait => {}
            }
            if begun.elapsed() >= self.timeout {
                println!("{object}: nobody has signed in yet");
                return Ok(Exit::Unverified);
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "2026-11-22T11:00:00Z";

    fn seen(credentials: (&str, &str), ready: (&str, &str)) -> Seen {
        let condition = |kind: &str, (status, reason): (&str, &str)| {
            serde_json::from_value(json!({"type": kind, "status": status, "reason": reason, "message": "So.",
                "lastTransitionTime": ASKED}))
            .unwrap()
        };
        let conditions = vec![condition(condition::CREDENTIALS_READY, credentials), condition(condition::READY, ready)];
        let code = serde_json::from_value(json!({"verificationURI": "https://login.test", "userCode": "AB", "expiresAt": ASKED}));
        Seen {
            grant: Some(Grant::DeviceCode),
            answered: Some(ASKED.to_owned()),
            code: code.unwrap(),
            conditions,
            is_running: false,
        }
    }

    #[test]
    fn the_code_is_shown_until_somebody_has_signed_in_and_the_check_is_over() {
        let pending = ("False", "DeviceCodePending");
        let waits = seen(pending, pending);
        assert!(matches!(waits.next(ASKED, true), Next::Show(code) if code.user_code == "AB"));
        let checks = seen(("True", "TokenAcquired"), pending);
        assert_eq!(checks.next(ASKED, true), Next::Wait);
        let good = seen(("True", "TokenAcquired"), ("True", "Succeeded"));
        assert_eq!(good.next(ASKED, true), Next::Over(Exit::Good, "Succeeded: So.".to_owned()));
        let bad = seen(("True", "TokenAcquired"), ("False", "AuthenticationFailed"));
        assert_eq!(bad.next(ASKED, true), Next::Over(Exit::Unverified, "signed in; AuthenticationFailed: So.".to_owned()));
        let over = seen(("False", "DeviceCodeExpired"), ("False", "DeviceCodeExpired"));
        assert_eq!(over.next(ASKED, true), Next::Over(Exit::Unverified, "DeviceCodeExpired: So.".to_owned()));
    }

    #[test]
    fn what_stands_in_its_way_is_told_once_the_operator_had_its_time() {
        let mut held = seen(("True", "TokenAcquired"), ("True", "Succeeded"));
        held.conditions[1].type_ = condition::SUSPENDED.to_owned();
        held.answered = None;
        assert_eq!(held.next(ASKED, false), Next::Wait);
        assert!(matches!(held.next(ASKED, true), Next::Over(Exit::Unverified, words) if words.contains("Succeeded")));
    }

    #[test]
    fn only_what_has_an_account_signs_in() {
        for (text, shown) in
            [("box", "EmailProfile box"), ("emp/box", "EmailProfile box"), ("MailServers/relay", "MailServer relay")]
        {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), shown);
        }
        for text in ["rtp/a", "ms/", ""] {
            assert!(text.parse::<Object>().is_err(), "{text}");
        }
    }
}
