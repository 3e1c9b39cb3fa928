//! `MailServers` that log in by access tokens of a real `OpenID` provider.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    spec,
    support::{
        cluster::{Cluster, Operator, is, message},
        connect::Connect,
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

#[tokio::test]
async fn an_agent_logs_in_by_a_token_and_is_given_nothing_of_what_it_is_had_with() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("token-agent").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("probe")).await;
    let dmz = format!("{}-dmz", cluster.namespace);
    cluster.actor(&dmz, &dmz).await;
    let agent = cluster.agent(&dmz, &dmz, &[]).await;
    let host = format!("localhost:{}", identity.var("PORT"));
    let flags = ["--name", &cluster.namespace, "--allowed-token-hosts", &host, "--token-ca-file", identity.var("CA_FILE")];
    let operator = cluster.operator(&flags).await;
    let mut auth = identity.auth("probe", json!({"secretRef": {"name": "app"}}));
    auth["username"] = "probe@example.test".into();
    let limits = json!({"messagesPerMinute": 1000, "connections": 4});
    let there = json!({"actors": [{"name": dmz}]});
    let rest = json!({"auth": auth, "limits": limits, "verification": there});
    cluster.server("relay", spec(&stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert_eq!(status.actors[0].name, dmz);
    assert!(is(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
    assert!(status.oauth2.unwrap().token_expires_at.is_some());

    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    for (protocol, port) in [("IMAP", "IMAPS_PORT"), ("POP3", "POP3S_PORT")] {
        let server = json!({"host": "localhost", "port": stack.port(port), "security": "TLS", "tls": tls});
        let profile = json!({"address": "probe@example.test", "protocol": protocol, "server": server, "account": auth,
            "actors": [{"name": dmz}], "verification": {"senderRef": {"name": "relay"}, "checkOutgoing": false}});
        cluster.profile(&protocol.to_lowercase(), profile).await;
    }
    for protocol in ["imap", "pop3"] {
        let status = cluster.profile_condition(protocol, "Verified", "True", "CodeReceived").await;
        assert!(says(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
    }
    assert!(!agent.log().contains("eyJhbGciOi"), "the agent's log shows a token");
    agent.shows_no_secret().await;
    shows_no_token(&cluster, &operator).await;
}

#[tokio::test]
async fn a_credential_that_ends_soon_is_warned_of_before_anything_fails() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("expiring").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("alice-ends")).await;
    let [chain, key] = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|name| std::fs::read_to_string(identity.var(name)).unwrap());
    let pair = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pair"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": chain, "tls.key": key}});
    cluster.apply(pair).await;
    let operator = operator(&cluster, &identity).await;
    let day = |days: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(days * 24)).to_string()[..10].to_owned();
    let mut server = by(&stack, &identity, "alice-ends");
    server["auth"]["oauth2"]["clientSecretExpires"] = day(60).into();
    cluster.server("relay", server.clone()).await;
    let status = cluster.condition("relay", "Ready", "True", "Succeeded").await;
    assert!(!status.conditions.iter().any(|c| c.type_ == "CredentialExpiring"), "{status:#?}");
    assert!(status.oauth2.unwrap().credential_expires_at.is_some());
    let asked = identity.asked("alice-ends");

    server["auth"]["oauth2"]["clientSecretExpires"] = day(10).into();
    cluster.server("relay", server).await;
    let status = cluster.condition("relay", "CredentialExpiring", "True", "CredentialExpiring").await;
    let told = format!("The client secret in Secret {}/app ends at {}T23:59:59Z", cluster.namespace, day(10));
    assert!(message(&status, "CredentialExpiring").contains(&told), "{status:#?}");
    assert!(is(&status, "Ready", "True", "Succeeded"), "{status:#?}");
    let line =
        format!("mailverity_credential_expiry_seconds{{kind=\"MailServer\",namespace=\"{}\",name=\"relay\"}}", cluster.namespace);
    cluster.until("the metric is there", async || operator.get("/metrics").await?.1.contains(&line).then_some(())).await;

    // That of the tests lasts 30 days, and this object wants to know earlier.
    let auth = identity.auth("alice-key", json!({"certificateRef": {"name": "pair"}}));
    let mut by_key = spec(&stack, "SUBMISSION_PORT", "StartTLS", json!({ "auth": auth }));
    by_key["tls"]["expiryWarning"] = "1000h".into();
    cluster.server("by-key", by_key).await;
    let status = cluster.condition("by-key", "CredentialExpiring", "True", "CredentialExpiring").await;
    assert!(message(&status, "CredentialExpiring").contains("The certificate in Secret"), "{status:#?}");
    cluster.condition("by-key", "Ready", "True", "Succeeded").await;
    assert!(identity.asked("alice-ends").values().sum::<usize>() <= asked.values().sum::<usize>() + 1);
}

#[tokio::test]
async fn tokens_go_by_the_proxy_of_the_environment_except_where_it_says_and_by_the_egress_proxy_always() {
    let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new("token-proxy").await);
    cluster.ca(&stack.ca()).await;
    secret(&cluster, &Identity::secret("alice-proxied")).await;
    let (environment, egress) = (Connect::start().await, Connect::start().await);
    let provider = format!("localhost:{}", identity.var("PORT"));
    let mail = format!("localhost:{}", stack.port("SUBMISSION_PORT"));
    cluster.server("relay", by(&stack, &identity, "alice-proxied")).await;
    let flags = ["--allowed-token-hosts", &provider, "--token-ca-file", identity.var("CA_FILE")];
    let proxy = egress.url();
    let by_egress = [flags.as_slice(), &["--egress-proxy", &proxy]].concat();
    for (round, (flags, direct, by)) in
        [(flags.as_slice(), "", (1, 0)), (flags.as_slice(), "other.test, localhost", (0, 0)), (&by_egress, "localhost", (0, 1))]
            .into_iter()
            .enumerate()
    {
        let before = [&environment, &egress].map(|proxy| proxy.asked().iter().filter(|place| **place == provider).count());
        let asked = identity.asked("alice-proxied").values().sum::<usize>();
        let env = [("HTTPS_PROXY", environment.url()), ("NO_PROXY", direct.to_owned())];
        let env = env.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect();
        let mut operator = cluster.operator_in(env, flags).await;
        let request = format!("round {round}");
        cluster.annotate("relay", mailverity::api::v1alpha1::VERIFY_REQUESTED_AT, &request).await;
        let answered = |status: &mailverity::api::v1alpha1::MailServerStatus| {
            status.last_handled_verify_request.as_deref() == Some(&request) && is(status, "Ready", "True", "Succeeded")
        };
        cluster.status_when("relay", "verified", answered).await;
        assert!(identity.asked("alice-proxied").values().sum::<usize>() > asked);
        let after = [&environment, &egress].map(|proxy| proxy.asked().iter().filter(|place| **place == provider).count());
        assert_eq!((after[0] - before[0], after[1] - before[1]), by, "round {round}");
        operator.stop();
    }
    assert!(environment.asked().iter().all(|place| *place == provider), "{:?}", environment.asked());
    assert!(egress.asked().contains(&mail), "{:?}", egress.asked());
}
