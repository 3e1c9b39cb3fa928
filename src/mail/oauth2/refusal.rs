//! What a provider's errors mean: RFC 6749 section 5.2, Microsoft's AADSTS codes and Google's wordings.

use super::{Grant, Refusal, Request};
use crate::{
    api::{Class, Reason},
    mail::Diagnosis,
};

/// What a token endpoint said, scrubbed.
pub(super) struct Said<'a> {
    pub status: u16,
    pub error: &'a str,
    pub description: &'a str,
    pub codes: &'a [i64],
}

/// What an error comes to.
struct Meaning {
    reason: Reason,
    class: Class,
    /// The secret, certificate or refresh token was judged.
    judged: bool,
    cure: &'static str,
}

const fn told(reason: Reason, judged: bool, cure: &'static str) -> Meaning {
    Meaning { reason, class: Class::User, judged, cure }
}

const fn later(cure: &'static str) -> Meaning {
    Meaning { reason: Reason::OAuthTokenFailed, class: Class::Transient, judged: false, cure }
}

/// Microsoft's codes, as `error_codes` lists them and `error_description` begins with them.
/// Source of all but those of federated credentials, which only their own words explain:
/// <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>
fn of_microsoft(code: i64, by_device: bool) -> Option<Meaning> {
    use Reason::{
        ClientSecretExpired, ConsentRequired, DeviceCodeBlocked, DeviceCodeExpired, OAuthTokenFailed, RefreshTokenExpired,
    };
    Some(match code {
        7_000_215 | 70_002 => {
            told(OAuthTokenFailed, true, "Put the value of the client secret, not its ID, into the Secret of oauth2.client")
        }
        7_000_222 => told(ClientSecretExpired, true, ""),
        7_000_218 if by_device => told(
            DeviceCodeBlocked,
            false,
            "Set Allow public client flows to Yes at application {client} (Authentication, Settings), or set oauth2.client",
        ),
        7_000_216 | 7_000_218 => told(OAuthTokenFailed, false, "Set oauth2.client: this application must prove itself"),
        700_025 => told(OAuthTokenFailed, false, "The application is registered as a public client: leave out oauth2.client"),
        700_027 | 50_012 => {
            told(OAuthTokenFailed, true, "Upload the certificate of the Secret to the application, or name the one it has")
        }
        700_024 => told(
            OAuthTokenFailed,
            false,
            "Check the clock of the operator's node: the assertion is not valid at the provider's time",
        ),
        1_000_502 => told(
            OAuthTokenFailed,
            true,
            "The certificate in the Secret of oauth2.client has ended or does not hold yet: put one there that holds, and upload it",
        ),
        700_023 => told(OAuthTokenFailed, false, "Check cloud and tenantID: the assertion is made for another directory"),
        50_166 | 90_061 | 501_661 => {
            later("Microsoft must reach the issuer of the cluster's ServiceAccount tokens, and its keys, from the internet")
        }
        70_021 | 700_211..=700_213 => told(
            OAuthTokenFailed,
            false,
            "Add a federated credential to the application {client} whose issuer, subject and audience are those of the ServiceAccount's token",
        ),
        700_016 => told(
            OAuthTokenFailed,
            false,
            "The directory knows no application {client}: check clientID and tenantID, and that an administrator has consented there",
        ),
        7_000_112 | 70_001 => told(OAuthTokenFailed, false, "Have an administrator enable the application {client} for sign-in"),
        90_002 | 900_023 | 50_059 => told(OAuthTokenFailed, false, "There is no such directory: check tenantID and cloud"),
        90_038 | 900_382 | 900_432 => {
            told(OAuthTokenFailed, false, "The directory is in another of Microsoft's clouds: check cloud")
        }
        65_001 | 65_004 | 65_005 | 650_052 | 650_056 | 650_057 | 90_008 | 90_094 | 90_095 => told(ConsentRequired, false, ""),
        50_105 => told(OAuthTokenFailed, false, "Assign the user to the application {client}, which takes assigned users only"),
        500_011 => told(
            OAuthTokenFailed,
            false,
            "The directory has no Exchange Online, or scopes name another cloud's: check scopes and cloud",
        ),
        70_011 | 1_002_012 => {
            told(OAuthTokenFailed, false, "Check oauth2.scopes: ClientCredentials takes one that ends in /.default")
        }
        50_072 | 50_074 | 50_076 | 50_079 | 50_158 => told(
            OAuthTokenFailed,
            false,
            "The directory demands multi-factor authentication of the user: consent anew with it, or use ClientCredentials",
        ),
        53_000..=53_004 | 530_003 | 530_032 | 530_034 | 530_035 => told(
            OAuthTokenFailed,
            false,
            "A conditional access policy blocks this: have an administrator exclude the application or admit the operator's address",
        ),
        50_057 => told(OAuthTokenFailed, false, "The user's account is disabled: have it enabled"),
        50_020 | 50_034 => told(OAuthTokenFailed, false, "The directory does not know the user: check tenantID and username"),
        50_053 => {
            told(OAuthTokenFailed, false, "The user's account is locked, or signs in from a blocked address: have it unlocked")
        }
        70_018 => told(DeviceCodeBlocked, false, ""),
        70_019 => told(DeviceCodeExpired, false, ""),
        70_000 | 70_008 | 50_173 | 700_082 | 700_084 | 70_043 => told(RefreshTokenExpired, true, ""),
        50_033 | 50_087 | 50_196 | 70_012 | 90_006 | 90_012 | 90_024 | 90_033 | 90_055 | 90_090 => {
            later("The provider cannot answer now, or is asked too often")
        }
        _ => return None,
    })
}

/// RFC 6749 section 5.2; `consent_required` and the like are those of `OpenID` Connect (Core 1.0 section 3.1.2.6).
/// Google's wordings: <https://developers.google.com/identity/protocols/oauth2/service-account#error-codes>
fn of_standard(said: &Said<'_>, request: &Request) -> Meaning {
    use Reason::{ConsentRequired, DeviceCodeBlocked, DeviceCodeExpired, OAuthTokenFailed, RefreshTokenExpired};
    let by_device = matches!(request.grant, Grant::DeviceCode(_));
    let google = matches!(request.grant, Grant::ServiceAccount { .. } | Grant::Federated(_));
    match said.error {
        "invalid_client" | "deleted_client" | "disabled_client" => {
            told(OAuthTokenFailed, true, "Check clientID, and the client secret or certificate in the Secret of oauth2.client")
        }
        "invalid_grant" if matches!(request.grant, Grant::RefreshToken(_)) => told(RefreshTokenExpired, true, ""),
        "invalid_grant"
            if google
                && ["Invalid email or User ID", "Not a valid email"].iter().any(|words| said.description.contains(words)) =>
        {
            told(OAuthTokenFailed, false, "The domain has no such user: check oauth2.subject")
        }
        "invalid_grant" if matches!(request.grant, Grant::Federated(_)) => told(
            OAuthTokenFailed,
            false,
            "Check client.workloadIdentity.audience, and that the pool's provider believes the cluster's issuer and the ServiceAccount",
        ),
        "invalid_grant" if google && said.description.contains("short-lived token") => {
            told(OAuthTokenFailed, false, "Check the clock of the operator's node: the assertion is not valid at Google's time")
        }
        "invalid_grant" if google => {
            told(OAuthTokenFailed, true, "Check the service account's key in the Secret of oauth2.client")
        }
        // RFC 8628 section 3.5; Microsoft's own words are those of
        // <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-device-code#expected-errors>.
        "expired_token" | "code_expired" | "bad_verification_code" if by_device => told(DeviceCodeExpired, false, ""),
        "access_denied" | "authorization_declined" | "invalid_grant" if by_device => told(DeviceCodeBlocked, false, ""),
        "unauthorized_client" | "access_denied" if google => told(ConsentRequired, false, ""),
        "admin_policy_enforced" => told(
            ConsentRequired,
            false,
            "Have the domain's administrator let application {client} have these scopes (Security, API controls)",
        ),
        "consent_required" | "interaction_required" => told(ConsentRequired, false, ""),
        "unauthorized_client" | "unsupported_grant_type" => told(
            OAuthTokenFailed,
            false,
            "The provider does not let this application use this grant: change oauth2.grant, or the application",
        ),
        "invalid_scope" | "invalid_target" => told(OAuthTokenFailed, false, "Check oauth2.scopes"),
        "temporarily_unavailable" | "server_error" | "slow_down" => later("The provider cannot answer now"),
        _ if said.status >= 500 || said.status == 429 => later("The provider cannot answer now, or is asked too often"),
        _ => told(OAuthTokenFailed, matches!(said.error, "invalid_grant"), ""),
    }
}

/// Google's exchange of a token of somebody else's for one of its own.
/// Source of the wordings: <https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation>
fn of_exchange(said: &Said<'_>) -> Option<Meaning> {
    let cure = match said.error {
        "invalid_target" => {
            "Check client.workloadIdentity.audience: Google knows no such pool and provider, or it is disabled or deleted"
        }
        "unauthorized_client" => "Have the attribute condition of the pool's provider admit the ServiceAccount",
        "invalid_grant" if said.description.contains("connecting to") => {
            return Some(later(
                "Google must reach the issuer of the cluster's ServiceAccount tokens from the internet, or have its keys uploaded to the pool's provider",
            ));
        }
        "invalid_grant" | "invalid_request" => {
            "Check client.workloadIdentity.audience, and that the pool's provider believes the cluster's issuer and the ServiceAccount"
        }
        _ => return None,
    };
    Some(told(Reason::OAuthTokenFailed, false, cure))
}

/// What is told of an error.
pub(super) fn judge(said: &Said<'_>, request: &Request) -> Refusal {
    let named =
        said.description.strip_prefix("AADSTS").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let by_device = matches!(request.grant, Grant::DeviceCode(_) | Grant::Device);
    let meaning = said.codes.iter().copied().chain(named).find_map(|code| of_microsoft(code, by_device));
    let meaning = meaning.or_else(|| request.is_exchange().then(|| of_exchange(said)).flatten());
    let Meaning { mut reason, class, judged, cure } = meaning.unwrap_or_else(|| of_standard(said, request));
    if matches!(request.grant, Grant::DeviceCode(_)) && reason == Reason::OAuthTokenFailed && class == Class::User {
        // A policy, or an account, stands in the way of who has signed in.
        reason = Reason::DeviceCodeBlocked;
    }
    // Behind it stand ids and a time, which would change from check to check.
    let words = said.description.split("Trace ID:").next().unwrap_or_default().trim();
    let detail = format!("{} answered {}", request.endpoint.host, said.error);
    let mut diagnosis = Diagnosis::new(reason).class(class).words(words).detail(detail.clone());
    if reason == Reason::RefreshTokenExpired {
        diagnosis = diagnosis.fact("anew", &request.endpoint.host);
    }
    if !cure.is_empty() {
        diagnosis = diagnosis.fact("cure", cure.replace("{client}", &request.client_id));
    } else if reason == Reason::OAuthTokenFailed {
        diagnosis = diagnosis.fact("fault", detail);
    }
    if reason == Reason::RefreshTokenExpired && super::presets::HOSTS[3] == request.endpoint.host {
        // Source: <https://developers.google.com/identity/protocols/oauth2#expiration>
        diagnosis = diagnosis.fact("often", "While an application is in testing, Google ends refresh tokens after seven days");
    }
    Refusal { diagnosis, judged, retry_after: None }
}

#[cfg(test)]
mod tests {
    use Reason::{ClientSecretExpired, ConsentRequired, DeviceCodeExpired, OAuthTokenFailed, RefreshTokenExpired};

    use super::*;
    use crate::mail::oauth2::Proof;

    fn asked(grant: Grant) -> Request {
        Request {
            endpoint: "https://login.microsoftonline.com/corp/oauth2/v2.0/token".parse().unwrap(),
            client_id: "us".to_owned(),
            proof: Proof::None,
            grant,
            scopes: Vec::new(),
        }
    }

    fn refused(error: &str, description: &str, codes: &[i64], status: u16, grant: Grant) -> Refusal {
        judge(&Said { status, error, description, codes }, &asked(grant))
    }

    #[test]
    fn each_code_of_microsoft_has_its_meaning() {
        for (code, reason, judged, class) in [
            (7_000_215, OAuthTokenFailed, true, Class::User),
            (7_000_222, ClientSecretExpired, true, Class::User),
            (65_001, ConsentRequired, false, Class::User),
            (700_016, OAuthTokenFailed, false, Class::User),
            (90_002, OAuthTokenFailed, false, Class::User),
            (900_023, OAuthTokenFailed, false, Class::User),
            (53_003, OAuthTokenFailed, false, Class::User),
            (50_076, OAuthTokenFailed, false, Class::User),
            (50_057, OAuthTokenFailed, false, Class::User),
            (50_034, OAuthTokenFailed, false, Class::User),
            (700_082, RefreshTokenExpired, true, Class::User),
            (90_033, OAuthTokenFailed, false, Class::Transient),
            (50_196, OAuthTokenFailed, false, Class::Transient),
            (700_025, OAuthTokenFailed, false, Class::User),
            (700_213, OAuthTokenFailed, false, Class::User),
            (90_038, OAuthTokenFailed, false, Class::User),
            (650_056, ConsentRequired, false, Class::User),
            (70_019, DeviceCodeExpired, false, Class::User),
            (1_000_502, OAuthTokenFailed, true, Class::User),
            (50_166, OAuthTokenFailed, false, Class::Transient),
            (50_074, OAuthTokenFailed, false, Class::User),
        ] {
            let listed = refused("invalid_request", "words", &[code], 400, Grant::ClientCredentials);
            let written = refused("invalid_request", &format!("AADSTS{code}: words"), &[], 400, Grant::ClientCredentials);
            for refused in [listed, written] {
                let diagnosis = &refused.diagnosis;
                assert_eq!((diagnosis.reason, refused.judged, diagnosis.class), (reason, judged, class), "{code}");
            }
        }
    }

    #[test]
    fn a_code_of_microsofts_is_told_with_what_mends_it_under_the_grant_that_it_is_of() {
        let device = || Grant::DeviceCode("d".to_owned().into());
        for (code, grant, cure) in [
            (7_000_218, device(), "Set Allow public client flows to Yes at application us"),
            (7_000_218, Grant::Device, "Set Allow public client flows to Yes at application us"),
            (7_000_218, Grant::ClientCredentials, "Set oauth2.client: this application must prove itself"),
            (50_105, device(), "Assign the user to the application us"),
        ] {
            let by_device = !matches!(grant, Grant::ClientCredentials);
            let refused = refused("invalid_client", "words", &[code], 401, grant);
            assert_eq!(refused.diagnosis.reason == Reason::DeviceCodeBlocked, by_device, "{code}");
            assert!(refused.diagnosis.hint().starts_with(cure), "{code}: {}", refused.diagnosis.hint());
        }
    }

    #[test]
    fn what_changes_from_answer_to_answer_is_not_told() {
        let words =
            "AADSTS7000222: The provided client secret keys are expired. Trace ID: 1-2 Correlation ID: 3 Timestamp: 2026-01-01";
        let refused = refused("invalid_client", words, &[7_000_222], 401, Grant::ClientCredentials);
        let said = refused.diagnosis.said();
        assert_eq!(
            said,
            "login.microsoftonline.com answered invalid_client: AADSTS7000222: The provided client secret keys are expired."
        );
    }

    #[test]
    fn errors_of_the_standard_have_their_meaning() {
        let refresh = || Grant::RefreshToken("r".to_owned().into());
        for (error, status, grant, reason, judged, class) in [
            ("invalid_client", 401, Grant::ClientCredentials, OAuthTokenFailed, true, Class::User),
            ("invalid_grant", 400, refresh(), RefreshTokenExpired, true, Class::User),
            ("invalid_scope", 400, Grant::ClientCredentials, OAuthTokenFailed, false, Class::User),
            ("unauthorized_client", 400, Grant::ClientCredentials, OAuthTokenFailed, false, Class::User),
            ("consent_required", 400, refresh(), ConsentRequired, false, Class::User),
            ("server_error", 500, refresh(), OAuthTokenFailed, false, Class::Transient),
            ("whatever", 503, refresh(), OAuthTokenFailed, false, Class::Transient),
            ("whatever", 429, refresh(), OAuthTokenFailed, false, Class::Transient),
            ("whatever", 400, refresh(), OAuthTokenFailed, false, Class::User),
        ] {
            let refused = refused(error, "words", &[], status, grant);
            let diagnosis = &refused.diagnosis;
            assert_eq!((diagnosis.reason, refused.judged, diagnosis.class), (reason, judged, class), "{error} {status}");
            assert!(diagnosis.said().contains(error) && diagnosis.said().contains("words"), "{}", diagnosis.said());
        }
    }
}
