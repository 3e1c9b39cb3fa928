//! Against a real Postfix and Dovecot: each security, each mechanism, each refusal that they have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that cannot go on fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod answering;
mod apis;
mod command;
mod documented;
mod imap;
mod interrupted;
mod login;
mod mailboxes;
mod pop3;
mod profiles;
mod receiver;
mod send;
mod tokens;
mod trips;
mod watching;

use jiff::Timestamp;
use mailverity::{
    api::v1alpha1::{Level, MailServerSpec},
    mail::{Vantage, dns::Resolver, guard::Guard},
    verify::{
        Gate, Open, Report,
        fingerprint::Key,
        mail_server::{self, Inputs, Run, inputs},
    },
};
use support::{references::Given, stack::Stack};
use uuid::Uuid;

/// A spec for a port of the stack, as YAML without indentation worries.
fn spec(stack: &Stack, port: &str, security: &str, rest: serde_json::Value) -> MailServerSpec {
    let mut spec = serde_json::json!({
        "host": "localhost", "port": stack.port(port), "security": security,
        "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}},
        "sender": {"address": "probe@example.test"},
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn given(stack: &Stack, user: &str, password: &str) -> Given {
    Given::default().account("account", user, password).config_map("ca", &[("ca.crt", &stack.ca())])
}

fn password(mechanism: &str) -> serde_json::Value {
    serde_json::json!({"type": "Password", "secretRef": {"name": "account"}, "mechanisms": [mechanism]})
}

async fn resolve(spec: &MailServerSpec, given: &Given) -> Inputs {
    let key = Key::new(b"test");
    let about = inputs::About {
        kind: "MailServer",
        namespace: "mail",
        name: "relay",
        uid: "uid-1",
        key: &key,
        require_allowed_hosts: false,
    };
    mail_server::resolve(spec, &about, given).await.unwrap()
}

async fn check(inputs: &Inputs, gate: &dyn Gate, level: Level) -> Report {
    let vantage = Vantage { actor: "default".into(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None };
    let id = Uuid::new_v4();
    let run = Run {
        id: &id.to_string(),
        code: id,
        message: id,
        reads_bounces: false,
        probe: None,
        now: Timestamp::now(),
        installation: "test",
        contact: Some("postmaster@example.test"),
        level,
        may_greet_with_tls: false,
        watcher: None,
    };
    mail_server::check(inputs, &vantage, gate, &run).await
}

async fn check_spec(spec: &MailServerSpec, given: &Given) -> Report {
    let inputs = resolve(spec, given).await;
    check(&inputs, &Open, spec.level()).await
}

fn told(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}
