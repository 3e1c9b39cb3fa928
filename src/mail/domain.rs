//! Domains of mail addresses: the one form in which they are compared. Pure.

use std::borrow::Cow;

/// A domain in lower case and A-labels (RFC 5890), without a dot at its end.
#[must_use]
pub fn canonical(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !domain.is_ascii() {
        return idna::domain_to_ascii(domain).map_or_else(|_| domain.to_lowercase().into(), Cow::from);
    }
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) { domain.to_ascii_lowercase().into() } else { domain.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_has_one_form() {
        for (written, form) in [
            ("Example.ORG", "example.org"),
            ("b\u{fc}cher.example.", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("", ""),
        ] {
            assert_eq!(canonical(written), form);
        }
    }
}
