//! Where an installation demands that each Secret says where it may go (`--require-allowed-hosts`): what of OAuth 2.0 is refused, in
//! the words that its page has.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    api::{Reason, v1alpha1::MailServerSpec},
    mail::{Diagnosis, oauth2::Identity},
    verify::{
        References, Stored,
        fingerprint::Key,
        mail_server::{Inputs, resolve},
        resolve::About,
        tokens::{Tokens, keep::Keeper},
    },
};
use serde_json::{Value, json};

use crate::{federated::Voucher, keeping::Memory, tokens::Provider};

const PAGE: &str = include_str!("../../docs/oauth2.md");

/// A cluster in which `ServiceAccounts` vouch and refresh tokens are kept.
struct There {
    tokens: Arc<Tokens>,
    kept: Memory,
}

impl References for There {
    fn secret<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async { Ok(None) }.boxed()
    }

    fn config_map<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Stored>, Diagnosis>> {
        async { Ok(None) }.boxed()
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        Some(Arc::clone(&self.tokens))
    }

    fn identity(&self, _: &str, _: &str) -> Option<(String, Arc<dyn Identity>)> {
        Some(("system:serviceaccount:mail:mailverity-mail".to_owned(), Arc::new(Voucher)))
    }

    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        Some(Arc::new(self.kept.clone()))
    }
}

/// What comes of the server on the page with this beside its provider.
async fn resolved(there: &There, oauth2: Value) -> Result<Inputs, Diagnosis> {
    let mut spec = json!({"host": "smtp.office365.com", "sender": {"address": "alerts@corp.example"}, "auth": {
        "type": "OAuth2", "username": "alerts@corp.example",
        "oauth2": {"provider": "Microsoft365", "tenantID": "corp.example", "clientID": "us"}}});
    for (name, value) in oauth2.as_object().unwrap() {
        spec["auth"]["oauth2"][name] = value.clone();
    }
    let spec: MailServerSpec = serde_json::from_value(spec).unwrap();
    let key = Key::new(b"test");
    let about = About { namespace: "mail", name: "o365", uid: "uid", kind: "MailServer", key: &key, require_allowed_hosts: true };
    resolve(&spec, &about, there).await
}

async fn there() -> There {
    let provider = Provider::that(Vec::new(), "good").await;
    There { tokens: Arc::new(Tokens::new(provider.https())), kept: Memory::default() }
}

#[tokio::test]
async fn who_is_vouched_for_names_no_secret_and_is_refused() {
    let oauth2 = json!({"grant": "ClientCredentials", "client": {"workloadIdentity": {}}});
    let refused = resolved(&there().await, oauth2).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SpecInvalid);
    assert!(PAGE.contains(&refused.said()), "{}", refused.said());
}

#[tokio::test]
async fn the_secret_of_a_persons_sign_in_needs_the_annotation_once_it_is_there() {
    let (there, oauth2) = (there().await, json!({"grant": "DeviceCode", "tokenSecretName": "o365-signed-in"}));
    assert!(resolved(&there, oauth2.clone()).await.is_ok(), "there is nothing yet that could go anywhere");
    there.kept.put("consent", "refresh");
    let refused = resolved(&there, oauth2.clone()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SecretHostNotAllowed);
    assert!(PAGE.contains(&refused.said()), "{}", refused.said());
    for (hosts, is_enough) in [("smtp.office365.com", false), ("smtp.office365.com,login.microsoftonline.com", true)] {
        there.kept.annotate(hosts);
        assert_eq!(resolved(&there, oauth2.clone()).await.is_ok(), is_enough, "{hosts}");
        assert!(!is_enough || PAGE.contains(&format!("mailverity.dev/allowed-hosts={hosts}")));
    }
}
