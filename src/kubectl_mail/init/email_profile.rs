//! An `EmailProfile`.

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
    /// The address of the mailbox.
    #[arg(long)]
    address: Option<String>,
    /// How the mailbox is read.
    #[arg(long, value_parser = ["IMAP", "POP3"], ignore_case = true)]
    protocol: Option<String>,
    /// The name or IP address of the server that has the mailbox.
    #[arg(long)]
    host: Option<String>,
    /// Its port, if not the usual one.
    #[arg(long)]
    port: Option<String>,
    /// How the connection is protected.
    #[arg(long, value_parser = ["None", "StartTLS", "TLS"], ignore_case = true)]
    security: Option<String>,
    /// The Secret with username and password.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// The ConfigMap with the CA of its certificate, in ca.crt.
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
    /// The MailServer that sends the mails with the codes.
    #[arg(long, value_name = "MAILSERVER", conflicts_with = "manual")]
    sender: Option<String>,
    /// A person sends the mail (mode Manual).
    #[arg(long)]
    manual: bool,
}

impl Flags {
    pub(super) fn draft(self, form: &mut Form<'_>) -> Result<Draft, Error> {
        let address = form.need("--address", self.address, "Address of the mailbox")?;
        let protocol = form.choice(self.protocol, "Protocol", &["IMAP", "POP3"])?;
        let host = form.need("--host", self.host, "Name or IP address of the server that has it")?;
        let security = form.choice(self.security, "Security", &["TLS", "StartTLS", "None"])?;
        let port = form.may(self.port, "Port, if not the usual one (993 or 143, 995 or 110)")?;
        let secret = form.need("--secret", self.secret, "Secret with username and password")?;
        let ca = form.may(self.ca, "ConfigMap with the CA of its certificate; empty for a public one")?;
        let verification = if self.manual {
            json!({"mode": "Manual"})
        } else {
            let sender = form.need("--sender", self.sender, "MailServer that sends the mails with the codes")?;
            json!({"senderRef": {"name": sender}})
        };
        let name = form.name(self.name, &address)?;
        let server = block(&[
            ("host", Some(host.into())),
            ("port", port.map(number)),
            ("security", security.map(Into::into)),
            ("tls", ca.map(|ca| json!({"caRef": {"kind": "ConfigMap", "name": ca}}))),
        ]);
        let spec = block(&[
            ("address", Some(address.into())),
            ("protocol", Some(protocol.unwrap_or_else(|| "IMAP".to_owned()).into())),
            ("server", server),
            ("account", Some(json!({"type": "Password", "secretRef": {"name": secret}}))),
            ("verification", Some(verification)),
        ]);
        Ok(Draft { kind: Kind::EmailProfile, name, spec: spec.unwrap_or_default(), secret: Some(secret) })
    }
}
