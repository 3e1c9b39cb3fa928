//! How a spec wants certificates judged: the CA bundle and the client certificate that it names.

use super::{About, key_missing, secret};
use crate::{
    api::{
        Reason,
        v1alpha1::{CaKind, CaRef, Tls},
    },
    mail::{
        Diagnosis,
        tls::{ClientIdentity, MinVersion, TlsPolicy, certificates},
    },
    verify::References,
};

/// The policy, and a keyed hash of what it is made of.
pub(in crate::verify) async fn trust(
    tls: Option<&Tls>,
    about: &About<'_>,
    references: &dyn References,
) -> Result<(TlsPolicy, String), Diagnosis> {
    let Some(tls) = tls else { return Ok((TlsPolicy::default(), String::new())) };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut added = Vec::new();
    if let Some(ca) = &tls.ca_ref {
        let pem = bundle(ca, about, references).await?;
        let kind = if ca.kind == CaKind::Secret { "Secret" } else { "ConfigMap" };
        let broken = |fault: String| {
            Diagnosis::new(Reason::CABundleInvalid)
                .fact("kind", kind)
                .fact("name", ca.name.as_str())
                .fact("key", ca.key.as_str())
                .detail(format!("{kind} {} key {} holds no PEM certificate that can be read", ca.name, ca.key))
                .fact("fault", fault)
        };
        added = certificates(&pem).map_err(broken)?;
        if added.is_empty() {
            return Err(broken(String::new()));
        }
        seen.push(pem);
    }
    let min = if tls.min_version.as_deref() == Some("1.3") { MinVersion::Tls13 } else { MinVersion::Tls12 };
    let mut policy = TlsPolicy::new(&added, min);
    policy.server_name.clone_from(&tls.server_name);
    policy.skip_verify = tls.insecure_skip_verify.unwrap_or(false);
    if let Some(reference) = &tls.client_certificate_ref {
        let place = format!("{}/{}", about.namespace, reference.name);
        let secret = secret(references, about.namespace, &reference.name, "tls.crt and tls.key").await?;
        let missing: Vec<&str> = ["tls.crt", "tls.key"].into_iter().filter(|key| !secret.data.contains_key(*key)).collect();
        let (Some(chain), Some(key)) = (secret.data.get("tls.crt"), secret.data.get("tls.key")) else {
            return Err(key_missing(&place, &missing, &secret));
        };
        let unfit = |fault: String| {
            Diagnosis::new(Reason::ClientCertificateInvalid)
                .fact("secret", place.as_str())
                .detail(format!("Secret {place}: {fault}"))
                .fact("fault", fault)
        };
        policy.client = Some(ClientIdentity::from_pem(chain, key).map_err(unfit)?);
        seen.extend([chain.clone(), key.clone()]);
    }
    let parts: Vec<&[u8]> = seen.iter().map(Vec::as_slice).collect();
    Ok((policy, about.key.hash(&parts)))
}

async fn bundle(ca: &CaRef, about: &About<'_>, references: &dyn References) -> Result<Vec<u8>, Diagnosis> {
    let (kind, found) = match ca.kind {
        CaKind::ConfigMap => ("ConfigMap", references.config_map(about.namespace, &ca.name).await?),
        CaKind::Secret => ("Secret", references.secret(about.namespace, &ca.name).await?),
    };
    let missing = match found {
        Some(mut stored) => match stored.data.remove(&ca.key) {
            Some(pem) => return Ok(pem),
            None => format!("{kind} {} has no key {}", ca.name, ca.key),
        },
        None => format!("there is no {kind} {}", ca.name),
    };
    Err(Diagnosis::new(Reason::CABundleNotFound)
        .fact("kind", kind)
        .fact("name", ca.name.as_str())
        .fact("key", ca.key.as_str())
        .detail(missing))
}
