//! What can be verified, and what its status tells of it.

use std::{fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use mailverity::api::v1alpha1::{
    CheckPhase, EmailProfile, MailServer, ProfileActorState, ProfileActorStatus, VERIFY_REQUESTED_AT, condition,
};
use serde_json::json;

use super::super::{Error, Exit};

/// The reason of what waits for a `MailServer`.
const WAITS: &str = "DependencyNotReady";

/// An object to be verified.
#[derive(Clone, Debug)]
pub struct Target {
    kind: Kind,
    /// Its name.
    pub name: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    EmailProfile,
    MailServer,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("emailprofile", text));
        let kind = match kind.to_lowercase().trim_end_matches(".mailverity.dev") {
            "emailprofile" | "emailprofiles" | "emp" => Kind::EmailProfile,
            "mailserver" | "mailservers" | "ms" => Kind::MailServer,
            other => return Err(format!("{other} is no kind that can be verified: emailprofile (emp) or mailserver (ms)")),
        };
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kind, f)
    }
}

impl Target {
    /// Writes the annotation by which the operator is asked.
    pub async fn ask(&self, client: &Client, namespace: &str, value: &str) -> Result<(), Error> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: value}}}));
        let (client, params) = (client.clone(), PatchParams::default());
        match self.kind {
            Kind::EmailProfile => {
                Api::<EmailProfile>::namespaced(client, namespace).patch_metadata(&self.name, &params, &patch).await?;
            }
            Kind::MailServer => {
                Api::<MailServer>::namespaced(client, namespace).patch_metadata(&self.name, &params, &patch).await?;
            }
        }
        Ok(())
    }

    /// What its status tells now.
    pub async fn look(&self, client: &Client, namespace: &str) -> Result<Seen, Error> {
        let client = client.clone();
        Ok(match self.kind {
            Kind::EmailProfile => {
                let status = Api::<EmailProfile>::namespaced(client, namespace).get(&self.name).await?.status.unwrap_or_default();
                let running = status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
                let outgoing = status.outgoing.map(|outgoing| ProfileActorStatus {
                    name: format!("outgoing {}", outgoing.address),
                    state: outgoing.state,
                    reason: outgoing.reason,
                    message: outgoing.message,
                    hint: outgoing.hint,
                    ..ProfileActorStatus::default()
                });
                let lines = status.actors.into_iter().chain(outgoing).collect();
                Seen::new(status.last_handled_verify_request, running, lines, &status.conditions)
            }
            Kind::MailServer => {
                let status = Api::<MailServer>::namespaced(client, namespace).get(&self.name).await?.status.unwrap_or_default();
                let running = status.last_check.is_some_and(|check| check.phase == CheckPhase::Running);
                Seen::new(status.last_handled_verify_request, running, Vec::new(), &status.conditions)
            }
        })
    }
}

/// What a status tells.
pub struct Seen {
    /// The last request that was answered.
    pub answered: Option<String>,
    /// Whether what it began is still under way.
    pub is_running: bool,
    /// Whether something stands in its way, so that it will not answer soon.
    pub is_blocked: bool,
    /// Whether our request was answered and the run is over.
    pub is_over: bool,
    lines: Vec<ProfileActorStatus>,
    ready: Option<Condition>,
    blocks: Option<Condition>,
}

impl Seen {
    fn new(answered: Option<String>, is_running: bool, lines: Vec<ProfileActorStatus>, conditions: &[Condition]) -> Self {
        let find = |kind: &str, status: &str| conditions.iter().find(|c| c.type_ == kind && c.status == status);
        let missing = [condition::ACCEPTED, condition::RESOLVED_REFS, condition::CREDENTIALS_READY];
        // What other reasons tell is of the last run, and the next may be on its way.
        let blocks = find(condition::SUSPENDED, "True")
            .or_else(|| find(condition::CREDENTIAL_HELD, "True"))
            .or_else(|| missing.iter().find_map(|kind| find(kind, "False")))
            .or_else(|| find(condition::READY, "Unknown").filter(|ready| ready.reason == WAITS))
            .cloned();
        let ready = conditions.iter().find(|c| c.type_ == condition::READY).cloned();
        Self { answered, is_running, is_blocked: blocks.is_some(), is_over: false, lines, ready, blocks }
    }

    /// Prints what each actor found, and what it comes to.
    pub fn tell(&self, title: &str) -> Exit {
        for line in &self.lines {
            let reason = line.reason.as_deref().unwrap_or_default();
            let message = line.message.as_deref().unwrap_or_default();
            println!("  {:<10} {:?}  {}", line.name, line.state, [reason, message].join("  ").trim());
            if let Some(hint) = &line.hint {
                println!("             {hint}");
            }
        }
        let summary = if self.is_over { self.ready.as_ref() } else { self.blocks.as_ref().or(self.ready.as_ref()) };
        let (reason, message) = summary.map_or(("", ""), |told| (told.reason.as_str(), told.message.as_str()));
        if self.is_over && self.ready.as_ref().is_some_and(|ready| ready.status == "True") {
            println!("Verified  {title}  {reason}: {message}");
            return Exit::Good;
        }
        let late = if self.is_over { "" } else { "the request is not answered yet; " };
        println!("Unverified  {title}  {late}{reason}: {message}");
        Exit::Unverified
    }
}
