//! How soon a mail that the server has taken is found in its mailbox, and known in the cluster, beside scripts that wait by
//! IDLE alone or look once a second; how soon an answer that a receiver has taken is told, and how many of them it takes. Prints
//! distributions, asserts nothing.
//!
//! Started by `benches/arrival.sh`, which also starts the mail server, the API server, the operator and two receivers. The moment of the 250
//! is taken on the way: the operator sends through a relay in this program.

mod answer;
mod relay;

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
    runtime::{WatchStreamExt, watcher},
};
use mailverity::api::v1alpha1::{EmailProfile, ProfileActorState, VERIFY_REQUESTED_AT};
use relay::Relay;
use serde_json::{Value, json};

/// Whatever went wrong: a benchmark can only say so and end.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The mails of each candidate.
const ROUNDS: usize = 50;
/// The longest that one round may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let (Ok(mail), Ok(plane)) = (env::var("MAILVERITY_BENCH_MAILSTACK"), env::var("MAILVERITY_BENCH_CONTROLPLANE")) else {
        eprintln!("start this by benches/arrival.sh (make bench), which starts the servers");
        return Ok(());
    };
    let stack = fs::read_to_string(PathBuf::from(&mail).join("env"))?;
    let value = |name: &str| {
        let line = stack.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.ok_or_else(|| format!("the mail stack's env file lacks {name}"))
    };
    let (smtp, imap) = (value("PLAIN_PORT")?, value("IMAP_PORT")?);
    let config = Kubeconfig::read_from(PathBuf::from(&plane).join("kubeconfig"))?;
    let client = Client::try_from(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?;
    let (found, known) = ours(&client, smtp.parse()?, imap.parse()?).await?;
    println!("\nfrom the SMTP 250, {ROUNDS} mails each, loopback Postfix and Dovecot\n");
    println!("{:<44}{:>10}{:>10}{:>10}{:>10}", "", "min", "median", "p90", "max");
    row("mailverity: code found (goal: median < 15 ms)", found);
    row("mailverity: Verified in the API server (< 40)", known);
    for (name, way) in [("a script that uses IDLE alone", "idle"), ("a script that looks each second", "poll")] {
        row(name, script(way, smtp, imap)?);
    }
    let told = answer::told(&client, port("MAILVERITY_BENCH_RECEIVER")?).await?;
    println!("\nfrom the receiver's 250 to an answer, {ROUNDS} answers\n");
    row("mailverity: told in the policy's status (< 50)", told);
    let (taken, created) = answer::rates(&client, port("MAILVERITY_BENCH_FLOODED")?).await?;
    println!("\nanswers that a receiver takes in a second: {taken:.0}; creates alone: {created:.0}; x {:.2}", taken / created);
    println!("goal: bounded by one create each (x near 1)");
    Ok(())
}

/// A port that `benches/arrival.sh` has chosen.
fn port(name: &str) -> Result<u16> {
    Ok(env::var(name)?.parse()?)
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len().saturating_sub(1)) * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    println!("{name:<44}{:>7.1} ms{:>7.1} ms{:>7.1} ms{:>7.1} ms", at(0), at(50), at(90), at(100));
}

/// The operator's times: until the code was found, as it tells itself, and until the profile says so.
async fn ours(client: &Client, smtp: u16, imap: u16) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let relay = Relay::to(smtp).await?;
    for manifest in manifests(relay.port, imap) {
        apply(client, &manifest).await?;
    }
    let profiles: Api<EmailProfile> = Api::default_namespaced(client.clone());
    let mut events = std::pin::pin!(watcher(profiles.clone(), watcher::Config::default()).default_backoff().applied_objects());
    let (mut found, mut known) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let asked = format!("round {round}");
        relay.forget();
        let patch = json!({"metadata": {"annotations": {VERIFY_REQUESTED_AT: asked}}});
        profiles.patch("box", &PatchParams::default(), &Patch::Merge(patch)).await?;
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let event = tokio::time::timeout_at(end, events.try_next()).await;
            let profile = event.map_err(|_| "a round did not end")??.ok_or("the watch has ended")?;
            let now = Instant::now();
            let Some(status) = profile.status.filter(|status| status.last_handled_verify_request.as_ref() == Some(&asked)) else {
                continue;
            };
            let Some(actor) = status.actors.first().filter(|actor| actor.state == ProfileActorState::Verified) else { continue };
            let (Some(taken), Some(took)) = (relay.taken(), actor.duration.as_deref()) else { continue };
            // The first round warms all up.
            if round > 0 {
                known.push(now.saturating_duration_since(taken));
                found.push(duration(took)?);
            }
            break;
        }
    }
    Ok((found, known))
}

/// `4.2ms` or `1.20s`, as statuses have it.
fn duration(told: &str) -> Result<Duration> {
    let (number, unit) = match told.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (told.strip_suffix('s').ok_or("a duration without its unit")?, 1.0),
    };
    Ok(Duration::from_secs_f64(number.parse::<f64>()? * unit))
}

async fn apply(client: &Client, manifest: &Value) -> Result<()> {
    let (group, version) = manifest["apiVersion"].as_str().and_then(|version| version.split_once('/')).unwrap_or(("", "v1"));
    let gvk = GroupVersionKind::gvk(group, version, manifest["kind"].as_str().unwrap_or_default());
    let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&gvk));
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    api.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(manifest)).await?;
    Ok(())
}

fn manifests(smtp: u16, imap: u16) -> [Value; 3] {
    let ours = "mailverity.dev/v1alpha1";
    [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "account"},
            "stringData": {"username": "alice@example.test", "password": "alice-secret"}}),
        json!({"apiVersion": ours, "kind": "MailServer", "metadata": {"name": "relay"}, "spec": {
            "host": "127.0.0.1", "port": smtp, "security": "None", "sender": {"address": "alice@example.test"},
            "auth": {"type": "Password", "allowPlaintext": true, "secretRef": {"name": "account"}},
            "limits": {"messagesPerMinute": 10000}}}),
        json!({"apiVersion": ours, "kind": "EmailProfile", "metadata": {"name": "box"}, "spec": {
            "address": "alice@example.test", "protocol": "IMAP",
            "server": {"host": "127.0.0.1", "port": imap, "security": "None"},
            "account": {"type": "Password", "allowPlaintext": true, "secretRef": {"name": "account"}},
            "verification": {"senderRef": {"name": "relay"}, "timeout": "30s"}}}),
    ]
}

/// The times of a script that sends and waits in its own way.
fn script(way: &str, smtp: &str, imap: &str) -> Result<Vec<Duration>> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/arrival/wait.py");
    let output = Command::new("python3").args([program, way, smtp, imap, &ROUNDS.to_string()]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(Duration::from_secs_f64(line.trim().parse::<f64>()?))).collect()
}
