//! How soon an answer that the receiver has taken is told in its policy's status; and how many answers it takes in a second,
//! beside the creates that the API server takes, which each of them needs one of.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use mailverity::api::v1alpha1::{ProbeReply, RoundTripPolicy, RoundTripPolicyStatus, VERIFY_REQUESTED_AT};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use uuid::Uuid;

use super::{PATIENCE, ROUNDS, Result, apply};

/// The namespace whose policies no operator looks after: what a receiver puts down for them stays there.
pub const FLOOD: &str = "flood";
/// Where that receiver puts it.
const FLOODED: &str = "flood-replies";
/// Answers in a round of these, the connections that they come by, and rounds.
const ANSWERS: usize = 1000;
const AT_ONCE: usize = 20;
const IN_TURN: usize = 3;

/// The times from the receiver's 250 until the policy's status tells of the answer, as a watch of the API server shows it.
pub async fn told(client: &Client, receiver: u16) -> Result<Vec<Duration>> {
    let [inbound, policy] = manifests("inbound", receiver);
    for manifest in [inbound, policy] {
        apply(client, &manifest).await?;
    }
    let policies: Api<RoundTripPolicy> = Api::default_namespaced(client.clone());
    let mut events = std::pin::pin!(watcher(policies.clone(), watcher::Config::default()).default_backoff().applied_objects());
    let mut smtp = Smtp::connect(receiver).await?;
    let (mut told, mut taken) = (Vec::new(), None::<(String, Instant)>);
    // The first of them is due at once, and warms all up.
    while told.len() <= ROUNDS {
        let event = tokio::time::timeout(PATIENCE * 2, events.try_next()).await;
        let policy = event.map_err(|_| "a probe is not settled")??.ok_or("the watch has ended")?;
        let (now, status) = (Instant::now(), policy.status.unwrap_or_default());
        if let Some((id, at)) = &taken {
            if settled(&status, id) {
                told.push(now.saturating_duration_since(*at));
                taken = None;
                let patch = json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: format!("round {}", told.len())}}});
                policies.patch("answered", &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            continue;
        }
        let Some(probe) = status.in_flight.filter(|probe| probe.sent_at.is_some()) else { continue };
        smtp.bring(&probe.id, "inbound").await?;
        taken = Some((probe.id, Instant::now()));
    }
    Ok(told.split_off(1))
}

fn settled(status: &RoundTripPolicyStatus, id: &str) -> bool {
    let healthy = status.conditions.iter().any(|c| c.type_ == "RoundTripHealthy" && c.status == "True");
    healthy && status.last_round_trip.as_ref().is_some_and(|last| last.id == id && last.result == "Succeeded")
}

/// Answers in a second that a receiver takes, and creates in a second that the API server does, each the median of some rounds.
pub async fn rates(client: &Client, receiver: u16) -> Result<(f64, f64)> {
    let [mut inbound, policy] = manifests(FLOOD, receiver);
    inbound["metadata"]["namespace"] = json!(FLOOD);
    let receivers: Api<mailverity::api::v1alpha1::MailReceiver> = Api::namespaced(client.clone(), FLOOD);
    receivers.create(&PostParams::default(), &serde_json::from_value(inbound)?).await?;
    let policies: Api<RoundTripPolicy> = Api::namespaced(client.clone(), FLOOD);
    let ids: Vec<String> = (0..ANSWERS).map(|_| Uuid::new_v8(*Uuid::new_v4().as_bytes()).to_string()).collect();
    let claims = ids.iter().enumerate().map(|(number, id)| claim(&policies, &policy, number, id));
    stream::iter(claims).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    let listening = async {
        while receivers.get(FLOOD).await?.status.is_none_or(|status| status.listeners.is_empty()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Result::Ok(())
    };
    tokio::time::timeout(PATIENCE, listening).await.map_err(|_| "no receiver listens")??;

    let replies: Api<ProbeReply> = Api::namespaced(client.clone(), FLOODED);
    let (mut taken, mut created) = (Vec::new(), Vec::new());
    // The first round warms all up.
    for round in 0..=IN_TURN {
        let answers = flood(&ids, receiver).await?;
        let there = empty(&replies).await?;
        if there.len() != ANSWERS {
            return Err(format!("{ANSWERS} answers were taken, and {} are there", there.len()).into());
        }
        let begun = Instant::now();
        stream::iter(there.iter().map(|reply| create(&replies, reply)))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        let alone = rate(begun.elapsed());
        empty(&replies).await?;
        if round > 0 {
            taken.push(answers);
            created.push(alone);
        }
    }
    Ok((median(taken), median(created)))
}

/// Each of the answers once, by a few connections at the same time.
async fn flood(ids: &[String], receiver: u16) -> Result<f64> {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let client = async || {
        let mut smtp = Smtp::connect(receiver).await?;
        while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            smtp.bring(id, FLOOD).await?;
        }
        Result::Ok(())
    };
    try_join_all((0..AT_ONCE).map(|_| client())).await?;
    Ok(rate(begun.elapsed()))
}

/// A policy with a probe under way, as an operator would have written it.
async fn claim(policies: &Api<RoundTripPolicy>, policy: &Value, number: usize, id: &str) -> Result<()> {
    let (mut object, name) = (policy.clone(), format!("answered-{number}"));
    object["metadata"] = json!({"name": name});
    policies.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    let time = jiff::Timestamp::now();
    let flying = json!({"id": id, "attempt": 1, "claimedAt": format!("{time:.6}"), "sentAt": format!("{time:.6}"),
        "deadline": format!("{:.6}", time + Duration::from_hours(1)), "from": "alice@example.test"});
    policies.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": {"inFlight": flying}}))).await?;
    Ok(())
}

async fn create(replies: &Api<ProbeReply>, reply: &ProbeReply) -> Result<()> {
    let mut again = ProbeReply::new(&reply.name_any(), reply.spec.clone());
    again.metadata.labels.clone_from(&reply.metadata.labels);
    replies.create(&PostParams::default(), &again).await?;
    Ok(())
}

/// Deletes what is there; returns it.
async fn empty(replies: &Api<ProbeReply>) -> Result<Vec<ProbeReply>> {
    let there = replies.list(&ListParams::default()).await?.items;
    replies.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    Ok(there)
}

#[allow(clippy::cast_precision_loss, reason = "for people, who read three digits of it")]
fn rate(took: Duration) -> f64 {
    ANSWERS as f64 / took.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A receiver of a domain of its own name, and a policy whose answers come to it: the program answers.
fn manifests(name: &str, port: u16) -> [Value; 2] {
    let ours = "mailverity.dev/v1alpha1";
    [
        json!({"apiVersion": ours, "kind": "MailReceiver", "metadata": {"name": name}, "spec": {
            "domains": [format!("{name}.test")], "listener": {"port": port}}}),
        json!({"apiVersion": ours, "kind": "RoundTripPolicy", "metadata": {"name": "answered"}, "spec": {
            "serverRef": {"name": "relay"}, "to": "alice@example.test", "message": {"body": "please answer this mail"},
            "interval": "24h", "receive": {"receiverRef": {"name": name}}}}),
    ]
}

/// A client that brings answers, one after the other.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut smtp = Self(BufReader::new(stream));
        smtp.hear("220").await?;
        smtp.say("EHLO partner.test\r\n", "250").await?;
        Ok(smtp)
    }

    /// The answer to a probe; ends when it is taken.
    async fn bring(&mut self, id: &str, site: &str) -> Result<()> {
        let body = "From: alice@example.test\r\nSubject: Re: round trip";
        self.say("MAIL FROM:<alice@example.test>\r\n", "250").await?;
        self.say(&format!("RCPT TO:<notify+{id}@{site}.test>\r\n"), "250").await?;
        self.say("DATA\r\n", "354").await?;
        self.say(&format!("{body} ({id})\r\n\r\n> please answer this mail\r\nhere it is\r\n.\r\n"), "250").await
    }

    async fn say(&mut self, words: &str, code: &str) -> Result<()> {
        self.0.write_all(words.as_bytes()).await?;
        self.hear(code).await
    }

    async fn hear(&mut self, code: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return if line.starts_with(code) { Ok(()) } else { Err(format!("the receiver said {line:?}").into()) };
            }
        }
    }
}
