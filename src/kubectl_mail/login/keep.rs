//! The Secret in which the operator looks for a refresh token: a person's own, written with that person's rights, one key of it.

use std::{collections::BTreeMap, fmt, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use mailverity::{
    runtime::{ApiError, bounded},
    verify::tokens::keep::APPLICATION,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::Error;

/// Who writes it, as the API server's field managers have it.
const MANAGER: &str = "kubectl-mail";
/// Between two tries to write what a person has consented to, and how many there are.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 30;

/// A key of a Secret.
pub struct Place {
    api: Api<Secret>,
    namespace: String,
    name: String,
    key: &'static str,
}

/// What is there.
pub struct Found {
    /// None where there is no Secret.
    version: Option<String>,
    held: Option<SecretString>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, key {}", self.namespace, self.name, self.key)
    }
}

impl Place {
    pub fn new(client: &Client, namespace: &str, name: &str, key: &'static str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, namespace: namespace.to_owned(), name: name.to_owned(), key }
    }

    /// Looks what is there.
    pub async fn look(&self) -> Result<Found, Error> {
        let Some(secret) = bounded(self.api.get_opt(&self.name)).await? else { return Ok(Found { version: None, held: None }) };
        if secret.annotations().contains_key(APPLICATION) {
            let Self { namespace, name, .. } = self;
            let own = format!("Secret {namespace}/{name} is the operator's own, kept for another grant");
            return Err(format!("{own}: name one of yours in tokenSecretName").into());
        }
        let held = secret.data.as_ref().and_then(|data| data.get(self.key));
        let held = held.map(|held| String::from_utf8_lossy(&held.0).into_owned().into());
        Ok(Found { version: secret.resource_version(), held })
    }

    /// Whether it could be written: the API server says so without doing it.
    pub async fn may_be_written(&self, found: &Found) -> Result<(), Error> {
        match self.write(found, &SecretString::from("a dry run"), true).await {
            // A webhook that cannot tell without doing it is no answer.
            Err(error) if error.code() != Some(400) => Err(format!("Secret {self} cannot be written: {error}").into()),
            _ => Ok(()),
        }
    }

    /// Puts this there in place of what was found. What a person has consented to is nowhere else: it is tried again and again. Where
    /// somebody else has put another one there meanwhile, that stays.
    pub async fn keep(&self, mut found: Found, token: &SecretString) -> Result<(), Error> {
        let before = found.held.take();
        let same = |one: Option<&SecretString>, two: Option<&SecretString>| {
            one.map(ExposeSecret::expose_secret) == two.map(ExposeSecret::expose_secret)
        };
        let mut tries = 0;
        loop {
            let failure: Error = match self.write(&found, token, false).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_conflict() || error.is_gone() => match self.look().await {
                    // Of a try before this one nothing was heard.
                    Ok(now) if same(now.held.as_ref(), Some(token)) => return Ok(()),
                    Ok(now) if !same(now.held.as_ref(), before.as_ref()) && now.held.is_some() => {
                        return Err(format!(
                            "somebody else has put another token into Secret {self} meanwhile: it is left as it is"
                        )
                        .into());
                    }
                    Ok(now) => {
                        found = now;
                        error.into()
                    }
                    Err(failure) => failure,
                },
                Err(error) if error.code().is_some_and(|code| (400..500).contains(&code) && code != 429) => {
                    return Err(
                        format!("the refresh token could not be kept in Secret {self}: {error}; sign in once more").into()
                    );
                }
                Err(error) => error.into(),
            };
            tries += 1;
            if tries == TRIES {
                return Err(format!("the refresh token could not be kept in Secret {self}: {failure}; sign in once more").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn write(&self, found: &Found, token: &SecretString, dry_run: bool) -> Result<(), ApiError> {
        let data = BTreeMap::from([(self.key.to_owned(), ByteString(token.expose_secret().as_bytes().to_vec()))]);
        let Some(version) = &found.version else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let secret = Secret { metadata, data: Some(data), ..Secret::default() };
            let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
            return bounded(self.api.create(&params, &secret)).await.map(drop);
        };
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": data}));
        let params = PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        bounded(self.api.patch(&self.name, &params, &patch)).await.map(drop)
    }
}
