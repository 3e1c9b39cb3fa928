//! A `MailReceiver`.

use clap::Args;
use serde_json::json;

use super::{Draft, Form, block};
use crate::{Error, Kind};

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Flags {
    /// The object's name.
    #[arg(long)]
    name: Option<String>,
    /// A domain that mail is taken for; for several repeat it, or use commas.
    #[arg(long)]
    domain: Vec<String>,
    /// The name that the domains' MX records must name.
    #[arg(long, value_name = "HOST")]
    expected_mx: Option<String>,
    /// The Secret with a certificate (kubernetes.io/tls): STARTTLS is offered.
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
}

impl Flags {
    pub(super) fn draft(self, form: &mut Form<'_>) -> Result<Draft, Error> {
        let domains = form.words("--domain", &self.domain, "Domains that mail is taken for, with commas between")?;
        let mx = form.may(self.expected_mx, "Name that their MX records must name; empty not to look")?;
        let certificate =
            form.may_secret("--certificate", self.certificate, "Secret with a certificate for STARTTLS; empty for none")?;
        let name = form.name(self.name, domains.first().map_or("", String::as_str))?;
        let spec = block(&[
            ("domains", Some(json!(domains))),
            ("expectedMX", mx.map(Into::into)),
            ("tls", certificate.map(|name| json!({"mode": "Opportunistic", "certificateRef": {"name": name}}))),
        ]);
        Ok(Draft { kind: Kind::MailReceiver, name, spec: spec.unwrap_or_default(), steps: Vec::new(), sign_in: None })
    }
}
