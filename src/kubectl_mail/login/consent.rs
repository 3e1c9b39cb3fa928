//! A person consents in a browser on this machine (RFC 8252), and the refresh token that comes of it goes into the Secret where the
//! operator looks for it.

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use mailverity::{
    api::v1alpha1::Auth,
    cli::{given::Given, tokens},
    mail::{
        Diagnosis, Vantage, authority,
        diagnosis::{WORDS, printable},
        dns::Resolver,
        guard::Guard,
        https::{Host, Hosts, Https},
        oauth2::{
            self,
            consent::{Attempt, Back, Page},
        },
    },
    verify::{
        conditions::sentence,
        fingerprint::Key,
        resolve::{self, About},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Login, keep::Place, loopback::Loopback, object::Object};
use crate::{Error, Exit};

/// The longest time for the exchange: that of an operator for a token.
const PATIENCE: Duration = Duration::from_secs(15);

/// For whom a person is to consent, and by whose rights.
pub struct Asked<'a> {
    pub object: &'a Object,
    pub auth: &'a Auth,
    pub namespace: &'a str,
    pub client: &'a Client,
}

impl Login {
    /// Has a person consent. Returns how it ended where there is nothing to follow.
    pub async fn consent(&self, asked: &Asked<'_>, deadline: Instant) -> Result<Option<Exit>, Error> {
        let Asked { object, namespace, .. } = asked;
        let resolve::Consent { page, redirect, secret: (name, key) } = resolved(asked).await?;
        let (https, issuers) = self.way(&page)?;
        // Before anybody is asked: what was consented to would be lost.
        let place = Place::new(asked.client, namespace, &name, key);
        let found = place.look().await?;
        place.may_be_written(&found).await?;
        let redirect = self.redirect_uri.clone().map_or_else(|| redirect.parse(), Ok)?;
        let loopback = Loopback::bind(&redirect).await?;
        let attempt = Attempt::new(loopback.uri())?;
        println!("The refresh token will be asked of {}, and kept in Secret {place}.", page.endpoint.host);
        println!("Open this page in a browser on this machine, and sign in as {}:", printable(&page.user, WORDS));
        println!("{}", attempt.url(&page));
        let issuers: Vec<&str> = issuers.iter().map(String::as_str).collect();
        let read = |query: &str| match attempt.back(query, &page, &issuers) {
            Back::Foreign => None,
            Back::Ours(answer) => Some(answer),
        };
        let Ok(answer) = timeout_at(deadline, loopback.answer(read)).await else {
            println!("{object}: nobody has consented yet");
            return Ok(Some(Exit::Unverified));
        };
        let fetched = match *answer {
            Ok(request) => Box::pin(oauth2::fetch(&https, &request, Timestamp::now(), Instant::now() + PATIENCE)).await,
            Err(refusal) => Err(refusal),
        };
        let token = match fetched {
            Ok(token) => token.refresh,
            Err(refusal) => {
                println!("{object}: {}", sentence(&refusal.diagnosis));
                return Ok(Some(Exit::Unverified));
            }
        };
        let Some(token) = token else {
            println!("{object}: {} gave an access token and no refresh token: {}", page.endpoint.host, lacking(&page));
            return Ok(Some(Exit::Unverified));
        };
        place.keep(found, &token).await?;
        println!("{object}: the refresh token is in Secret {place}.");
        Ok(None)
    }

    /// How the code is shown to whom, and who may have issued it. Who may write an object and read no Secret could else have a person
    /// consent at a provider's page and be shown the code.
    fn way(&self, page: &Page) -> Result<(Https, Vec<String>), Error> {
        let here = Vantage { actor: "here".to_owned(), resolver: Resolver::new(&[]), guard: Guard::open(), proxy: None };
        let own: Host = authority(&page.url.host, page.url.port).parse()?;
        let named = self.allowed_token_hosts.iter().cloned();
        let https = tokens::https(here, Hosts::These(named.chain([own]).collect()), self.token_ca_file.as_deref())?;
        let (asked, shown) = (&page.endpoint, &page.url.host);
        https.admit(&asked.host, asked.port).map_err(|_| {
            let place = authority(&asked.host, asked.port);
            let place = place.trim_end_matches(":443");
            format!("the page is at {shown}, and the code would be shown to {place}: if that is right, say --allowed-token-hosts {place}")
        })?;
        let named = self.allowed_token_hosts.iter().map(|host| host.name().to_owned());
        Ok((https, named.chain([shown.clone(), asked.host.clone()]).collect()))
    }
}

async fn resolved(asked: &Asked<'_>) -> Result<resolve::Consent, Error> {
    let key = Key::random();
    let about = About {
        kind: asked.object.kind(),
        namespace: asked.namespace,
        name: asked.object.name(),
        uid: "",
        key: &key,
        require_allowed_hosts: false,
    };
    let references = Given::default().or_cluster(Some(asked.client.clone()));
    let told = |diagnosis: Diagnosis| format!("{}: {}", asked.object, sentence(&diagnosis));
    Ok(Box::pin(resolve::consent(asked.auth, &about, &references)).await.map_err(told)?)
}

/// What to do where there is no refresh token.
fn lacking(page: &Page) -> &'static str {
    let has = |field: &str| page.beside.iter().any(|(known, _)| *known == field);
    if has("access_type") {
        return "take the application's access away from the account at https://myaccount.google.com/connections, and sign in once more";
    }
    if page.scopes.iter().any(|scope| scope == oauth2::presets::OFFLINE) {
        return "let the application have refresh tokens (scope offline_access, grant refresh_token) where it is registered, and sign in once more";
    }
    "as a rule they take the scope offline_access: add it to oauth2.scopes, and sign in once more"
}
