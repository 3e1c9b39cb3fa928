//! A `ServiceAccount` of a user's namespace that vouches for the objects there: its tokens are asked for at the moment of use, for
//! one audience and ten minutes (`TokenRequest` API).
//!
//! Not the operator's own account, mounted as a volume: with that any namespace could use what any provider lets the operator do.
//! And no other account than those of one name: who may make tokens of every account may act as each of them.

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use secrecy::SecretString;

use super::{ApiError, bounded};
use crate::{
    api::{Class, Reason},
    mail::{Diagnosis, oauth2::Identity},
};

/// How long a token is good: the shortest time that the API server takes.
const LIFETIME: i64 = 600;

/// An account that vouches for objects of its namespace.
#[derive(Clone)]
pub struct Account {
    client: Client,
    namespace: String,
    name: String,
    audience: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("namespace", &self.namespace).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    /// The account `name` of `namespace`, to `audience`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, audience: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned(), audience: audience.to_owned() }
    }

    fn failed(&self, error: Option<&ApiError>) -> Diagnosis {
        let place = format!("ServiceAccount {}/{}", self.namespace, self.name);
        let (class, fault) = match error {
            Some(error) if error.is_gone() => (
                Class::User,
                format!("there is no {place}, by whose token this application proves itself: create it; it needs no rights"),
            ),
            Some(error) if error.is_forbidden() => (
                Class::User,
                format!("RBAC does not let the operator make a token of {place} (value workloadIdentity of the chart)"),
            ),
            Some(error) => (Class::Transient, format!("no token of {place} was had: {error}")),
            None => (Class::Transient, format!("no token of {place} was had: the API server's answer holds none")),
        };
        Diagnosis::new(Reason::OAuthTokenFailed).class(class).detail(fault.clone()).fact("fault", fault)
    }
}

impl Identity for Account {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Diagnosis>> {
        async {
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
            let spec = TokenRequestSpec {
                audiences: vec![self.audience.clone()],
                expiration_seconds: Some(LIFETIME),
                ..TokenRequestSpec::default()
            };
            let request = TokenRequest { spec, ..TokenRequest::default() };
            let made = bounded(accounts.create_token_request(&self.name, &PostParams::default(), &request)).await;
            let status = made.map_err(|error| self.failed(Some(&error)))?.status;
            status.map(|status| SecretString::from(status.token)).ok_or_else(|| self.failed(None))
        }
        .boxed()
    }
}
