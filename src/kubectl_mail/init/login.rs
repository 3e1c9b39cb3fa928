//! How an account is logged in to: by a password, or by OAuth2 at a provider.

use clap::Args;
use mailverity::api::v1alpha1::{Grant, MailProvider, OAuth2Provider};
use serde_json::{Value, json};

use super::{
    Form,
    application::{Answers, Application, Asked},
    block,
    step::{SignIn, Step},
};
use crate::Error;

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Login {
    /// How the account is logged in to: by a password, or by OAuth2 with access tokens of Microsoft365, Google or a provider of your
    /// own (Custom). Password if absent.
    #[arg(long = "login", value_parser = ["Password", "Microsoft365", "Google", "Custom"], ignore_case = true)]
    way: Option<String>,
    /// The Secret with username and password.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// The account, if it is not that of the address: user@domain. With a password it is in the Secret.
    #[arg(long, value_name = "USER")]
    pub(super) username: Option<String>,
    #[command(flatten)]
    pub(super) application: Application,
}

/// Ways to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Password,
    Microsoft365,
    Google,
    Custom,
}

/// What comes of the answers.
#[derive(Default)]
pub struct Account {
    /// As the spec has it; none where nobody logs in.
    pub auth: Option<Value>,
    pub steps: Vec<Step>,
    pub sign_in: Option<SignIn>,
}

impl Login {
    /// The way, on which the other questions depend.
    pub(super) fn way(&mut self, form: &Form<'_>) -> Result<Way, Error> {
        let question = "How to log in, by a password or by OAuth2 at a provider";
        form.one(self.way.take(), question, Way::Password, &[Way::Microsoft365, Way::Google, Way::Custom])
    }

    /// The account that is reached this way. Without a password nobody logs in, where that may be.
    pub(super) fn account(&mut self, form: &mut Form<'_>, way: Way, address: &str, must: bool) -> Result<Account, Error> {
        let Some(provider) = way.provider() else {
            let secret = if must {
                Some(form.secret("--secret", self.secret.take(), "Secret with username and password")?)
            } else {
                form.may_secret("--secret", self.secret.take(), "Secret with username and password; empty for no login")?
            };
            return Ok(secret.map(|name| Account::by_password(&name)).unwrap_or_default());
        };
        let user =
            form.usual(self.username.take(), "Account that is logged in to", address)?.unwrap_or_else(|| address.to_owned());
        let Answers { grant, mut fields, steps, sign_in } = self.application.answers(form, Asked::Account(provider))?;
        let (username, subject) = if grant == Grant::ServiceAccountJWT { (None, Some(user)) } else { (Some(user), None) };
        fields.splice(
            0..0,
            [("provider", Some(json!(provider))), ("grant", Some(json!(grant))), ("subject", subject.map(Into::into))],
        );
        let auth = block(&[("type", Some("OAuth2".into())), ("username", username.map(Into::into)), ("oauth2", block(&fields))]);
        Ok(Account { auth, steps, sign_in })
    }

    /// Its flags, and whether nothing was made of them.
    pub(super) fn left(&self) -> Vec<(&'static str, bool)> {
        let own = [("--login", self.way.is_some()), ("--secret", self.secret.is_some()), ("--username", self.username.is_some())];
        own.into_iter().chain(self.application.left()).collect()
    }
}

impl Account {
    fn by_password(secret: &str) -> Self {
        let auth = json!({"type": "Password", "secretRef": {"name": secret}});
        Self { auth: Some(auth), steps: vec![Step::Password(secret.to_owned())], sign_in: None }
    }
}

impl Way {
    fn provider(self) -> Option<OAuth2Provider> {
        match self {
            Self::Password => None,
            Self::Microsoft365 => Some(OAuth2Provider::Microsoft365),
            Self::Google => Some(OAuth2Provider::Google),
            Self::Custom => Some(OAuth2Provider::Custom),
        }
    }

    /// The provider whose mail servers are known.
    pub(super) fn servers(self) -> Option<MailProvider> {
        match self {
            Self::Microsoft365 => Some(MailProvider::Microsoft365),
            Self::Google => Some(MailProvider::Google),
            Self::Password | Self::Custom => None,
        }
    }
}
