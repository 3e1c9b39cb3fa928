//! Certificates on their way to the receivers: a Secret of the operator's own making in their namespace. What somebody else
//! made there is never written over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::PartialObjectMeta,
};
use secrecy::ExposeSecret;
use serde_json::json;

use super::Context;
use crate::{
    runtime::{ApiError, FIELD_MANAGER, Name, bounded, lock},
    verify::mail_receiver::{
        Pair,
        handing::{INSTALLATION, MANAGED_BY, OPERATOR, RECEIVER, RECEIVER_NAME, secret_name, selector},
        inputs,
    },
};

/// What was handed over since this process leads, by a keyed hash.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<HashMap<Name, (String, String)>>);

impl Handed {
    /// Whether this very pair was handed over for the object with this UID.
    fn has(&self, name: &Name, uid: &str, fingerprint: &str) -> bool {
        lock(&self.0).get(name).is_some_and(|(for_uid, what)| for_uid == uid && what == fingerprint)
    }

    /// Whether anything was.
    pub fn has_any(&self, name: &Name) -> bool {
        lock(&self.0).contains_key(name)
    }

    pub fn forget(&self, name: &Name) {
        lock(&self.0).remove(name);
    }
}

/// Hands a pair over, if that was not done yet, or not all receivers show it: somebody may have deleted it there.
///
/// # Errors
/// Those of the API server; a conflict where the Secret is somebody else's.
pub(super) async fn hand_over(ctx: &Context, name: &Name, uid: &str, pair: &Pair, shown: bool) -> Result<(), ApiError> {
    if shown && ctx.own.handed.has(name, uid, &pair.fingerprint) {
        return Ok(());
    }
    let settings = ctx.settings();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    // A label has at most 63 characters.
    let installation: String = settings.installation.chars().take(63).collect();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(uid)),
            labels: Some(BTreeMap::from([label(MANAGED_BY, OPERATOR), label(RECEIVER, uid), label(INSTALLATION, &installation)])),
            annotations: Some(BTreeMap::from([label(RECEIVER_NAME, &name.to_string())])),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            ("tls.crt".to_owned(), ByteString(pair.chain.clone())),
            ("tls.key".to_owned(), ByteString(pair.key.expose_secret().to_vec())),
        ])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(ctx.term.ground.client.clone(), &settings.receiver_namespace);
    match bounded(api.create(&PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }, &secret))
        .await
    {
        Err(error) if error.is_conflict() => {
            let this = format!("metadata.name={}", secret_name(uid));
            let ours = ListParams::default().labels(&format!("{},{INSTALLATION}={installation}", selector())).fields(&this);
            // One without our labels is somebody else's.
            let Some(known) = bounded(api.list_metadata(&ours)).await?.items.into_iter().next() else { return Err(error) };
            let body = json!({
                "metadata": {"uid": known.uid(), "resourceVersion": known.resource_version()},
                "data": secret.data,
            });
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            bounded(api.patch(&secret_name(uid), &params, &Patch::Merge(&body))).await?;
        }
        made => _ = made?,
    }
    lock(&ctx.own.handed.0).insert(name.clone(), (uid.to_owned(), pair.fingerprint.clone()));
    tracing::info!(object = %name, until = pair.status.not_after, "a certificate was handed to the receivers");
    Ok(())
}

/// Takes away what this installation has handed over for objects that are gone, or that ask for no certificate any more.
///
/// # Errors
/// Those of the API server.
pub(super) async fn sweep(ctx: &Context) -> Result<(), ApiError> {
    let settings = ctx.settings();
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(ctx.term.ground.client.clone(), &settings.receiver_namespace);
    let installation: String = settings.installation.chars().take(63).collect();
    let mine = ListParams::default().labels(&format!("{},{INSTALLATION}={installation}", selector()));
    for secret in bounded(api.list_metadata(&mine)).await? {
        let about = secret.annotations().get(RECEIVER_NAME).and_then(|name| name.split_once('/'));
        let Some((namespace, name)) = about else { continue };
        if !settings.namespaces.is_empty() && settings.namespaces.iter().all(|mine| mine != namespace) {
            continue;
        }
        let name = Name::new(namespace, name);
        let uid = secret.labels().get(RECEIVER);
        let wanted = match ctx.read(&name).await {
            // One that cannot be read may still want it.
            Ok(Some(object)) => {
                object.0.map_or(true, |object| object.metadata.uid.as_ref() == uid && inputs::certificate(&object.spec).is_some())
            }
            Ok(None) => false,
            Err(error) => return Err(error),
        };
        if wanted || !ctx.term.ground.fence.held() {
            continue;
        }
        let preconditions = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match bounded(api.delete(&secret.name_any(), &params)).await {
            Err(error) if !error.is_gone() && !error.is_conflict() => return Err(error),
            _ => tracing::info!(object = %name, "its certificate was taken from the receivers"),
        }
        ctx.own.handed.forget(&name);
    }
    Ok(())
}
