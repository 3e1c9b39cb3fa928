//! A `MailServer`.

use clap::Args;
use serde_json::json;

use super::{
    Draft, Form, block,
    login::{Account, Login},
    number,
};
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
    #[command(flatten)]
    login: Login,
    /// The ConfigMap with the CA of its certificate, in ca.crt.
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
    /// The address that a test mail goes to, once a day: level Deliver.
    #[arg(long, value_name = "ADDRESS")]
    test_to: Option<String>,
}

impl Flags {
    pub(super) fn draft(mut self, form: &mut Form<'_>) -> Result<Draft, Error> {
        let host = form.need("--host", self.host, "Name or IP address of the server")?;
        let security = form.choice(self.security, "Security", &["StartTLS", "TLS", "None"])?;
        let port = form.may(self.port, "Port, if not the usual one (587, 465 or 25)")?;
        let sender = form.need("--sender", self.sender, "Address that mail comes from")?;
        let way = self.login.way(form)?;
        let Account { auth, steps, sign_in } = self.login.account(form, way, &sender, false)?;
        Form::all_used(&self.login.left())?;
        let ca = form.may(self.ca, "ConfigMap with the CA of its certificate; empty for a public one")?;
        let test = form.may(self.test_to, "Address for a test mail a day; empty to send none")?;
        let name = form.name(self.name, &host)?;
        let spec = block(&[
            ("host", Some(host.into())),
            ("port", port.map(number)),
            ("security", security.map(Into::into)),
            ("sender", Some(json!({"address": sender}))),
            ("auth", auth),
            ("tls", ca.map(|ca| json!({"caRef": {"kind": "ConfigMap", "name": ca}}))),
            ("test", test.as_ref().map(|to| json!({"to": to}))),
            ("verification", test.map(|_| json!({"level": "Deliver"}))),
        ]);
        Ok(Draft { kind: Kind::MailServer, name, spec: spec.unwrap_or_default(), steps, sign_in })
    }
}
