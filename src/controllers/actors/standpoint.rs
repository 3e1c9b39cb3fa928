//! From where an actor looks.

use std::{sync::Arc, time::Instant};

use kube::ResourceExt;

use super::{TaskAgent, Work};
use crate::{
    api::{
        Reason,
        v1alpha1::{ActorMode, DEFAULT_ACTOR},
    },
    controllers::term::Term,
    mail::{Diagnosis, Vantage},
};

/// From where an actor looks.
pub enum Standpoint {
    /// From this process: by the operator's own vantage, or by another.
    Here(Option<Box<Vantage>>),
    /// By its agent elsewhere.
    There(Box<TaskAgent>),
    /// It can be given no work.
    Away(Diagnosis),
}

impl Standpoint {
    /// Where the actor of this name stands, to be given this work.
    #[must_use]
    pub fn of(name: &str, term: &Arc<Term>, work: Work) -> Self {
        if name == DEFAULT_ACTOR {
            return Self::Here(None);
        }
        let (ground, settings) = (&term.ground, term.settings());
        let away = term.roster.away(name, Instant::now());
        let Some(actor) = term.roster.actor(name) else {
            return Self::Away(Diagnosis::new(Reason::ActorOffline).fact("name", name));
        };
        // An agent may come back while its mail is looked for, and is waited for there.
        if actor.spec.mode == ActorMode::Agent {
            let agent = TaskAgent::new(ground.client.clone(), Arc::clone(&term.roster), &ground.key, actor, work);
            return Self::There(Box::new(agent));
        }
        if let Some(away) = away {
            return Self::Away(away);
        }
        match actor.spec.egress_proxy.as_deref().map(str::parse).transpose() {
            Ok(proxy) => {
                let proxy = proxy.or_else(|| settings.vantage.proxy.clone());
                Self::Here(Some(Box::new(Vantage { actor: actor.name_any(), proxy, ..settings.vantage.clone() })))
            }
            Err(unread) => {
                let fault = format!("egressProxy of Actor {}: {unread}", actor.name_any());
                Self::Away(Diagnosis::new(Reason::SpecInvalid).detail(fault.clone()).fact("fault", fault))
            }
        }
    }
}
