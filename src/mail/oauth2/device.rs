//! Device codes (RFC 8628): a person signs in on a page of the provider's, by a code, while we ask again and again.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Refusal, Request, Token, answer, ask, request::Form};
use crate::{
    api::{Class, Reason},
    mail::{
        Diagnosis,
        diagnosis::printable,
        https::{Answer, Https, Url},
    },
};

/// The interval where the provider names none (RFC 8628 section 3.2), and what `slow_down` adds to it (section 3.5).
pub const INTERVAL: Duration = Duration::from_secs(5);
/// The longest interval that is believed.
const LONGEST_INTERVAL: Duration = Duration::from_mins(1);
/// The longest life of a code that is believed. Microsoft's have 15 minutes.
const LONGEST: Duration = Duration::from_hours(1);
/// The most characters of a page and of a code that people enter: those of the status.
const SHOWN: (usize, usize) = (512, 64);

/// A code that a person is to enter.
#[derive(Clone, Debug)]
pub struct Code {
    /// What the provider knows us by, which nobody else may see.
    pub device_code: SecretString,
    /// What the person enters.
    pub user_code: String,
    /// The page on which it is entered.
    pub uri: String,
    /// How long it is good.
    pub lifetime: Duration,
    /// How long to wait between two questions.
    pub interval: Duration,
}

/// What came of asking for the token.
#[derive(Clone, Debug)]
pub enum Polled {
    /// The person has signed in.
    Token(Token),
    /// Not yet.
    Pending,
    /// Not yet, and we ask too often.
    SlowDown,
}

#[derive(Deserialize)]
struct Body {
    device_code: Option<String>,
    user_code: Option<String>,
    /// Google once wrote `verification_url`.
    #[serde(alias = "verification_url")]
    verification_uri: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Error {
    error: Option<String>,
}

/// Asks for a code, once. The endpoint of `request` is the provider's device authorization endpoint, its grant
/// [`super::Grant::Device`].
///
/// # Errors
/// [`Refusal`], as for a token.
pub async fn authorize(https: &Https, request: &Request, now: Timestamp, deadline: Instant) -> Result<Code, Refusal> {
    ask(https, request, now, deadline, |answer, form| read(answer, request, form)).await
}

/// Asks whether the person has signed in, once. The grant of `request` is [`super::Grant::DeviceCode`].
///
/// # Errors
/// [`Refusal`]: `DeviceCodeExpired` and `DeviceCodeBlocked`, after which this code is asked for no more, and those of a token.
pub async fn poll(https: &Https, request: &Request, now: Timestamp, deadline: Instant) -> Result<Polled, Refusal> {
    ask(https, request, now, deadline, |answer, form| {
        let error = serde_json::from_slice::<Error>(&answer.body).ok().and_then(|body| body.error);
        match error.as_deref() {
            Some("authorization_pending") => Ok(Polled::Pending),
            Some("slow_down") => Ok(Polled::SlowDown),
            _ => answer::read(answer, request, form).map(Polled::Token),
        }
    })
    .await
}

fn read(answer: &Answer, request: &Request, form: &Form) -> Result<Code, Refusal> {
    let place = &request.endpoint.host;
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else { return Err(answer::nonsense(answer, place)) };
    if body.error.is_some() || answer.status != 200 {
        // An error is told by whoever knows errors; a token would be none here.
        let refused = answer::read(answer, request, form).err();
        return Err(refused.unwrap_or_else(|| unusable(place, "it answered with a token, where a code belongs")));
    }
    let (Some(device_code), Some(user_code), Some(uri)) = (body.device_code, body.user_code, body.verification_uri) else {
        return Err(unusable(place, "its answer lacks device_code, user_code or verification_uri"));
    };
    let plain = |text: &str, most: usize| text.len() <= most && !text.is_empty() && printable(text, most) == text;
    if !answer::is_token(&device_code) || !plain(&user_code, SHOWN.1) {
        return Err(unusable(place, "its device code or user code cannot be used"));
    }
    if !plain(&uri, SHOWN.0) || uri.parse::<Url>().is_err() {
        return Err(unusable(place, "its verification_uri is no https:// URL of at most 512 characters"));
    }
    let lifetime = body.expires_in.map_or(Duration::from_mins(5), Duration::from_secs).min(LONGEST);
    let interval = body.interval.map_or(INTERVAL, Duration::from_secs).clamp(Duration::from_secs(1), LONGEST_INTERVAL);
    Ok(Code { device_code: SecretString::from(device_code), user_code, uri, lifetime, interval })
}

fn unusable(place: &str, fault: &str) -> Refusal {
    let fault = format!("{place} gave no device code that can be used: {fault}");
    let diagnosis = Diagnosis::new(Reason::OAuthTokenFailed).class(Class::User).detail(fault.clone()).fact("fault", fault);
    Refusal { diagnosis, judged: false, retry_after: None }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::mail::oauth2::{Grant, Proof};

    fn answered(status: u16, body: &str) -> Result<Code, Refusal> {
        let request = Request {
            endpoint: "https://login.test/device".parse().unwrap(),
            client_id: "us".to_owned(),
            proof: Proof::None,
            grant: Grant::Device,
            scopes: vec!["mail".to_owned()],
        };
        let media = "application/json".to_owned();
        let answer = Answer { status, media, retry_after: None, date: None, body: body.as_bytes().to_vec() };
        read(&answer, &request, &request.form(None, Timestamp::UNIX_EPOCH).unwrap())
    }

    #[test]
    fn a_code_is_read_with_its_times() {
        let whole = r#"{"device_code":"d","user_code":"ABCD-EFGH","verification_uri":"https://login.test/link","expires_in":900,"interval":7}"#;
        let code = answered(200, whole).unwrap();
        assert_eq!(
            (code.device_code.expose_secret(), code.user_code.as_str(), code.uri.as_str()),
            ("d", "ABCD-EFGH", "https://login.test/link")
        );
        assert_eq!((code.lifetime.as_secs(), code.interval.as_secs()), (900, 7));
        let least = r#"{"device_code":"d","user_code":"A","verification_url":"https://login.test/link","interval":0,"expires_in":99999999}"#;
        let code = answered(200, least).unwrap();
        assert_eq!((code.lifetime.as_secs(), code.interval.as_secs()), (3600, 1));
    }

    #[test]
    fn what_nobody_could_enter_is_no_code() {
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"device_code":"d","user_code":"A"}"#),
            (200, r#"{"device_code":"d","user_code":"A","verification_uri":"http://login.test/link"}"#),
            (200, r#"{"device_code":"d","user_code":"A","verification_uri":"javascript:alert(1)"}"#),
            (200, r#"{"device_code":"d","user_code":"A\u001b[2J","verification_uri":"https://login.test/"}"#),
            (200, r#"{"device_code":"","user_code":"A","verification_uri":"https://login.test/"}"#),
            (200, r#"{"access_token":"t"}"#),
            (400, r#"{"error":"invalid_scope"}"#),
            (500, r#"{"device_code":"d","user_code":"A","verification_uri":"https://login.test/"}"#),
        ] {
            let refused = answered(status, body).unwrap_err();
            assert_eq!(refused.diagnosis.reason, Reason::OAuthTokenFailed, "{body}");
            assert!(!refused.diagnosis.hint().is_empty(), "{body}");
        }
    }
}
