//! An application that is given access tokens, and how it asks for them: the same for an account with OAuth2 and for the APIs of Microsoft
//! and Google. Next: `client`, how it proves itself.

use clap::Args;
use mailverity::api::v1alpha1::{Cloud, Grant, OAuth2Provider};
use serde_json::json;

use super::{
    Field, Form,
    client::{Client, Proof},
    step::{SignIn, Step},
};
use crate::Error;

/// The field of the page where people consent.
const PAGE: &str = "authURL";

/// What can be said of it on the command line.
#[derive(Args, Debug)]
pub struct Application {
    /// OAuth2: how access tokens are asked for. ClientCredentials if absent; at Google ServiceAccountJWT.
    #[arg(long, value_parser = ["ClientCredentials", "DeviceCode", "RefreshToken", "ServiceAccountJWT"], ignore_case = true)]
    grant: Option<String>,
    /// OAuth2: Microsoft's directory.
    #[arg(long, value_name = "TENANT")]
    tenant_id: Option<String>,
    /// OAuth2: the application's id at the provider; at Google the service account's.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// OAuth2: Microsoft's cloud; Public if absent.
    #[arg(long, value_parser = ["Public", "China", "USGov"], ignore_case = true)]
    cloud: Option<String>,
    #[command(flatten)]
    client: Client,
    /// OAuth2: the Secret that keeps the refresh token of a person who signed in.
    #[arg(long, value_name = "NAME")]
    token_secret: Option<String>,
    /// OAuth2 of a provider of your own: where tokens are given out.
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// OAuth2 of a provider of your own: where device codes are given out.
    #[arg(long, value_name = "URL")]
    device_url: Option<String>,
    /// OAuth2 of a provider of your own: the page where people consent.
    #[arg(long, value_name = "URL")]
    auth_url: Option<String>,
    /// OAuth2 of a provider of your own: a scope; for several repeat it, or use commas.
    #[arg(long)]
    scope: Vec<String>,
}

/// What is asked for access tokens, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By an account of this provider.
    Account(OAuth2Provider),
    /// By protocol `MicrosoftGraph`.
    Graph,
    /// By protocol `GmailAPI`.
    Gmail,
}

/// What comes of the answers.
pub struct Answers {
    pub grant: Grant,
    /// Fields that have the same names in `oauth2`, `graph` and `gmail`.
    pub fields: Vec<Field>,
    pub steps: Vec<Step>,
    pub sign_in: Option<SignIn>,
}

impl Application {
    pub(super) fn answers(&mut self, form: &mut Form<'_>, asked: Asked) -> Result<Answers, Error> {
        let provider = asked.provider();
        let (usual, others) = asked.grants();
        let grant = form.one(self.grant.take(), "How access tokens are asked for", usual, others)?;
        let mut fields = match provider {
            OAuth2Provider::Microsoft365 => self.of_microsoft(form)?,
            OAuth2Provider::Google => Vec::new(),
            OAuth2Provider::Custom => self.of_own(form, grant)?,
        };
        let (proof, client, step) = self.client.answers(form, provider, grant)?;
        fields.push(("client", client));
        // The key of a service account says whose it is; the Gmail API wants it said.
        if proof != Proof::ServiceAccountKey || asked == Asked::Gmail {
            let question = match (provider, proof) {
                (_, Proof::ServiceAccountKey) => "Service account's unique ID",
                (OAuth2Provider::Google, Proof::WorkloadIdentity) => "Service account's address",
                _ => "Application's id (client ID)",
            };
            fields.push(("clientID", Some(form.need("--client-id", self.client_id.take(), question)?.into())));
        }
        let (mut steps, mut sign_in) = (Vec::from_iter(step), None);
        if matches!(grant, Grant::DeviceCode | Grant::RefreshToken) {
            let secret = form.secret("--token-secret", self.token_secret.take(), "Secret that keeps the refresh token")?;
            fields.push(("tokenSecretName", Some(secret.as_str().into())));
            let has_page = provider != OAuth2Provider::Custom || fields.iter().any(|(name, url)| *name == PAGE && url.is_some());
            match grant {
                Grant::DeviceCode => sign_in = Some(SignIn::Code(secret)),
                _ if has_page => sign_in = Some(SignIn::Consent(secret)),
                _ => steps.push(Step::RefreshToken(secret)),
            }
        }
        Ok(Answers { grant, fields, steps, sign_in })
    }

    /// Microsoft's cloud. What is answered is as good as a flag: it is asked for once.
    pub(super) fn cloud(&mut self, form: &Form<'_>) -> Result<Cloud, Error> {
        let cloud = form.one(self.cloud.take(), "Microsoft's cloud", Cloud::Public, &[Cloud::China, Cloud::USGov])?;
        self.cloud = Some(format!("{cloud:?}"));
        Ok(cloud)
    }

    /// What Microsoft's preset leaves open.
    fn of_microsoft(&mut self, form: &mut Form<'_>) -> Result<Vec<Field>, Error> {
        let tenant = form.need("--tenant-id", self.tenant_id.take(), "Directory (tenant ID)")?;
        let cloud = Some(self.cloud(form)?).filter(|cloud| *cloud != Cloud::default());
        self.cloud = None;
        Ok(vec![("tenantID", Some(tenant.into())), ("cloud", cloud.map(|cloud| json!(cloud)))])
    }

    /// What a provider without a preset has to be known by.
    fn of_own(&mut self, form: &mut Form<'_>, grant: Grant) -> Result<Vec<Field>, Error> {
        let token = form.need("--token-url", self.token_url.take(), "URL where tokens are given out")?;
        let mut fields = vec![("tokenURL", Some(token.into()))];
        if grant == Grant::DeviceCode {
            let device = form.need("--device-url", self.device_url.take(), "URL where device codes are given out")?;
            fields.push(("deviceURL", Some(device.into())));
        }
        if grant == Grant::RefreshToken {
            let question = "URL of the page where people consent; empty if the refresh token is had by other ways";
            fields.push((PAGE, form.may(self.auth_url.take(), question)?.map(Into::into)));
        }
        let scopes = form.may_words(&std::mem::take(&mut self.scope), "Scopes, with commas between; empty for none")?;
        fields.push(("scopes", (!scopes.is_empty()).then(|| json!(scopes))));
        Ok(fields)
    }

    /// Its flags, and whether nothing was made of them.
    pub(super) fn left(&self) -> Vec<(&'static str, bool)> {
        let own = [
            ("--grant", self.grant.is_some()),
            ("--tenant-id", self.tenant_id.is_some()),
            ("--client-id", self.client_id.is_some()),
            ("--cloud", self.cloud.is_some()),
            ("--token-secret", self.token_secret.is_some()),
            ("--token-url", self.token_url.is_some()),
            ("--device-url", self.device_url.is_some()),
            ("--auth-url", self.auth_url.is_some()),
            ("--scope", !self.scope.is_empty()),
        ];
        own.into_iter().chain(self.client.left()).collect()
    }
}

impl Asked {
    fn provider(self) -> OAuth2Provider {
        match self {
            Self::Account(provider) => provider,
            Self::Graph => OAuth2Provider::Microsoft365,
            Self::Gmail => OAuth2Provider::Google,
        }
    }

    /// How tokens can be asked for: the usual way, and the others.
    fn grants(self) -> (Grant, &'static [Grant]) {
        match self {
            Self::Graph => (Grant::ClientCredentials, &[]),
            Self::Gmail | Self::Account(OAuth2Provider::Google) => (Grant::ServiceAccountJWT, &[Grant::RefreshToken]),
            Self::Account(_) => (Grant::ClientCredentials, &[Grant::DeviceCode, Grant::RefreshToken]),
        }
    }
}
