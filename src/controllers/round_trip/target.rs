//! The object that a policy watches over: Events are told of it as well, so that whoever looks at a Service sees that its mail
//! does not work.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::Context;
use crate::{
    api::{Class, Reason, v1alpha1::TargetRef},
    mail::Diagnosis,
    runtime::bounded,
};

/// The object behind a reference, in the policy's own namespace.
///
/// # Errors
/// `RefNotFound`, where there is none or the installation does not list its kind; `RefUnreadable`.
pub async fn find(target: &TargetRef, namespace: &str, ctx: &Context) -> Result<ObjectReference, Diagnosis> {
    let missing = |fault: String| {
        Diagnosis::new(Reason::RefNotFound)
            .detail(format!("targetRef {} {} cannot be had", target.kind, target.name))
            .fact("kind", target.kind.as_str())
            .fact("name", target.name.as_str())
            .fact("fault", fault)
    };
    let fits = |listed: &&crate::controllers::ground::TargetKind| {
        listed.kind == target.kind && target.api_version.as_ref().is_none_or(|version| *version == listed.api_version)
    };
    let kinds = &ctx.settings().target_kinds;
    let Some(kind) = kinds.iter().find(fits) else {
        let listed: Vec<String> = kinds.iter().map(|kind| format!("{}/{}", kind.api_version, kind.kind)).collect();
        return Err(missing(format!("this installation lists {} (--target-kinds)", listed.join(", "))));
    };
    let (group, version) = kind.api_version.split_once('/').unwrap_or(("", &kind.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind.kind));
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.term.ground.client.clone(), namespace, &resource);
    let found = bounded(api.get_metadata_opt(&target.name)).await.map_err(|error| {
        let class = if error.is_forbidden() { Class::User } else { Class::Transient };
        Diagnosis::new(Reason::RefUnreadable)
            .class(class)
            .detail(format!("{} {}: {error}", target.kind, target.name))
            .fact("kind", target.kind.as_str())
            .fact("name", format!("{namespace}/{}", target.name))
            .fact("fault", error.to_string())
    })?;
    let found = found.ok_or_else(|| missing(String::new()))?;
    Ok(ObjectReference {
        api_version: Some(kind.api_version.clone()),
        kind: Some(kind.kind.clone()),
        name: Some(target.name.clone()),
        namespace: Some(namespace.to_owned()),
        uid: found.metadata.uid,
        ..ObjectReference::default()
    })
}
