//! Which mechanisms are tried, in which order, and which never: the rules of the type Auth.
//!
//! The list is not a list of attempts: the next one is tried only where no password was judged (504, 534 and the like).

use crate::{
    api::{Reason, v1alpha1::Mechanism},
    mail::Diagnosis,
};

/// In this order, since mechanisms that look stronger fail more often on hashed password stores, and each failure counts
/// towards a lockout. APOP is POP3's own: no other server offers it.
const PASSWORD: [Mechanism; 5] = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::Ntlm, Mechanism::Apop];
const TOKEN: [Mechanism; 2] = [Mechanism::XOAuth2, Mechanism::OAuthBearer];

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A password.
    Password,
    /// An OAuth 2.0 access token.
    Token,
}

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The mechanisms of the spec, in its order; empty is Auto.
    pub allowed: &'a [Mechanism],
    /// What the server offers.
    pub offered: &'a [String],
    /// Whether the connection is in TLS, and the certificate was judged and found good.
    pub verified_tls: bool,
    /// Whether the secret may be shown to whoever watches the network.
    pub allow_plaintext: bool,
    /// What the credential is.
    pub kind: Kind,
}

/// The mechanisms to try, in order; never an empty list.
///
/// # Errors
/// `AuthNotOffered` where the server offers no login at all; `AuthMechanismNotOffered`, with what is offered and what is
/// allowed, where none is in common or each would show the secret.
pub fn choose(terms: &Terms<'_>) -> Result<Vec<Mechanism>, Diagnosis> {
    let family: &[Mechanism] = if terms.kind == Kind::Password { &PASSWORD } else { &TOKEN };
    let auto = terms.allowed.is_empty() || terms.allowed.contains(&Mechanism::Auto);
    let offered = |mechanism: &Mechanism| terms.offered.iter().any(|name| name.eq_ignore_ascii_case(mechanism.as_str()));
    // APOP rests on MD5 alone: inside TLS, which hides the password better, only who names it gets it.
    let usual = |mechanism: &Mechanism| *mechanism != Mechanism::Apop || (!terms.verified_tls && offered(mechanism));
    let wanted: Vec<_> = if auto { family.iter().copied().filter(usual).collect() } else { terms.allowed.to_vec() };
    if terms.offered.is_empty() {
        return Err(Diagnosis::new(Reason::AuthNotOffered).detail("the server offers no AUTH").fact("allowed", list(&wanted)));
    }
    let common: Vec<_> = wanted.iter().copied().filter(|mechanism| family.contains(mechanism) && offered(mechanism)).collect();
    let shown_to_all = |mechanism: &Mechanism| shows_secret(*mechanism) && !terms.verified_tls && !terms.allow_plaintext;
    let fit: Vec<_> = common.iter().copied().filter(|mechanism| !shown_to_all(mechanism)).collect();
    if !fit.is_empty() {
        return Ok(fit);
    }
    let allowed: Vec<_> = wanted.iter().copied().filter(|mechanism| !shown_to_all(mechanism)).collect();
    let detail = if !common.is_empty() {
        format!("{} would show the secret without verified TLS; auth.allowPlaintext is not set", list(&common))
    } else if terms.kind == Kind::Token {
        "the server offers no mechanism that takes a token".to_owned()
    } else {
        "no allowed mechanism is offered".to_owned()
    };
    Err(Diagnosis::new(Reason::AuthMechanismNotOffered)
        .detail(detail)
        .fact("offered", crate::mail::diagnosis::printable(&terms.offered.join(", "), 256))
        .fact("allowed", if allowed.is_empty() { "none without verified TLS".to_owned() } else { list(&allowed) }))
}

/// Whether who reads along learns the secret.
#[must_use]
pub fn shows_secret(mechanism: Mechanism) -> bool {
    !matches!(mechanism, Mechanism::CramMd5 | Mechanism::Ntlm | Mechanism::Apop)
}

fn list(mechanisms: &[Mechanism]) -> String {
    mechanisms.iter().map(|mechanism| mechanism.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use Mechanism::{Apop, Auto, CramMd5, Login, Ntlm, OAuthBearer, Plain, XOAuth2};

    use super::*;

    type Row<'a> = (&'a [Mechanism], &'a str, bool, bool, Kind, &'a [Mechanism]);

    fn choice(
        allowed: &[Mechanism],
        offered: &str,
        verified_tls: bool,
        allow_plaintext: bool,
        kind: Kind,
    ) -> Result<Vec<Mechanism>, Diagnosis> {
        let offered: Vec<_> = offered.split_whitespace().map(str::to_owned).collect();
        choose(&Terms { allowed, offered: &offered, verified_tls, allow_plaintext, kind })
    }

    #[test]
    fn the_rules_of_auth_hold() {
        use Kind::{Password, Token};
        let all = "NTLM CRAM-MD5 LOGIN PLAIN OAUTHBEARER XOAUTH2 GSSAPI";
        let rows: &[Row<'_>] = &[
            (&[Auto], all, true, false, Password, &[Plain, Login, CramMd5, Ntlm]),
            (&[], all, true, false, Password, &[Plain, Login, CramMd5, Ntlm]),
            (&[Auto], "login ntlm", true, false, Password, &[Login, Ntlm]),
            (&[Auto], all, false, false, Password, &[CramMd5, Ntlm]),
            (&[Auto], all, false, true, Password, &[Plain, Login, CramMd5, Ntlm]),
            (&[Ntlm, Plain], all, true, false, Password, &[Ntlm, Plain]),
            (&[Ntlm, Plain], all, false, false, Password, &[Ntlm]),
            (&[Ntlm, Plain], all, false, true, Password, &[Ntlm, Plain]),
            (&[Apop, XOAuth2, Login], all, true, false, Password, &[Login]),
            (&[Auto], all, true, false, Token, &[XOAuth2, OAuthBearer]),
            (&[OAuthBearer], all, true, false, Token, &[OAuthBearer]),
            (&[Auto], all, false, true, Token, &[XOAuth2, OAuthBearer]),
            (&[Auto], "APOP PLAIN CRAM-MD5", true, false, Password, &[Plain, CramMd5]),
            (&[Auto], "APOP PLAIN CRAM-MD5", false, false, Password, &[CramMd5, Apop]),
            (&[Auto], "PLAIN APOP", false, true, Password, &[Plain, Apop]),
            (&[Apop], "PLAIN APOP", true, false, Password, &[Apop]),
            (&[Apop, Plain], "PLAIN APOP", false, false, Password, &[Apop]),
            (&[Auto], "APOP XOAUTH2", false, true, Token, &[XOAuth2]),
        ];
        for (allowed, offered, tls, plaintext, kind, want) in rows {
            assert_eq!(
                choice(allowed, offered, *tls, *plaintext, *kind).unwrap(),
                *want,
                "{allowed:?} {offered} {tls} {plaintext}"
            );
        }
    }

    #[test]
    fn a_choice_that_cannot_be_made_says_what_is_offered_and_allowed() {
        let none = choice(&[Auto], "", true, false, Kind::Password).unwrap_err();
        assert_eq!(none.reason, Reason::AuthNotOffered);

        let other = choice(&[Plain], "GSSAPI NTLM", true, false, Kind::Password).unwrap_err();
        assert_eq!(other.reason, Reason::AuthMechanismNotOffered);
        assert_eq!(other.hint(), "The server offers GSSAPI, NTLM; you allow PLAIN. Some offer more after TLS.");
    }

    #[test]
    fn nobody_is_told_of_apop_who_cannot_have_it() {
        for (offered, verified_tls) in [("PLAIN LOGIN", false), ("GSSAPI APOP", true), ("", false)] {
            let refused = choice(&[Auto], offered, verified_tls, false, Kind::Password).unwrap_err();
            assert!(!refused.get("allowed").unwrap().contains("APOP"), "{offered}: {refused:?}");
        }
        assert!(choice(&[Apop], "APOP", false, false, Kind::Token).is_err(), "a token is no password");
    }

    #[test]
    fn tls_that_is_not_verified_shows_no_secret_and_says_so() {
        for (kind, offered) in [(Kind::Password, "PLAIN LOGIN"), (Kind::Token, "XOAUTH2 OAUTHBEARER")] {
            let refused = choice(&[Auto], offered, false, false, kind).unwrap_err();
            assert_eq!(refused.reason, Reason::AuthMechanismNotOffered);
            assert!(refused.said().contains("without verified TLS"), "{}", refused.said());
        }
    }
}
