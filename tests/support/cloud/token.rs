//! The token endpoints: Microsoft's client credentials, Google's refresh tokens and service accounts. Shapes:
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential>,
//! <https://developers.google.com/identity/protocols/oauth2/web-server#offline>,
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Answer, Behind, Granted, Request, http::form, secret};
use crate::support::leaks::password;

/// For whom a cluster's account vouches at Microsoft.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// What an assertion says; whether its signature holds is not looked at here.
fn claims(assertion: &str) -> Value {
    let claims = assertion.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default()
}

pub fn answer(behind: &Behind, request: &Request) -> Answer {
    let form = form(&request.body);
    let value = |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let refused = |error: &str| Answer::json(400, &json!({"error": error, "error_description": "as the test wants it"}));
    let granted = match value("grant_type") {
        "client_credentials" => {
            let scope = "https://localhost/.default".to_owned();
            let vouched = claims(value("client_assertion"));
            let is_trusted = vouched["sub"] == *behind.trusted.lock().unwrap() && vouched["aud"] == json!([AUDIENCE]);
            if !value("client_assertion").is_empty() && !is_trusted {
                let words = format!("AADSTS700213: No matching federated identity record found for {}", vouched["sub"]);
                return Answer::json(
                    401,
                    &json!({"error": "invalid_client", "error_codes": [700_213], "error_description": words}),
                );
            }
            if !is_trusted && value("client_secret") != secret() {
                return Answer::json(
                    401,
                    &json!({"error": "invalid_client", "error_codes": [7_000_215],
                    "error_description": "AADSTS7000215: Invalid client secret provided."}),
                );
            }
            if value("scope") != scope {
                return refused("invalid_scope");
            }
            Granted { subject: String::new(), scope }
        }
        "refresh_token" => {
            let user = value("refresh_token").strip_prefix(&format!("{}-of-", password("refresh")));
            let Some(user) = user.filter(|_| value("client_secret") == secret()) else { return refused("invalid_grant") };
            Granted { subject: user.to_owned(), scope: behind.consent.lock().unwrap().clone() }
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            let claims = claims(value("assertion"));
            let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
            if text("aud") != format!("https://localhost:{}/token", behind.port) {
                return refused("invalid_grant");
            }
            if text("sub").is_empty() {
                return Answer::json(
                    401,
                    &json!({"error": "unauthorized_client",
                    "error_description": "Client is unauthorized to retrieve access tokens using this method"}),
                );
            }
            Granted { subject: text("sub"), scope: text("scope") }
        }
        _ => return refused("unsupported_grant_type"),
    };
    let token = format!("{}-{}", password("access"), uuid::Uuid::new_v4().simple());
    let scope = granted.scope.clone();
    behind.tokens.lock().unwrap().insert(token.clone(), granted);
    Answer::json(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token, "scope": scope}))
}
