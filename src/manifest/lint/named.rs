//! Objects of ours that another object names, where the files hold them.

use super::{Files, Say};
use crate::{
    api::v1alpha1::{AllowedNamespaces, EmailProfileSpec, MailReceiverSpec, MailServerSpec, NamespacesFrom, ObjectRef},
    manifest::{Document, Severity, suggest},
};

/// A kind that others may name.
pub(super) trait Named {
    const KIND: &'static str;

    /// Whom its owner admits.
    fn allowed_namespaces(&self) -> Option<&AllowedNamespaces>;
}

impl Named for MailServerSpec {
    const KIND: &'static str = "MailServer";

    fn allowed_namespaces(&self) -> Option<&AllowedNamespaces> {
        self.allowed_namespaces.as_ref()
    }
}

impl Named for EmailProfileSpec {
    const KIND: &'static str = "EmailProfile";

    fn allowed_namespaces(&self) -> Option<&AllowedNamespaces> {
        self.allowed_namespaces.as_ref()
    }
}

impl Named for MailReceiverSpec {
    const KIND: &'static str = "MailReceiver";

    fn allowed_namespaces(&self) -> Option<&AllowedNamespaces> {
        self.allowed_namespaces.as_ref()
    }
}

/// The object of `all` that `document` names in `field`; what is wrong with naming it is said.
pub(super) fn named<'a, T: Named>(
    document: &Document,
    field: &str,
    reference: &ObjectRef,
    all: &'a [(&Document, T)],
    files: &Files,
    say: Say,
) -> Option<&'a T> {
    let mine = files.namespace_of(document);
    let namespace = reference.namespace.as_deref().unwrap_or(mine);
    let there: Vec<_> = all.iter().filter(|(other, _)| files.namespace_of(other) == namespace).collect();
    let (kind, name) = (T::KIND, reference.name.as_str());
    let Some((_, spec)) = there.iter().find(|(other, _)| other.name() == name) else {
        // Files without any object of that kind and namespace say nothing about it: another repository may hold them.
        if !there.is_empty() {
            let meant = suggest::nearest(name, there.iter().map(|(other, _)| other.name()));
            let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
            let message = format!("{kind} {namespace}/{name} is not among these files; it has to be in the cluster{meant}");
            say(Severity::Warning, field, message);
        }
        return None;
    };
    let from = spec.allowed_namespaces().map(|allowed| allowed.from).unwrap_or_default();
    if namespace != mine && from == NamespacesFrom::Same {
        let message = format!(
            "{kind} {namespace}/{name} is for its own namespace only; its allowedNamespaces has to admit {mine} (RefNotPermitted)"
        );
        say(Severity::Warning, field, message);
    }
    Some(spec)
}
