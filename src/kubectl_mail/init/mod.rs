//! `kubectl mail init`: a manifest from flags, and from questions where a person is there. It speaks to nobody. Next: `form`, and a
//! file a kind.

mod email_profile;
mod form;
mod mail_receiver;
mod mail_server;
mod round_trip_policy;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::form::Form;
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

/// What comes of the answers.
struct Draft {
    kind: Kind,
    name: String,
    spec: Value,
    /// The Secret with user name and password that has to be there, if one is named.
    secret: Option<String>,
}

impl Init {
    pub fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let asks: Option<form::Ask<'_>> = ask::can().then_some(&ask::ask);
        let mut form = Form::new(asks);
        let draft = self.kind.draft(&mut form)?;
        form.done()?;
        out::text(&draft.manifest(connect.named())?)?;
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
    fn manifest(&self, namespace: Option<&str>) -> Result<String, Error> {
        let resource = self.kind.resource();
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        let place = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let mut text = String::new();
        if let Some(secret) = &self.secret {
            text += "# The account, with its password in a file, so that no history has it:\n";
            text += &[
                "#   kubectl",
                &place,
                " create secret generic ",
                secret,
                " --from-literal=username=... --from-file=password=...\n",
            ]
            .concat();
        }
        text += "# Then: mailverity check -f THIS.yaml && kubectl apply -f THIS.yaml\n";
        text += &["# And: kubectl mail", &place, " wait ", self.kind.singular(), "/", &self.name, "\n"].concat();
        let object = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": self.spec});
        Ok(text + &serde_yaml::to_string(&object)?)
    }
}

/// A block with what was answered; none where nothing was.
fn block(fields: &[(&str, Option<Value>)]) -> Option<Value> {
    let fields = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    let block: Map<String, Value> = fields.collect();
    (!block.is_empty()).then(|| block.into())
}

/// A number where it is one; else what was written, for `mailverity check` to name.
fn number(text: String) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        init: Init,
    }

    /// The manifest of a command line, and who answers.
    fn made(args: &[&str], asks: Option<form::Ask<'_>>) -> Result<Value, String> {
        let line = Line::try_parse_from([&["init"], args].concat()).map_err(|error| error.to_string())?;
        let mut form = Form::new(asks);
        let draft = line.init.kind.draft(&mut form).map_err(|error| error.to_string())?;
        form.done().map_err(|error| error.to_string())?;
        let text = draft.manifest(Some("mail")).map_err(|error| error.to_string())?;
        serde_yaml::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_alone_make_a_manifest() {
        let server = made(&["ms", "--host", "smtp.a.example", "--sender", "a@a.example", "--secret", "relay"], None).unwrap();
        let expected = json!({
            "apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": "smtp-a-example", "namespace": "mail"},
            "spec": {"host": "smtp.a.example", "sender": {"address": "a@a.example"}, "auth": {"type": "Password", "secretRef": {"name": "relay"}}},
        });
        assert_eq!(server, expected);
        let receiver =
            made(&["mr", "--domain", "in.a.example", "--domain", "in.b.example", "--expected-mx", "mx.a.example"], None).unwrap();
        assert_eq!(receiver["spec"], json!({"domains": ["in.a.example", "in.b.example"], "expectedMX": "mx.a.example"}));
    }

    #[test]
    fn what_is_missing_is_asked_for_where_somebody_answers() {
        let answers = |question: &str, fallback: &str| {
            let answer = if question.starts_with("Address of the mailbox") {
                "box@a.example"
            } else if question.starts_with("Secret") {
                "box"
            } else {
                fallback
            };
            Ok(answer.to_owned())
        };
        let profile = made(&["emp", "--host", "imap.a.example", "--sender", "relay"], Some(&answers)).unwrap();
        let expected = json!({
            "address": "box@a.example", "protocol": "IMAP", "server": {"host": "imap.a.example"},
            "account": {"type": "Password", "secretRef": {"name": "box"}}, "verification": {"senderRef": {"name": "relay"}},
        });
        assert_eq!((&profile["spec"], &profile["metadata"]["name"]), (&expected, &"box".into()));
    }

    #[test]
    fn what_is_missing_is_told_all_at_once_where_nobody_answers() {
        let missing = made(&["rtp", "--to", "echo@b.example"], None).unwrap_err();
        assert_eq!(missing, "there is nobody to ask: say --answers-to");
        let missing = made(&["emp"], None).unwrap_err();
        assert_eq!(missing, "there is nobody to ask: say --address, --host, --secret, --sender");
        assert!(made(&["ms", "--security", "Maybe"], None).unwrap_err().contains("possible values: None, StartTLS, TLS"));
    }
}
