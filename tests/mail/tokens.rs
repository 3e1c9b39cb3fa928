//! Access tokens of a real `OpenID` provider, which Postfix and Dovecot take.

use std::{fs, sync::Arc};

use mailverity::{
    api::{Reason, v1alpha1::Mechanism},
    mail::{
        Vantage,
        dns::Resolver,
        guard::Guard,
        https::{Hosts, Https},
        protocol::Protocol,
        stage::Outcome,
        tls::certificates,
    },
    verify::{Credential, Open, Report, mail_server::Inputs, mailbox, report::LoginOutcome, tokens::Tokens},
};
use serde_json::{Value, json};

use super::{
    check, given, resolve, spec,
    support::{identity::Identity, leaks, references::Given, stack::Stack},
    told,
};

fn here() -> Vantage {
    Vantage { actor: "default".into(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None }
}

fn tokens(identity: &Identity) -> Arc<Tokens> {
    Arc::new(Tokens::new(Https::new(here(), &certificates(&identity.ca()).unwrap(), Hosts::Any)))
}

/// With the Secret of a client.
fn known(stack: &Stack, identity: &Identity, secret: &str) -> Given {
    given(stack, "unused", "unused").secret("app", &[("clientSecret", secret.as_bytes())]).with_tokens(tokens(identity))
}

async fn inputs(stack: &Stack, port: &str, security: &str, auth: &Value, given: &Given) -> Inputs {
    resolve(&spec(stack, port, security, json!({ "auth": auth })), given).await
}

/// Logs in as far as the protocol goes.
async fn logs_in(protocol: Protocol, inputs: Inputs) -> Report {
    if protocol == Protocol::Smtp {
        let level = inputs.level;
        return check(&inputs, &Open, level).await;
    }
    let Inputs { endpoints, tls, login, level, timeout, resolving, .. } = inputs;
    let endpoint = endpoints.into_iter().next().unwrap();
    let (mailbox, junk) = ("INBOX".to_owned(), Vec::new());
    let inputs = mailbox::Inputs { protocol, endpoint, tls, login, mailbox, junk, level, timeout, resolving };
    Box::pin(mailbox::check(&inputs, &here(), &Open, None)).await
}

#[tokio::test]
async fn client_credentials_log_in_over_every_protocol_by_both_mechanisms() {
    let (stack, identity) = (Stack::get(), Identity::get());
    let given = known(&stack, &identity, &Identity::secret("alice"));
    let auth = identity.auth("alice", json!({"secretRef": {"name": "app"}}));
    let before = identity.asked("alice");
    for (protocol, port) in [(Protocol::Smtp, "SMTPS_PORT"), (Protocol::Imap, "IMAPS_PORT"), (Protocol::Pop3, "POP3S_PORT")] {
        for mechanism in [Mechanism::XOAuth2, Mechanism::OAuthBearer] {
            let mut inputs = inputs(&stack, port, "TLS", &auth, &given).await;
            inputs.login.as_mut().unwrap().mechanisms = vec![mechanism];
            let report = logs_in(protocol, inputs).await;
            assert!(report.failure.is_none(), "{} {mechanism:?}: {}", protocol.as_str(), told(&report));
            assert_eq!(report.login, Some(LoginOutcome::Accepted));
            let stages: Vec<&str> = report.stages.iter().map(|record| record.stage.as_str()).collect();
            assert_eq!(stages[..3], ["Secrets", "Token", "DNS"], "{stages:?}");
            let (provider, expires) = report.token.clone().unwrap();
            let left = expires.duration_since(jiff::Timestamp::now()).as_secs();
            assert!(provider == "localhost" && (3000..=3600).contains(&left), "{provider} {left}");
            leaks::none_in("the report", &format!("{report:?}{}", told(&report)));
            assert!(!format!("{report:?}").contains("eyJ"), "{report:?}");
        }
    }
    let new = identity.asked("alice").values().sum::<usize>() - before.values().sum::<usize>();
    assert!(new <= 2, "one token does for all of them, and perhaps another test's: {new}");
}

#[tokio::test]
async fn a_certificate_stands_in_for_a_secret() {
    let (stack, identity) = (Stack::get(), Identity::get());
    let [chain, key] = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|name| fs::read(identity.var(name)).unwrap());
    let given = known(&stack, &identity, "unused").secret("pair", &[("tls.crt", &chain), ("tls.key", &key)]);
    let auth = identity.auth("alice-key", json!({"certificateRef": {"name": "pair"}}));
    let report = logs_in(Protocol::Smtp, inputs(&stack, "SUBMISSION_PORT", "StartTLS", &auth, &given).await).await;
    assert!(report.failure.is_none(), "{}", told(&report));
}

#[tokio::test]
async fn a_refresh_token_logs_in_until_the_consent_is_revoked() {
    let (stack, identity) = (Stack::get(), Identity::get());
    let consent = identity.ask("consent?client=alice-user");
    let refresh = consent["refresh_token"].as_str().unwrap();
    let mut auth = identity.auth("alice-user", json!({"secretRef": {"name": "app"}}));
    auth["oauth2"]["grant"] = "RefreshToken".into();
    auth["oauth2"]["tokenSecretName"] = "consent".into();
    auth["oauth2"].as_object_mut().unwrap().remove("scopes");
    let secret = Identity::secret("alice-user");
    let fresh = || known(&stack, &identity, &secret).secret("consent", &[("refresh_token", refresh.as_bytes())]);
    let report = logs_in(Protocol::Imap, inputs(&stack, "IMAPS_PORT", "TLS", &auth, &fresh()).await).await;
    assert!(report.failure.is_none(), "{}", told(&report));

    identity.ask(&format!("revoke?grant={}", consent["grant"].as_str().unwrap()));
    let report = logs_in(Protocol::Imap, inputs(&stack, "IMAPS_PORT", "TLS", &auth, &fresh()).await).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::RefreshTokenExpired, "{}", told(&report));
    assert!(failure.said().contains("invalid_grant") && !failure.said().contains(refresh), "{}", failure.said());
    assert_eq!(report.stages.last().map(|record| (record.stage.as_str(), record.outcome)), Some(("Token", Outcome::Failed)));
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_before_a_mail_server_is_connected_to() {
    let (stack, identity) = (Stack::get(), Identity::get());
    let wrong = known(&stack, &identity, "Kennwort-not-this-one");
    let good = known(&stack, &identity, &Identity::secret("alice"));
    let proof = json!({"secretRef": {"name": "app"}});
    for (auth, given, error) in [
        (identity.auth("alice", proof.clone()), &wrong, "invalid_client"),
        (identity.auth("nobody", proof), &good, "invalid_client"),
    ] {
        let report = logs_in(Protocol::Smtp, inputs(&stack, "SMTPS_PORT", "TLS", &auth, given).await).await;
        let failure = report.failure.as_ref().unwrap();
        assert_eq!((failure.reason, failure.condition()), (Reason::OAuthTokenFailed, "CredentialsReady"), "{}", told(&report));
        assert!(failure.said().contains(error), "{error}: {}", failure.said());
        assert!(!failure.hint().is_empty() && !report.stages.iter().any(|record| record.stage.as_str() == "DNS"));
        leaks::none_in("the report", &format!("{report:?}{}", told(&report)));
    }
}

#[tokio::test]
async fn a_token_that_the_mail_server_refuses_is_told_in_its_words() {
    let stack = Stack::get();
    let auth = json!({"type": "Password", "secretRef": {"name": "account"}});
    for (protocol, port) in [(Protocol::Smtp, "SMTPS_PORT"), (Protocol::Imap, "IMAPS_PORT"), (Protocol::Pop3, "POP3S_PORT")] {
        for mechanism in [Mechanism::XOAuth2, Mechanism::OAuthBearer] {
            let given = given(&stack, "alice@example.test", "unused");
            let mut inputs = inputs(&stack, port, "TLS", &auth, &given).await;
            let login = inputs.login.as_mut().unwrap();
            let token = super::login::jwt("another-secret-altogether-and-long", 3600);
            login.credential = Credential::Token { user: "alice@example.test".into(), token: token.clone().into() };
            login.mechanisms = vec![mechanism];
            let report = logs_in(protocol, inputs).await;
            let failure = report.failure.as_ref().unwrap();
            assert_eq!(failure.reason, Reason::AuthenticationFailed, "{}", told(&report));
            let said = failure.said();
            // The challenge is JSON in base64 (RFC 7628 section 3.2.2).
            assert!(said.contains("status 401") || said.contains("invalid_token"), "{} {mechanism:?}: {said}", protocol.as_str());
            assert!(!said.contains(&token), "{said}");
        }
    }
}
