//! What a spec says, in the types that mail is taken in with. The operator and the receivers read it alike. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    api::v1alpha1::{MailReceiverSpec, ReceiverTlsMode},
    mail::{Diagnosis, tls::MinVersion},
    verify::resolve::invalid,
};

/// The networks that may send; everybody if none.
///
/// # Errors
/// `SpecInvalid`, with the first that is no network.
pub fn allowed_sources(spec: &MailReceiverSpec) -> Result<Vec<IpNet>, Diagnosis> {
    let written = spec.listener.iter().flat_map(|listener| listener.allowed_sources.iter().flatten());
    let network = |(at, text): (usize, &String)| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            invalid(&format!(
                "spec.listener.allowedSources[{at}] {text:?} is no network; write one such as 192.0.2.0/24, or an address"
            ))
        })
    };
    written.enumerate().map(network).collect()
}

/// The name of the Secret whose certificate is shown; none where STARTTLS is not offered.
#[must_use]
pub fn certificate(spec: &MailReceiverSpec) -> Option<&str> {
    let tls = spec.tls.as_ref().filter(|tls| tls.mode != ReceiverTlsMode::None)?;
    tls.certificate_ref.as_ref().map(|secret| secret.name.as_str())
}

/// The lowest version of TLS that is spoken.
#[must_use]
pub fn min_version(spec: &MailReceiverSpec) -> MinVersion {
    let written = spec.tls.as_ref().and_then(|tls| tls.min_version.as_deref());
    if written == Some("1.3") { MinVersion::Tls13 } else { MinVersion::Tls12 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::Listener;

    #[test]
    fn a_source_that_is_no_network_is_named() {
        let spec = |sources: &[&str]| MailReceiverSpec {
            listener: Some(Listener {
                allowed_sources: Some(sources.iter().map(|one| (*one).to_owned()).collect()),
                ..Listener::default()
            }),
            ..MailReceiverSpec::default()
        };
        let read = allowed_sources(&spec(&["192.0.2.0/24", "2001:db8::1"])).unwrap();
        assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24", "2001:db8::1/128"]);
        let fault = allowed_sources(&spec(&["192.0.2.1", "192.0.2.0/33"])).unwrap_err();
        assert!(fault.said().contains("allowedSources[1] \"192.0.2.0/33\""), "{}", fault.said());
        assert!(allowed_sources(&MailReceiverSpec::default()).unwrap().is_empty());
    }
}
