//! Where a profile's mails come back to: the mailbox of the sender's address, if a profile of the same namespace reads it.

use kube::{Api, ResourceExt, core::DeserializeGuard};

use super::{Context, address};
use crate::{
    api::v1alpha1::EmailProfile,
    controllers::reconcile::about,
    runtime::{Name, bounded},
    verify::email_profile::{
        Inputs,
        inputs::{Returns, returns},
    },
};

/// The mailbox, read from its profile at the moment of use; none where there is no such profile, or it is not fit for that.
pub async fn find(inputs: &Inputs, name: &Name, ctx: &Context) -> Option<Returns> {
    let from = &inputs.sender.as_ref()?.server.sender.as_ref()?.address;
    if from.eq_ignore_ascii_case(&inputs.address) {
        return None;
    }
    let profiles: Api<DeserializeGuard<EmailProfile>> = Api::namespaced(ctx.term.ground.client.clone(), &name.namespace);
    for reader in ctx.own.readers.of(&address(&name.namespace, from)) {
        let Some(profile) = bounded(profiles.get_opt(&reader.name)).await.ok().flatten().and_then(|profile| profile.0.ok())
        else {
            continue;
        };
        let uid = profile.uid().unwrap_or_default();
        let Some(found) = returns(&profile, &about(&reader, &uid, ctx), &ctx.references).await else { continue };
        let account = found.mailbox.login.as_ref()?.account(&found.mailbox.endpoint.host);
        return Some(Returns { desk: ctx.term.desks.of(account, &found.mailbox.mailbox), ..found });
    }
    None
}
