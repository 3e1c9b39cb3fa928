//! `MailServers` that log in by access tokens of a real `OpenID` provider.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    spec,
    support::{
        cluster::{Cluster, Operator, is, message},
        identity::Identity,
        profiles::says,
        stack::Stack,
    },
};

/// An operator that may ask the provider.
async fn operator(cluster: &Cluster, identity: &Identity) -> Operator {
    let host = format!("localhost:{}", identity.var("PORT"));
    cluster.operator(&["--allowed-token-hosts", &host, "--token-ca-file", identity.var("CA_FILE")]).await
}

async fn secret(cluster: &Cluster, value: &str) {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"clientSecret": value}});
    cluster.apply(secret).await;
}

fn by(stack: &Stack, identity: &Identity, client: &str) -> Value {
    let auth = identity.auth(client, json!({"secretRef": {"name": "app"}}));
    spec(stack, "SUBMISSION_PORT", "StartTLS", json!({ "auth": auth }))
}

/// No token is in what anybody can read.
async fn shows_no_token(cluster: &Cluster, operator: &Operator) {
    cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
    let statuses = serde_json::to_string(&cluster.status("relay").await).unwrap();
    let events = serde_json::to_string(&cluster.events().await).unwrap();
    let metrics = operator.get("/metrics").await.unwrap().1;
    // As every JSON Web Token begins, and as it does inside the base64 of XOAUTH2.
    for (what, text) in [("a status", statuses), ("an Event", events), ("the log", operator.log()), ("a metric", metrics)] {
        assert!(!text.contains("eyJhbGciOi"), "{what} shows a token");
        assert!(!text.contains("Bearer "), "{what} shows a token");
    }
}

#[tokio::test]
async fn a_server_with_client_credentials_is_verified_and_says_when_its_token_ends() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("tokens").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("alice-hour")).await;
    let operator = operator(&cluster, &identity).await;
    let server = by(&stack, &identity, "alice-hour");
    cluster.server("relay", server).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(is(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
    assert_eq!(message(&status, "CredentialsReady"), "An access token was had from localhost.");
    let left = status.oauth2.as_ref().unwrap().token_expires_at.as_ref().unwrap().0.duration_since(jiff::Timestamp::now());
    assert!((3000..=3600).contains(&left.as_secs()), "{left}");
    let stages: Vec<&str> = status.last_check.as_ref().unwrap().stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["Secrets", "Token", "DNS", "TCP", "Banner", "EHLO", "STARTTLS", "TLS", "EHLO2", "AUTH", "QUIT"]);

    // Another reconciliation finds what the check told.
    cluster.annotate("relay", "example.test/note", "x").await;
    cluster.annotate("relay", mailverity::api::v1alpha1::VERIFY_REQUESTED_AT, "again").await;
    let again =
        |status: &mailverity::api::v1alpha1::MailServerStatus| status.last_handled_verify_request.as_deref() == Some("again");
    let status = cluster.status_when("relay", "the request is answered", again).await;
    assert!(is(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
    assert_eq!(identity.asked("alice-hour").values().sum::<usize>(), 1, "one token does for both checks");
    shows_no_token(&cluster, &operator).await;
}

#[tokio::test]
async fn profiles_over_imap_and_pop3_are_verified_by_tokens_with_the_outgoing_server() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("token-profiles").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("probe")).await;
    let operator = operator(&cluster, &identity).await;
    let mut auth = identity.auth("probe", json!({"secretRef": {"name": "app"}}));
    auth["username"] = "probe@example.test".into();
    let limits = json!({"messagesPerMinute": 1000, "connections": 4});
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": auth, "limits": limits}))).await;
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    let ways = [("IMAP", "IMAPS_PORT"), ("POP3", "POP3S_PORT")];
    for (protocol, port) in ways {
        let server = json!({"host": "localhost", "port": stack.port(port), "security": "TLS", "tls": tls});
        let outgoing = json!({"host": "localhost", "port": stack.port("SMTPS_PORT"), "security": "TLS", "tls": tls});
        let profile = json!({"address": "probe@example.test", "protocol": protocol, "server": server, "account": auth,
            "outgoing": outgoing, "verification": {"senderRef": {"name": "relay"}}});
        cluster.profile(&protocol.to_lowercase(), profile).await;
    }
    for (protocol, _) in ways {
        let status = cluster.profile_condition(&protocol.to_lowercase(), "Verified", "True", "CodeReceived").await;
        assert!(says(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
        assert!(status.oauth2.as_ref().is_some_and(|oauth2| oauth2.token_expires_at.is_some()), "{status:#?}");
    }
    shows_no_token(&cluster, &operator).await;
}

#[tokio::test]
async fn of_servers_with_one_wrong_client_secret_one_asks_and_the_right_one_cures_all() {
    // promise 8
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("wrong-client").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, "Kennwort-not-this-one").await;
    let operator = operator(&cluster, &identity).await;
    let names = ["relay", "two", "three", "four", "five"];
    for name in names {
        cluster.server(name, by(&stack, &identity, "alice-short")).await;
    }
    for name in names {
        let status = cluster
            .status_when(name, "it is not ready", |status| {
                let told = ["OAuthTokenFailed", "CredentialHeld"];
                told.iter().any(|reason| is(status, "Ready", "False", reason))
            })
            .await;
        assert!(status.credential_held_until.is_some(), "{status:#?}");
    }
    let mut refused = 0;
    for name in names {
        let status = cluster.status(name).await;
        if is(&status, "Ready", "False", "OAuthTokenFailed") {
            refused += 1;
            assert!(is(&status, "CredentialsReady", "False", "OAuthTokenFailed"), "{status:#?}");
            let text = message(&status, "Ready");
            assert!(text.contains("invalid_client") && text.contains("Check clientID"), "{text}");
        }
    }
    assert_eq!(identity.asked("alice-short").into_iter().collect::<Vec<_>>(), [(401, 1)], "{refused} were told");

    secret(&cluster, &Identity::secret("alice-short")).await;
    let begun = Instant::now();
    for name in names {
        let status = cluster.condition(name, "Ready", "True", "Succeeded").await;
        assert!(is(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
        assert!(!status.conditions.iter().any(|c| c.type_ == "CredentialHeld" || c.type_ == "Stalled"), "{status:#?}");
    }
    println!("cured after {:?}", begun.elapsed());
    shows_no_token(&cluster, &operator).await;
}

#[tokio::test]
async fn a_provider_that_the_installation_does_not_name_is_not_asked() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("unnamed").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("alice")).await;
    let _operator = cluster.operator(&["--token-ca-file", identity.var("CA_FILE")]).await;
    cluster.server("relay", by(&stack, &identity, "alice")).await;
    let status = cluster.condition("relay", "Ready", "False", "OAuthTokenFailed").await;
    assert!(message(&status, "CredentialsReady").contains("--allowed-token-hosts does not name localhost:"), "{status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"));
}
