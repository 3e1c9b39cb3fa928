//! Watches a handshake: judges the server's certificate by the policy, and keeps what was shown also where it is refused.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use super::{
    Examination, TlsPolicy,
    certificate::{self, Fault},
    policy::{ClientIdentity, provider},
};

/// One handshake under watch.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: TlsPolicy,
    stores: Vec<Arc<RootCertStore>>,
    name: ServerName<'static>,
    shown: Mutex<Option<(Examination, Option<Fault>)>>,
    asked: AtomicBool,
}

impl Watch {
    pub(super) fn new(policy: &TlsPolicy, name: ServerName<'static>) -> Self {
        let (policy, stores) = (policy.clone(), policy.stores());
        Self(Arc::new(Inner { policy, stores, name, shown: Mutex::new(None), asked: AtomicBool::new(false) }))
    }

    /// The configuration for this one handshake.
    pub(super) fn config(&self, policy: &TlsPolicy) -> ClientConfig {
        let mut config = ClientConfig::clone(&policy.base);
        config.dangerous().set_certificate_verifier(Arc::new(self.clone()));
        config.client_auth_cert_resolver = Arc::new(self.clone());
        config
    }

    /// What was shown, and what is wrong with it.
    pub(super) fn found(&self) -> (Option<Examination>, Option<Fault>) {
        let shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        let asked = self.0.asked.load(Ordering::Relaxed);
        match shown {
            Some((mut examination, fault)) => {
                examination.client_certificate_asked = asked;
                (Some(examination), fault)
            }
            None => (None, None),
        }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Fault> {
        let parsed = match ParsedCertificate::try_from(leaf) {
            Ok(parsed) => parsed,
            Err(error) => return Some(certificate::unreadable(leaf, rest, &self.0.policy, name, now, &error)),
        };
        let trusted = self.trusted(&parsed, leaf, rest, now);
        let named = verify_server_name(&parsed, name);
        if trusted.is_ok() && named.is_ok() {
            return None;
        }
        // The chain once more at a time at which the leaf is valid: an expired certificate of a trusted CA is not untrusted.
        let ever = match &trusted {
            Err(_) => certificate::middle_of(leaf).map_or(trusted.clone(), |then| self.trusted(&parsed, leaf, rest, then)),
            Ok(()) => Ok(()),
        };
        Some(certificate::fault(
            leaf,
            rest,
            &self.0.policy,
            name,
            now,
            &certificate::Judged { trusted, ever, named: named.is_ok() },
        ))
    }

    fn trusted(
        &self,
        parsed: &ParsedCertificate<'_>,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A self-signed certificate that the user put into tls.caRef is trusted for itself, as OpenSSL has it; webpki takes
        // no CA certificate as a server's.
        if self.0.policy.added.iter().any(|known| known.as_ref() == leaf.as_ref()) {
            return certificate::in_time(leaf, now);
        }
        let mut first = None;
        for store in &self.0.stores {
            let algorithms = provider().signature_verification_algorithms.all;
            match verify_server_cert_signed_by_trust_anchor(parsed, store, rest, now, algorithms) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    // "Unknown issuer" in one store says less than what another store found wrong.
                    let vague = matches!(first, None | Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
                    if vague {
                        first = Some(error);
                    }
                }
            }
        }
        Err(first.unwrap_or(Error::InvalidCertificate(CertificateError::UnknownIssuer)))
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let skip = self.0.policy.skip_verify;
        let fault = if skip { None } else { self.judge(leaf, rest, &self.0.name, now) };
        let bad = fault.is_some();
        let examination = Examination {
            status: certificate::describe(leaf),
            verified: !skip && !bad,
            client_certificate_asked: false,
            weak_key: certificate::weak_key(leaf),
        };
        *self.0.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((examination, fault));
        if bad {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Watch {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.asked.store(true, Ordering::Relaxed);
        let ClientIdentity { key, .. } = self.0.policy.client.as_ref()?;
        key.key.choose_scheme(schemes).map(|_| Arc::clone(key))
    }

    fn has_certs(&self) -> bool {
        // Also without a certificate of ours: only so are we told that the server asked for one.
        true
    }
}
