//! Mailboxes over Microsoft Graph and the Gmail API, which `support::cloud` plays: what is asked, what is found, what is removed,
//! and what is told where they refuse, lie or are late. Whatever holds for both is tried with both.

mod finding;
mod lying;
mod opening;
mod refusing;
mod removing;
mod waiting;

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    mail::{
        Diagnosis, Vantage,
        dns::Resolver,
        guard::Guard,
        https::{Hosts, Https},
        mailbox::{Cleanup, Mark},
        tls::certificates,
    },
    verify::{
        Gate, Open, Report,
        email_profile::inputs,
        fingerprint::Key,
        mailbox::{
            self,
            attend::{Begin, Dispatch, Dispatched, Finding, Patience, Search, attend},
        },
        resolve::About,
        tokens::Tokens,
    },
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    support::{
        cloud::{Cloud, Memory, secret},
        references::Given,
    },
    world::CODE,
};

const USER: &str = "box@corp.test";
const RUN: &str = "here/uid/7";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Graph,
    Gmail,
}

const BOTH: [Api; 2] = [Api::Graph, Api::Gmail];

/// A played provider, and a mailbox there.
struct Scene {
    api: Api,
    cloud: Cloud,
    letters: Memory,
    inputs: mailbox::Inputs,
    timeout: Duration,
    cleanup: Cleanup,
}

impl Scene {
    async fn of(api: Api) -> Self {
        Self::written(api, json!({}), |_| Hosts::Any).await
    }

    /// With something else in the spec.
    async fn written(api: Api, rest: Value, hosts: impl FnOnce(u16) -> Hosts) -> Self {
        let letters = Memory::of(USER);
        let cloud = Cloud::with(letters.clone());
        let mut spec = match api {
            Api::Graph => json!({"protocol": "MicrosoftGraph", "graph": cloud.graph()}),
            Api::Gmail => json!({"protocol": "GmailAPI", "gmail": cloud.gmail()}),
        };
        spec["address"] = json!(USER);
        spec["verification"] = json!({"senderRef": {"name": "relay"}});
        merge(&mut spec, rest);
        let https = Https::new(here(), &certificates(cloud.ca.as_bytes()).unwrap(), hosts(cloud.port));
        let given = Given::default()
            .secret("app", &[("clientSecret", secret().as_bytes())])
            .secret("consent", &[("refresh_token", Cloud::consent_of(USER).as_bytes())])
            .with_tokens(Arc::new(Tokens::new(https)));
        let key = Key::new(b"test");
        let about =
            About { namespace: "mail", name: "box", uid: "uid", kind: "EmailProfile", key: &key, require_allowed_hosts: false };
        let spec = serde_json::from_value(spec).unwrap();
        let (inputs, cleanup) = inputs::mailbox(&spec, &about, &given).await.unwrap();
        Self { api, cloud, letters, inputs, timeout: Duration::from_secs(20), cleanup }
    }

    async fn checks(&self) -> Report {
        self.checks_at(&Open).await
    }

    async fn checks_at(&self, gate: &dyn Gate) -> Report {
        Box::pin(mailbox::check(&self.inputs, &here(), gate, None)).await
    }

    /// Searches for a mail; what is sent is put into the mailbox by `sends`.
    async fn searches(&self, sends: impl FnMut(&Memory) + Send) -> Finding {
        let search = Search {
            code: CODE,
            run: Some(RUN),
            cleanup: self.cleanup,
            timeout: self.timeout,
            patience: Patience::Stay,
            earlier: Some(&|run| if run == "6" { vec![EARLIER.parse().unwrap()] } else { Vec::new() }),
            witness: None,
        };
        let mut sends = Sends { letters: self.letters.clone(), puts: sends };
        attend(&self.inputs, &here(), &Open, &search, Begin::Send(&mut sends), None).await
    }

    /// What is asked for, without the host: a list of messages, one message, the removal of one.
    fn list(&self) -> &'static str {
        if self.api == Api::Graph { "inbox==/messages?" } else { "/messages?labelIds=INBOX" }
    }
}

/// The code of the run before.
const EARLIER: &str = "0190a7d2-5a3c-8f10-9c1e-2b6f0a4d7e11";

fn merge(into: &mut Value, rest: Value) {
    match (into, rest) {
        (Value::Object(into), Value::Object(rest)) => {
            for (key, value) in rest {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, rest) => *into = rest,
    }
}

fn here() -> Vantage {
    Vantage { actor: "default".into(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None }
}

/// Our mail.
fn ours() -> String {
    of_run(RUN, &CODE.to_string())
}

fn of_run(run: &str, code: &str) -> String {
    format!(
        "Authentication-Results: mx.corp.test; spf=pass smtp.mailfrom=probe@sender.test\r\nFrom: probe@sender.test\r\nTo: {USER}\r\n\
         Subject: [EXTERNAL] mailverity check\r\n ({code})\r\nX-Mailverity-Run: {run}\r\n\r\nyou\r\n"
    )
}

fn foreign(number: usize) -> String {
    format!("From: a@b.test\r\nTo: {USER}\r\nSubject: hello {number}\r\n\r\nyou\r\n")
}

struct Sends<F> {
    letters: Memory,
    puts: F,
}

impl<F: FnMut(&Memory) + Send> Dispatch for Sends<F> {
    fn dispatch<'a>(&'a mut self, _: &'a Mark) -> BoxFuture<'a, Result<Dispatched, Diagnosis>> {
        (self.puts)(&self.letters);
        let (message_id, envelope_id) = (Some("<sent@sender.test>".to_owned()), Some("env-7".to_owned()));
        async { Ok(Dispatched { at: Instant::now(), message_id, envelope_id }) }.boxed()
    }
}

fn stages(report: &Report) -> Vec<&'static str> {
    report.stages.iter().map(|record| record.stage.as_str()).collect()
}
