//! What works now and ends on a day that is known, or that its provider has announced: the secret by which an application proves
//! itself, and passwords where they are on their way out. No check is needed to tell it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    conditions::{Conditions, Truth},
    halt::told_time,
};
use crate::{
    api::{
        Reason,
        v1alpha1::{Auth, AuthType, condition as c},
    },
    mail::{
        Diagnosis,
        protocol::Protocol,
        smtp::providers::{Provider, recognise},
    },
};

/// The end of what an application proves itself by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// `client secret` or `certificate`.
    pub what: &'static str,
    /// Its last moment.
    pub at: Timestamp,
}

impl Ends {
    /// When it begins to be warned of, where that is `warning` before its end.
    #[must_use]
    pub fn warned_from(&self, warning: Duration) -> Timestamp {
        self.at.checked_sub(warning).unwrap_or(Timestamp::MIN)
    }
}

impl Conditions {
    /// Tells of a client secret or certificate that ends soon, or has ended. `secret`: its Secret.
    pub fn credential_ends(&mut self, ends: Option<&Ends>, secret: &str, warning: Duration, now: Timestamp) {
        let Some(ends) = ends.filter(|ends| ends.warned_from(warning) <= now) else {
            return self.drop(c::CREDENTIAL_EXPIRING);
        };
        let diagnosis = Diagnosis::new(Reason::CredentialExpiring)
            .fact("what", ends.what)
            .fact("at", told_time(ends.at))
            .fact("secret", secret);
        self.tell(c::CREDENTIAL_EXPIRING, Truth::True, &diagnosis);
    }

    /// Tells of an account that logs in by a password at a provider that has announced the end of that.
    /// `places`: the hosts that it logs in to, and how.
    pub fn password_retires(&mut self, auth: Option<&Auth>, places: &[(&str, Protocol)]) {
        let by_password = auth.is_some_and(|auth| auth.r#type == AuthType::Password);
        let mut told = places.iter().filter_map(|(host, protocol)| retires(recognise(host, None)?, *protocol));
        let Some(detail) = told.next().filter(|_| by_password) else {
            return self.drop(c::BASIC_AUTH_RETIRING);
        };
        let diagnosis = Diagnosis::new(Reason::BasicAuthRetiring).detail(detail);
        self.tell(c::BASIC_AUTH_RETIRING, Truth::True, &diagnosis);
    }
}

/// What a provider has announced. Where it takes no passwords at all already, the login itself says so (`BasicAuthDisabled`).
fn retires(provider: Provider, protocol: Protocol) -> Option<&'static str> {
    match (provider, protocol) {
        // Source, of 27 January 2026, for tenants in all clouds:
        // <https://techcommunity.microsoft.com/blog/exchange/updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835>
        (Provider::Microsoft365, Protocol::Smtp) => Some(
            "Microsoft disables passwords for SMTP AUTH by default at the end of December 2026; administrators may enable them again \
             until a last day that is to be announced in the second half of 2027",
        ),
        // Source: <https://support.google.com/a/answer/14114704>
        (Provider::Google, _) => Some(
            "Google has ended access by account passwords, and takes an app password only, from accounts with two-step verification",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::SecretRef;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
    }

    #[test]
    fn a_credential_is_warned_of_from_two_weeks_before_its_end_and_after_it() {
        let ends = Ends { what: "client secret", at: at(30) };
        let warning = Duration::from_hours(336);
        for (day, warned) in [(0, false), (15, false), (16, true), (29, true), (40, true)] {
            let mut conditions = Conditions::new(&[], 1, at(day));
            conditions.credential_ends(Some(&ends), "mail/app", warning, at(day));
            assert_eq!(conditions.is(c::CREDENTIAL_EXPIRING, Truth::True), warned, "{day}");
            if warned {
                let told = &conditions.get(c::CREDENTIAL_EXPIRING).unwrap().message;
                assert!(told.contains("The client secret in Secret mail/app ends at 2027-02-14T08:00:00Z"), "{told}");
            }
            conditions.credential_ends(None, "", warning, at(day));
            assert!(conditions.get(c::CREDENTIAL_EXPIRING).is_none());
        }
    }

    #[test]
    fn passwords_are_warned_of_where_their_end_is_announced() {
        let secret_ref =
            Some(SecretRef { name: "a".to_owned(), username_key: "username".to_owned(), password_key: "password".to_owned() });
        let password = Auth { r#type: AuthType::Password, secret_ref, ..Auth::default() };
        let token = Auth { r#type: AuthType::OAuth2, ..Auth::default() };
        for (auth, host, protocol, warned) in [
            (Some(&password), "smtp.office365.com", Protocol::Smtp, true),
            (Some(&password), "SMTP.Office365.com.", Protocol::Smtp, true),
            (Some(&password), "outlook.office365.com", Protocol::Imap, false),
            (Some(&password), "imap.gmail.com", Protocol::Imap, true),
            (Some(&password), "smtp.fastmail.com", Protocol::Smtp, false),
            (Some(&token), "smtp.office365.com", Protocol::Smtp, false),
            (None, "smtp.office365.com", Protocol::Smtp, false),
        ] {
            let mut conditions = Conditions::new(&[], 1, at(0));
            conditions.password_retires(auth, &[("mail.corp.example", protocol), (host, protocol)]);
            assert_eq!(conditions.is(c::BASIC_AUTH_RETIRING, Truth::True), warned, "{host} {protocol:?}");
            conditions.password_retires(None, &[(host, protocol)]);
            assert!(conditions.get(c::BASIC_AUTH_RETIRING).is_none());
        }
    }
}
