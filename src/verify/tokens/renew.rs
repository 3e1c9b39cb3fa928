//! One request to a provider, to its end: what it gives is kept before it is used, also where the check that wanted it is over by
//! then. A refresh token that is lost on the way may be the only one.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    Tokens, Turn, device,
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
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The waits between the tries to keep a refresh token. What was not kept after them is tried again by the next who wants a token.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// What is to be asked.
pub(super) struct Work {
    pub tokens: Arc<Tokens>,
    /// Sends only what is still wanted.
    pub https: Https,
    pub request: Request,
    pub safe: Option<Safe>,
    pub entry: Arc<Entry>,
    /// Somebody has asked for this, and may be there to sign in.
    pub asked_for: bool,
    /// The credential's key.
    pub key: String,
}

/// Why there is no token.
pub(super) enum Undone {
    /// The provider refused, or could not be asked: it is left alone for a while.
    Refused(Refusal),
    /// A person is waited for, or the keeper.
    Waits(Diagnosis),
}

impl From<Refusal> for Undone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Work {
    /// Asks, keeps, and gives to the entry what may be used. `turn`: the right to ask by what is kept, where something is.
    pub async fn go(mut self, turn: Option<Turn>, deadline: Instant) -> Result<(), Undone> {
        let (Some(safe), Some(mut turn)) = (self.safe.take(), turn) else { return self.unkept(deadline).await };
        if let Some(unkept) = turn.take() {
            let ours = Arc::ptr_eq(&unkept.entry, &self.entry);
            keep(&mut turn, unkept).await?;
            if ours {
                return Ok(());
            }
        }
        let kept = safe.keeper.read(&safe.place).await.map_err(Undone::Waits)?.unwrap_or_default();
        let fits = safe.fits(&kept);
        match (kept.refresh.clone().filter(|_| fits), &safe.login) {
            (Some(newest), _) => self.request.grant = Grant::RefreshToken(newest),
            (None, Some(login)) if !fits && !kept.application.is_empty() && !self.asked_for => {
                // Two objects with one Secret would take it from each other for ever.
                return Err(Undone::Waits(login.taken(&safe)));
            }
            (None, Some(login)) => {
                // What is kept for another application counts for nothing.
                let base = if fits { kept } else { Kept { version: kept.version, ..Kept::default() } };
                let begun = device::begin(&self, login, &safe, base, deadline);
                return Err(Box::pin(begun).await);
            }
            (None, None) => {}
        }
        match (self.fetch(deadline).await, &safe.login) {
            (Ok((token, begun)), _) => {
                let (entry, key) = (Arc::clone(&self.entry), self.key.clone());
                keep(&mut turn, Unkept { safe, base: kept, token, begun, entry, key }).await
            }
            (Err(refusal), Some(login)) if refusal.diagnosis.reason == Reason::RefreshTokenExpired => {
                match device::expired(login, &safe, kept, &refusal.diagnosis).await {
                    Ok(told) => Err(Undone::Waits(told)),
                    // It would be shown again: then the breaker has to keep it.
                    Err(_) => Err(Undone::Refused(refusal)),
                }
            }
            (Err(refusal), _) => Err(Undone::Refused(refusal)),
        }
    }

    /// Where nobody keeps it, memory does.
    async fn unkept(mut self, deadline: Instant) -> Result<(), Undone> {
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
}

/// A token that is not used before the refresh token that came with it is kept: whoever asks next in the same place keeps it first,
/// and shows none that is older.
pub(super) struct Unkept {
    safe: Safe,
    /// What was kept before it.
    base: Kept,
    token: Token,
    begun: Begun,
    /// Who has asked for it.
    entry: Arc<Entry>,
    /// The credential's key.
    key: String,
}

/// Keeps the refresh token that came, if it is another than was shown, and then gives the token to who has asked for it.
async fn keep(turn: &mut Option<Unkept>, mut unkept: Unkept) -> Result<(), Undone> {
    let Unkept { safe, base, token, .. } = &unkept;
    if let Some(refresh) = token.refresh.clone() {
        let consent = if safe.login.is_some() { base.consent.clone() } else { safe.consent.clone() };
        let (application, version) = (safe.application.clone(), base.version.clone());
        let kept = Kept { application, consent, version, refresh: Some(refresh), ..Kept::default() };
        if let Err(failure) = write(safe, base, kept).await {
            *turn = Some(unkept);
            return Err(Undone::Waits(failure));
        }
    }
    unkept.token.refresh = None;
    unkept.entry.has(unkept.token, unkept.begun, &unkept.key);
    Ok(())
}

/// Writes `kept` over `base`. Where another wrote in between, the newer refresh token stays.
pub(super) async fn write(safe: &Safe, base: &Kept, mut kept: Kept) -> Result<(), Diagnosis> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match safe.keeper.write(&safe.place, &kept).await {
            Ok(()) => return Ok(()),
            Err(Unwritten::Failed(failure)) => failure,
            Err(Unwritten::Changed) => match safe.keeper.read(&safe.place).await {
                Ok(found) => {
                    let found = found.unwrap_or_default();
                    // A Secret that was taken away while we asked holds nothing newer; where a person signed in, it was meant.
                    let overtaken = !is_as_it_was(&found, base) && (found.version.is_some() || safe.login.is_some());
                    if overtaken {
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

/// Whether what is kept is what it was: then only metadata changed.
fn is_as_it_was(found: &Kept, base: &Kept) -> bool {
    let shown = |kept: &Kept| kept.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned());
    let code = |kept: &Kept| kept.device.as_ref().map(|device| device.user_code.clone());
    found.consent == base.consent && shown(found) == shown(base) && code(found) == code(base) && found.ended == base.ended
}

fn unkept(fault: &str) -> Diagnosis {
    let fault = format!("the new refresh token could not be kept: {fault}");
    Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient).detail(fault.clone()).fact("fault", fault)
}
