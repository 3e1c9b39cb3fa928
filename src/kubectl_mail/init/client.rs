//! How an application proves to its provider that it is itself.

use clap::Args;
use mailverity::api::v1alpha1::{Grant, OAuth2Provider};
use serde_json::{Value, json};

use super::{Form, block, step::Step};
use crate::Error;

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Client {
    /// OAuth2: how the application proves itself. If absent: Secret; for a service account of Google ServiceAccountKey, and None
    /// where a person signs in; there Google wants a Secret.
    #[arg(long = "client", value_parser = ["Secret", "Certificate", "ServiceAccountKey", "WorkloadIdentity", "None"], ignore_case = true)]
    proof: Option<String>,
    /// OAuth2: the Secret that holds what it proves itself by.
    #[arg(long = "client-secret", value_name = "NAME")]
    held_in: Option<String>,
    /// OAuth2: the audience of WorkloadIdentity; at Google the full name of the pool's provider.
    #[arg(long)]
    audience: Option<String>,
}

/// Ways to do so; all but the last are fields of the spec's `client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Secret,
    Certificate,
    ServiceAccountKey,
    WorkloadIdentity,
    None,
}

impl Client {
    /// The way, the field `client` of the spec, and what has to be made for it.
    pub(super) fn answers(
        &mut self,
        form: &mut Form<'_>,
        provider: OAuth2Provider,
        grant: Grant,
    ) -> Result<(Proof, Option<Value>, Option<Step>), Error> {
        let (usual, others) = Proof::of(provider, grant);
        let proof = form.one(self.proof.take(), "How the application proves itself", usual, others)?;
        let (field, question, step): (_, _, fn(String) -> Step) = match proof {
            Proof::None => return Ok((proof, None, None)),
            Proof::WorkloadIdentity => {
                let identity = json!({"workloadIdentity": self.identity(form, provider)?});
                return Ok((proof, Some(identity), Some(Step::WorkloadIdentity)));
            }
            Proof::Secret => ("secretRef", "Secret with the client secret, key clientSecret", Step::ClientSecret),
            Proof::Certificate => {
                ("certificateRef", "Secret with the certificate and its key, tls.crt and tls.key", Step::Certificate)
            }
            Proof::ServiceAccountKey => {
                ("serviceAccountKeyRef", "Secret with the service account's JSON key, key.json", Step::ServiceAccountKey)
            }
        };
        let name = form.secret("--client-secret", self.held_in.take(), question)?;
        Ok((proof, Some(json!({field: {"name": name}})), Some(step(name))))
    }

    /// What a ServiceAccount vouches to: Google has no usual audience.
    fn identity(&mut self, form: &mut Form<'_>, provider: OAuth2Provider) -> Result<Value, Error> {
        let given = self.audience.take();
        let audience = if provider == OAuth2Provider::Google {
            Some(form.need("--audience", given, "Full name of the pool's provider (//iam.googleapis.com/...)")?)
        } else {
            form.may(given, "Audience of the ServiceAccount's token; empty for the usual one")?
        };
        Ok(block(&[("audience", audience.map(Into::into))]).unwrap_or_else(|| json!({})))
    }

    /// Its flags, and whether nothing was made of them.
    pub(super) fn left(&self) -> [(&'static str, bool); 3] {
        [("--client", self.proof.is_some()), ("--client-secret", self.held_in.is_some()), ("--audience", self.audience.is_some())]
    }
}

impl Proof {
    /// Those that this provider takes for this grant: the usual one, and the others.
    fn of(provider: OAuth2Provider, grant: Grant) -> (Self, &'static [Self]) {
        match (provider, grant) {
            (_, Grant::ServiceAccountJWT) => (Self::ServiceAccountKey, &[Self::WorkloadIdentity]),
            (_, Grant::ClientCredentials) => (Self::Secret, &[Self::Certificate, Self::WorkloadIdentity]),
            // A client of type Desktop app has one, and Google wants it.
            (OAuth2Provider::Google, _) => (Self::Secret, &[]),
            _ => (Self::None, &[Self::Secret, Self::Certificate]),
        }
    }
}
