//! What a token endpoint answers (RFC 6749 sections 5.1 and 5.2). Nothing in it is believed.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Refusal, Request, Token,
    refusal::{self, Said},
    request::Form,
};
use crate::{
    api::{Class, Reason},
    mail::{Diagnosis, diagnosis::printable, https::Answer, sasl::Redaction},
};

/// The longest token that is taken. Microsoft's have up to some thousand characters.
const TOKEN: usize = 8 * 1024;

/// The lifetime where the provider names none, as it may (RFC 6749 section 5.1).
const LIFETIME: Duration = Duration::from_mins(5);

/// The longest lifetime that is believed.
const LONGEST: Duration = Duration::from_hours(24);

#[derive(Deserialize)]
struct Body {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
    error: Option<serde_json::Value>,
    error_description: Option<String>,
    error_codes: Option<Vec<i64>>,
}

/// Reads an answer to `request`, sent as `form`.
pub(super) fn read(answer: &Answer, request: &Request, form: &Form) -> Result<Token, Refusal> {
    let place = &request.endpoint.host;
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else {
        return Err(nonsense(answer, place));
    };
    if let Some(error) = &body.error {
        let error = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        let said = Said {
            status: answer.status,
            error: &scrubbed(&error, &form.secrets, 64),
            description: &scrubbed(body.error_description.as_deref().unwrap_or_default(), &form.secrets, 1024),
            codes: body.error_codes.as_deref().unwrap_or_default(),
        };
        return Err(Refusal { retry_after: answer.retry_after, ..refusal::judge(&said, request) });
    }
    if answer.status != 200 {
        return Err(unexpected(answer, place, "and names no error"));
    }
    let Some(token) = body.access_token.filter(|token| is_token(token)) else {
        return Err(unexpected(answer, place, "without an access token that can be used"));
    };
    if body.token_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(unexpected(answer, place, "with a token of another type than Bearer"));
    }
    // Some providers write the number as a string.
    let seconds = body.expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let lifetime = seconds.map_or(LIFETIME, Duration::from_secs).min(LONGEST);
    let refresh = body.refresh_token.filter(|token| is_token(token)).map(SecretString::from);
    Ok(Token { secret: SecretString::from(token), lifetime, refresh })
}

/// VSCHAR (RFC 6749 appendix A.12): anything else would end a line or a part of a message.
pub(super) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= TOKEN && token.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// Server text as people may see it, with nothing of these secrets.
pub(super) fn scrubbed(text: &str, secrets: &[SecretString], most: usize) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = Redaction::of("", secret).scrub(&text).into_owned();
    }
    printable(&text, most)
}

/// The answer is no JSON: a sign-in page, a proxy's page, a load balancer's error. Its words are markup, and are not shown.
pub(super) fn nonsense(answer: &Answer, place: &str) -> Refusal {
    let what = match answer.media.as_str() {
        "text/html" | "application/xhtml+xml" => "HTML".to_owned(),
        "application/json" => "JSON that cannot be read".to_owned(),
        "" => "something that is no JSON".to_owned(),
        other => format!("something that is no JSON ({})", printable(other, 64)),
    };
    unexpected(answer, place, &format!("with {what}, where JSON belongs: is this the token URL, and is a proxy in between?"))
}

fn unexpected(answer: &Answer, place: &str, what: &str) -> Refusal {
    let fault = format!("{place} answered {} {what}", answer.status);
    let class = if answer.status == 200 || answer.status >= 500 || answer.status == 429 { Class::Transient } else { Class::User };
    let diagnosis = Diagnosis::new(Reason::OAuthTokenFailed).class(class).detail(fault.clone()).fact("fault", fault);
    Refusal { diagnosis, judged: false, retry_after: answer.retry_after }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::mail::oauth2::{Grant, Proof};

    fn request() -> Request {
        Request {
            endpoint: "https://login.test/token".parse().unwrap(),
            client_id: "us".to_owned(),
            proof: Proof::Post("a very secret secret".to_owned().into()),
            grant: Grant::ClientCredentials,
            scopes: vec!["mail".to_owned()],
        }
    }

    fn answered(status: u16, media: &str, body: &str) -> Result<Token, Refusal> {
        let answer = Answer { status, media: media.to_owned(), retry_after: None, date: None, body: body.as_bytes().to_vec() };
        let request = request();
        read(&answer, &request, &request.form(None, Timestamp::UNIX_EPOCH).unwrap())
    }

    #[test]
    fn a_token_is_taken_with_its_time() {
        for (body, seconds) in [
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":3599}"#, 3599),
            (r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#, 60),
            (r#"{"access_token":"t"}"#, 300),
            (r#"{"access_token":"t","expires_in":-1}"#, 300),
            (r#"{"access_token":"t","expires_in":99999999999}"#, 86_400),
        ] {
            let token = answered(200, "application/json", body).unwrap();
            assert_eq!((token.secret.expose_secret(), token.lifetime.as_secs()), ("t", seconds), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let long = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(TOKEN + 1));
        for (status, media, body, says) in [
            (200, "text/html", "<html><script>alert('t')</script>", "200 with HTML"),
            (200, "application/json", "{", "JSON that cannot be read"),
            (200, "application/json", "[1]", "JSON that cannot be read"),
            (200, "application/json", "{}", "without an access token"),
            (200, "application/json", r#"{"access_token":""}"#, "without an access token"),
            (200, "application/json", r#"{"access_token":"a\r\nQUIT"}"#, "without an access token"),
            (200, "application/json", r#"{"access_token":"a\u0001b"}"#, "without an access token"),
            (200, "application/json", &long, "without an access token"),
            (200, "application/json", r#"{"access_token":"t","token_type":"mac"}"#, "another type than Bearer"),
            (404, "application/json", r#"{"access_token":"t"}"#, "404 and names no error"),
            (503, "", "", "503 with something that is no JSON"),
        ] {
            let refused = answered(status, media, body).unwrap_err();
            assert!(refused.diagnosis.said().contains(says), "{body}: {}", refused.diagnosis.said());
            assert!(!refused.judged && refused.diagnosis.reason == Reason::OAuthTokenFailed);
            assert!(!refused.diagnosis.said().contains("alert"));
        }
    }

    #[test]
    fn an_error_counts_whatever_the_status_says_and_shows_no_secret() {
        let body = r#"{"error":"invalid_client","error_description":"no a very secret secret, and a%20very%20secret%20secret"}"#;
        for status in [200, 400, 401] {
            let refused = answered(status, "application/json", body).unwrap_err();
            assert!(refused.judged, "{status}");
            let said = refused.diagnosis.said();
            assert!(said.contains("invalid_client") && said.contains("[redacted]") && !said.contains("very"), "{said}");
        }
    }
}
