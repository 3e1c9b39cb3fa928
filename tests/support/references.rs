//! Secrets and `ConfigMaps` of a test.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    mail::Diagnosis,
    verify::{References, Stored, tokens::Tokens},
};

/// Secrets and `ConfigMaps` by name, in every namespace.
#[derive(Clone, Default)]
pub struct Given {
    secrets: HashMap<String, Stored>,
    config_maps: HashMap<String, Stored>,
    tokens: Option<Arc<Tokens>>,
}

fn stored(data: &[(&str, &[u8])]) -> Stored {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    Stored { annotations: BTreeMap::new(), data, changed: None }
}

impl Given {
    pub fn secret(mut self, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.secrets.insert(name.to_owned(), stored(data));
        self
    }

    pub fn annotated(mut self, name: &str, key: &str, value: &str) -> Self {
        self.secrets.get_mut(name).unwrap().annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn account(self, name: &str, user: &str, password: &str) -> Self {
        self.secret(name, &[("username", user.as_bytes()), ("password", password.as_bytes())])
    }

    pub fn with_tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    pub fn config_map(mut self, name: &str, data: &[(&str, &[u8])]) -> Self {
        self.config_maps.insert(name.to_owned(), stored(data));
        self
    }
}

impl References for Given {
    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    fn secret<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move { Ok(self.secrets.get(name).cloned()) }.boxed()
    }

    fn config_map<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async move { Ok(self.config_maps.get(name).cloned()) }.boxed()
    }
}
