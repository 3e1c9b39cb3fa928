//! What the API server takes and a person would not want: warnings about objects that are valid. One file a kind.

mod account;
mod email_profile;
mod mail_receiver;
mod mail_server;
mod named;
mod round_trip_policy;

use serde::de::DeserializeOwned;

use super::{Document, Finding, Severity, walk::prune};
use crate::{
    api::{
        crd,
        v1alpha1::{MaintenanceWindow, Tls},
    },
    verify::maintenance::Windows,
};

/// Warnings and notes about the objects of ours among `documents`, which are valid, and about the Secrets that they name.
/// `namespace` is that of objects that name none.
#[must_use]
pub fn lint(documents: &[&Document], namespace: &str) -> Vec<Finding> {
    let files = Files { documents, namespace };
    let mut findings = mail_server::lint(&files);
    findings.extend(email_profile::lint(&files));
    findings.extend(mail_receiver::lint(&files));
    findings.extend(round_trip_policy::lint(&files));
    findings
}

/// Everything that was read, as one object refers to another in it.
struct Files<'a> {
    documents: &'a [&'a Document],
    /// The namespace of objects that name none.
    namespace: &'a str,
}

impl<'a> Files<'a> {
    /// The namespace of an object.
    fn namespace_of(&self, document: &'a Document) -> &'a str {
        document.namespace(self.namespace)
    }

    /// Each object of a kind of ours, with its spec as the operator reads it.
    fn of_kind<T: DeserializeOwned>(&self, kind: &'static str) -> Vec<(&'a Document, T)> {
        let ours = self.documents.iter().filter(|document| document.kind() == kind && document.group() == crd::GROUP);
        ours.filter_map(|document| Some((*document, spec(document)?))).collect()
    }
}

fn spec<T: DeserializeOwned>(document: &Document) -> Option<T> {
    let schema = crd::schema(document.kind()).ok()??;
    let mut spec = document.value.get("spec")?.clone();
    prune(&schema["properties"]["spec"], &mut spec);
    serde_json::from_value(spec).ok()
}

/// Takes what is to be said of one object: how much it weighs, the field, the words.
type Say<'a> = &'a mut dyn FnMut(Severity, &str, String);

/// What is wrong with an address that mail is to go to or come from.
fn address(field: &str, address: &str, say: Say) {
    let Some((_, domain)) = address.rsplit_once('@') else { return };
    if is_example(domain) {
        let message = format!("{domain} is an example domain (RFC 2606), which takes no mail; write your own");
        say(Severity::Warning, field, message);
    }
}

fn is_example(domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = domain.rsplit('.').collect();
    match labels.as_slice() {
        ["example" | "invalid", ..] | ["com" | "net" | "org", "example", ..] => true,
        [] | [_, ..] => false,
    }
}

/// Certificates that are not judged. `field` is that of the [`Tls`].
fn certificates(field: &str, tls: Option<&Tls>, say: Say) {
    if tls.is_some_and(|tls| tls.insecure_skip_verify == Some(true)) {
        let message = format!(
            "any certificate is taken, so anyone in the path can read the password; put the server's CA in {}.caRef instead",
            short(field)
        );
        say(Severity::Warning, &format!("{field}.insecureSkipVerify"), message);
    }
}

/// A field as messages name it, which do not begin with `spec`.
fn short(field: &str) -> &str {
    field.strip_prefix("spec.").unwrap_or(field)
}

/// Cron lines and time zones that pass the schema and cannot be read.
fn windows(maintenance: Option<&[MaintenanceWindow]>, say: Say) {
    if let Err(diagnosis) = Windows::read(maintenance.unwrap_or_default()) {
        say(Severity::Warning, "spec.maintenance", diagnosis.hint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Judge, read::read};

    /// What is said about an object of a kind with this spec, and what else is in the files.
    pub(super) fn said(kind: &str, spec: &str, more: &str) -> Vec<String> {
        let text = format!("apiVersion: mailverity.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n---\n{more}");
        let (documents, findings) = read("f", &text);
        assert!(findings.is_empty(), "{findings:?}");
        let judge = Judge::new().unwrap();
        for document in documents.iter().filter(|d| d.group() == crd::GROUP) {
            assert_eq!(judge.document(document), [], "the manifest is not valid");
        }
        let all: Vec<_> = documents.iter().collect();
        lint(&all, "default").iter().map(|finding| format!("{} {}: {}", finding.line, finding.field, finding.message)).collect()
    }
}
