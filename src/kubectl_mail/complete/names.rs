//! What the cluster has by name. Whoever types waits for it no longer than a moment, and is told of no error.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{Candidates, place::Place};
use crate::{Connect, Kind, object::Object};

/// The most time for all of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// No more names than anybody reads.
const MOST: u32 = 500;

/// The cluster that the command line speaks of.
pub struct Names(Connect);

impl Names {
    pub fn new(place: &Place<'_>) -> Self {
        Self(Connect::to(place.said("namespace"), place.said("context"), place.said("kubeconfig")))
    }

    async fn ask<F: Future<Output = Candidates>>(&self, what: impl FnOnce(Client, String) -> F) -> Candidates {
        let found = async {
            let (client, namespace) = self.0.client().await.ok()?;
            Some(what(client, namespace).await)
        };
        tokio::time::timeout(PATIENCE, found).await.ok().flatten().unwrap_or_default()
    }

    pub async fn namespaces(&self) -> Candidates {
        self.ask(|client, _| async {
            let all = Api::<Namespace>::all(client).list(&ListParams::default().limit(MOST)).await;
            all.into_iter().flatten().map(|namespace| (namespace.name_any(), String::new())).collect()
        })
        .await
    }

    /// The objects of a kind, with `prefix` before their names, and how they stand.
    pub async fn of(&self, kind: Kind, prefix: &str) -> Candidates {
        self.ask(|client, namespace| async move {
            let all = Object::all(&client, kind, Some(&namespace)).await.unwrap_or_default();
            let reason = |object: &Object| object.summary().map(|summary| summary.reason).unwrap_or_default();
            all.iter().map(|object| (format!("{prefix}{}", object.name()), reason(object))).collect()
        })
        .await
    }

    /// Objects as KIND/NAME: of the kind that the word begins with, else of all that are in namespaces.
    pub async fn targets(&self, word: &str) -> Candidates {
        if let Some((written, _)) = word.split_once('/') {
            let Ok(kind) = written.parse() else { return Vec::new() };
            return self.of(kind, &format!("{written}/")).await;
        }
        let all = Kind::NAMESPACED.map(|kind| async move { self.of(kind, &format!("{}/", kind.singular())).await });
        futures::future::join_all(all).await.into_iter().flatten().collect()
    }
}
