//! Google without a key: what is exchanged, what is signed, and what is asked for in the end.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        oauth2::{Federation, Grant, Identity, Proof},
    },
    verify::tokens::{Source, Tokens},
};
use secrecy::SecretString;

use crate::tokens::{Does, Provider, TIME, ask, gate, json};

#[derive(Debug)]
pub struct Voucher;

impl Identity for Voucher {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Diagnosis>> {
        async { Ok(SecretString::from("eyJ-of-the-cluster")) }.boxed()
    }
}

fn source(provider: &Provider) -> Source {
    let mut request = provider.request();
    request.client_id = String::new();
    request.proof = Proof::None;
    request.scopes = vec!["https://mail.google.com/".to_owned()];
    request.grant = Grant::Federated(Arc::new(Federation {
        identity: Arc::new(Voucher),
        pool: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k".to_owned(),
        account: "mail@p.iam.gserviceaccount.com".to_owned(),
        subject: Some("alerts@corp.test".to_owned()),
        exchange: format!("https://{}:{}/exchange", request.endpoint.host, request.endpoint.port).parse().unwrap(),
        signing: request.endpoint.clone(),
    }));
    Source::new(Arc::new(Tokens::new(provider.https())), request, "a".to_owned())
}

fn exchanged() -> Does {
    json(200, r#"{"access_token":"of-the-pool","issued_token_type":"urn:x","token_type":"Bearer","expires_in":600}"#)
}

#[tokio::test]
async fn a_token_of_the_cluster_becomes_one_of_a_user_and_no_key_is_shown_to_anybody() {
    let signed = json(200, r#"{"keyId":"1","signedJwt":"signed.by.google"}"#);
    let good = json(200, r#"{"access_token":"an-access-token","expires_in":3600}"#);
    let provider = Provider::that(vec![exchanged(), signed, good], "good").await;
    assert_eq!(ask(&source(&provider), &gate(), TIME).await.unwrap(), "an-access-token");
    let heard = provider.heard.lock().unwrap();
    let (exchange, sign, token) = (&heard[0], &heard[1], &heard[2]);
    for part in [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange",
        "audience=%2F%2Fiam.googleapis.com%2Fprojects%2F1%2F",
        "subject_token=eyJ-of-the-cluster",
        "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt",
    ] {
        assert!(exchange.contains(part), "{part}: {exchange}");
    }
    assert!(!exchange.to_lowercase().contains("authorization:"), "Google refuses an exchange with one: {exchange}");
    assert!(sign.contains("authorization: Bearer of-the-pool") && sign.contains("content-type: application/json"), "{sign}");
    let body: serde_json::Value = serde_json::from_str(sign.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_str(body["payload"].as_str().unwrap()).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&"mail@p.iam.gserviceaccount.com".into(), &"alerts@corp.test".into()));
    assert_eq!(claims["scope"], "https://mail.google.com/");
    assert!(token.contains("assertion=signed.by.google") && !token.contains("scope="), "{token}");
}

#[tokio::test]
async fn whichever_step_fails_is_told_with_its_cure_and_without_a_token() {
    let denied =
        r#"{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.signJwt' denied","status":"PERMISSION_DENIED"}}"#;
    let unknown = r#"{"error":"invalid_grant","error_description":"The audience in ID Token [eyJ-of-the-cluster] is unknown"}"#;
    let no_pool = r#"{"error":"invalid_target","error_description":"The target service indicated by the \"audience\" parameters is invalid."}"#;
    let condition =
        r#"{"error":"unauthorized_client","error_description":"The given credential is rejected by the attribute condition."}"#;
    let no_issuer = r#"{"error":"invalid_grant","error_description":"Error connecting to the given credential's issuer."}"#;
    let unauthorized = r#"{"error":"unauthorized_client","error_description":"Client is unauthorized"}"#;
    let signed = || json(200, r#"{"signedJwt":"signed.by.google"}"#);
    let nobody = r#"{"error":"invalid_grant","error_description":"Not a valid email."}"#;
    let late = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#;
    for (does, reason, class, says, cure) in [
        (
            vec![json(400, unknown)],
            Reason::OAuthTokenFailed,
            Class::User,
            "ID Token [[redacted]] is unknown",
            "Check client.workloadIdentity.audience, and",
        ),
        (
            vec![json(400, no_pool)],
            Reason::OAuthTokenFailed,
            Class::User,
            "invalid_target",
            "Check client.workloadIdentity.audience: Google knows",
        ),
        (
            vec![json(400, condition)],
            Reason::OAuthTokenFailed,
            Class::User,
            "rejected by the attribute condition",
            "Have the attribute condition",
        ),
        (vec![json(400, no_issuer)], Reason::OAuthTokenFailed, Class::Transient, "credential's issuer", "Google must reach"),
        (
            vec![exchanged(), json(403, denied)],
            Reason::OAuthTokenFailed,
            Class::User,
            "PERMISSION_DENIED",
            "Grant the pool's principal",
        ),
        (vec![exchanged(), json(503, "{}")], Reason::OAuthTokenFailed, Class::Transient, "503", ""),
        (vec![exchanged(), json(200, "{}")], Reason::OAuthTokenFailed, Class::User, "200", ""),
        (vec![exchanged(), Does::HangsUp], Reason::OAuthTokenFailed, Class::Transient, "closed the connection", ""),
        (
            vec![exchanged(), signed(), json(401, unauthorized)],
            Reason::ConsentRequired,
            Class::User,
            "unauthorized_client",
            "Have an administrator",
        ),
        (
            vec![exchanged(), signed(), json(400, nobody)],
            Reason::OAuthTokenFailed,
            Class::User,
            "valid email",
            "The domain has no such user",
        ),
        (vec![exchanged(), signed(), json(400, late)], Reason::OAuthTokenFailed, Class::User, "short-lived", "Check the clock"),
    ] {
        let provider = Provider::that(does, "good").await;
        let failed = ask(&source(&provider), &gate(), TIME).await.unwrap_err();
        assert_eq!((failed.reason, failed.class), (reason, class), "{says}: {}", failed.said());
        assert!(failed.said().contains(says), "{says}: {}", failed.said());
        assert!(!failed.hint().is_empty() && failed.hint().starts_with(cure), "{says}: {}", failed.hint());
        let all = format!("{failed:?}{}", failed.hint());
        assert!(!all.contains("eyJ-of-the-cluster") && !all.contains("of-the-pool"), "{all}");
    }
}
