//! Logging in by a device code: a code is asked for, kept with what belongs to it, and asked about until the person has signed in or
//! its time is over. What came of it is kept too, so that another process goes on from there.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{
    Tokens,
    keep::{Ended, Kept, Pending, Safe},
    renew::{PATIENCE, Undone, Work, write},
};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        oauth2::{
            Grant, Request,
            device::{self, INTERVAL, Polled},
        },
    },
    verify::schedule::later,
};

/// Between two tries to keep what came of a code.
const AGAIN: Duration = Duration::from_secs(5);

/// A login by device code: how it is asked for, and by what name a person asks for another.
#[derive(Clone, Debug)]
pub struct DeviceLogin {
    /// Asks for a code.
    pub authorize: Request,
    /// The object as `kubectl mail login` takes it.
    pub name: String,
}

impl DeviceLogin {
    /// What is told while a person is waited for.
    fn pending(&self, pending: &Pending) -> Diagnosis {
        let until = Timestamp::from_second(pending.expires.as_second()).unwrap_or(pending.expires).to_string();
        Diagnosis::new(Reason::DeviceCodePending)
            .detail(format!("{} waits for a person to sign in", self.authorize.endpoint.host))
            .fact("uri", &pending.uri)
            .fact("code", &pending.user_code)
            .fact("until", until)
            .fact("login", &self.name)
    }

    /// What is told where another application's refresh token is kept in the place.
    pub(super) fn taken(&self, safe: &Safe) -> Diagnosis {
        let Self { name, .. } = self;
        Diagnosis::new(Reason::Conflict)
            .detail(format!(
                "Secret {} keeps the refresh token of another application: give tokenSecretName another name, or sign in anew with \
                 kubectl mail login {name}",
                safe.place
            ))
            .fact("other", "Another application")
            .fact("value", format!("the Secret {}", safe.place))
    }

    /// What is told of a login that came to nothing, or is no good any more.
    fn ended(&self, ended: &Ended) -> Diagnosis {
        Diagnosis::new(ended.reason).detail(&ended.said).fact("provider", &self.authorize.endpoint.host).fact("login", &self.name)
    }
}

/// That the refresh token is not taken any more: it is forgotten, and a person is told. It is not shown again.
pub(super) async fn expired(login: &DeviceLogin, safe: &Safe, base: Kept, diagnosis: &Diagnosis) -> Result<Diagnosis, Diagnosis> {
    let before = base.ended.as_ref().map_or(0, |ended| ended.count);
    let ended = Ended { count: before, reason: Reason::RefreshTokenExpired, said: diagnosis.said() };
    let kept = Kept { refresh: None, device: None, ended: Some(ended.clone()), ..base.clone() };
    write(safe, &base, kept).await?;
    Ok(login.ended(&ended))
}

/// Without a refresh token: a person is needed.
pub(super) async fn begin(
    Work { tokens, https, request, asked_for: asked, .. }: &Work,
    login: &DeviceLogin,
    safe: &Safe,
    base: Kept,
    deadline: Instant,
) -> Undone {
    let (now, asked) = (Timestamp::now(), *asked);
    match (&base.device, &base.ended) {
        (Some(pending), _) if pending.expires > now => {
            follow(tokens, request, safe, pending);
            return Undone::Waits(login.pending(pending));
        }
        (Some(_), _) if !asked => {
            // It ended while nobody asked.
            let ended = Ended::after(&base, Reason::DeviceCodeExpired, "nobody signed in with the device code in time");
            let kept = Kept { device: None, ended: Some(ended.clone()), ..base.clone() };
            return match write(safe, &base, kept).await {
                Ok(()) => Undone::Waits(login.ended(&ended)),
                Err(failure) => Undone::Waits(failure),
            };
        }
        (None, Some(ended)) if !asked => return Undone::Waits(login.ended(ended)),
        _ => {}
    }
    let code = match device::authorize(https, &login.authorize, now, deadline.min(Instant::now() + PATIENCE)).await {
        Ok(code) => code,
        Err(refusal) => return Undone::Refused(refusal),
    };
    let pending = Pending {
        device_code: code.device_code,
        user_code: code.user_code,
        uri: code.uri,
        expires: later(now, code.lifetime),
        interval: code.interval,
    };
    let kept = Kept { application: safe.application.clone(), device: Some(pending.clone()), refresh: None, ..base.clone() };
    if let Err(failure) = write(safe, &base, kept).await {
        return Undone::Waits(failure);
    }
    follow(tokens, request, safe, &pending);
    Undone::Waits(login.pending(&pending))
}

/// Asks about a code from now on, unless somebody here does so already, and for as long as nothing stops the object: who reads
/// its spec anew after that calls this again.
pub(super) fn follow(tokens: &Arc<Tokens>, request: &Request, safe: &Safe, pending: &Pending) {
    if !safe.is_awake() || !tokens.follows(&pending.user_code, safe) {
        return;
    }
    let poll = Poll {
        tokens: Arc::clone(tokens),
        request: Request { grant: Grant::DeviceCode(pending.device_code.clone()), ..request.clone() },
        safe: safe.clone(),
        pending: pending.clone(),
    };
    tokio::spawn(poll.go());
}

/// What is asked about a code.
struct Poll {
    tokens: Arc<Tokens>,
    request: Request,
    safe: Safe,
    pending: Pending,
}

impl Poll {
    async fn go(self) {
        let mut interval = self.pending.interval;
        loop {
            tokio::time::sleep(interval).await;
            // Of two processes that ask, one would be told that the code is used up.
            if !self.safe.is_awake() || self.tokens.is_closed() || !self.tokens.is_followed(&self.pending.user_code, &self.safe) {
                break;
            }
            let under_way = self.tokens.begin();
            let asked = Box::pin(self.ask(&mut interval, under_way)).await;
            if asked {
                break;
            }
        }
        self.tokens.leave(&self.pending.user_code, &self.safe);
    }

    /// Asks once. Returns whether there is nothing more to ask.
    async fn ask(&self, interval: &mut Duration, _under_way: watch::Receiver<()>) -> bool {
        let now = Timestamp::now();
        if now >= self.pending.expires {
            self.end(Reason::DeviceCodeExpired, "nobody signed in with the device code in time").await;
            return true;
        }
        let safe = self.safe.clone();
        let https = self.tokens.https.clone().only_while(move || safe.is_awake());
        match device::poll(&https, &self.request, now, Instant::now() + PATIENCE).await {
            Ok(Polled::Pending) => false,
            Ok(Polled::SlowDown) => {
                *interval += INTERVAL;
                false
            }
            Ok(Polled::Token(token)) => {
                if let Some(refresh) = token.refresh {
                    self.signed_in(refresh).await;
                } else {
                    let fault = "the provider gave no refresh token: oauth2.scopes lacks offline_access";
                    self.end(Reason::DeviceCodeBlocked, fault).await;
                }
                true
            }
            Err(refusal) if refusal.diagnosis.class == Class::Transient => {
                // RFC 8628 section 3.5: after a timeout it is asked more seldom.
                *interval = (*interval * 2)
                    .min(Duration::from_mins(1))
                    .max(refusal.retry_after.unwrap_or_default().min(Duration::from_mins(5)));
                false
            }
            Err(refusal) => {
                let reason = match refusal.diagnosis.reason {
                    Reason::DeviceCodeExpired => Reason::DeviceCodeExpired,
                    _ => Reason::DeviceCodeBlocked,
                };
                self.end(reason, &refusal.diagnosis.said()).await;
                true
            }
        }
    }

    async fn signed_in(&self, refresh: SecretString) {
        tracing::info!(secret = %self.safe.place, "a person has signed in");
        let consent = Uuid::new_v4().to_string();
        let signed_in = |base: &Kept| Kept {
            consent: consent.clone(),
            refresh: Some(refresh.clone()),
            device: None,
            ended: None,
            ..base.clone()
        };
        self.write(signed_in).await;
    }

    async fn end(&self, reason: Reason, said: &str) {
        tracing::info!(secret = %self.safe.place, %reason, "a login by device code came to nothing");
        self.write(|base| Kept { device: None, ended: Some(Ended::after(base, reason, said)), ..base.clone() }).await;
    }

    /// Writes what came of it, where our code is still the one that counts. What a person's sign-in gave is nowhere else: it is
    /// tried until it is written.
    async fn write(&self, new: impl Fn(&Kept) -> Kept) {
        loop {
            let written = async {
                let base = self.safe.keeper.read(&self.safe.place).await?.unwrap_or_default();
                let ours = base.device.as_ref().is_some_and(|device| device.user_code == self.pending.user_code);
                if ours { write(&self.safe, &base, new(&base)).await } else { Ok(()) }
            };
            let Err(failure) = written.await else { break };
            tracing::warn!(secret = %self.safe.place, "what came of a device code is not kept yet: {}", failure.said());
            if !self.safe.keeper.leads() || self.tokens.is_closed() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
