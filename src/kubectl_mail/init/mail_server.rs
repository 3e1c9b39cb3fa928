//! A `MailServer`.

use clap::Args;
use serde_json::json;

use super::{Draft, Form, block, number};
use crate::{Error, Kind};

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Flags {
    /// The object's name.
    #[arg(long)]
    name: Option<String>,
    /// The server's name or IP address.
    #[arg(long)]
    host: Option<String>,
    /// Its port, if not the usual one.
    #[arg(long)]
    port: Option<String>,
    /// How the connection is protected.
    #[arg(long, value_parser = ["None", "StartTLS", "TLS"], ignore_case = true)]
    security: Option<String>,
    /// The address that mail comes from.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// The Secret with username and password.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// The ConfigMap with the CA of its certificate, in ca.crt.
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
    /// The address that a test mail goes to, once a day: level Deliver.
    #[arg(long, value_name = "ADDRESS")]
    test_to: Option<String>,
}

impl Flags {
    pub(super) fn draft(self, form: &mut Form<'_>) -> Result<Draft, Error> {
        let host = form.need("--host", self.host, "Name or IP address of the server")?;
        let security = form.choice(self.security, "Security", &["StartTLS", "TLS", "None"])?;
        let port = form.may(self.port, "Port, if not the usual one (587, 465 or 25)")?;
        let sender = form.need("--sender", self.sender, "Address that mail comes from")?;
        let secret = form.may(self.secret, "Secret with username and password; empty for no login")?;
        let ca = form.may(self.ca, "ConfigMap with the CA of its certificate; empty for a public one")?;
        let test = form.may(self.test_to, "Address for a test mail a day; empty to send none")?;
        let name = form.name(self.name, &host)?;
        let spec = block(&[
            ("host", Some(host.into())),
            ("port", port.map(number)),
            ("security", security.map(Into::into)),
            ("sender", Some(json!({"address": sender}))),
            ("auth", secret.as_ref().map(|secret| json!({"type": "Password", "secretRef": {"name": secret}}))),
            ("tls", ca.map(|ca| json!({"caRef": {"kind": "ConfigMap", "name": ca}}))),
            ("test", test.as_ref().map(|to| json!({"to": to}))),
            ("verification", test.map(|_| json!({"level": "Deliver"}))),
        ]);
        Ok(Draft { kind: Kind::MailServer, name, spec: spec.unwrap_or_default(), secret })
    }
}
