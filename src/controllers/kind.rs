//! What a kind is to the room that all kinds share: the types and the few functions in which one differs from another.
//! Everything else (watches, places, back-off, claims, metrics, the end of a term) is here already.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource,
    core::{NamespaceResourceScope, object::HasStatus},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{context::Context, glance::Glance, memory::Memory, reconcile::Error};
use crate::{
    api::{Reason, v1alpha1::MaintenanceWindow},
    runtime::{Name, Who},
};

/// One kind of objects. The value itself holds what the kind knows of its objects beyond what every kind knows, such as
/// which of them are defaults; a term begins with an empty one.
pub trait Kind: Default + Send + Sync + 'static {
    /// The type of its objects.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Serialize + Send + Sync>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// What runs beside an object's reconciliations, as it was decided on.
    type Check: Check;
    /// What such a check finds.
    type Report: Send + Sync + 'static;

    /// The kind, as manifests and metrics name it: `MailServer`.
    const KIND: &'static str;
    /// The controller, in metrics: `mailserver`.
    const CONTROLLER: &'static str;

    /// One reconciliation of an object that was read just now: observe → decide → act → tell. Comes back with the time until
    /// the next, if one is due.
    ///
    /// # Errors
    /// [`Error`]: after a conflict it is called once more at once, else after a while.
    fn go(
        object: Self::Object,
        name: &Name,
        ctx: &Arc<Context<Self>>,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;

    /// Charges the mails that the claims in a status tell of to their budgets, with [`Memory::sent`]. Called at the beginning
    /// of a term, for each object whose status holds a claim.
    fn remember(object: &Self::Object, memory: &Memory);

    /// What a status says that every status says.
    fn standing(status: &Status<Self>) -> Standing<'_>;

    /// Why a check came to nothing, for whoever traces it.
    fn failure(report: &Self::Report) -> Option<Reason> {
        let _ = report;
        None
    }

    /// What a spec says of when nothing is to go out.
    fn asks(object: &Self::Object) -> Asks<'_>;

    /// The watch brought this object. Returns which others, of any kind, must look again.
    fn seen(&self, object: &Glance<Self::Object>) -> Vec<Who> {
        let _ = object;
        Vec::new()
    }

    /// This object is gone. Returns which others, of any kind, must look again.
    fn gone(&self, name: &Name) -> Vec<Who> {
        let _ = name;
        Vec::new()
    }

    /// What goes on beside all reconciliations for as long as a term lasts, such as a watch of what is no kind of its own.
    fn beside(ctx: &Arc<Context<Self>>) -> impl Future<Output = ()> + Send {
        let _ = ctx;
        std::future::ready(())
    }

    /// How many objects of this kind name `other`.
    fn users(&self, other: &Who) -> usize {
        let _ = other;
        0
    }
}

/// What every status says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    /// The generation that it speaks of.
    pub observed_generation: Option<i64>,
    /// Its conditions.
    pub conditions: &'a [Condition],
    /// The verify request that was answered last.
    pub answered: Option<&'a str>,
}

/// What a spec says of when nothing is to go out.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// spec.suspend.
    pub suspend: Option<bool>,
    /// spec.maintenance.
    pub maintenance: Option<&'a [MaintenanceWindow]>,
}

/// The status of a kind's objects.
pub type Status<K> = <<K as Kind>::Object as HasStatus>::Status;

/// What runs beside an object's reconciliations.
pub trait Check: Clone + Debug + Send + Sync + 'static {
    /// Its id: another for each check.
    fn id(&self) -> &str;
}

/// The kind's `CustomResourceDefinition`, such as `mailservers.mailverity.dev`.
#[must_use]
pub fn crd<K: Kind>() -> String {
    format!("{}.{}", K::Object::plural(&()), K::Object::group(&()))
}
