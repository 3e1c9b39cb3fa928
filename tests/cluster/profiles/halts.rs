//! What stops a run that waits for its mail: a pause, a suspension, a maintenance window, a lost Lease. Nothing goes out
//! meanwhile, what was known stays known, and it goes on afterwards without a second mail.

use std::time::Duration;

use mailverity::api::v1alpha1::{EmailProfileStatus, ProfileActorState, SUSPEND_UNTIL, State};
use serde_json::json;

use super::{
    mailbox, mailboxes, relay,
    setting::{INBOX, RUN, logins},
};
use crate::support::{
    cluster::{Cluster, Operator, signal},
    profiles::says,
    stack::Stack,
};

/// A profile that was verified once, and whose second mail is on its way for as long as the test wants.
struct Waiting {
    stack: Stack,
    cluster: Cluster,
    user: String,
    first: EmailProfileStatus,
    mail: String,
}

impl Waiting {
    async fn new(stack: Stack, cluster: Cluster, test: &str) -> Self {
        let [_, user, elsewhere] = mailboxes(&cluster, &stack, test).await;
        relay(&cluster, &stack, json!({})).await;
        let verification = json!({"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "10m"});
        cluster.profile("box", mailbox(&stack, &user, json!({"verification": verification}))).await;
        let first = cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
        stack.sieve(&user, &format!("redirect \"{elsewhere}\";"));
        cluster.ask_profile("box", "second").await;
        let mail = stack.mail(&elsewhere, RUN).await;
        let waits = |status: &EmailProfileStatus| status.actors[0].state == ProfileActorState::AwaitingMessage;
        let status = cluster.profile_when("box", "waiting for its mail", waits).await;
        assert!(says(&status, "Verified", "True", "CodeReceived"), "while a run is under way all keep their value: {status:#?}");
        Self { stack, cluster, user, first, mail }
    }

    /// The mail comes.
    fn comes(&self) {
        self.stack.put(&self.user, INBOX, &self.mail, "");
    }

    /// It is halted for this reason, with nobody at the mailbox; the mail comes, and nobody looks at it.
    async fn is_halted(&self, operator: &Operator, reason: &str) {
        let Self { stack, cluster, user, .. } = self;
        let status = cluster.profile_condition("box", "Suspended", "True", reason).await;
        assert!(says(&status, "Verified", "True", "CodeReceived"), "{status:#?}");
        assert!(!status.conditions.iter().any(|c| c.type_ == "Ready"), "kstatus would wait for ever: {status:#?}");
        assert_eq!(status.summary.as_deref().map(str::len), Some(3));
        let left = || stack.log("DOVECOT_LOG", &["imap(", user, "Disconnected"]);
        cluster.until("the mailbox is left", async || (left() == logins(stack, user)).then_some(())).await;
        let (sessions, looked) = (logins(stack, user), operator.reconciliations().await);
        self.comes();
        // An annotation of ours brings the operator here.
        cluster.patch_profile("box", json!({"metadata": {"annotations": {"mailverity.dev/note": "x"}}})).await;
        cluster.until("another look", async || (operator.reconciliations().await > looked).then_some(())).await;
        assert_eq!(logins(stack, user), sessions, "it logged in");
        assert!(says(&cluster.profile_status("box").await, "Suspended", "True", reason));
    }

    /// It goes on, and finds the mail that it sent before.
    async fn goes_on(&self) {
        let Self { stack, cluster, user, first, .. } = self;
        let done = |status: &EmailProfileStatus| {
            status.actors[0].state == ProfileActorState::Verified && says(status, "Ready", "True", "CodeReceived")
        };
        let status = cluster.profile_when("box", "verified again", done).await;
        assert!(!status.conditions.iter().any(|c| c.type_ == "Suspended"), "{status:#?}");
        assert_ne!(status.verification.unwrap().run_id, first.verification.as_ref().unwrap().run_id);
        assert_eq!(stack.taken(user).into_values().collect::<Vec<_>>(), [1, 1], "two runs, two mails");
        cluster.removed(stack, user, RUN).await;
        cluster.profile_left("box").await;
    }
}

#[tokio::test]
async fn a_pause_leaves_the_mailbox_and_its_end_goes_on() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-pause").await);
    let operator = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-pause").await;
    let cluster = &waiting.cluster;
    cluster.pause().await;
    waiting.is_halted(&operator, "Paused").await;
    assert_eq!(cluster.profile_status("box").await.state, Some(State::Paused));
    cluster.goes_on().await;
    waiting.goes_on().await;
}

#[tokio::test]
async fn a_suspension_leaves_the_mailbox_and_its_end_goes_on() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-suspend").await);
    let operator = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-suspend").await;
    waiting.cluster.patch_profile("box", json!({"spec": {"suspend": true}})).await;
    waiting.is_halted(&operator, "Suspended").await;
    let status = waiting.cluster.profile_status("box").await;
    assert_eq!((status.observed_generation, status.state), (Some(2), Some(State::Suspended)));
    waiting.cluster.patch_profile("box", json!({"spec": {"suspend": false}})).await;
    waiting.goes_on().await;
}

#[tokio::test]
async fn a_suspension_by_annotation_ends_by_itself() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-until").await);
    let operator = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-until").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(15);
    let annotation = json!({"metadata": {"annotations": {SUSPEND_UNTIL: soon.to_string()}}});
    waiting.cluster.patch_profile("box", annotation).await;
    waiting.is_halted(&operator, "Suspended").await;
    waiting.goes_on().await;
    assert!(jiff::Timestamp::now() >= soon);
}

#[tokio::test]
async fn a_maintenance_window_leaves_the_mailbox_and_its_end_goes_on() {
    // promise 4
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-window").await);
    let operator = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-window").await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    // It began with this minute.
    let start = format!("{} {} * * *", now.minute(), now.hour());
    let window = json!([{"start": start, "duration": "1h", "timeZone": "UTC"}]);
    waiting.cluster.patch_profile("box", json!({"spec": {"maintenance": window}})).await;
    waiting.is_halted(&operator, "Maintenance").await;
    waiting.cluster.patch_profile("box", json!({"spec": {"maintenance": null}})).await;
    waiting.goes_on().await;
}

#[tokio::test]
async fn another_leader_goes_on_with_a_run_that_waits_and_the_former_one_wakes_to_nothing() {
    // promise 2
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-lease").await);
    let mut frozen = cluster.operator(&[]).await;
    cluster.until("the first leads", async || frozen.leads().await.then_some(())).await;
    let other = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-lease").await;
    let cluster = &waiting.cluster;
    let sessions = logins(&waiting.stack, &waiting.user);
    assert!(signal("STOP", &frozen.pid().to_string()));
    cluster.until("the second leads", async || other.leads().await.then_some(())).await;
    cluster.until("it looks", async || (logins(&waiting.stack, &waiting.user) > sessions).then_some(())).await;
    assert_eq!(waiting.stack.taken(&waiting.user).len(), 2, "it sent another mail");
    waiting.comes();
    waiting.goes_on().await;
    let version = async || cluster.profiles().get("box").await.unwrap().metadata.resource_version;
    let before = version().await;
    assert!(signal("CONT", &frozen.pid().to_string()));
    cluster
        .until("the first knows", async || (frozen.get("/readyz").await.is_some() && !frozen.leads().await).then_some(()))
        .await;
    assert_eq!(version().await, before, "it wrote");
    assert_eq!(waiting.stack.taken(&waiting.user).into_values().collect::<Vec<_>>(), [1, 1]);
    frozen.kill();
}

#[tokio::test]
async fn a_change_of_what_a_run_does_not_rest_on_sends_no_second_mail() {
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-change").await);
    let operator = cluster.operator(&[]).await;
    let waiting = Waiting::new(stack, cluster, "profile-change").await;
    let patch = json!({"spec": {"displayName": "a box", "verification": {"failureThreshold": 3}}});
    waiting.cluster.patch_profile("box", patch).await;
    let looked = operator.reconciliations().await;
    waiting.cluster.patch_profile("box", json!({"metadata": {"annotations": {"mailverity.dev/note": "x"}}})).await;
    waiting.cluster.until("a look", async || (operator.reconciliations().await > looked).then_some(())).await;
    let taken_up = |status: &EmailProfileStatus| status.observed_generation == Some(2);
    waiting.cluster.profile_when("box", "the run is taken up under the new spec", taken_up).await;
    waiting.comes();
    waiting.goes_on().await;
}

#[tokio::test]
async fn a_change_at_any_moment_of_a_run_costs_no_second_mail_and_leaves_none() {
    // promise 2
    let (stack, cluster) = (Stack::get(), Cluster::new("profile-moment").await);
    let _operator = cluster.operator(&[]).await;
    let [_, user, _] = mailboxes(&cluster, &stack, "profile-moment").await;
    relay(&cluster, &stack, json!({})).await;
    let verification = json!({"senderRef": {"name": "relay"}, "interval": "24h", "timeout": "10m"});
    cluster.profile("box", mailbox(&stack, &user, json!({"verification": verification}))).await;
    cluster.profile_condition("box", "Ready", "True", "CodeReceived").await;
    // A recipient is sent twelve mails an hour, and a change between the charge and the claim uses one up.
    for round in 1..=9_u64 {
        let value = format!("round {round}");
        cluster.ask_profile("box", &value).await;
        tokio::time::sleep(Duration::from_millis(round * 14)).await;
        cluster.patch_profile("box", json!({"spec": {"displayName": value}})).await;
        let done = |status: &EmailProfileStatus| {
            status.last_handled_verify_request.as_deref() == Some(value.as_str())
                && status.observed_generation == i64::try_from(round).ok().map(|round| round + 1)
                && status.actors[0].state == ProfileActorState::Verified
                && says(status, "Ready", "True", "CodeReceived")
        };
        cluster.profile_when("box", &value, done).await;
        cluster.removed(&stack, &user, RUN).await;
    }
    let mails = stack.taken(&user).into_values().collect::<Vec<_>>();
    assert_eq!(mails, [1; 10], "a run a request, and each its mail");
}
