//! The certificate that a spec names, read and judged before it is handed to the receivers.

use std::time::SystemTime;

use secrecy::SecretSlice;

use super::inputs;
use crate::{
    api::{
        Class, Reason,
        v1alpha1::{MailReceiverSpec, TlsStatus},
    },
    mail::{
        Diagnosis,
        tls::{ServerIdentity, Unfit},
    },
    verify::{References, fingerprint::Key},
};

/// What the certificate of a spec came to.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// None is asked for.
    None,
    /// It may be shown.
    Good(Box<Pair>),
    /// It is not shown to anyone, for this reason; the one before stays in use.
    Bad(Diagnosis),
}

/// A pair that is handed over.
#[derive(Clone, Debug)]
pub struct Pair {
    /// `tls.crt`.
    pub chain: Vec<u8>,
    /// `tls.key`.
    pub key: SecretSlice<u8>,
    /// The certificate as people read it.
    pub status: TlsStatus,
    /// A keyed hash of both.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads it, with the rights of `references`.
    ///
    /// # Errors
    /// Where it cannot be told for the moment what there is.
    pub async fn read(
        spec: &MailReceiverSpec,
        namespace: &str,
        references: &dyn References,
        key: &Key,
        now: SystemTime,
    ) -> Result<Self, Diagnosis> {
        let Some(name) = inputs::certificate(spec) else { return Ok(Self::None) };
        let place = format!("{namespace}/{name}");
        let stored = match references.secret(namespace, name).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                let missing = Diagnosis::new(Reason::SecretNotFound).detail(format!("there is no Secret {place}"));
                return Ok(Self::Bad(missing.fact("secret", place).fact("keys", "tls.crt and tls.key")));
            }
            Err(failure) if failure.class == Class::Transient => return Err(failure),
            Err(failure) => return Ok(Self::Bad(failure)),
        };
        let part = |key: &str| stored.data.get(key).cloned().unwrap_or_default();
        let (chain, secret) = (part("tls.crt"), part("tls.key"));
        Ok(match ServerIdentity::from_pem(&chain, &secret, inputs::min_version(spec), now) {
            Ok(identity) => Self::Good(Box::new(Pair {
                fingerprint: key.hash(&[&chain, &secret]),
                status: TlsStatus { version: None, cipher: None, ..identity.status },
                chain,
                key: secret.into(),
            })),
            Err(unfit) => Self::Bad(told(&place, &unfit)),
        })
    }
}

fn told(place: &str, unfit: &Unfit) -> Diagnosis {
    let reason = match unfit {
        Unfit::Invalid(_) => Reason::CertificateInvalid,
        Unfit::KeyMismatch => Reason::CertificateKeyMismatch,
        Unfit::Expired(_) => Reason::CertificateExpired,
        Unfit::NotYetValid(_) => Reason::CertificateNotYetValid,
    };
    let cure = match unfit {
        Unfit::Expired(_) => "; renew it",
        Unfit::NotYetValid(_) => "; check the clocks",
        _ => "",
    };
    Diagnosis::new(reason).detail(format!("Secret {place}: {unfit}{cure}")).fact("secret", place).fact("fault", unfit.to_string())
}
