//! Refresh tokens that a provider gives in place of others: kept in a Secret of the operator's own before they are used, whoever is
//! killed when.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mailverity::api::v1alpha1::{MailServerStatus, VERIFY_REQUESTED_AT};
use serde_json::{Value, json};

use super::{
    spec,
    support::{
        api::{ApiProxy, Hold},
        cluster::{Cluster, Operator, is, message},
        identity::Identity,
        stack::Stack,
    },
};

/// A namespace with the Secrets of a client, and a consent of its user's.
struct World {
    stack: Stack,
    identity: Identity,
    cluster: Cluster,
    client: String,
}

impl World {
    async fn new(test: &str, client: &str) -> Self {
        let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new(test).await);
        cluster.ca(&stack.ca()).await;
        let app = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"},
            "stringData": {"clientSecret": Identity::secret(client)}});
        cluster.apply(app).await;
        let world = Self { stack, identity, cluster, client: client.to_owned() };
        world.consents().await;
        world
    }

    /// The user consents anew: another refresh token is in the user's own Secret.
    async fn consents(&self) -> String {
        let token = self.identity.consent(&self.client);
        let seed = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "consent"},
            "stringData": {"refresh_token": token}});
        self.cluster.apply(seed).await;
        token
    }

    async fn operator(&self) -> Operator {
        let flags = self.flags();
        self.cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn operator_behind(&self, api: &ApiProxy) -> Operator {
        let flags = self.flags();
        self.cluster.operator_behind(api, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = self.identity.flags();
        flags.push("--token-secrets".to_owned());
        flags
    }

    fn spec(&self) -> Value {
        spec(&self.stack, "SUBMISSION_PORT", "StartTLS", json!({"auth": self.identity.user_auth(&self.client, "consent")}))
    }

    async fn kept(&self) -> Option<Secret> {
        self.cluster.secrets().get_opt("consent-rotated").await.unwrap()
    }

    async fn token(&self, name: &str) -> String {
        let secret = self.cluster.secrets().get(name).await.unwrap();
        String::from_utf8(secret.data.unwrap()["refresh_token"].0.clone()).unwrap()
    }

    /// Asks for a check, and waits until it is answered in this way.
    async fn verify(&self, asked: &str, ready: impl Fn(&MailServerStatus) -> bool) -> MailServerStatus {
        self.cluster.annotate("relay", VERIFY_REQUESTED_AT, asked).await;
        let answered = |status: &MailServerStatus| status.last_handled_verify_request.as_deref() == Some(asked) && ready(status);
        self.cluster.status_when("relay", &format!("{asked} is answered"), answered).await
    }

    /// No refresh token, old or new, is in what anybody can read.
    async fn shows_no_token(&self, operator: &Operator) {
        self.cluster.shows_no_secret().await;
        operator.shows_no_secret().await;
        let status = serde_json::to_string(&self.cluster.status("relay").await).unwrap();
        let events = serde_json::to_string(&self.cluster.events().await).unwrap();
        for token in [self.token("consent").await, self.token("consent-rotated").await] {
            for (what, text) in [("a status", &status), ("an Event", &events), ("the log", &operator.log())] {
                assert!(!text.contains(&token), "{what} shows a refresh token");
            }
        }
    }
}

fn is_verified(status: &MailServerStatus) -> bool {
    is(status, "Ready", "True", "Succeeded") && is(status, "CredentialsReady", "True", "TokenAcquired")
}

fn has_ended(status: &MailServerStatus) -> bool {
    is(status, "Ready", "False", "RefreshTokenExpired")
}

#[tokio::test]
async fn a_refresh_token_that_was_given_in_place_of_another_is_kept_and_survives_the_operator() {
    let world = World::new("rotation", "alice-turning").await;
    let mut operator = world.operator().await;
    world.cluster.server("relay", world.spec()).await;
    world.cluster.status_when("relay", "verified", is_verified).await;
    let (seed, first) = (world.token("consent").await, world.token("consent-rotated").await);
    assert_ne!(seed, first, "the user's own Secret is left as it is");
    let kept = world.kept().await.unwrap();
    assert_eq!(kept.labels()["mailverity.dev/keeps"], "refresh-token");
    assert_eq!(kept.owner_references()[0].name, "relay");

    // A second object with the same credential asks for nothing, and owns the Secret as well.
    world.cluster.server("two", world.spec()).await;
    world.cluster.status_when("two", "verified", is_verified).await;
    assert_eq!(world.token("consent-rotated").await, first, "one refresh is enough for both");
    let owners: Vec<String> = world.kept().await.unwrap().owner_references().iter().map(|owner| owner.name.clone()).collect();
    assert_eq!(owners, ["relay", "two"]);

    // The seed is used up: with it the provider would take us for a thief.
    operator.kill();
    operator.start();
    world.verify("after a kill", is_verified).await;
    assert_ne!(world.token("consent-rotated").await, first);
    world.shows_no_token(&operator).await;

    // A changed seed wins.
    let again = world.consents().await;
    let consent = kept.annotations()["mailverity.dev/consent"].clone();
    let changed = async || {
        let kept = world.kept().await?;
        (kept.annotations()["mailverity.dev/consent"] != consent).then_some(())
    };
    world.cluster.until("the new consent is used", changed).await;
    world.cluster.status_when("relay", "verified", is_verified).await;
    assert_eq!(world.token("consent").await, again);
    world.shows_no_token(&operator).await;
}

#[tokio::test]
async fn a_secret_that_somebody_else_has_made_is_left_as_it_is() {
    let world = World::new("foreign-token", "alice-lenient").await;
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "consent-rotated"},
        "stringData": {"refresh_token": "mine"}});
    world.cluster.apply(foreign).await;
    let _operator = world.operator().await;
    world.cluster.server("relay", world.spec()).await;
    let status = world.cluster.condition("relay", "Ready", "False", "Conflict").await;
    assert!(message(&status, "Ready").contains("consent-rotated was not made by mailverity"), "{status:#?}");
    assert_eq!(world.token("consent-rotated").await, "mine");
}

#[tokio::test]
async fn without_the_right_to_keep_them_a_kept_refresh_token_is_not_used_up() {
    let world = World::new("unkept-token", "alice-lenient").await;
    let mut operator = world.operator().await;
    world.cluster.server("relay", world.spec()).await;
    world.cluster.status_when("relay", "verified", is_verified).await;
    let kept = world.token("consent-rotated").await;
    operator.kill();
    let flags = world.identity.flags();
    let _without = world.cluster.operator(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let status = world.cluster.condition("relay", "Ready", "False", "OAuthTokenFailed").await;
    assert!(message(&status, "CredentialsReady").contains("--token-secrets"), "{status:#?}");
    assert_eq!(world.token("consent-rotated").await, kept);
}

/// How long an access token of the clients `…-random` lasts.
const LIFETIME: Duration = Duration::from_secs(4);

/// Where the operator is killed, and what becomes of its write.
const POINTS: [(&str, Hold, bool); 3] =
    [("before it left", Hold::Keeping, true), ("on its way", Hold::Keeping, false), ("before it heard of it", Hold::Kept, false)];

/// Kills the operator at each of them, with a provider that ends the grant where a refresh token is shown twice, or does not.
async fn killed_at_named_points(client: &str, ends: bool) {
    let world = World::new("rotation-kills", client).await;
    let api = ApiProxy::to(&world.cluster.kubeconfig()).await;
    let mut operator = world.operator_behind(&api).await;
    world.cluster.server("relay", world.spec()).await;
    world.cluster.status_when("relay", "verified", is_verified).await;
    let refused = || world.identity.asked(client).get(&400).copied().unwrap_or_default();
    for (what, hold, loses) in POINTS {
        operator.kill();
        api.hold_secret(hold);
        operator.start();
        world.cluster.annotate("relay", VERIFY_REQUESTED_AT, what).await;
        api.reached().await;
        let status = world.cluster.status("relay").await;
        assert_ne!(status.last_handled_verify_request.as_deref(), Some(what), "{what}: the token was not used yet");
        operator.kill();
        if loses {
            api.lose();
        } else {
            api.let_go();
        }
        operator.start();
        if !(ends && loses) {
            world.verify(&format!("{what}, again"), is_verified).await;
            continue;
        }
        let status = world.cluster.status_when("relay", "told that it has ended", has_ended).await;
        assert!(is(&status, "Stalled", "True", "RefreshTokenExpired"), "{status:#?}");
        let hint = format!("put the new refresh token into Secret {}/consent.", world.cluster.namespace);
        assert!(message(&status, "Ready").contains("Let the user consent anew"), "{status:#?}");
        assert!(message(&status, "Ready").contains(&hint), "{status:#?}");
        assert!(status.credential_held_until.is_some(), "{status:#?}");
        assert_eq!(refused(), 1, "asked once");
        operator.kill();
        operator.start();
        world.cluster.annotate("relay", VERIFY_REQUESTED_AT, "once more").await;
        world.cluster.until("it leads", async || operator.leads().await.then_some(())).await;
        let before = operator.reconciliations().await;
        world.cluster.until("it looked again", async || (operator.reconciliations().await > before).then_some(())).await;
        assert_eq!(refused(), 1, "the hold survives the operator");
        world.consents().await;
        world.cluster.status_when("relay", "verified with the new consent", is_verified).await;
    }
    assert_eq!(refused(), usize::from(ends));
    world.shows_no_token(&operator).await;
}

#[tokio::test]
async fn killed_while_a_refresh_token_is_kept_it_goes_on_where_the_old_one_is_still_taken() {
    killed_at_named_points("alice-lenient-kills", false).await;
}

#[tokio::test]
async fn killed_while_a_refresh_token_is_kept_it_says_at_once_that_the_user_must_consent() {
    killed_at_named_points("alice-turning-kills", true).await;
}

/// Kills the operator at random moments of a refresh.
async fn killed_at_random(client: &str, strict: bool) {
    let rounds = if std::env::var_os("MAILVERITY_SOAK").is_some() { 100 } else { 10 };
    let world = World::new("rotation-random", client).await;
    let mut operator = world.operator().await;
    world.cluster.server("relay", world.spec()).await;
    world.cluster.status_when("relay", "verified", is_verified).await;
    let mut ended = 0;
    for round in 0..rounds {
        // The access token is over by then, so that the next check needs another.
        tokio::time::sleep(LIFETIME).await;
        let asked = format!("round {round}");
        world.cluster.annotate("relay", VERIFY_REQUESTED_AT, &asked).await;
        // Any time may be the wrong one: from the request to the kept token it takes some 50 ms here.
        tokio::time::sleep(Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 3)).await;
        operator.kill();
        operator.start();
        let answered = |status: &MailServerStatus| {
            has_ended(status) || (status.last_handled_verify_request.as_deref() == Some(&asked) && is_verified(status))
        };
        let status = world.cluster.status_when("relay", "verified, or told that it has ended", answered).await;
        if has_ended(&status) {
            ended += 1;
            world.consents().await;
            world.cluster.status_when("relay", "verified with the new consent", is_verified).await;
        }
    }
    let asked = world.identity.asked(client);
    println!("{client}: {rounds} kills, {ended} grants ended; requests by status: {asked:?}");
    assert_eq!(asked.get(&400).copied().unwrap_or_default(), ended, "each grant that ended was asked for once");
    assert!(strict || ended == 0, "a provider that still takes the old token loses nothing");
    world.shows_no_token(&operator).await;
}

#[tokio::test]
async fn killed_at_random_it_goes_on_where_the_old_refresh_token_is_still_taken() {
    killed_at_random("alice-lenient-random", false).await;
}

#[tokio::test]
async fn killed_at_random_it_goes_on_or_says_that_the_user_must_consent() {
    killed_at_random("alice-turning-random", true).await;
}
