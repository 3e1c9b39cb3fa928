//! `kubectl mail login`: a person signs in at the provider, by a device code (RFC 8628) that the operator asks for, or by consenting in a
//! browser on this machine (`consent`, with its `loopback` and `keep`). Either way a check is followed to a checked token (`follow`).

mod consent;
mod follow;
mod keep;
mod loopback;
mod object;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use jiff::SignedDuration;
use mailverity::{api::v1alpha1::Grant, mail::https::Host};
use tokio::time::Instant;

use super::{Connect, Error, Exit};
use consent::Asked;
use loopback::Redirect;
use object::Object;

/// Sign in for a MailServer or an EmailProfile: with grant DeviceCode print the page and the code, wait until somebody has signed in
/// there, and for the check that follows; with grant RefreshToken print the page of the provider, wait until the browser comes back from it to
/// this machine, put the refresh token into the Secret that the object names, and wait for the check.
///
/// Exit codes: 0 a token was had and the check is good; 1 nobody signed in, the provider refused, or the check failed; 2 bad usage,
/// no such object, its grant is another, or what it names cannot be read or written.
#[derive(Args, Debug)]
pub struct Login {
    /// An EmailProfile's name, or KIND/NAME: emailprofile (emp) or mailserver (ms).
    #[arg(value_name = "[KIND/]NAME")]
    object: Object,
    /// Wait so long for a person, such as 5m, and for the check; a code is good for 15 minutes as a rule.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = duration)]
    timeout: Duration,
    /// Grant RefreshToken: where the browser comes back to, if the provider wants it just as it was registered, such as
    /// http://127.0.0.1:8085/back. Without a port: at a free one.
    #[arg(long, value_name = "URL")]
    redirect_uri: Option<Redirect>,
    /// Grant RefreshToken: hosts that the code may be shown to beside the page's own and those of Microsoft and Google, as host or
    /// host:port, with commas between.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    allowed_token_hosts: Vec<Host>,
    /// Grant RefreshToken: trust these CA certificates too, in PEM, where the token is asked for.
    #[arg(long, value_name = "FILE")]
    token_ca_file: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|error| error.to_string())
}

impl Login {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let object = &self.object;
        let auth = object.look(&client, &namespace).await?.auth.unwrap_or_default();
        match auth.oauth2.as_ref().map(|oauth2| oauth2.grant) {
            Some(Grant::DeviceCode) => {}
            Some(Grant::RefreshToken) => {
                let asked = Asked { object, auth: &auth, namespace: &namespace, client: &client };
                if let Some(exit) = Box::pin(self.consent(&asked, Instant::now() + self.timeout)).await? {
                    return Ok(exit);
                }
            }
            _ => {
                eprintln!(
                    "{object}: nobody signs in for it; only an account whose oauth2.grant is DeviceCode or RefreshToken waits for a person"
                );
                return Ok(Exit::Bad);
            }
        }
        follow::follow(object, &client, &namespace, Instant::now() + self.timeout).await
    }
}
