//! People who sign in by a device code (RFC 8628) at a real `OpenID` provider: what they are told, and what is kept of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use mailverity::api::v1alpha1::{DeviceCode, MailServerStatus, SUSPEND_UNTIL, VERIFY_REQUESTED_AT};
use serde_json::{Value, json};

use super::{
    plugin::{Ran, mail, mail_beside},
    spec,
    support::{
        cluster::{Cluster, Operator, is, message},
        identity::Identity,
        profiles::says,
        stack::Stack,
    },
};

struct World {
    stack: Stack,
    identity: Identity,
    cluster: Cluster,
    client: &'static str,
}

impl World {
    async fn new(test: &str, client: &'static str) -> Self {
        let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new(test).await);
        cluster.ca(&stack.ca()).await;
        Self { stack, identity, cluster, client }
    }

    async fn operator(&self) -> Operator {
        let mut flags = self.identity.flags();
        flags.push("--token-secrets".to_owned());
        self.cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn server(&self) {
        let auth = self.identity.device_auth(self.client, "signed-in");
        self.cluster.server("relay", spec(&self.stack, "SUBMISSION_PORT", "StartTLS", json!({ "auth": auth }))).await;
    }

    async fn kept(&self) -> Secret {
        self.cluster.secrets().get("signed-in").await.unwrap()
    }

    /// The code that is shown, once it is another than `before`.
    async fn code(&self, before: Option<&DeviceCode>) -> DeviceCode {
        let code = |status: &MailServerStatus| status.oauth2.as_ref().and_then(|oauth2| oauth2.device_code.clone());
        let new = |status: &MailServerStatus| code(status).is_some_and(|code| Some(&code) != before);
        code(&self.cluster.status_when("relay", "a code is shown", new).await).unwrap()
    }

    fn sign(&self, code: &str) -> Value {
        let signed = self.identity.ask(&format!("sign?code={code}"));
        assert_eq!(signed["signed"], self.client, "{signed}");
        signed
    }

    /// Nothing of what is kept is in what anybody can read.
    async fn shows_nothing_of(&self, kept: &Secret, operator: &Operator) {
        self.cluster.shows_no_secret().await;
        operator.shows_no_secret().await;
        let status = serde_json::to_string(&self.cluster.status("relay").await).unwrap();
        let events = serde_json::to_string(&self.cluster.events().await).unwrap();
        let data = kept.data.clone().unwrap();
        let device = data.get("device_code").map(|device| serde_json::from_slice::<Value>(&device.0).unwrap());
        let device = device.map(|device| device["device_code"].as_str().unwrap().to_owned());
        let refresh = data.get("refresh_token").map(|token| String::from_utf8(token.0.clone()).unwrap());
        for secret in device.into_iter().chain(refresh) {
            for (what, text) in [("a status", &status), ("an Event", &events), ("the log", &operator.log())] {
                assert!(!text.contains(&secret), "{what} shows a device code or a refresh token");
            }
        }
    }
}

fn is_verified(status: &MailServerStatus) -> bool {
    is(status, "Ready", "True", "Succeeded") && is(status, "CredentialsReady", "True", "TokenAcquired")
}

#[tokio::test]
async fn a_person_signs_in_while_the_operator_is_started_anew_and_never_again() {
    let world = World::new("device", "alice-device").await;
    let mut operator = world.operator().await;
    world.server().await;
    let status = world.cluster.condition("relay", "CredentialsReady", "False", "DeviceCodePending").await;
    let code = world.code(None).await;
    assert!(code.verification_uri.starts_with("https://localhost:"), "{code:?}");
    let left = code.expires_at.0.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((600..=900).contains(&left), "{left}");
    let told = message(&status, "Ready");
    let words = [&code.user_code, &code.verification_uri, "kubectl mail login ms/relay", "localhost waits for a person"];
    assert!(words.iter().all(|words| told.contains(*words)), "{told}");
    assert!(is(&status, "Authenticated", "Unknown", "DeviceCodePending"), "{status:#?}");
    assert!(is(&status, "Stalled", "True", "DeviceCodePending"), "{status:#?}");
    let kept = world.kept().await;
    assert!(kept.data.as_ref().unwrap().contains_key("device_code"));
    world.shows_nothing_of(&kept, &operator).await;

    // A request while a code waits brings no other: somebody may be typing it.
    world.cluster.annotate("relay", VERIFY_REQUESTED_AT, "again").await;
    let again = |status: &MailServerStatus| status.last_handled_verify_request.as_deref() == Some("again");
    let status = world.cluster.status_when("relay", "asked", again).await;
    assert_eq!(status.oauth2.unwrap().device_code.as_ref(), Some(&code));
    operator.kill();
    operator.start();
    world.sign(&code.user_code);
    let status = world.cluster.status_when("relay", "verified", is_verified).await;
    let oauth2 = status.oauth2.unwrap();
    assert!(oauth2.device_code.is_none() && oauth2.token_expires_at.is_some(), "{oauth2:?}");
    let kept = world.kept().await;
    assert!(!kept.data.as_ref().unwrap().contains_key("device_code"));
    assert_eq!(kept.metadata.owner_references.as_ref().unwrap()[0].kind, "MailServer");
    assert_eq!(world.identity.times(world.client, "device").len(), 1, "one code was enough");

    // From here on it is a refresh token like any other.
    operator.kill();
    operator.start();
    world.cluster.annotate("relay", VERIFY_REQUESTED_AT, "once more").await;
    let more = |status: &MailServerStatus| status.last_handled_verify_request.as_deref() == Some("once more");
    let status = world.cluster.status_when("relay", "asked once more", more).await;
    assert!(is_verified(&status), "{status:#?}");
    world.shows_nothing_of(&world.kept().await, &operator).await;
}

#[tokio::test]
async fn a_code_that_nobody_enters_ends_and_is_followed_by_another_only_on_request() {
    let world = World::new("device-brief", "alice-device-brief").await;
    let operator = world.operator().await;
    world.server().await;
    let first = world.code(None).await;
    let status = world.cluster.condition("relay", "Ready", "False", "DeviceCodeExpired").await;
    assert!(message(&status, "Ready").contains("Run `kubectl mail login ms/relay` for a new code"), "{status:#?}");
    assert!(status.oauth2.is_none(), "no code is shown that is over");
    assert!(status.credential_held_until.is_none() && is(&status, "Stalled", "True", "DeviceCodeExpired"), "{status:#?}");
    // A change that is no request brings none either.
    world.cluster.patch("relay", json!({"heloName": "client.example.test"})).await;
    let judged =
        |status: &MailServerStatus| status.observed_generation == Some(2) && is(status, "Ready", "False", "DeviceCodeExpired");
    world.cluster.status_when("relay", "judged anew", judged).await;
    assert_eq!(world.identity.times(world.client, "device").len(), 1, "no code without a person");

    world.cluster.annotate("relay", VERIFY_REQUESTED_AT, "one more").await;
    let second = world.code(Some(&first)).await;
    assert_ne!(first.user_code, second.user_code);
    let declined = world.identity.ask(&format!("sign?code={}&error=access_denied", second.user_code));
    assert_eq!(declined["signed"], world.client);
    let status = world.cluster.condition("relay", "Ready", "False", "DeviceCodeBlocked").await;
    assert!(message(&status, "Ready").contains("access_denied: the person said no"), "{status:#?}");
    assert_eq!(world.identity.times(world.client, "device").len(), 2);
    world.shows_nothing_of(&world.kept().await, &operator).await;
}

#[tokio::test]
async fn a_provider_that_wants_to_be_asked_more_seldom_is() {
    let world = World::new("device-slow", "alice-device-slow").await;
    let _operator = world.operator().await;
    world.server().await;
    let code = world.code(None).await;
    let polled = || world.identity.times(world.client, "device_code");
    world.cluster.until("it was told to slow down, and asked again", async || (polled().len() >= 2).then_some(())).await;
    world.sign(&code.user_code);
    world.cluster.status_when("relay", "verified", is_verified).await;
    let times = polled();
    assert!(times[1] - times[0] >= 6000, "1 s, and 5 s more (RFC 8628 section 3.5): {times:?}");
}

#[tokio::test]
async fn a_code_is_not_asked_about_while_its_object_is_paused_or_suspended_and_is_again_afterwards() {
    // promise 4
    let world = World::new("device-paused", "alice-device-paused").await;
    let _operator = world.operator().await;
    world.server().await;
    let code = world.code(None).await;
    let polled = || world.identity.times(world.client, "device_code").len();
    let asked = async |more: usize| {
        let before = polled();
        world.cluster.until("it is asked about", async || (polled() >= before + more).then_some(())).await;
    };
    let suspend = async |until: Option<&str>| {
        let annotations = json!({"metadata": {"annotations": {SUSPEND_UNTIL: until}}});
        world.cluster.servers().patch("relay", &PatchParams::default(), &Patch::Merge(annotations)).await.unwrap();
    };
    for (how, halts) in [("pause", "Paused"), ("spec.suspend", "Suspended"), ("suspend-until", "Suspended")] {
        asked(2).await;
        match how {
            "pause" => world.cluster.pause().await,
            "spec.suspend" => world.cluster.patch("relay", json!({"suspend": true})).await,
            _ => suspend(Some("2999-01-01T00:00:00Z")).await,
        }
        world.cluster.condition("relay", "Suspended", "True", halts).await;
        // The question that was under way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = polled();
        // It is asked about each second.
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(polled(), before, "{how}");
        match how {
            "pause" => world.cluster.goes_on().await,
            "spec.suspend" => world.cluster.patch("relay", json!({"suspend": false})).await,
            _ => suspend(None).await,
        }
    }
    asked(1).await;
    world.sign(&code.user_code);
    world.cluster.status_when("relay", "verified", is_verified).await;
    assert_eq!(world.identity.times(world.client, "device").len(), 1, "one code was enough");
}

#[tokio::test]
async fn a_refresh_token_that_has_ended_asks_for_a_person_and_kubectl_mail_login_brings_one() {
    let world = World::new("device-ends", "alice-device-ends").await;
    let mut operator = world.operator().await;
    world.server().await;
    let first = world.code(None).await;
    let signed = world.sign(&first.user_code);
    world.cluster.status_when("relay", "verified", is_verified).await;
    world.identity.ask(&format!("revoke?grant={}", signed["grant"].as_str().unwrap()));
    operator.kill();
    operator.start();
    world.cluster.annotate("relay", VERIFY_REQUESTED_AT, "after it has ended").await;
    let status = world.cluster.condition("relay", "Ready", "False", "RefreshTokenExpired").await;
    let told = message(&status, "Ready");
    assert!(told.contains("Run `kubectl mail login ms/relay`, and sign in anew") && !told.contains("Secret"), "{told}");
    assert!(status.credential_held_until.is_none(), "nothing is held that a person is to bring: {status:#?}");
    assert_eq!(world.identity.times(world.client, "device").len(), 1);
    let refreshed = world.identity.times(world.client, "refresh_token").len();

    let (ran, ()) = mail_beside(&world.cluster, &["login", "ms/relay"], async {
        let code = world.code(Some(&first)).await;
        world.sign(&code.user_code);
    })
    .await;
    let Ran { code, out, err } = ran;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len(), err.as_str()), (0, 4, ""), "{out}");
    assert!(lines[0].starts_with("Open https://localhost:") && lines[1].starts_with("and enter "), "{out}");
    assert!(lines[3].starts_with("MailServer relay: Succeeded: "), "{out}");
    assert!(is_verified(&world.cluster.status("relay").await));
    assert_eq!(world.identity.times(world.client, "refresh_token").len(), refreshed + 1, "the dead token was not shown again");
    world.shows_nothing_of(&world.kept().await, &operator).await;
}

#[tokio::test]
async fn kubectl_mail_login_says_why_nobody_can_sign_in() {
    let world = World::new("device-login", "alice-device-login").await;
    world.cluster.server("plain", spec(&world.stack, "SUBMISSION_PORT", "StartTLS", json!({}))).await;
    let ran = mail(&world.cluster, &["login", "ms/plain"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("MailServer plain: nobody signs in for it"), "{}", ran.err);
    assert_eq!(mail(&world.cluster, &["login", "ms/nobody"]).code, 2);

    world.server().await;
    let flags = world.identity.flags();
    let _operator = world.cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let ran = mail(&world.cluster, &["login", "ms/relay", "--timeout", "30s"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("OAuthTokenFailed") && ran.out.contains("--token-secrets"), "{}", ran.out);
}

#[tokio::test]
async fn a_profile_is_signed_in_for_and_verified() {
    let world = World::new("device-profile", "probe-device").await;
    let _operator = world.operator().await;
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    let server = json!({"host": "localhost", "port": world.stack.port("IMAPS_PORT"), "security": "TLS", "tls": tls});
    world.cluster.server("relay", spec(&world.stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    let auth = world.identity.device_auth(world.client, "signed-in");
    let profile = json!({"address": "probe@example.test", "protocol": "IMAP", "server": server, "account": auth,
        "verification": {"senderRef": {"name": "relay"}}});
    world.cluster.profile("box", profile).await;
    let status = world.cluster.profile_condition("box", "CredentialsReady", "False", "DeviceCodePending").await;
    let code = status.oauth2.unwrap().device_code.unwrap();
    world.sign(&code.user_code);
    let status = world.cluster.profile_condition("box", "Verified", "True", "CodeReceived").await;
    assert!(says(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
    assert!(status.oauth2.unwrap().device_code.is_none());
}
