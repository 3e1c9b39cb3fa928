//! What a person is asked to consent to in a browser, by an account's spec.

use mailverity::{
    api::{
        Reason,
        v1alpha1::{ALLOWED_HOSTS, Auth, EmailProfileSpec},
    },
    mail::{Diagnosis, oauth2::Proof},
    verify::{
        email_profile::inputs::consented,
        fingerprint::Key,
        resolve::{About, Consent, consent},
    },
};
use serde_json::{Value, json};

use crate::support::references::Given;

/// What is asked for an account whose `auth.oauth2` is this.
async fn asked(kind: &'static str, oauth2: Value, given: &Given) -> Result<Consent, Diagnosis> {
    let written = json!({"type": "OAuth2", "username": "alice@corp.test", "oauth2": oauth2});
    of(kind, &serde_json::from_value(written).unwrap(), given).await
}

async fn of(kind: &'static str, auth: &Auth, given: &Given) -> Result<Consent, Diagnosis> {
    let key = Key::random();
    let about = About { kind, namespace: "mail", name: "a", uid: "", key: &key, require_allowed_hosts: false };
    Box::pin(consent(auth, &about, given)).await
}

fn oauth2(provider: &str, rest: Value) -> Value {
    let mut oauth2 = json!({"provider": provider, "grant": "RefreshToken", "clientID": "us", "tokenSecretName": "consent"});
    for (key, value) in rest.as_object().unwrap() {
        oauth2[key] = value.clone();
    }
    oauth2
}

#[tokio::test]
async fn the_presets_know_their_pages_and_what_brings_a_refresh_token() {
    let given = Given::default();
    for (cloud, host, resource) in [
        ("Public", "login.microsoftonline.com", "https://outlook.office.com"),
        ("China", "login.partner.microsoftonline.cn", "https://partner.outlook.cn"),
        ("USGov", "login.microsoftonline.us", "https://outlook.office365.us"),
    ] {
        let written = oauth2("Microsoft365", json!({"tenantID": "corp", "cloud": cloud}));
        let Consent { page, redirect, secret } = asked("MailServer", written.clone(), &given).await.unwrap();
        assert_eq!(page.url.to_string(), format!("https://{host}/corp/oauth2/v2.0/authorize"));
        assert_eq!(page.endpoint.to_string(), format!("https://{host}/corp/oauth2/v2.0/token"));
        assert_eq!(page.scopes, ["offline_access".to_owned(), format!("{resource}/SMTP.Send")]);
        assert_eq!((page.user.as_str(), page.beside.len(), redirect), ("alice@corp.test", 0, "http://localhost"));
        assert_eq!(secret, ("consent".to_owned(), "refresh_token"));
        assert_eq!(asked("EmailProfile", written, &given).await.unwrap().page.scopes.len(), 4);
    }
    let written = oauth2("Microsoft365", json!({"tenantID": "corp", "scopes": ["https://outlook.office.com/SMTP.Send"]}));
    let scopes = asked("MailServer", written, &given).await.unwrap().page.scopes;
    assert_eq!(scopes, ["offline_access", "https://outlook.office.com/SMTP.Send"], "else nothing could be refreshed");

    let given = Given::default().secret("app", &[("clientSecret", b"s")]);
    let client = json!({"client": {"secretRef": {"name": "app"}}});
    let Consent { page, redirect, .. } = asked("MailServer", oauth2("Google", client), &given).await.unwrap();
    assert_eq!(page.url.to_string(), "https://accounts.google.com/o/oauth2/v2/auth");
    assert_eq!(page.endpoint.to_string(), "https://oauth2.googleapis.com/token");
    assert_eq!((page.scopes, redirect), (vec!["https://mail.google.com/".to_owned()], "http://127.0.0.1"));
    assert_eq!(page.beside, [("access_type", "offline"), ("prompt", "consent")]);
    assert!(matches!(page.proof, Proof::Post(_)));
}

#[tokio::test]
async fn a_profile_over_the_gmail_api_asks_for_no_more_than_its_cleanup_needs() {
    let given = Given::default().secret("app", &[("clientSecret", b"s")]);
    for (cleanup, scope) in [("Keep", "gmail.readonly"), ("Delete", "gmail.modify")] {
        let gmail = json!({"clientID": "us", "client": {"secretRef": {"name": "app"}}, "tokenSecretName": "consent"});
        let spec = json!({"address": "box@corp.test", "protocol": "GmailAPI", "gmail": gmail, "mailbox": {"cleanup": cleanup},
            "verification": {"senderRef": {"name": "relay"}}});
        let spec: EmailProfileSpec = serde_json::from_value(spec).unwrap();
        let page = of("EmailProfile", &consented(&spec).unwrap(), &given).await.unwrap().page;
        assert_eq!(page.scopes, [format!("https://www.googleapis.com/auth/{scope}")]);
        assert_eq!(page.user, "box@corp.test");
    }
}

#[tokio::test]
async fn a_provider_of_ones_own_says_where_its_page_is() {
    let given = Given::default();
    let urls = json!({"authURL": "https://id.corp.test/auth", "tokenURL": "https://id.corp.test/token"});
    let page = asked("MailServer", oauth2("Custom", urls.clone()), &given).await.unwrap().page;
    assert_eq!((page.url.to_string().as_str(), page.scopes.len(), page.beside.len()), ("https://id.corp.test/auth", 0, 0));
    let mut scoped = urls;
    scoped["scopes"] = json!(["mail", "offline_access"]);
    let page = asked("MailServer", oauth2("Custom", scoped), &given).await.unwrap().page;
    assert_eq!(page.beside, [("prompt", "consent")], "OpenID Connect Core 1.0 section 11");

    for (rest, says) in [
        (json!({"tokenURL": "https://a.test"}), "needs oauth2.authURL"),
        (json!({"tokenURL": "https://a.test", "authURL": "https://me@a.test"}), "oauth2.authURL: a URL with a user name in it"),
        (json!({"tokenURL": "https://a.test", "authURL": "https://a.test", "grant": "DeviceCode"}), "grant RefreshToken alone"),
        (json!({"tokenURL": "https://a.test", "authURL": "https://a.test", "clientID": null}), "needs oauth2.clientID"),
    ] {
        let refused = asked("MailServer", oauth2("Custom", rest), &given).await.unwrap_err();
        assert_eq!(refused.reason, Reason::SpecInvalid);
        assert!(refused.said().contains(says), "{}", refused.said());
    }
}

#[tokio::test]
async fn a_clients_secret_goes_where_its_owner_lets_it() {
    let given = Given::default().secret("app", &[("clientSecret", b"s")]);
    let written = json!({"authURL": "https://id.corp.test/auth", "tokenURL": "https://id.corp.test/token",
        "client": {"secretRef": {"name": "app"}}});
    let pinned = |hosts: &str| given.clone().annotated("app", ALLOWED_HOSTS, hosts);
    assert!(asked("MailServer", oauth2("Custom", written.clone()), &pinned("id.corp.test")).await.is_ok());
    let refused = asked("MailServer", oauth2("Custom", written), &pinned("smtp.corp.test")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::SecretHostNotAllowed);
}
