//! An agent as its own process, with its real account and role; the operator's side is played by the test.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    coordination::v1::Lease,
    core::v1::Secret,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use mailverity::{
    api::v1alpha1::{ActorTask, ActorTaskStatus, StageResult, TaskPhase},
    verify::task::{LEASE, PRESENCE, Presence},
};
use serde_json::{Value, json};
use tokio::{io::copy_bidirectional, net::TcpListener, sync::watch};
use uuid::Uuid;

use super::support::{
    api::{ApiProxy, Hold},
    cluster::{Cluster, Operator},
    leaks,
    stack::Stack,
};

const PATIENCE: Duration = Duration::from_secs(90);
const HEADER: &str = "tests/uid/run";

/// The operator's side: a task namespace and a user whose mailbox is looked at.
struct Side {
    cluster: Cluster,
    stack: Stack,
    namespace: String,
    user: String,
    password: String,
}

impl Side {
    async fn new(test: &str) -> Self {
        let (cluster, stack) = (Cluster::new(test).await, Stack::get());
        let password = leaks::password(test);
        let user = stack.user(&format!("{}-{}", test.replace('_', "-"), Uuid::new_v4().simple()), &password).await;
        let namespace = format!("{}-tasks", cluster.namespace);
        Self { cluster, stack, namespace, user, password }
    }

    async fn agent(&self) -> Operator {
        let agent = self.cluster.agent("dmz", &self.namespace, &[]).await;
        self.holder().await;
        agent
    }

    /// Waits until an agent shows that it is alive.
    async fn holder(&self) -> String {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let holder = async || leases.get_opt(LEASE).await.ok()??.spec?.holder_identity;
        self.cluster.until("an agent is alive", holder).await
    }

    fn tasks(&self) -> Api<ActorTask> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// A task to look for a mail, or to open the mailbox where `search` is null.
    fn spec(&self, search: Value) -> Value {
        let mut spec = json!({
            "protocol": 1, "actor": "dmz", "object": "EmailProfile team/box", "run": "run",
            "endpoint": {
                "host": "localhost", "port": self.stack.port("IMAPS_PORT"), "security": "TLS",
                "ca": String::from_utf8(self.stack.ca()).unwrap(), "user": self.user, "mechanisms": ["Auto"],
                "timeoutMillis": 20_000,
            },
            "mailbox": {"protocol": "IMAP", "folder": "INBOX"},
        });
        if !search.is_null() {
            spec["search"] = search;
        }
        spec
    }

    fn searching(&self) -> Value {
        let search = json!({"header": HEADER, "domain": "example.test", "cleanup": "Delete", "timeoutMillis": 60_000});
        self.spec(search)
    }

    /// A task to check the server, and to send it a mail to oneself at level Deliver.
    fn checking(&self, level: &str) -> Value {
        let mut spec = self.spec(Value::Null);
        spec.as_object_mut().unwrap().remove("mailbox");
        spec["object"] = json!("MailServer team/relay");
        spec["endpoint"]["port"] = json!(self.stack.port("SUBMISSION_PORT"));
        spec["endpoint"]["security"] = json!("StartTLS");
        spec["server"] = json!({"level": level, "helo": "example.test"});
        if level == "Deliver" {
            let test = json!({"to": self.user});
            spec["server"]["mail"] =
                json!({"sender": {"address": self.user}, "test": test, "installation": "tests", "uid": "uid"});
        }
        spec
    }

    async fn put(&self, name: &str, spec: &Value) -> ActorTask {
        let task =
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "ActorTask", "metadata": {"name": name}, "spec": spec});
        self.tasks().create(&PostParams::default(), &serde_json::from_value(task).unwrap()).await.unwrap()
    }

    /// A task with its Secret, and the code in it.
    async fn task(&self, name: &str, spec: &Value) -> Uuid {
        let task = self.put(name, spec).await;
        self.secret(&task, &self.password).await
    }

    async fn secret(&self, task: &ActorTask, password: &str) -> Uuid {
        let code = Uuid::new_v4();
        let owner =
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "ActorTask", "name": task.name_any(), "uid": task.uid()});
        let secret = json!({
            "metadata": {"name": task.name_any(), "ownerReferences": [owner]},
            "stringData": {"password": password, "code": code.to_string()},
        });
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        code
    }

    async fn patch(&self, name: &str, spec: Value) {
        self.tasks().patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    }

    async fn status(&self, name: &str) -> Option<ActorTaskStatus> {
        self.tasks().get(name).await.unwrap().status
    }

    async fn phase(&self, name: &str, phase: TaskPhase) -> ActorTaskStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name).await;
            if let Some(status) = status.clone().filter(|status| status.phase == phase) {
                return status;
            }
            assert!(Instant::now() < end, "{name}: not {phase:?}: {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn maildir(&self) -> PathBuf {
        PathBuf::from(self.stack.var("MAIL_DIR")).join(&self.user)
    }

    /// Delivers a mail.
    fn deliver(&self, subject: &str) {
        let owner = {
            use std::os::unix::fs::MetadataExt;
            let folder = fs::metadata(self.stack.var("MAIL_DIR")).unwrap();
            (Some(folder.uid()), Some(folder.gid()))
        };
        let dir = self.maildir();
        let name = Uuid::new_v4().simple().to_string();
        let results = "Authentication-Results: mx.example.test; spf=pass; dkim=fail; dmarc=none";
        let text =
            format!("{results}\r\nFrom: a@example.test\r\nSubject: {subject}\r\nX-Mailverity-Run: {HEADER}\r\n\r\nbody\r\n");
        fs::write(dir.join("tmp").join(&name), text).unwrap();
        chown(dir.join("tmp").join(&name), owner.0, owner.1).unwrap();
        fs::rename(dir.join("tmp").join(&name), dir.join("new").join(&name)).unwrap();
    }

    fn mails(&self) -> usize {
        ["new", "cur"].iter().map(|part| fs::read_dir(self.maildir().join(part)).map_or(0, Iterator::count)).sum()
    }

    /// How often a session of the user was ended in order.
    fn goodbyes(&self) -> usize {
        self.stack.log("DOVECOT_LOG", &[&format!("imap({})", self.user), "Logged out"])
    }

    /// Waits until the agent waits for the mail in IDLE, for one time more than this.
    async fn idles(&self, agent: &Operator, before: usize) {
        let idles = async || (agent.log().matches("command client=\"IDLE\"").count() > before).then_some(());
        self.cluster.until("the agent waits in IDLE", idles).await;
    }

    async fn goodbye(&self, before: usize) {
        self.cluster.until("the session is left in order", async || (self.goodbyes() > before).then_some(())).await;
    }
}

#[tokio::test]
async fn an_agent_notes_what_the_mailbox_holds_and_finds_the_mail_that_is_sent_then() {
    let side = Side::new("agent_finds").await;
    let agent = side.agent().await;
    let code = side.task("find", &side.searching()).await;
    let noted = side.phase("find", TaskPhase::Noted).await;
    assert!(noted.mark.as_deref().unwrap().starts_with("IMAP/"), "{noted:?}");
    assert_eq!(noted.claimed_by, side.holder().await);
    side.deliver("a stranger's mail");
    side.deliver(&format!("mailverity check ({code})"));
    side.patch("find", json!({"dispatched": {"messageID": "<m@example.test>", "envelopeID": "e"}})).await;
    let done = side.phase("find", TaskPhase::Done).await;
    let result = done.result.unwrap();
    assert!(result.found && result.failure.is_none(), "{result:?}");
    assert_eq!((result.login.as_deref(), done.mark), (Some("Accepted"), noted.mark));
    assert!(result.took_millis.unwrap() < 30_000);
    let results = result.authentication_results.unwrap();
    assert_eq!((results.spf.as_deref(), results.dkim.as_deref()), (Some("pass"), Some("fail")));
    for stage in ["Secrets", "DNS", "TCP", "TLS", "Greeting", "AUTH", "Select", "Fetch"] {
        let passed = result.stages.iter().any(|known| known.name == stage && known.result == StageResult::Passed);
        assert!(passed, "{stage}: {:?}", result.stages);
    }
    assert_eq!(result.tls.unwrap().version.as_deref(), Some("TLSv1.3"));
    assert!(result.source_ip.is_some() && result.folder.unwrap().name == "INBOX");
    assert_eq!(side.mails(), 2, "what is not noted by the operator is not removed");
    side.patch("find", json!({"noted": true})).await;
    side.cluster.until("the mail is removed", async || (side.mails() == 1).then_some(())).await;
    let left = fs::read_dir(side.maildir().join("new")).unwrap().chain(fs::read_dir(side.maildir().join("cur")).unwrap());
    let left = fs::read_to_string(left.flatten().next().unwrap().path()).unwrap();
    assert!(left.contains("a stranger's mail"), "the stranger's stays: {left}");
    let status = serde_json::to_string(&side.tasks().get("find").await.unwrap()).unwrap();
    leaks::none_in("the task", &status);
    assert!(!agent.log().contains(&code.to_string()) && !status.contains(&code.to_string()));
}

#[tokio::test]
async fn a_mail_that_was_sent_before_the_task_was_made_is_found() {
    let side = Side::new("agent_resumes").await;
    let _agent = side.agent().await;
    let mut spec = side.searching();
    spec["search"]["resumeMillis"] = json!(30_000);
    spec["dispatched"] = json!({"messageID": "<m@example.test>"});
    side.task("first", &side.spec(Value::Null)).await;
    // Opening it made the maildir.
    side.phase("first", TaskPhase::Done).await;
    let task = side.put("resume", &spec).await;
    // The Secret comes a moment later.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let code = side.secret(&task, &side.password).await;
    side.deliver(&format!("({code})"));
    let result = side.phase("resume", TaskPhase::Done).await.result.unwrap();
    assert!(result.found && result.took_millis.is_none(), "{result:?}");
}

#[tokio::test]
async fn a_mailbox_is_opened_and_a_wrong_password_is_told_in_the_servers_words() {
    let side = Side::new("agent_visits").await;
    let agent = side.agent().await;
    side.task("visit", &side.spec(Value::Null)).await;
    let result = side.phase("visit", TaskPhase::Done).await.result.unwrap();
    assert!(result.failure.is_none() && !result.found, "{result:?}");
    assert_eq!((result.login.as_deref(), result.folder.unwrap().messages), (Some("Accepted"), 0));

    let task = side.put("wrong", &side.searching()).await;
    side.secret(&task, &leaks::password("not-this-one")).await;
    let result = side.phase("wrong", TaskPhase::Done).await.result.unwrap();
    let failure = result.failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.class.as_str(), failure.stage.as_deref()),
        ("AuthenticationFailed", "User", Some("AUTH"))
    );
    assert!(failure.words.as_deref().unwrap().contains("Authentication failed"), "{failure:?}");
    assert_eq!(result.login.as_deref(), Some("Refused"));
    assert_eq!(failure.facts.get("user"), Some(&side.user));
    assert!(!failure.facts.contains_key("secret"), "the task's Secret is no user's");
    agent.shows_no_secret().await;
}

#[tokio::test]
async fn a_server_is_checked_and_sent_a_mail_only_with_leave() {
    let side = Side::new("agent_checks").await;
    let agent = side.agent().await;
    side.task("check", &side.checking("Authenticate")).await;
    let result = side.phase("check", TaskPhase::Done).await.result.unwrap();
    assert!(result.failure.is_none() && result.delivery.is_none(), "{result:?}");
    assert_eq!((result.login.as_deref(), result.helo.as_deref()), (Some("Accepted"), Some("example.test")));
    assert!(result.capabilities.unwrap().extensions.contains(&"PIPELINING".to_owned()));

    // promise 1
    let code = side.task("deliver", &side.checking("Deliver")).await;
    side.phase("deliver", TaskPhase::Noted).await;
    assert!(side.stack.taken(&side.user).is_empty(), "nothing is sent before there is leave");
    side.patch("deliver", json!({"dispatched": {}})).await;
    let result = side.phase("deliver", TaskPhase::Done).await.result.unwrap();
    let delivery = result.delivery.unwrap();
    assert!(delivery.dot_sent && delivery.accepted.unwrap().starts_with("250 "), "{:?}", result.failure);
    assert!(side.stack.mail(&side.user, "X-Mailverity-Run: tests/uid/run").await.contains(&format!("({code})")));

    // One that is not wanted any more before it had leave sends nothing.
    side.task("deleted", &side.checking("Deliver")).await;
    side.phase("deleted", TaskPhase::Noted).await;
    side.tasks().delete("deleted", &DeleteParams::default()).await.unwrap();
    side.task("next", &side.checking("Authenticate")).await;
    side.phase("next", TaskPhase::Done).await;
    assert_eq!(side.stack.taken(&side.user).into_values().collect::<Vec<_>>(), [1]);
    agent.shows_no_secret().await;
}

#[tokio::test]
async fn a_task_whose_secret_does_not_come_or_is_anothers_fails_in_words() {
    let side = Side::new("agent_no_secret").await;
    let _agent = side.agent().await;
    let mut labs = side.searching();
    labs["actor"] = json!("lab");
    let other = side.put("other", &labs).await;
    let mine = side.put("mine", &side.searching()).await;
    // Of the right name, and owned by another task: its password may be for another host.
    let mut stranger = other.clone();
    stranger.metadata.name = mine.metadata.name.clone();
    side.secret(&stranger, &side.password).await;
    let failure = side.phase("mine", TaskPhase::Done).await.result.unwrap().failure.unwrap();
    assert_eq!((failure.reason.as_str(), failure.stage.as_deref()), ("SecretNotFound", Some("Secrets")));
    assert!(failure.detail.unwrap().contains("that belongs to the task"));
}

#[tokio::test]
async fn tasks_of_others_are_left_alone() {
    let side = Side::new("agent_leaves_alone").await;
    let claimed = json!({"status": {"phase": "Claimed", "claimedBy": "somebody_else"}});
    side.cluster.agent_rights("dmz", &side.namespace).await;
    for (name, change) in [("lab", json!({"actor": "lab"})), ("newer", json!({"protocol": 2}))] {
        let mut spec = side.searching();
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        side.task(name, &spec).await;
    }
    side.task("claimed", &side.searching()).await;
    side.tasks().patch_status("claimed", &PatchParams::default(), &Patch::Merge(claimed)).await.unwrap();
    let _agent = side.agent().await;
    side.task("mine", &side.spec(Value::Null)).await;
    side.phase("mine", TaskPhase::Done).await;
    for name in ["lab", "newer"] {
        assert_eq!(side.status(name).await, None, "{name}");
    }
    assert_eq!(side.status("claimed").await.unwrap().claimed_by, "somebody_else");
}

#[tokio::test]
async fn a_task_that_changes_while_it_is_claimed_is_claimed_as_it_is_now() {
    let side = Side::new("agent_claims").await;
    let kubeconfig = side.cluster.agent_rights("dmz", &side.namespace).await;
    let api = ApiProxy::to(kubeconfig.to_str().unwrap()).await;
    let agent = side.cluster.agent_by(behind(&kubeconfig, &api), "dmz", &side.namespace, &[]);
    side.holder().await;
    for (name, actor, phase) in [("mine", "dmz", Some(TaskPhase::Done)), ("given", "lab", None)] {
        api.hold(Hold::Taking, &format!("actortasks/{name}"));
        side.task(name, &side.spec(Value::Null)).await;
        api.reached().await;
        side.patch(name, json!({"actor": actor, "run": "another"})).await;
        api.let_go();
        if let Some(phase) = phase {
            side.phase(name, phase).await;
        }
    }
    side.task("next", &side.spec(Value::Null)).await;
    side.phase("next", TaskPhase::Done).await;
    assert_eq!(side.status("given").await, None, "it is another's now");

    // It is claimed, and the agent does not hear of it: its own claim is no other's.
    api.hold(Hold::Taken, "actortasks/unheard");
    side.task("unheard", &side.spec(Value::Null)).await;
    api.reached().await;
    side.phase("unheard", TaskPhase::Done).await;
    assert!(agent.log().contains("could not be claimed"));
    api.let_go();
}

/// A kubeconfig that leads through a proxy.
fn behind(kubeconfig: &Path, api: &ApiProxy) -> PathBuf {
    let mut config: Value = serde_yaml::from_str(&fs::read_to_string(kubeconfig).unwrap()).unwrap();
    config["clusters"][0]["cluster"] = json!({"server": format!("http://127.0.0.1:{}", api.port)});
    let path = kubeconfig.with_extension("behind");
    fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn a_deleted_task_leaves_the_mailbox_in_order() {
    let side = Side::new("agent_deleted").await;
    let agent = side.agent().await;
    // Before anything is sent.
    side.task("unsent", &side.searching()).await;
    side.phase("unsent", TaskPhase::Noted).await;
    let before = side.goodbyes();
    side.tasks().delete("unsent", &DeleteParams::default()).await.unwrap();
    side.goodbye(before).await;
    // While it is looked for: the server is waited for in IDLE by then.
    side.task("sent", &side.searching()).await;
    side.phase("sent", TaskPhase::Noted).await;
    side.patch("sent", json!({"dispatched": {}})).await;
    side.idles(&agent, 0).await;
    let before = side.goodbyes();
    side.tasks().delete("sent", &DeleteParams::default()).await.unwrap();
    side.goodbye(before).await;
    side.task("next", &side.spec(Value::Null)).await;
    side.phase("next", TaskPhase::Done).await;
    assert!(side.tasks().get_opt("sent").await.unwrap().is_none());
}

#[tokio::test]
async fn an_agent_that_was_killed_leaves_its_old_tasks_alone_and_takes_new_ones() {
    let side = Side::new("agent_killed").await;
    let mut agent = side.agent().await;
    side.task("old", &side.searching()).await;
    let first = side.phase("old", TaskPhase::Noted).await;
    agent.kill();
    agent.start();
    side.task("new", &side.spec(Value::Null)).await;
    let second = side.phase("new", TaskPhase::Done).await;
    assert_ne!(first.claimed_by, second.claimed_by);
    assert_eq!(side.status("old").await, Some(first));
}

#[tokio::test]
async fn an_agent_that_is_told_to_end_leaves_its_mailbox_gives_its_lease_back_and_another_goes_on() {
    let side = Side::new("agent_ends").await;
    let mut agent = side.agent().await;
    let first = side.holder().await;
    let kubeconfig = side.cluster.config_of("mailverity-agent", &side.namespace).await;
    let standby = side.cluster.agent_by(kubeconfig, "dmz", &side.namespace, &[]);
    side.task("old", &side.searching()).await;
    let noted = side.phase("old", TaskPhase::Noted).await;
    side.patch("old", json!({"dispatched": {}})).await;
    assert_eq!(noted.claimed_by, first);
    side.cluster.until("the standby waits", async || standby.log().contains("is at work").then_some(())).await;
    let before = side.goodbyes();
    let took = tokio::task::spawn_blocking(move || agent.stop()).await.unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
    side.goodbye(before).await;
    side.task("new", &side.spec(Value::Null)).await;
    assert_ne!(side.phase("new", TaskPhase::Done).await.claimed_by, first);
    assert_eq!(side.status("old").await, Some(noted), "what was left has no result");
}

/// A way to the API server that can be taken away.
async fn way(to: u16) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, is_open) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut is_open = is_open.clone();
            tokio::spawn(async move {
                if !*is_open.borrow() {
                    return;
                }
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = is_open.wait_for(|open| !open) => {}
                }
            });
        }
    });
    (port, open)
}

#[tokio::test]
async fn an_api_server_that_is_away_delays_a_result_and_loses_none() {
    let side = Side::new("agent_outage").await;
    let kubeconfig = side.cluster.agent_rights("dmz", &side.namespace).await;
    let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&kubeconfig).unwrap()).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
    let (host, port) = server.rsplit_once(':').unwrap();
    let (through, open) = way(port.trim_end_matches('/').parse().unwrap()).await;
    config["clusters"][0]["cluster"]["server"] = json!(format!("{host}:{through}"));
    fs::write(&kubeconfig, serde_yaml::to_string(&config).unwrap()).unwrap();
    let agent = side.cluster.agent_by(kubeconfig, "dmz", &side.namespace, &[]);
    side.holder().await;
    let code = side.task("find", &side.searching()).await;
    side.phase("find", TaskPhase::Noted).await;
    side.patch("find", json!({"dispatched": {}})).await;
    side.idles(&agent, 0).await;
    open.send_replace(false);
    side.deliver(&format!("({code})"));
    side.cluster.until("it could not tell", async || agent.log().contains("could not be written").then_some(())).await;
    side.task("later", &side.spec(Value::Null)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(side.mails(), 1, "nobody knows of it yet");
    open.send_replace(true);
    assert!(side.phase("find", TaskPhase::Done).await.result.unwrap().found);
    side.patch("find", json!({"noted": true})).await;
    side.cluster.until("the mail is removed", async || (side.mails() == 0).then_some(())).await;
    side.phase("later", TaskPhase::Done).await;
}

#[tokio::test]
async fn the_sign_of_life_tells_where_the_agent_stands() {
    let side = Side::new("agent_lives").await;
    let _agent = side.agent().await;
    let leases: Api<Lease> = Api::namespaced(side.cluster.client.clone(), &side.namespace);
    let lease = leases.get(LEASE).await.unwrap();
    let presence = Presence::read(&lease.annotations()[PRESENCE]).unwrap();
    assert_eq!(presence.version, env!("CARGO_PKG_VERSION"));
    let spec = lease.spec.unwrap();
    assert!(spec.holder_identity.unwrap().starts_with(&presence.pod) && !presence.pod.is_empty());
    assert_eq!(spec.lease_duration_seconds, Some(30));
    assert!(presence.interfaces.iter().all(|line| line.contains('/') && !line.contains("127.0.0.1")), "{presence:?}");
    let first = spec.renew_time.unwrap();
    let renewed = async || (leases.get(LEASE).await.ok()?.spec?.renew_time? != first).then_some(());
    side.cluster.until("it is renewed", renewed).await;
}

#[tokio::test]
async fn an_agent_may_do_its_tasks_and_nothing_else() {
    let side = Side::new("agent_rights").await;
    let kubeconfig = side.cluster.agent_rights("dmz", &side.namespace).await;
    let other = format!("{}-other", side.cluster.namespace);
    side.cluster.agent_rights("lab", &other).await;
    side.task("mine", &side.searching()).await;
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    // Real requests, each refused.
    let refused = |result: Result<(), kube::Error>, what: &str| match result {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{what}"),
        other => panic!("{what}: {other:?}"),
    };
    let (mine, theirs) = (side.namespace.as_str(), other.as_str());
    let secrets = |namespace| Api::<Secret>::namespaced(client.clone(), namespace);
    let tasks = |namespace| Api::<ActorTask>::namespaced(client.clone(), namespace);
    secrets(mine).get("mine").await.unwrap();
    refused(secrets(mine).list(&ListParams::default()).await.map(drop), "list Secrets");
    refused(secrets(theirs).get("mine").await.map(drop), "another's Secret");
    refused(secrets(&side.cluster.namespace).get("account").await.map(drop), "a user's Secret");
    refused(tasks(theirs).list(&ListParams::default()).await.map(drop), "another's tasks");
    let spec = Patch::Merge(json!({"spec": {"noted": true}}));
    refused(tasks(mine).patch("mine", &PatchParams::default(), &spec).await.map(drop), "a task's spec");
    refused(tasks(mine).delete("mine", &DeleteParams::default()).await.map(drop), "delete a task");
    let created = serde_json::from_value::<Secret>(json!({"metadata": {"name": "mine-too"}})).unwrap();
    refused(secrets(mine).create(&PostParams::default(), &created).await.map(drop), "create a Secret");
    // And every other right on everything that is near.
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let may = async |verb: &str, group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let resource_attributes = Some(ResourceAttributes {
            verb: set(verb),
            group: set(group),
            resource: set(resource),
            subresource: set(subresource),
            namespace: set(namespace),
            name: set(name),
            ..ResourceAttributes::default()
        });
        let spec = SelfSubjectAccessReviewSpec { resource_attributes, ..SelfSubjectAccessReviewSpec::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    let mut granted = Vec::new();
    for (group, resource, subresource, name) in [
        ("mailverity.dev", "actortasks", "", ""),
        ("mailverity.dev", "actortasks", "status", ""),
        ("mailverity.dev", "actors", "", ""),
        ("mailverity.dev", "emailprofiles", "", ""),
        ("", "secrets", "", ""),
        ("", "configmaps", "", ""),
        ("", "pods", "", ""),
        ("", "serviceaccounts", "token", ""),
        ("coordination.k8s.io", "leases", "", ""),
        ("coordination.k8s.io", "leases", "", LEASE),
        ("rbac.authorization.k8s.io", "roles", "", ""),
    ] {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
            if may(verb, group, resource, subresource, mine, name).await {
                granted.push(format!("{verb} {resource}/{subresource} {name}").trim().to_owned());
            }
            assert!(!may(verb, group, resource, subresource, theirs, name).await, "{verb} {resource} of another");
        }
    }
    assert_eq!(
        granted,
        [
            "get actortasks/",
            "list actortasks/",
            "watch actortasks/",
            "patch actortasks/status",
            "get secrets/",
            "get leases/ mailverity-agent",
            "update leases/ mailverity-agent"
        ]
    );
}
