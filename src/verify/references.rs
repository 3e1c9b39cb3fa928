//! The Secrets and `ConfigMaps` that a spec names, and the credential that comes of them: read at the moment of use.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::{BoxFuture, FutureExt};
use secrecy::SecretString;

use super::{
    select::Known,
    tokens::{Source, Tokens, keep::Keeper},
};
use crate::{
    api::v1alpha1::{EmailProfile, MailReceiver, MailServer},
    mail::{Diagnosis, oauth2::Identity},
};

/// A Secret or a `ConfigMap`, as far as a check needs it.
#[derive(Clone, Default)]
pub struct Stored {
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its content, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
    /// The time of its last change, RFC 3339, where that is known.
    pub changed: Option<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("keys", &self.data.keys()).finish_non_exhaustive()
    }
}

/// Where Secrets and `ConfigMaps` are read: the cluster, manifests on disk, or a password that was given on a command line.
pub trait References: Send + Sync {
    /// A Secret by its name; none if there is none.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>>;

    /// A `ConfigMap` by its name; none if there is none.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>>;

    /// A `MailServer` by its name; none if there is none. With a status only where an operator looks after it.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn mail_server<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailServer>, Diagnosis>> {
        let _ = (namespace, name);
        async { Ok(None) }.boxed()
    }

    /// The name of the `MailServer` that is annotated as the default of a namespace, the oldest of several; none if there is
    /// none.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn default_server<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>, Diagnosis>> {
        let _ = namespace;
        async { Ok(None) }.boxed()
    }

    /// A `MailReceiver` by its name; none if there is none.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn mail_receiver<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<MailReceiver>, Diagnosis>> {
        let _ = (namespace, name);
        async { Ok(None) }.boxed()
    }

    /// An `EmailProfile` by its name; none if there is none.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    fn email_profile<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<EmailProfile>, Diagnosis>> {
        let _ = (namespace, name);
        async { Ok(None) }.boxed()
    }

    /// The actors of the installation. The operator itself needs no object, and is not among them without one.
    ///
    /// # Errors
    /// Where they are not known.
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Known>, Diagnosis>> {
        async { Ok(Vec::new()) }.boxed()
    }

    /// The access tokens that are kept here; none where none are asked for.
    fn tokens(&self) -> Option<Arc<Tokens>> {
        None
    }

    /// Who vouches for the objects of a namespace, to this audience, and by what name; none where nobody does.
    fn identity(&self, namespace: &str, audience: &str) -> Option<(String, Arc<dyn Identity>)> {
        let _ = (namespace, audience);
        None
    }

    /// Who keeps refresh tokens; none where nobody may.
    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        None
    }

    /// The labels of a namespace; none where it has none, or nothing is known of it.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn namespace_labels<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, Diagnosis>> {
        let _ = namespace;
        async { Ok(BTreeMap::new()) }.boxed()
    }
}

/// What is shown to a server at login.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A user name and a password.
    Password {
        /// user@domain, DOMAIN\user or a bare login.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A user name and an OAuth 2.0 access token.
    Token {
        /// The mailbox that the token is for.
        user: String,
        /// The token.
        token: SecretString,
    },
    /// A user name, and where access tokens for it are had at the moment of use.
    OAuth2 {
        /// The mailbox that tokens are for.
        user: String,
        /// Where they come from.
        source: Arc<Source>,
    },
}

impl Credential {
    /// The user name.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Token { user, .. } | Self::OAuth2 { user, .. } => user,
        }
    }

    /// The password or token; none where it is yet to be asked for.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::Password { password, .. } => Some(password),
            Self::Token { token, .. } => Some(token),
            Self::OAuth2 { .. } => None,
        }
    }
}
