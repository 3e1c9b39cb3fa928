//! How mailverity logs in: one type for a server's account and a mailbox's.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An account and the way to log in to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'Password' || has(self.secretRef)").message("auth.type Password needs auth.secretRef").field_path(".secretRef"),
    validation = Rule::new("(self.type == 'OAuth2') == has(self.oauth2)").message("auth.oauth2 belongs to auth.type OAuth2, and is required with it").field_path(".oauth2"),
    validation = Rule::new("!has(self.mechanisms) || !('Auto' in self.mechanisms) || size(self.mechanisms) == 1").message("Auto stands alone; list PLAIN, LOGIN, CRAM-MD5, XOAUTH2 or NTLM without it").field_path(".mechanisms")
)]
pub struct Auth {
    /// None: no login. Password: a user name and a password from a Secret. OAuth2: an access token.
    #[serde(default)]
    pub r#type: AuthType,
    /// SASL mechanisms that may be used. Auto (the default) takes, inside verified TLS, the first that the server
    /// offers of PLAIN, LOGIN, CRAM-MD5, NTLM; without verified TLS only CRAM-MD5, NTLM and APOP, which do not show
    /// the password, unless allowPlaintext is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub mechanisms: Option<Vec<Mechanism>>,
    /// The account: user@domain, DOMAIN\user or a bare login. Absent: the key usernameKey of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub username: Option<String>,
    /// The Secret, in the same namespace, that holds user name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Let PLAIN and LOGIN show the password to whoever watches the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plaintext: Option<bool>,
    /// How to get an access token; goes with type OAuth2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
}

/// Kinds of login.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthType {
    #[default]
    None,
    Password,
    OAuth2,
}

/// SASL mechanisms by their registered names (APOP is POP3's own, RFC 1939).
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    Auto,
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "LOGIN")]
    Login,
    #[serde(rename = "CRAM-MD5")]
    CramMd5,
    #[serde(rename = "NTLM")]
    Ntlm,
    #[serde(rename = "APOP")]
    Apop,
    #[serde(rename = "XOAUTH2")]
    XOAuth2,
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

impl Mechanism {
    /// The registered name, as servers list it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::Ntlm => "NTLM",
            Self::Apop => "APOP",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

/// A Secret that holds an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that holds the user name; username if absent. Not read where auth.username is set.
    #[serde(default = "username")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: String,
    /// The key that holds the password; password if absent.
    #[serde(default = "password")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
}

fn username() -> String {
    "username".to_owned()
}

fn password() -> String {
    "password".to_owned()
}

/// How to get an access token from an OAuth 2.0 provider (RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.provider != 'Microsoft365' || has(self.tenantID)").message("provider Microsoft365 needs tenantID").field_path(".tenantID"),
    validation = Rule::new("self.provider != 'Custom' || has(self.tokenURL)").message("provider Custom needs tokenURL").field_path(".tokenURL"),
    validation = Rule::new("self.provider != 'Custom' || self.grant != 'DeviceCode' || has(self.deviceURL)").message("provider Custom with grant DeviceCode needs deviceURL").field_path(".deviceURL"),
    validation = Rule::new("!(self.grant in ['ClientCredentials','ServiceAccountJWT']) || has(self.client)").message("this grant needs client: one of secretRef, certificateRef, serviceAccountKeyRef or workloadIdentity").field_path(".client"),
    validation = Rule::new("!(self.provider == 'Google' && self.grant in ['DeviceCode','ClientCredentials'])").message("Google offers no mail scope for this grant; use ServiceAccountJWT or RefreshToken").field_path(".grant"),
    validation = Rule::new("!(self.provider == 'Microsoft365' && self.grant == 'ServiceAccountJWT')").message("ServiceAccountJWT is Google's; use ClientCredentials with Microsoft365").field_path(".grant"),
    validation = Rule::new("!(self.grant in ['DeviceCode','RefreshToken']) || has(self.tokenSecretName)").message("this grant needs tokenSecretName, where the refresh token is kept").field_path(".tokenSecretName")
)]
pub struct OAuth2 {
    /// Microsoft365 and Google fill in URLs and scopes; Custom takes its own.
    pub provider: OAuth2Provider,
    /// Microsoft's cloud: Public (the default), China or USGov.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// How the token is asked for: ClientCredentials, DeviceCode (RFC 8628), RefreshToken or Google's ServiceAccountJWT.
    pub grant: Grant,
    /// The directory (tenant) of provider Microsoft365.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "tenantID")]
    #[schemars(length(min = 1, max = 253))]
    pub tenant_id: Option<String>,
    /// The application's id at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: Option<String>,
    /// How the application proves itself; a public client (DeviceCode, RefreshToken) may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<OAuth2Client>,
    /// The day on which the client secret ends (YYYY-MM-DD); the provider does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub client_secret_expires: Option<String>,
    /// Where people consent in a browser: for `kubectl mail login` with grant RefreshToken, which needs it with provider Custom. The
    /// operator never asks there.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "authURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://"))]
    pub auth_url: Option<String>,
    /// Where tokens are given out.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "tokenURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://"))]
    pub token_url: Option<String>,
    /// Where device codes are given out (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "deviceURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://"))]
    pub device_url: Option<String>,
    /// What the token is for; the provider's preset if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    pub scopes: Option<Vec<String>>,
    /// The user that a service account acts for (Google's domain-wide delegation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub subject: Option<String>,
    /// The Secret, in the same namespace, that keeps the refresh token: with grant DeviceCode the operator makes it; with RefreshToken
    /// it is yours, key refresh_token, and `kubectl mail login` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub token_secret_name: Option<String>,
}

/// Presets of providers.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OAuth2Provider {
    Microsoft365,
    Google,
    Custom,
}

/// Microsoft's national clouds.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cloud {
    #[default]
    Public,
    China,
    USGov,
}

/// Ways to ask for a token.
#[expect(
    missing_docs,
    reason = "a documented variant loses its place in the schema's enum; the field's text says what each means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Grant {
    ClientCredentials,
    DeviceCode,
    RefreshToken,
    ServiceAccountJWT,
}

/// How an application proves to its provider that it is itself: exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.secretRef) ? 1 : 0) + (has(self.certificateRef) ? 1 : 0) + (has(self.serviceAccountKeyRef) ? 1 : 0) + (has(self.workloadIdentity) ? 1 : 0) == 1").message("set exactly one of secretRef, certificateRef, serviceAccountKeyRef or workloadIdentity"))]
pub struct OAuth2Client {
    /// A client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A certificate and its key (kubernetes.io/tls) that sign an assertion (RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ref: Option<SecretKeyRef>,
    /// The JSON key of a Google service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key_ref: Option<SecretKeyRef>,
    /// The pod's own projected token: no secret exists at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it; the usual key of what is kept there if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// Federated identity by a projected `ServiceAccount` token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// The token's audience; the provider's usual one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub audience: Option<String>,
}
