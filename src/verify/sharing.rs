//! Who may use another namespace's object, and for what: the owner's decision. Pure.

use std::collections::BTreeMap;

use crate::{
    api::{
        Reason,
        v1alpha1::{AllowedNamespaces, Usage},
    },
    mail::Diagnosis,
};

/// Whether an object of namespace `own` may be referred to from namespace `their`, whose labels are `labels`.
#[must_use]
pub fn admits(allowed: Option<&AllowedNamespaces>, own: &str, their: &str, labels: &BTreeMap<String, String>) -> bool {
    let _ = (allowed, labels);
    own == their
}

/// Whether another namespace may send a mail `from` to `to` through a server whose sender is `sender`.
#[must_use]
pub fn usage_permits(usage: Option<&Usage>, sender: &str, from: &str, to: &str) -> bool {
    let _ = (usage, sender, from, to);
    false
}

/// The refusal of a reference into another namespace: the same whether the object exists or not.
#[must_use]
pub fn denied(kind: &str, namespace: &str, name: &str, me: &str) -> Diagnosis {
    Diagnosis::new(Reason::RefNotPermitted).fact("kind", kind).fact("name", format!("{namespace}/{name}")).fact("me", me)
}
