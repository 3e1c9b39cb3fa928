//! Logins: each mechanism over each security, and refused ones.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use mailverity::{
    api::{
        Reason,
        v1alpha1::{Level, Mechanism},
    },
    mail::Stage,
    verify::{Credential, Open, report::LoginOutcome},
};
use serde_json::json;

use super::{
    check, check_spec, given, password, resolve, spec,
    support::stack::{NTLM, Stack},
    told,
};

#[tokio::test]
async fn each_security_works_with_each_mechanism() {
    let stack = Stack::get();
    for (port, security) in [("PLAIN_PORT", "None"), ("SUBMISSION_PORT", "StartTLS"), ("SMTPS_PORT", "TLS")] {
        for mechanism in ["Auto", "PLAIN", "LOGIN", "CRAM-MD5", "NTLM"] {
            let mut auth = password(mechanism);
            auth["allowPlaintext"] = json!(security == "None");
            let spec = spec(&stack, port, security, json!({"auth": auth}));
            let user = if mechanism == "NTLM" { "EXAMPLE\\alice" } else { "alice@example.test" };
            let _alone = if mechanism == "NTLM" { Some(NTLM.lock().await) } else { None };
            let report = check_spec(&spec, &given(&stack, user, "alice-secret")).await;
            assert!(report.failure.is_none(), "{security} {mechanism}: {}", told(&report));
            assert_eq!(report.login, Some(LoginOutcome::Accepted));
            let noted = report.stages.iter().find(|record| record.stage == Stage::Auth).unwrap().detail.clone().unwrap();
            let expected = if mechanism == "Auto" { "PLAIN" } else { mechanism };
            assert!(noted.starts_with(expected), "{noted}");
            assert_eq!(report.tls.is_some(), security != "None");
        }
    }
}

#[tokio::test]
async fn tokens_log_in_by_xoauth2_and_oauthbearer() {
    let stack = Stack::get();
    for mechanism in [Mechanism::XOAuth2, Mechanism::OAuthBearer] {
        for (token, good) in [(jwt(stack.var("JWT_SECRET"), 3600), true), (jwt(stack.var("JWT_SECRET"), -10), false)] {
            let spec = spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": password("Auto")}));
            let mut inputs = resolve(&spec, &given(&stack, "alice@example.test", "unused")).await;
            let login = inputs.login.as_mut().unwrap();
            login.credential = Credential::Token { user: "alice@example.test".into(), token: token.into() };
            login.mechanisms = vec![mechanism];
            let report = check(&inputs, &Open, Level::Authenticate).await;
            assert_eq!(report.failure.is_none(), good, "{mechanism:?}: {}", told(&report));
            if !good {
                let failure = report.failure.unwrap();
                assert_eq!(failure.reason, Reason::AuthenticationFailed);
                assert!(failure.said().contains("invalid_token") || failure.said().contains("401"), "{}", failure.said());
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_one_refused_login_and_no_alternate_is_tried() {
    // promise 7
    let stack = Stack::get();
    let user = stack.user(&format!("once-{}", uuid::Uuid::new_v4().simple()), "right").await;
    let rest = json!({"auth": {"type": "Password", "secretRef": {"name": "account"}},
        "alternates": [{"host": "localhost", "port": stack.port("SMTPS_PORT"), "security": "TLS"}]});
    let report = check_spec(&spec(&stack, "SUBMISSION_PORT", "StartTLS", rest), &given(&stack, &user, "wrong")).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((failure.reason, failure.stage), (Reason::AuthenticationFailed, Some(Stage::Auth)), "{}", told(&report));
    assert!(failure.words.as_deref().unwrap().starts_with("535 5.7.8"), "{failure:?}");
    assert_eq!(report.login, Some(LoginOutcome::Refused));
    assert!(report.endpoint.ends_with(&stack.var("SUBMISSION_PORT").to_owned()));
    assert_eq!(stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]), 1);
}

#[tokio::test]
async fn a_login_is_not_offered_before_tls() {
    let stack = Stack::get();
    let spec = spec(&stack, "SUBMISSION_PORT", "None", json!({"auth": password("CRAM-MD5")}));
    let report = check_spec(&spec, &given(&stack, "alice@example.test", "alice-secret")).await;
    let failure = report.failure.as_ref().unwrap();
    assert!(matches!(failure.reason, Reason::AuthNotOffered | Reason::TLSRequired), "{}", told(&report));
}

pub fn jwt(secret: &str, lifetime: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let user = "alice@example.test";
    let body = part(json!({"alg": "HS256", "typ": "JWT"}))
        + "."
        + &part(json!({"sub": user, "email": user, "iat": now - 100, "nbf": now - 100, "exp": now + lifetime}));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, body.as_bytes())))
}
