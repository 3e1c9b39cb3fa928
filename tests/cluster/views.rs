//! A server from three vantage points: the operator itself, an agent beside it, and an agent behind a network of its own whose
//! ways are cut and healed.

use std::time::Duration;

use mailverity::api::v1alpha1::{Actor, CheckPhase, Level, MailServerStatus};
use serde_json::{Value, json};

use super::{
    auth,
    profiles::setting::with,
    proxy::{Point, Proxy},
    spec,
    support::{
        cluster::{is, message},
        elsewhere::Elsewhere,
    },
    vantages::Three,
};

/// Cut ways are noticed after tens of seconds.
const PATIENCE: Duration = Duration::from_mins(3);

impl Three {
    fn all(&self) -> Value {
        json!([{"name": "default"}, {"name": self.near}, {"name": self.far}])
    }

    async fn server_when(&self, what: &str, ready: impl Fn(&MailServerStatus) -> bool) -> MailServerStatus {
        self.cluster.status_within(PATIENCE, "relay", what, ready).await
    }

    /// Waits until the check that this request asked for has ended, and `Verified` says so.
    async fn told(&self, request: Option<&str>, verified: &str, reason: &str) -> MailServerStatus {
        self.server_when(&format!("{verified} {reason}"), |status| {
            status.last_handled_verify_request.as_deref() == request
                && status.last_check.as_ref().is_some_and(|check| check.phase == CheckPhase::Finished)
                && is(status, "Verified", verified, reason)
        })
        .await
    }

    /// How an actor stands: its state and why.
    fn stands(status: &MailServerStatus, name: &str) -> String {
        let actor = status.actors.iter().find(|actor| actor.name == name).unwrap();
        format!("{} {}", actor.state, actor.reason.as_deref().unwrap_or_default())
    }
}

#[tokio::test]
async fn each_actor_of_a_server_tells_what_it_sees_and_comes_back_by_itself() {
    let three = Three::new("views").await;
    let mut place = Elsewhere::new();
    let api = place.way(1, three.cluster.api_port()).await;
    let mail = place.way(3, three.stack.port("SUBMISSION_PORT")).await;
    let operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let near = three.cluster.agent(&three.near, &three.near, &[]).await;
    let far = three.cluster.agent_elsewhere(&place, &api, &three.far, &three.far).await;
    three.cluster.until("both agents are online", async || three.online().await.then_some(())).await;

    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}, "serverName": "localhost"});
    let verification = json!({"level": "Authenticate", "interval": "10m", "timeout": "8s", "actors": three.all()});
    let rest = json!({"host": mail.address, "port": mail.port, "tls": tls, "auth": auth(), "verification": verification});
    three.cluster.server("relay", with(spec(&three.stack, "SUBMISSION_PORT", "StartTLS", json!({})), &rest)).await;
    let status = three.told(None, "True", "Succeeded").await;
    let names: Vec<&str> = status.actors.iter().map(|actor| actor.name.as_str()).collect();
    assert_eq!(names, ["default", &three.near, &three.far]);
    let far_ip = status.actors[2].source_ip.clone().unwrap();
    assert_ne!(status.actors[0].source_ip.as_ref(), Some(&far_ip), "each from its own place");
    assert_eq!(status.actors[2].zone.as_deref(), Some("elsewhere"));

    // Its mail port alone is cut.
    place.cut(&mail);
    three.cluster.annotate("relay", "mailverity.dev/verify-requested-at", "cut").await;
    let status = three.told(Some("cut"), "False", "SomeActorsUnverified").await;
    assert_eq!(Three::stands(&status, &three.far), "Unverified ConnectionTimedOut");
    assert_eq!(Three::stands(&status, &three.near), "Verified Succeeded");
    assert!(is(&status, "Reachable", "False", "ConnectionTimedOut"), "{:?}", status.conditions);
    assert_eq!(message(&status, "Verified"), format!("2 of 3 actors verified; see status.actors for {}.", three.far));
    place.heal(&mail);
    three.told(Some("cut"), "True", "Succeeded").await;

    // Everything is cut.
    place.cut(&mail);
    place.cut(&api);
    three.cluster.until("the far agent is away", async || (!three.online().await).then_some(())).await;
    three.cluster.annotate("relay", "mailverity.dev/verify-requested-at", "gone").await;
    let status = three.told(Some("gone"), "False", "SomeActorsUnverified").await;
    assert_eq!(Three::stands(&status, &three.far), "Unverified ActorOffline");
    place.heal(&mail);
    place.heal(&api);
    three.told(Some("gone"), "True", "Succeeded").await;

    three.nothing_is_left().await;
    let actors: kube::Api<Actor> = kube::Api::all(three.cluster.client.clone());
    let known = async || {
        let status = actors.get_status(&three.far).await.unwrap().status.unwrap_or_default();
        (status.source_ips == [far_ip.as_str()]).then_some(())
    };
    three.cluster.until("the Actor tells where it connects from", known).await;
    three.cluster.shows_no_secret().await;
    for process in [operator, near, far] {
        process.shows_no_secret().await;
    }
}

#[tokio::test]
async fn one_wrong_password_of_a_server_with_three_actors_is_one_failed_login() {
    // promises 7 and 8
    let three = Three::new("views-wrong").await;
    let operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let _near = three.cluster.agent(&three.near, &three.near, &[]).await;
    let _far = three.cluster.agent(&three.far, &three.far, &[]).await;
    three.cluster.until("both agents are online", async || three.online().await.then_some(())).await;
    three.cluster.account("wrong", &three.user, "not-the-password-of-anyone").await;
    let account = json!({"type": "Password", "secretRef": {"name": "wrong"}});
    let verification =
        json!({"level": "Authenticate", "actors": [{"name": three.near}, {"name": three.far}, {"name": "default"}]});
    let rest = json!({"auth": account, "verification": verification});
    three.cluster.server("relay", spec(&three.stack, "SUBMISSION_PORT", "StartTLS", rest)).await;
    let status = three.told(None, "False", "AuthenticationFailed").await;
    assert!(is(&status, "CredentialHeld", "True", "CredentialHeld"), "{:?}", status.conditions);
    assert_eq!(Three::stands(&status, &three.near), "Unverified AuthenticationFailed");
    assert_eq!(Three::stands(&status, &three.far), "Pending CredentialHeld");
    assert_eq!(three.stack.log("DOVECOT_LOG", &[&three.user, "Password mismatch"]), 1, "one failed login on the server");
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn at_level_deliver_each_actor_sends_one_mail_whoever_is_killed() {
    // promises 1 and 2
    let three = Three::new("views-kill").await;
    let proxy = Proxy::to(three.stack.port("PLAIN_PORT")).await;
    let mut operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    let mut near = three.cluster.agent(&three.near, &three.near, &[]).await;
    let _far = three.cluster.agent(&three.far, &three.far, &[]).await;
    three.cluster.until("both agents are online", async || three.online().await.then_some(())).await;
    let server = |actors: Value| {
        let verification = json!({"level": "Deliver", "interval": "15m", "actors": actors, "timeout": "20s"});
        let auth = with(auth(), &json!({"allowPlaintext": true}));
        let test = json!({"to": three.user});
        let limits = json!({"messagesPerMinute": 1000});
        let rest = json!({"auth": auth, "port": proxy.port, "test": test, "limits": limits, "verification": verification});
        spec(&three.stack, "PLAIN_PORT", "None", rest)
    };
    let taken = || three.stack.taken(&three.user).into_values().collect::<Vec<_>>();
    three.cluster.server("relay", server(three.all())).await;
    three.told(None, "True", "Succeeded").await;
    assert_eq!(taken(), [1, 1, 1], "one mail from each");

    // The agent is gone before it could send, and its task with it: nothing has left.
    three.cluster.server("relay", server(json!([{"name": three.near}]))).await;
    three
        .server_when("the near one alone", |status| status.actors.len() == 1 && is(status, "Verified", "True", "Succeeded"))
        .await;
    assert_eq!(taken(), [1, 1, 1, 1]);
    proxy.hold(Point::Taken);
    three.cluster.annotate("relay", "mailverity.dev/verify-requested-at", "agent").await;
    proxy.reached().await;
    near.kill();
    proxy.let_go();
    near.start();
    let status = three.told(Some("agent"), "False", "DeliveryUncertain").await;
    assert!(is(&status, "DeliveryTested", "False", "DeliveryUncertain"), "{:?}", status.conditions);
    assert_eq!(taken(), [1, 1, 1, 1, 1], "it may have gone, and is not sent again");

    // The operator is gone while its agent sends.
    three.cluster.until("the agent is back", async || three.online().await.then_some(())).await;
    proxy.hold(Point::Dot);
    three.cluster.annotate("relay", "mailverity.dev/verify-requested-at", "operator").await;
    proxy.reached().await;
    operator.kill();
    proxy.let_go();
    operator.start();
    three.told(Some("operator"), "False", "DeliveryUncertain").await;
    assert_eq!(taken(), [1, 1, 1, 1, 1, 1]);

    three.cluster.annotate("relay", "mailverity.dev/verify-requested-at", "well").await;
    three.told(Some("well"), "True", "Succeeded").await;
    assert_eq!(taken(), [1; 7]);
    three.nothing_is_left().await;
}

#[tokio::test]
async fn a_mail_of_one_actor_is_not_sent_again_where_its_check_is_cut_off_and_another_had_failed() {
    // promises 2 and 3
    let three = Three::new("views-cut").await;
    let proxy = Proxy::to(three.stack.port("PLAIN_PORT")).await;
    let _operator = three.cluster.operator(&["--name", &three.cluster.namespace]).await;
    // No agent is there for the first.
    let actors = json!([{"name": three.far}, {"name": "default"}]);
    let verification = json!({"level": "Deliver", "interval": "24h", "actors": actors});
    let auth = with(auth(), &json!({"allowPlaintext": true}));
    let rest = json!({"auth": auth, "port": proxy.port, "test": {"to": three.user}, "verification": verification});
    proxy.hold(Point::Taken);
    three.cluster.server("relay", spec(&three.stack, "PLAIN_PORT", "None", rest)).await;
    proxy.reached().await;
    three.cluster.patch("relay", json!({"suspend": true})).await;
    let status =
        three.server_when("cut off", |status| is(status, "Suspended", "True", "Suspended") && status.actors.len() == 2).await;
    assert_eq!(Three::stands(&status, "default"), "Unverified DeliveryUncertain");
    assert!(status.claim.is_some(), "its mail may have gone");
    proxy.let_go();
    three.cluster.patch("relay", json!({"suspend": false})).await;
    let again = |status: &MailServerStatus| {
        let last = status.last_check.as_ref();
        last.is_some_and(|last| last.phase == CheckPhase::Finished && last.level == Level::Authenticate)
    };
    three.server_when("checked again without a mail", again).await;
    assert_eq!(three.stack.taken(&three.user).into_values().collect::<Vec<_>>(), [1]);
}
