//! The product as its operator runs it: a `MailServer` resolved anew for each check, then the staged check.

use std::{collections::BTreeMap, fs};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use mailverity::{
    api::v1alpha1::{Level, MailServerSpec},
    mail::{Diagnosis, Vantage, dns::Resolver, guard::Guard},
    verify::{
        References, Stored,
        fingerprint::Key,
        gate,
        mail_server::{Run, check, inputs::About, resolve},
    },
};
use uuid::Uuid;

use crate::{Result, client::Target};

/// The product's check.
pub struct Client {
    spec: MailServerSpec,
    stored: Files,
    key: Key,
    vantage: Vantage,
}

impl Client {
    pub fn new(target: &Target) -> Result<Self> {
        let mut spec = serde_json::json!({
            "host": "127.0.0.1",
            "port": target.port,
            "security": "StartTLS",
            "tls": {"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}},
            "verification": {"level": "Connect"},
        });
        let mut secret = BTreeMap::new();
        if let Some((user, password)) = &target.login {
            spec["auth"] = serde_json::json!({"type": "Password", "secretRef": {"name": "login"}});
            spec["verification"]["level"] = "Authenticate".into();
            secret.insert("username".to_owned(), user.clone().into_bytes());
            secret.insert("password".to_owned(), password.clone().into_bytes());
        }
        let ca = BTreeMap::from([("ca.crt".to_owned(), fs::read(&target.ca_file)?)]);
        Ok(Self {
            spec: serde_json::from_value(spec)?,
            stored: Files { secret, ca },
            key: Key::random(),
            vantage: Vantage { actor: "default".to_owned(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None },
        })
    }

    pub async fn check(&self) -> Result<()> {
        let about = About {
            kind: "MailServer",
            namespace: "bench",
            name: "bench",
            uid: "",
            key: &self.key,
            require_allowed_hosts: false,
        };
        let inputs = resolve(&self.spec, &about, &self.stored).await?;
        let run = Run {
            id: "bench",
            code: Uuid::nil(),
            message: Uuid::nil(),
            reads_bounces: false,
            probe: None,
            now: Timestamp::now(),
            installation: "bench",
            contact: None,
            level: inputs.level.min(Level::Authenticate),
            may_greet_with_tls: false,
            watcher: None,
        };
        match check(&inputs, &self.vantage, &gate::Open, &run).await.failure {
            None => Ok(()),
            Some(failure) => Err(failure.into()),
        }
    }
}

/// What the spec refers to.
struct Files {
    secret: BTreeMap<String, Vec<u8>>,
    ca: BTreeMap<String, Vec<u8>>,
}

impl References for Files {
    fn secret<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, std::result::Result<Option<Stored>, Diagnosis>> {
        async { Ok(Some(Stored { data: self.secret.clone(), ..Stored::default() })) }.boxed()
    }

    fn config_map<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, std::result::Result<Option<Stored>, Diagnosis>> {
        async { Ok(Some(Stored { data: self.ca.clone(), ..Stored::default() })) }.boxed()
    }
}
