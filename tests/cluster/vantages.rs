//! A mailbox from three vantage points: the operator itself, an agent beside it, and an agent behind a network of its own whose
//! ways are cut and healed.

use std::time::Duration;

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState, ProfileActorStatus};
use serde_json::json;

use super::{
    profiles::setting::{mailboxes, message, open_relay, relay},
    proxy::{Point, Proxy},
    support::{
        cluster::{Cluster, Operator},
        elsewhere::Elsewhere,
        profiles::{found_by_all, says},
        stack::Stack,
    },
};

/// Cut ways are noticed after tens of seconds.
const PATIENCE: Duration = Duration::from_mins(3);

/// Three vantage points: `default`, and two agents.
pub struct Three {
    pub cluster: Cluster,
    pub stack: Stack,
    pub user: String,
    pub near: String,
    pub far: String,
}

impl Three {
    pub async fn new(test: &str) -> Self {
        let (stack, cluster) = (Stack::get(), Cluster::new(test).await);
        let [user] = mailboxes(&cluster, &stack, test).await;
        let (near, far) = (format!("{}-near", cluster.namespace), format!("{}-far", cluster.namespace));
        let three = Self { cluster, stack, user, near, far };
        for actor in [&three.near, &three.far] {
            three.cluster.actor(actor, actor).await;
        }
        three
    }

    async fn operator(&self) -> Operator {
        let operator = self.cluster.operator(&["--name", &self.cluster.namespace]).await;
        relay(&self.cluster, &self.stack, json!({})).await;
        operator
    }

    /// A profile whose mailbox is reached at this address from everywhere.
    async fn profile(&self, host: &str, port: u16) {
        let actors = json!([{"name": "default"}, {"name": self.near}, {"name": self.far}]);
        let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}, "serverName": "localhost"});
        let server = json!({"host": host, "port": port, "security": "TLS", "tls": tls});
        let spec = super::profiles::mailbox(&self.stack, &self.user, json!({"actors": actors, "server": server}));
        self.cluster.profile("box", spec).await;
    }

    async fn when(&self, what: &str, ready: impl Fn(&EmailProfileStatus) -> bool) -> EmailProfileStatus {
        self.cluster.profile_within(PATIENCE, "box", what, ready).await
    }

    async fn all_found(&self) -> EmailProfileStatus {
        self.when("3/3", |status| {
            let told = status.summary.as_deref() == Some("3/3") && says(status, "Verified", "True", "AllActorsVerified");
            told && status.actors.len() == 3 && found_by_all(status)
        })
        .await
    }

    /// Waits until two of three have found the codes of a run that this request began, and the far one failed for this reason.
    async fn two_of_three(&self, request: &str, reason: &str) -> EmailProfileStatus {
        let as_expected = |actor: &ProfileActorStatus| {
            if actor.name == self.far {
                actor.state == ProfileActorState::Unverified && actor.reason.as_deref() == Some(reason)
            } else {
                actor.state == ProfileActorState::Verified
            }
        };
        self.when(&format!("2/3 with {reason}"), |status| {
            status.last_handled_verify_request.as_deref() == Some(request)
                && status.summary.as_deref() == Some("2/3")
                && status.actors.len() == 3
                && status.actors.iter().all(as_expected)
        })
        .await
    }

    /// No task and no Secret is left in the namespaces of the agents.
    pub async fn nothing_is_left(&self) {
        for namespace in [&self.near, &self.far] {
            self.cluster
                .until("no task and no Secret is left", async || {
                    self.cluster.left_for_agents(namespace).await.is_empty().then_some(())
                })
                .await;
        }
    }
}

#[tokio::test]
async fn each_vantage_point_tells_what_it_sees_and_comes_back_by_itself() {
    let three = Three::new("vantages").await;
    let mut place = Elsewhere::new();
    let api = place.way(1, three.cluster.api_port()).await;
    let mail = place.way(3, three.stack.port("IMAPS_PORT")).await;
    let operator = three.operator().await;
    let near = three.cluster.agent(&three.near, &three.near, &[]).await;
    let far = three.cluster.agent_elsewhere(&place, &api, &three.far, &three.far).await;

    three.profile(&mail.address, mail.port).await;
    let status = three.all_found().await;
    assert_eq!(status.claims.len(), 3, "one mail for each");

    // Its mail port alone is cut.
    place.cut(&mail);
    three.cluster.ask_profile("box", "cut").await;
    let status = three.two_of_three("cut", "ConnectionTimedOut").await;
    let told = status.actors.iter().find(|actor| actor.name == three.far).unwrap();
    assert!(told.hint.as_deref().unwrap_or_default().contains(&mail.address), "{told:?}");
    assert_eq!(status.claims.len(), 2, "who cannot open the mailbox is sent no mail");
    assert!(message(&status, "Verified").contains(&three.far) || message(&status, "Degraded").contains(&three.far));
    place.heal(&mail);
    let status = three.all_found().await;
    assert_eq!(status.last_handled_verify_request.as_deref(), Some("cut"), "within the run, without anyone's help");

    // Everything is cut.
    place.cut(&mail);
    place.cut(&api);
    three.cluster.ask_profile("box", "gone").await;
    three.two_of_three("gone", "ActorOffline").await;
    place.heal(&mail);
    place.heal(&api);
    three.all_found().await;

    three.nothing_is_left().await;
    three.cluster.removed(&three.stack, &three.user, "X-Mailverity-Run").await;
    three.cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
    near.shows_no_secret().await;
    far.shows_no_secret().await;
}

#[tokio::test]
async fn one_wrong_password_seen_by_three_actors_is_one_failed_login() {
    // promise 8
    let three = Three::new("vantages-wrong").await;
    let operator = three.operator().await;
    let _near = three.cluster.agent(&three.near, &three.near, &[]).await;
    let _far = three.cluster.agent(&three.far, &three.far, &[]).await;
    three.cluster.until("both agents are online", async || three.online().await.then_some(())).await;
    three.cluster.account("wrong", &three.user, "not-the-password-of-anyone").await;
    let actors = json!([{"name": "default"}, {"name": three.near}, {"name": three.far}]);
    let outgoing = json!({
        "host": "localhost", "port": three.stack.port("SUBMISSION_PORT"), "security": "StartTLS",
        "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}}, "auth": {"required": true, "mechanisms": ["Auto"]},
    });
    let account = json!({"type": "Password", "secretRef": {"name": "wrong"}});
    let rest = json!({"actors": actors, "account": account, "outgoing": outgoing});
    three.cluster.profile("box", super::profiles::mailbox(&three.stack, &three.user, rest)).await;
    three.when("told", |status| says(status, "CredentialHeld", "True", "CredentialHeld") && status.actors.len() == 3).await;
    // The second time, so that it has looked at the first request for sure.
    for request in ["again", "and again"] {
        let before = operator.reconciliations().await;
        three.cluster.ask_profile("box", request).await;
        let looked = async || (operator.reconciliations().await > before).then_some(());
        three.cluster.until("the operator has looked at the request", looked).await;
    }
    let refused = three.stack.log("DOVECOT_LOG", &[&three.user, "Password mismatch"]);
    assert_eq!(refused, 1, "one failed login on the server");
    assert!(three.cluster.profile_status("box").await.claims.is_empty(), "and no mail");
    operator.shows_no_secret().await;
}

impl Three {
    pub async fn online(&self) -> bool {
        let api: kube::Api<mailverity::api::v1alpha1::Actor> = kube::Api::all(self.cluster.client.clone());
        for name in [&self.near, &self.far] {
            let status = api.get_status(name).await.unwrap().status.unwrap_or_default();
            if !status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
                return false;
            }
        }
        true
    }
}

#[tokio::test]
async fn an_agent_and_an_operator_that_are_killed_cost_no_second_mail_and_no_verdict() {
    // promise 2
    let three = Three::new("vantages-kill").await;
    let proxy = Proxy::to(three.stack.port("PLAIN_PORT")).await;
    let mut operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    open_relay(&three.cluster, &three.stack, proxy.port, json!({})).await;
    let mut agent = three.cluster.agent(&three.near, &three.near, &[]).await;
    let rest = json!({
        "actors": [{"name": three.near}],
        "verification": {"senderRef": {"name": "relay"}, "interval": "15m", "timeout": "5m"},
    });
    three.cluster.profile("box", super::profiles::mailbox(&three.stack, &three.user, rest)).await;
    let verified = |request: Option<&str>| {
        let request = request.map(str::to_owned);
        move |status: &EmailProfileStatus| {
            status.last_handled_verify_request == request
                && says(status, "Verified", "True", "CodeReceived")
                && status.summary.as_deref() == Some("1/1")
                && found_by_all(status)
        }
    };
    three.when("1/1", verified(None)).await;

    // The agent has noted what the mailbox holds and waits for the mail; another process takes its place.
    proxy.hold(Point::Mail);
    three.cluster.ask_profile("box", "agent").await;
    proxy.reached().await;
    agent.kill();
    proxy.let_go();
    agent.start();
    three.when("1/1 by another process", verified(Some("agent"))).await;

    // The operator has sent the mail and cannot say so; another one goes on looking, by a task of its own.
    proxy.hold(Point::Taken);
    three.cluster.ask_profile("box", "operator").await;
    proxy.reached().await;
    operator.kill();
    proxy.let_go();
    operator.start();
    three.when("1/1 by another operator", verified(Some("operator"))).await;

    let taken = three.stack.taken(&three.user).into_values().collect::<Vec<_>>();
    assert_eq!(taken, [1, 1, 1], "one mail for each run");
    three.nothing_is_left().await;
}
