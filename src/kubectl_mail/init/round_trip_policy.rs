//! A `RoundTripPolicy`.

use clap::Args;
use serde_json::json;

use super::{Draft, Form, block};
use crate::{Error, Kind, Target};

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Flags {
    /// The object's name.
    #[arg(long)]
    name: Option<String>,
    /// The address that has to answer.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// What is to come back.
    #[arg(long, value_parser = ["Reply", "Redirect", "OutOfOffice"], ignore_case = true)]
    expect: Option<String>,
    /// Where answers come to: an EmailProfile's name, or mr/NAME for a MailReceiver.
    #[arg(long, value_name = "[KIND/]NAME")]
    answers_to: Option<String>,
    /// The MailServer that sends; if absent the default of the namespace.
    #[arg(long, value_name = "MAILSERVER")]
    server: Option<String>,
    /// The text of the mail.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// The time between two mails, such as 15m.
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
}

impl Flags {
    pub(super) fn draft(self, form: &mut Form<'_>) -> Result<Draft, Error> {
        const BODY: &str = "This is a test of mailverity. Please answer.";
        let to = form.need("--to", self.to, "Address that has to answer")?;
        let expect = form.choice(self.expect, "What comes back", &["Reply", "Redirect", "OutOfOffice"])?;
        let answers =
            form.need("--answers-to", self.answers_to, "EmailProfile that answers come to, or mr/NAME of a MailReceiver")?;
        let server = form.may(self.server, "MailServer that sends; empty for the default of the namespace")?;
        let body = form.usual(self.body, "Text of the mail", BODY)?.unwrap_or_else(|| BODY.to_owned());
        let interval = form.usual(self.interval, "Time between two mails", "15m")?;
        let name = form.name(self.name, &to)?;
        // Where nothing was said, it is told with what else is missing.
        let receive = match answers.as_str() {
            "" => json!({}),
            named => match named.parse::<Target>()? {
                Target { kind: Kind::EmailProfile, name } => json!({"profileRef": {"name": name}}),
                Target { kind: Kind::MailReceiver, name } => json!({"receiverRef": {"name": name}}),
                _ => return Err("answers come to an EmailProfile or to a MailReceiver (mr/NAME)".into()),
            },
        };
        let spec = block(&[
            ("to", Some(to.into())),
            ("expect", expect.map(Into::into)),
            ("serverRef", server.map(|name| json!({"name": name}))),
            ("message", Some(json!({"body": body}))),
            ("interval", interval.map(Into::into)),
            ("receive", Some(receive)),
        ]);
        Ok(Draft { kind: Kind::RoundTripPolicy, name, spec: spec.unwrap_or_default(), steps: Vec::new(), sign_in: None })
    }
}
