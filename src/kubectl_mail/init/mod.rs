//! `kubectl mail init`: a manifest from flags, and from questions where a person is there. It speaks to nobody. Next: `form`, a file
//! a kind, what they share of accounts (`login`, `application`), and what else is to be done (`step`).

mod application;
mod client;
mod email_profile;
mod form;
mod login;
mod mail_receiver;
mod mail_server;
mod round_trip_policy;
mod step;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::{
    form::Form,
    step::{SignIn, Step},
};
use super::{Connect, Error, Exit, Kind, ask, out};

/// Print a manifest to begin with. What the flags do not say is asked for, at a terminal.
///
/// Exit codes: 0 printed; 2 something is missing and nobody is there to ask, or bad usage.
#[derive(Args, Debug)]
pub struct Init {
    #[command(subcommand)]
    kind: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// An outbound server, the account on it and its sender.
    #[command(visible_alias = "ms")]
    Mailserver(mail_server::Flags),
    /// A mailbox, proved by a mail that has to arrive.
    #[command(visible_alias = "emp")]
    Emailprofile(email_profile::Flags),
    /// A mail on a schedule, and the answer that has to come back.
    #[command(visible_alias = "rtp")]
    Roundtrippolicy(round_trip_policy::Flags),
    /// Domains that mail is taken for.
    #[command(visible_alias = "mr")]
    Mailreceiver(mail_receiver::Flags),
}

/// A field of a spec, and its value if there is one.
type Field = (&'static str, Option<Value>);

/// What comes of the answers.
struct Draft {
    kind: Kind,
    name: String,
    spec: Value,
    /// What has to be there for it.
    steps: Vec<Step>,
    /// What a person has to do once it is there.
    sign_in: Option<SignIn>,
}

impl Init {
    pub fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let asks: Option<form::Ask<'_>> = ask::can().then_some(&ask::ask);
        let mut form = Form::new(asks);
        let draft = self.kind.draft(&mut form)?;
        form.done()?;
        out::text(&draft.manifest(connect)?)?;
        Ok(Exit::Good)
    }
}

impl Of {
    fn draft(self, form: &mut Form<'_>) -> Result<Draft, Error> {
        match self {
            Self::Mailserver(flags) => flags.draft(form),
            Self::Emailprofile(flags) => flags.draft(form),
            Self::Roundtrippolicy(flags) => flags.draft(form),
            Self::Mailreceiver(flags) => flags.draft(form),
        }
    }
}

impl Draft {
    /// As YAML, with what else is to be done above it.
    fn manifest(&self, connect: &Connect) -> Result<String, Error> {
        let resource = self.kind.resource();
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = connect.named() {
            metadata["namespace"] = namespace.into();
        }
        let object = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": self.spec});
        Ok(step::comments(self, connect) + &serde_yaml::to_string(&object)?)
    }
}

/// A block with what was answered; none where nothing was.
fn block(fields: &[Field]) -> Option<Value> {
    let fields = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    let block: Map<String, Value> = fields.collect();
    (!block.is_empty()).then(|| block.into())
}

/// A number where it is one; else what was written, for `mailverity check` to name.
fn number(text: String) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}
