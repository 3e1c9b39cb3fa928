//! An `EmailProfile`.

use clap::Args;
use mailverity::api::v1alpha1::{Cloud, Grant, MailProvider, MailboxProtocol};
use serde_json::json;

use super::{
    Draft, Field, Form,
    application::{Answers, Asked},
    block,
    login::{Account, Login},
    number,
    step::{SignIn, Step},
};
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
    #[arg(long, value_parser = ["IMAP", "POP3", "MicrosoftGraph", "GmailAPI"], ignore_case = true)]
    protocol: Option<String>,
    /// The name or IP address of the server that has the mailbox; with --login Microsoft365 (of cloud
    /// Public) or Google theirs if absent.
    #[arg(long)]
    host: Option<String>,
    /// Its port, if not the usual one.
    #[arg(long)]
    port: Option<String>,
    /// How the connection is protected.
    #[arg(long, value_parser = ["None", "StartTLS", "TLS"], ignore_case = true)]
    security: Option<String>,
    #[command(flatten)]
    login: Login,
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

/// By which way the mailbox is reached.
struct Reached {
    /// Its fields in the spec.
    fields: Vec<Field>,
    steps: Vec<Step>,
    sign_in: Option<SignIn>,
}

impl Flags {
    pub(super) fn draft(mut self, form: &mut Form<'_>) -> Result<Draft, Error> {
        use MailboxProtocol::{GmailAPI, IMAP, MicrosoftGraph, POP3};
        let address = form.need("--address", self.address.take(), "Address of the mailbox")?;
        let protocol = form.one(self.protocol.take(), "Protocol", IMAP, &[POP3, MicrosoftGraph, GmailAPI])?;
        let Reached { fields, steps, sign_in } = match protocol {
            IMAP | POP3 => self.by_server(form, &address)?,
            MicrosoftGraph => self.by_graph(form, &address)?,
            GmailAPI => self.by_gmail(form, &address)?,
        };
        Form::all_used(&self.left())?;
        let verification = if self.manual {
            json!({"mode": "Manual"})
        } else {
            let sender = form.need("--sender", self.sender, "MailServer that sends the mails with the codes")?;
            json!({"senderRef": {"name": sender}})
        };
        let name = form.name(self.name, &address)?;
        let own = [("address", Some(address.into())), ("protocol", Some(json!(protocol)))];
        let spec = block(&[&own, fields.as_slice(), &[("verification", Some(verification))]].concat());
        Ok(Draft { kind: Kind::EmailProfile, name, spec: spec.unwrap_or_default(), steps, sign_in })
    }

    /// By IMAP or POP3: a server, whose name is known of some providers, and an account on it.
    fn by_server(&mut self, form: &mut Form<'_>, address: &str) -> Result<Reached, Error> {
        const HOST: &str = "Name or IP address of the server that has it";
        let way = self.login.way(form)?;
        let known = match way.servers() {
            // What a provider fills in are the servers of this cloud alone.
            Some(MailProvider::Microsoft365) if self.login.application.cloud(form)? != Cloud::Public => None,
            servers => servers,
        };
        let host = match known {
            None => Some(form.need("--host", self.host.take(), HOST)?),
            Some(provider) => form.may(self.host.take(), &format!("{HOST}; empty for that of {provider:?}"))?,
        };
        // Which is told of by its name alone.
        let provider = known.filter(|_| host.is_none());
        let server = if let Some(host) = host {
            let security = form.choice(self.security.take(), "Security", &["TLS", "StartTLS", "None"])?;
            let port = form.may(self.port.take(), "Port, if not the usual one (993 or 143, 995 or 110)")?;
            let ca = form.may(self.ca.take(), "ConfigMap with the CA of its certificate; empty for a public one")?;
            block(&[
                ("host", Some(host.into())),
                ("port", port.map(number)),
                ("security", security.map(Into::into)),
                ("tls", ca.map(|ca| json!({"caRef": {"kind": "ConfigMap", "name": ca}}))),
            ])
        } else {
            None
        };
        let Account { auth, steps, sign_in } = self.login.account(form, way, address, true)?;
        let fields = vec![("provider", provider.map(|provider| json!(provider))), ("server", server), ("account", auth)];
        Ok(Reached { fields, steps, sign_in })
    }

    /// By Microsoft Graph: an application of the directory.
    fn by_graph(&mut self, form: &mut Form<'_>, address: &str) -> Result<Reached, Error> {
        let user = form.usual(self.login.username.take(), "Account of the mailbox (userPrincipalName)", address)?;
        let Answers { mut fields, steps, sign_in, .. } = self.login.application.answers(form, Asked::Graph)?;
        fields.push(("user", user.map(Into::into)));
        Ok(Reached { fields: vec![("graph", block(&fields))], steps, sign_in })
    }

    /// By the Gmail API: a service account that acts for the user, or the user's consent.
    fn by_gmail(&mut self, form: &mut Form<'_>, address: &str) -> Result<Reached, Error> {
        let Answers { grant, mut fields, steps, sign_in } = self.login.application.answers(form, Asked::Gmail)?;
        if grant == Grant::ServiceAccountJWT {
            let user = form.usual(self.login.username.take(), "User whose mailbox it is", address)?;
            fields.push(("subject", user.map(Into::into)));
        }
        Ok(Reached { fields: vec![("gmail", block(&fields))], steps, sign_in })
    }

    /// Flags that depend on others, and whether nothing was made of them.
    fn left(&self) -> Vec<(&'static str, bool)> {
        let own = [
            ("--host", self.host.is_some()),
            ("--port", self.port.is_some()),
            ("--security", self.security.is_some()),
            ("--ca", self.ca.is_some()),
        ];
        own.into_iter().chain(self.login.left()).collect()
    }
}
