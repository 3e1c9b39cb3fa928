//! What a term as leader stands on: how the operator was set up, and what it has in hand whether it leads or not.

use std::{str::FromStr, sync::Arc};

use kube::Client;

use super::memory::Memory;
use crate::{
    mail::{Vantage, https::Https},
    metrics::Metrics,
    runtime::{
        kept::{Rests, TokenSecrets},
        lease::{Fence, Pace},
        secrets::Access,
    },
    server::Health,
    verify::{
        fingerprint::Key,
        mail_server::Mode,
        tokens::{Tokens, keep::Keeper},
    },
};

/// How the operator was set up, for all kinds.
#[derive(Clone)]
pub struct Settings {
    /// The installation's name, in the header of each mail.
    pub installation: String,
    /// The operator's own namespace.
    pub namespace: String,
    /// The namespace of the receivers, where they put what they took; empty: there are none.
    pub receiver_namespace: String,
    /// The namespaces whose objects it looks after; all if empty.
    pub namespaces: Vec<String>,
    /// How changed Secrets are noticed.
    pub access: Access,
    /// Whether each Secret must name the hosts that it may go to.
    pub require_allowed_hosts: bool,
    /// Whether mails are sent.
    pub mode: Mode,
    /// Whom the reader of a mail may ask.
    pub contact: Option<String>,
    /// From where it checks.
    pub vantage: Vantage,
    /// How access tokens are asked for.
    pub https: Https,
    /// The name of the `ServiceAccounts` that vouch for the objects of their namespaces at providers; none where none do.
    pub federated_account: Option<String>,
    /// Whether Secrets are written that keep refresh tokens.
    pub token_secrets: bool,
    /// Checks at once.
    pub max_checks: usize,
    /// Checks at once to one host.
    pub max_checks_per_host: usize,
    /// More fresh objects than this are spread over their interval, where they would send mail; 0: never.
    pub max_new_at_once: usize,
    /// The kinds of objects that a policy may watch over.
    pub target_kinds: Vec<TargetKind>,
    /// This process, in Events and in the election.
    pub identity: String,
    /// The times of the election.
    pub pace: Pace,
}

/// A kind of objects that a policy may watch over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKind {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
}

impl FromStr for TargetKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (api_version, kind) = text.rsplit_once('/').ok_or("write APIVERSION/KIND, such as apps/v1/Deployment")?;
        Ok(Self { api_version: api_version.to_owned(), kind: kind.to_owned() })
    }
}

impl Settings {
    /// What is watched: each namespace by itself, or all at once (none).
    #[must_use]
    pub fn scopes(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().cloned().map(Some).collect() }
    }
}

/// What a term as leader stands on.
#[derive(Clone)]
pub struct Ground {
    /// How the operator was set up.
    pub settings: Arc<Settings>,
    /// The API server.
    pub client: Client,
    /// Whether we lead.
    pub fence: Fence,
    /// The installation's key.
    pub key: Key,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// What the probes tell.
    pub health: Health,
    /// What outlives the term.
    pub memory: Memory,
    /// The access tokens, which outlive it too.
    pub tokens: Arc<Tokens>,
}

impl Ground {
    /// Who keeps refresh tokens; none where no Secret may be written.
    #[must_use]
    pub fn keeper(&self, rests: Rests) -> Option<Arc<dyn Keeper>> {
        self.settings
            .token_secrets
            .then(|| Arc::new(TokenSecrets::new(self.client.clone(), self.fence.clone(), rests)) as Arc<dyn Keeper>)
    }
}
