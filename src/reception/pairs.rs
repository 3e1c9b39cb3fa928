//! The certificates that the operator hands over, each for one `MailReceiver`, as Secrets of the receivers' namespace. A new one
//! counts from the next handshake on; a bad one never comes here by the operator, and if it does, the one before stays.

use std::{collections::HashMap, time::SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretSlice};

use super::follow::Change;
use crate::{
    mail::tls::{MinVersion, ServerIdentity},
    verify::mail_receiver::handing::secret_name,
};

/// All of them, by the name of the Secret.
#[derive(Debug, Default)]
pub(super) struct Pairs(HashMap<String, Pair>);

#[derive(Debug)]
struct Pair {
    chain: Vec<u8>,
    key: SecretSlice<u8>,
    /// What is shown, the lowest version that it was made for, and whether it is of this very pair.
    shown: Option<(ServerIdentity, MinVersion, bool)>,
}

impl Pairs {
    /// Takes note of what the watch brought.
    pub fn hear(&mut self, change: Change<Secret>) {
        match change {
            Change::Is(secret) => self.set(*secret),
            Change::Gone(name) => _ = self.0.remove(&name.name),
            Change::Listed(_, names) => self.0.retain(|name, _| names.iter().any(|listed| listed.name == *name)),
        }
    }

    fn set(&mut self, secret: Secret) {
        let name = secret.name_any();
        let mut data = secret.data.unwrap_or_default();
        let mut part = |key: &str| data.remove(key).map(|bytes| bytes.0).unwrap_or_default();
        let (chain, key) = (part("tls.crt"), part("tls.key"));
        let before = self.0.remove(&name);
        let same = before.as_ref().is_some_and(|before| before.chain == chain && before.key.expose_secret() == key.as_slice());
        let shown = before.and_then(|before| before.shown).map(|(identity, least, current)| (identity, least, current && same));
        self.0.insert(name, Pair { chain, key: key.into(), shown });
    }

    /// What is shown for the `MailReceiver` with this UID.
    ///
    /// # Errors
    /// Why nothing is, in one line.
    pub fn identity(&mut self, uid: &str, least: MinVersion, now: SystemTime) -> Result<ServerIdentity, String> {
        let pair = self.0.get_mut(&secret_name(uid)).ok_or("the operator has not handed over its certificate")?;
        if let Some((identity, made_for, true)) = &pair.shown
            && *made_for == least
        {
            return Ok(identity.clone());
        }
        match ServerIdentity::from_pem(&pair.chain, pair.key.expose_secret(), least, now) {
            Ok(identity) => {
                tracing::info!(uid, until = identity.status.not_after, "a certificate is in use");
                pair.shown = Some((identity.clone(), least, true));
                Ok(identity)
            }
            Err(unfit) => match &mut pair.shown {
                Some((identity, made_for, current)) if *made_for == least => {
                    tracing::warn!(uid, %unfit, "the old certificate stays in use");
                    *current = true;
                    Ok(identity.clone())
                }
                _ => Err(unfit.to_string()),
            },
        }
    }
}
