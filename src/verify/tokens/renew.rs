//! One request to a provider, to its end: what it gives is kept before it is used, also where the check that wanted it is over by
//! then. A refresh token that is lost on the way may be the only one.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    entry::{Begun, Entry},
    keep::{Kept, Safe, Unwritten},
};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        https::Https,
        oauth2::{self, Grant, Refusal, Request, Token},
    },
};

/// The longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The waits between the tries to keep a refresh token. What was not kept after them is tried again by the next who wants a token.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// What is to be asked.
pub(super) struct Work {
    pub https: Https,
    pub request: Request,
    pub safe: Option<Safe>,
    pub entry: Arc<Entry>,
    /// The credential's key.
    pub key: String,
}

impl Work {
    /// Asks, keeps, and gives to the entry what may be used.
    pub async fn go(mut self, deadline: Instant) -> Result<(), Refusal> {
        let Some(safe) = self.safe.take() else { return self.unkept(deadline).await };
        if let Some((token, begun, base)) = self.entry.held_back() {
            return self.keep(&safe, base, token, begun).await;
        }
        let kept = safe.keeper.read(&safe.place).await.map_err(not_judged)?.unwrap_or_default();
        let newest = kept.refresh.clone().filter(|_| safe.fits(&kept));
        if let (Grant::RefreshToken(_), Some(newest)) = (&self.request.grant, newest) {
            self.request.grant = Grant::RefreshToken(newest);
        }
        let (token, begun) = self.fetch(deadline).await?;
        self.keep(&safe, kept, token, begun).await
    }

    /// Where nobody keeps it, memory does.
    async fn unkept(mut self, deadline: Instant) -> Result<(), Refusal> {
        if let (Grant::RefreshToken(_), Some(newer)) = (&self.request.grant, self.entry.refresh()) {
            self.request.grant = Grant::RefreshToken(newer);
        }
        let (mut token, begun) = self.fetch(deadline).await?;
        if let Some(refresh) = token.refresh.take() {
            self.entry.remember(refresh);
        }
        self.entry.has(token, begun, &self.key);
        Ok(())
    }

    async fn fetch(&self, deadline: Instant) -> Result<(Token, Begun), Refusal> {
        let begun = Begun::now();
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let token = oauth2::fetch(&self.https, &self.request, begun.time, deadline).await?;
        Ok((token, begun))
    }

    /// Keeps the refresh token that came, if it is another than was shown, and then uses the token.
    async fn keep(&self, safe: &Safe, base: Kept, mut token: Token, begun: Begun) -> Result<(), Refusal> {
        if let Some(refresh) = token.refresh.clone() {
            let kept = Kept { refresh: Some(refresh), ..new(safe, &base) };
            if let Err(failure) = write(safe, &base, kept).await {
                self.entry.holds_back((token, begun, base));
                return Err(not_judged(failure));
            }
        }
        token.refresh = None;
        self.entry.has(token, begun, &self.key);
        Ok(())
    }
}

fn new(safe: &Safe, base: &Kept) -> Kept {
    let (application, consent) = (safe.application.clone(), safe.consent.clone());
    Kept { application, consent, version: base.version.clone(), ..Kept::default() }
}

/// Writes `kept` over `base`. Where another wrote in between, the newer refresh token stays.
async fn write(safe: &Safe, base: &Kept, mut kept: Kept) -> Result<(), Diagnosis> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match safe.keeper.write(&safe.place, &kept).await {
            Ok(()) => return Ok(()),
            Err(Unwritten::Failed(failure)) => failure,
            Err(Unwritten::Changed) => match safe.keeper.read(&safe.place).await {
                Ok(found) => {
                    let found = found.unwrap_or_default();
                    if !is_as_it_was(&found, base) {
                        return Ok(());
                    }
                    kept.version = found.version;
                    unkept("it changes all the time")
                }
                Err(failure) => failure,
            },
        };
        let Some(pause) = pauses.next() else { return Err(failure) };
        tokio::time::sleep(pause).await;
    }
}

/// Whether the refresh token is what it was: then only metadata changed.
fn is_as_it_was(found: &Kept, base: &Kept) -> bool {
    use secrecy::ExposeSecret;
    let shown = |kept: &Kept| kept.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned());
    found.consent == base.consent && found.application == base.application && shown(found) == shown(base)
}

fn unkept(fault: &str) -> Diagnosis {
    let fault = format!("the new refresh token could not be kept: {fault}");
    Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient).detail(fault.clone()).fact("fault", fault)
}

fn not_judged(diagnosis: Diagnosis) -> Refusal {
    Refusal { diagnosis, judged: false, retry_after: None }
}
