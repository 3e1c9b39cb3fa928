//! `mailverity probe` and `kubectl mail probe`: the staged check of a server or a mailbox that no manifest describes.

use std::{fs, io::Read, path::PathBuf};

use clap::Args;
use kube::Client;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    Error, Exit,
    elsewhere::Elsewhere,
    given::Given,
    interrupt::Interrupt,
    live::{Checker, LEVELS, Target, Way, named},
    output::{self, Format, Outcome},
};
use crate::{
    api::v1alpha1::{Level, MailServerSpec, Security},
    mail::{protocol::Protocol, tls::certificates},
    manifest::Judge,
    verify::{Credential, Stored, Verdict, mail_server::Inputs},
};

/// Check a mail server stage by stage: DNS, TCP, greeting, TLS, login and, if asked for, one mail; or a mailbox: the same
/// up to the login, and the mailbox opened. Nothing in a mailbox is changed.
///
/// Exit codes: 0 verified, 1 unverified, 2 bad usage, or no way to the Actor's agent or no right to ask it.
///
/// A password is read from a file or from standard input, never from the command line.
#[derive(Debug, Args)]
pub struct Probe {
    /// smtp://host[:port], or smtps://host[:port] for TLS from the first byte; imap://, imaps://, pop3:// and pop3s:// for
    /// a mailbox.
    url: String,
    /// How the connection is protected; StartTLS for smtp://, imap:// and pop3://, TLS for the others if absent.
    #[arg(long, value_parser = named::<Security>(&["None", "StartTLS", "TLS"]), ignore_case = true)]
    security: Option<Security>,
    /// PEM certificates that are trusted beside the public roots.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The name that the certificate must carry, if not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The lowest version of TLS that is taken: 1.2 or 1.3.
    #[arg(long, value_name = "VERSION", value_parser = ["1.2", "1.3"])]
    min_version: Option<String>,
    /// Take any certificate.
    #[arg(long)]
    insecure_skip_verify: bool,
    /// The account to log in to; with --password-file or --token-file.
    #[arg(long, value_name = "USER", requires = "secret")]
    username: Option<String>,
    /// A file that holds the password, or - for standard input; a newline at its end is not a part of it.
    #[arg(long, value_name = "FILE", group = "secret", requires = "username")]
    password_file: Option<PathBuf>,
    /// A file that holds an OAuth 2.0 access token, or - for standard input.
    #[arg(long, value_name = "FILE", group = "secret", requires = "username")]
    token_file: Option<PathBuf>,
    /// A SASL mechanism that may be used (repeat, or use commas); what is offered and safe if absent.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "username")]
    mechanism: Vec<String>,
    /// Let PLAIN and LOGIN show the password to whoever watches the network.
    #[arg(long, requires = "username")]
    allow_plaintext: bool,
    /// How far to go: Connect stops after the greeting (and TLS), Authenticate logs in, Deliver sends one mail.
    #[arg(long, value_parser = named::<Level>(LEVELS), ignore_case = true, default_value = "Authenticate")]
    level: Level,
    /// The mailbox that is opened over IMAP; INBOX if absent.
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// The sender of the mail that level Deliver sends.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Its recipient.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// The name in EHLO; the sender's domain or the socket's address if absent.
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// The time for all of it: 1s to 5m.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
    /// Have it checked by the agent of this Actor, through the current cluster: it needs the right to create ActorTasks and
    /// Secrets in the Actor's taskNamespace. A password goes there for as long as the check takes.
    #[arg(long, value_name = "ACTOR", conflicts_with_all = ["nameservers", "egress_proxy"])]
    actor: Option<String>,
    #[command(flatten)]
    way: Way,
    /// The form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Where what was given at the command line stands, for references that never leave this process.
const HERE: &str = "command-line";

impl Probe {
    /// Checks what the flags name, and prints what was found. With --actor `cluster` leads to the Actor, or says why there is no way.
    ///
    /// # Errors
    /// Flags that make no sense together, a file that cannot be read, an Actor whose agent cannot be asked, or may not be by these rights.
    pub async fn run(self, no_color: bool, cluster: impl AsyncFnOnce() -> Result<Client, String>) -> Result<Exit, Error> {
        let spec = self.spec()?;
        let mut given = Given::default();
        let secret = match (&self.password_file, &self.token_file) {
            (Some(file), _) => Some((secret(file, "--password-file")?, "--password-file")),
            (None, Some(file)) => Some((secret(file, "--token-file")?, "--token-file")),
            (None, None) => None,
        };
        if let Some((value, _)) = &secret {
            let data = [("password".to_owned(), value.clone().into_bytes())].into();
            given = given.with_secret(HERE, HERE, Stored { data, ..Stored::default() });
        }
        if let Some(file) = &self.ca_file {
            let pem = fs::read(file).map_err(Error::about(format!("--ca-file {}", file.display())))?;
            if !certificates(&pem).is_ok_and(|found| !found.is_empty()) {
                return Err(Error::Usage(format!("--ca-file {}: holds no PEM certificate", file.display())));
            }
            given = given.with_config_map(HERE, HERE, Stored { data: [("ca.crt".to_owned(), pem)].into(), ..Stored::default() });
        }
        let vantage = self.way.vantage()?;
        let target = Target { namespace: HERE, name: HERE, spec: &spec };
        let is_token = self.token_file.is_some();
        let place = self.mailbox()?;
        let elsewhere = match &self.actor {
            Some(name) => Some(Elsewhere::find(name, cluster().await).await?),
            None => None,
        };
        let interrupt = if elsewhere.is_some() { Interrupt::listen()? } else { Interrupt::never() };
        let checker = Checker::new(vantage, self.level).until(interrupt).by(elsewhere);
        let adjust = |inputs: &mut Inputs| {
            if let (Some(login), Some((value, flag))) = (&mut inputs.login, secret) {
                // Hints speak of a Secret; here it is a file.
                login.secret = format!("given by {flag}");
                if is_token {
                    let user = login.credential.user().to_owned();
                    login.credential = Credential::Token { user, token: SecretString::from(value) };
                }
            }
        };
        let report = match place {
            None => Box::pin(checker.check(&target, &given, adjust)).await,
            Some(Place { protocol, .. }) => {
                let mailbox = self.mailbox.as_deref().unwrap_or("INBOX");
                Box::pin(checker.check_mailbox(&target, (protocol, mailbox), &given, adjust)).await
            }
        };
        let denied = checker.denied();
        checker.end().await;
        if let (Some(name), Some(denied)) = (&self.actor, denied) {
            return Err(Error::Usage(format!("--actor {name}: its agent may be given no task: {denied}")));
        }
        let outcome = Outcome { report, ..Outcome::default() };
        let verified = outcome.verdict() == Some(Verdict::Verified);
        output::print(self.output, &[outcome], no_color)?;
        Ok(if verified { Exit::Good } else { Exit::Unverified })
    }

    /// The flags as a spec, judged by the rules that manifests are judged by.
    fn spec(&self) -> Result<MailServerSpec, Error> {
        if self.url.contains('@') {
            // Not shown: it may hold a password.
            let words =
                "the URL: takes no user and no password, which every process could see; use --username and --password-file";
            return Err(Error::Usage(words.to_owned()));
        }
        if self.to.is_some() && self.level != Level::Deliver {
            return Err(Error::Usage("--to: a mail is sent with --level Deliver only".to_owned()));
        }
        if !self.url.contains("://") {
            return Err(Error::Usage(format!("{:?} is no URL; did you mean smtp://{}?", self.url, self.url)));
        }
        let place = self.mailbox()?;
        let mut spec = json!({
            "url": place.as_ref().is_none().then_some(&self.url),
            "host": place.as_ref().map(|place| &place.host),
            "port": place.as_ref().map(|place| place.port),
            "security": place.as_ref().map_or(self.security, |place| Some(place.security)),
            "tls": {
                "serverName": self.server_name,
                "minVersion": self.min_version,
                "insecureSkipVerify": self.insecure_skip_verify,
                "caRef": self.ca_file.as_ref().map(|_| json!({"name": HERE})),
            },
            "heloName": self.helo,
            "verification": {"level": self.level, "timeout": self.timeout},
            "sender": self.from.as_ref().map(|address| json!({"address": address})),
            "test": self.to.as_ref().map(|to| json!({"to": to})),
        });
        if let Some(user) = &self.username {
            spec["auth"] = json!({
                "type": "Password",
                "username": user,
                "mechanisms": (!self.mechanism.is_empty()).then_some(&self.mechanism),
                "allowPlaintext": self.allow_plaintext,
                "secretRef": {"name": HERE},
            });
        }
        drop_nulls(&mut spec);
        let object =
            json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": HERE}, "spec": spec});
        if let Some((field, words)) = Judge::new()?.object(&object).first() {
            return Err(Error::Usage(format!("{}: {words}", flag(field))));
        }
        Ok(serde_json::from_value(spec)?)
    }
}

/// Where a mailbox is, by its URL.
struct Place {
    protocol: Protocol,
    host: String,
    port: u16,
    security: Security,
}

impl Probe {
    /// The mailbox that the URL names; none where it names an SMTP server, or nothing that is known.
    fn mailbox(&self) -> Result<Option<Place>, Error> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let (protocol, by_tls, ports) = match scheme.to_ascii_lowercase().as_str() {
            "imap" => (Protocol::Imap, false, (143, 993)),
            "imaps" => (Protocol::Imap, true, (143, 993)),
            "pop3" => (Protocol::Pop3, false, (110, 995)),
            "pop3s" => (Protocol::Pop3, true, (110, 995)),
            _ if self.mailbox.is_some() => return Err(Error::Usage("--mailbox: goes with imap:// and imaps:// only".to_owned())),
            _ => return Ok(None),
        };
        if self.mailbox.is_some() && protocol == Protocol::Pop3 {
            return Err(Error::Usage("--mailbox: POP3 has one mailbox alone".to_owned()));
        }
        if self.level == Level::Deliver || self.from.is_some() || self.to.is_some() || self.helo.is_some() {
            let words = "--level Deliver, --from, --to and --helo go with smtp:// and smtps:// only: nothing is sent here";
            return Err(Error::Usage(words.to_owned()));
        }
        if by_tls && self.security.is_some_and(|security| security != Security::TLS) {
            return Err(Error::Usage(format!("--security: {scheme}:// means TLS; leave it out or set it to TLS")));
        }
        let security = if by_tls { Security::TLS } else { self.security.unwrap_or_default() };
        let written = || Error::Usage(format!("the URL: must look like {scheme}://host:port, with no user, path or query"));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().map_err(|_| written())?),
            _ => (rest, if security == Security::TLS { ports.1 } else { ports.0 }),
        };
        if host.is_empty() || port == 0 || host.contains(['/', '?', '#']) {
            return Err(written());
        }
        Ok(Some(Place { protocol, host: host.to_owned(), port, security }))
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// The flag that a field of the spec came from.
fn flag(field: &str) -> &str {
    let flags = [
        ("spec.url", "the URL"),
        ("spec.host", "the URL"),
        ("spec.port", "the URL"),
        ("spec.security", "--security"),
        ("spec.tls.serverName", "--server-name"),
        ("spec.tls.caRef", "--ca-file"),
        ("spec.tls", "--insecure-skip-verify"),
        ("spec.auth.username", "--username"),
        ("spec.auth.mechanisms", "--mechanism"),
        ("spec.auth", "--username"),
        ("spec.heloName", "--helo"),
        ("spec.verification.timeout", "--timeout"),
        ("spec.sender", "--from"),
        ("spec.test", "--to"),
    ];
    flags.iter().find(|(path, _)| field.starts_with(path)).map_or(field, |(_, flag)| flag)
}

/// A secret from a file or standard input; the one newline that editors and echo put at the end is dropped.
fn secret(file: &std::path::Path, flag: &str) -> Result<String, Error> {
    /// Far above any password or token.
    const MOST: u64 = 64 * 1024;
    let about = format!("{flag} {}", file.display());
    let mut text = String::new();
    let read = if file == std::path::Path::new("-") {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.map_err(Error::about(&about))?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if value.is_empty() {
        return Err(Error::Usage(format!("{about}: is empty")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        probe: Probe,
    }

    fn spec(flags: &[&str]) -> Result<MailServerSpec, String> {
        let line = Line::try_parse_from([&["probe"], flags].concat()).map_err(|error| error.to_string())?;
        line.probe.spec().map_err(|error| error.to_string())
    }

    #[test]
    fn flags_become_a_spec_that_the_schema_takes() {
        let spec = spec(&[
            "smtp://a.test:2587",
            "--security",
            "starttls",
            "--level",
            "deliver",
            "--from",
            "a@b.test",
            "--to",
            "c@b.test",
            "--username",
            "u",
            "--password-file",
            "/x",
            "--mechanism",
            "PLAIN,LOGIN",
        ])
        .unwrap();
        assert_eq!((spec.security, spec.level()), (Some(Security::StartTLS), Level::Deliver));
        assert_eq!(spec.auth.unwrap().mechanisms.unwrap().len(), 2);
        assert_eq!(spec.test.unwrap().to, "c@b.test");
    }

    #[test]
    fn what_makes_no_sense_is_said_of_the_flag_that_said_it() {
        for (flags, words) in [
            (&["a.test:587"][..], "did you mean smtp://a.test:587?"),
            (&["http://a.test"], "the URL: url must look like"),
            (&["imap://a.test:x"], "the URL: must look like imap://host:port"),
            (&["pop3://"], "the URL: must look like pop3://host:port"),
            (&["imaps://a.test", "--security", "StartTLS"], "--security: imaps:// means TLS"),
            (&["imap://a.test", "--level", "Deliver"], "nothing is sent here"),
            (&["imap://a.test", "--helo", "b.test"], "nothing is sent here"),
            (&["pop3s://a.test", "--mailbox", "Sent"], "--mailbox: POP3 has one mailbox alone"),
            (&["smtp://a.test", "--mailbox", "Sent"], "--mailbox: goes with imap://"),
            (&["smtps://a.test", "--security", "None"], "--security: smtps:// means"),
            (&["smtp://a.test", "--timeout", "1h"], "--timeout: timeout must be between 1s and 5m"),
            (&["smtp://a.test", "--level", "Deliver", "--from", "a@b.test"], "--to: verification.level Deliver needs test.to"),
            (&["smtp://a.test", "--helo", "mail"], "--helo: "),
            (&["smtp://a.test", "--username", "u"], "--password-file"),
            (
                &["smtp://a.test", "--username", "u", "--password-file", "-", "--mechanism", "SCRAM"],
                "--mechanism: \"SCRAM\" is not one of",
            ),
            (
                &["smtp://a.test", "--username", "u", "--password-file", "-", "--security", "None"],
                "--username: a password would cross",
            ),
        ] {
            let error = spec(flags).unwrap_err();
            assert!(error.contains(words), "{flags:?}: {error}");
        }
    }
}
