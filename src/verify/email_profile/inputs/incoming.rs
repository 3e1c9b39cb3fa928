//! Where a profile's mailbox is, and the account on it: as it is written, by its provider's preset, or by an API's own block.

use std::borrow::Cow;

use crate::{
    api::v1alpha1::{
        Auth, AuthType, EmailProfileSpec, Gmail, Grant, Graph, MailboxCleanup, MailboxProtocol, OAuth2, OAuth2Provider, Security,
    },
    mail::{Diagnosis, gmail, graph, https::Url, protocol::Protocol},
    verify::{
        Endpoint,
        email_profile::presets,
        resolve::{host_name, invalid, port_number},
    },
};

/// Where the mailbox is.
///
/// # Errors
/// `SpecInvalid` where a host cannot be read.
pub fn incoming(spec: &EmailProfileSpec) -> Result<(Protocol, Endpoint), Diagnosis> {
    let (protocol, name) = match spec.protocol {
        MailboxProtocol::IMAP => (Protocol::Imap, "IMAP"),
        MailboxProtocol::POP3 => (Protocol::Pop3, "POP3"),
        MailboxProtocol::MicrosoftGraph => {
            let written = graph_of(spec)?;
            let host = graph::host(written.cloud.unwrap_or_default());
            return Ok((Protocol::Graph, over_https(written.endpoint.as_deref(), host, "graph.endpoint")?));
        }
        MailboxProtocol::GmailAPI => {
            let written = gmail_of(spec)?;
            return Ok((Protocol::Gmail, over_https(written.endpoint.as_deref(), gmail::HOST, "gmail.endpoint")?));
        }
    };
    if let Some(server) = &spec.server {
        let security = server.security.unwrap_or(Security::TLS);
        let usual = match (protocol, security) {
            (Protocol::Imap, Security::TLS) => 993,
            (Protocol::Imap, _) => 143,
            (_, Security::TLS) => 995,
            _ => 110,
        };
        let port = port_number(server.port)?.unwrap_or(usual);
        return Ok((protocol, Endpoint { host: host_name(&server.host, "server.host")?, port, security }));
    }
    let preset = spec.provider.and_then(|provider| presets::incoming(provider, spec.protocol));
    let (host, port, security) =
        preset.ok_or_else(|| invalid(&format!("the provider offers no {name}; set server, or another protocol")))?;
    Ok((protocol, Endpoint { host: host.to_owned(), port, security }))
}

/// The account on the mailbox: as it is written, or the application of an API's block and the user for whom it asks.
///
/// # Errors
/// `SpecInvalid` where there is none.
pub fn auth(spec: &EmailProfileSpec) -> Result<Cow<'_, Auth>, Diagnosis> {
    let (user, oauth2) = match spec.protocol {
        MailboxProtocol::IMAP | MailboxProtocol::POP3 => {
            let written = spec.account.as_ref().ok_or_else(|| invalid("protocol IMAP and POP3 need account"))?;
            return Ok(Cow::Borrowed(written));
        }
        MailboxProtocol::MicrosoftGraph => {
            let written = graph_of(spec)?;
            if written.client.service_account_key_ref.is_some() {
                return Err(invalid(
                    "graph.client.serviceAccountKeyRef is Google's: use secretRef, certificateRef or workloadIdentity",
                ));
            }
            (written.user.clone(), of_graph(written, &incoming(spec)?.1.host))
        }
        MailboxProtocol::GmailAPI => {
            let written = gmail_of(spec)?;
            if written.client.certificate_ref.is_some() {
                return Err(invalid(
                    "Google takes no gmail.client.certificateRef: use serviceAccountKeyRef, workloadIdentity or secretRef",
                ));
            }
            (written.subject.clone(), of_gmail(written, spec))
        }
    };
    let username = Some(user.unwrap_or_else(|| spec.address.clone()));
    Ok(Cow::Owned(Auth { r#type: AuthType::OAuth2, username, oauth2: Some(oauth2), ..Auth::default() }))
}

/// The account of [`auth`], with the scopes that its user is to consent to where they are not written.
///
/// # Errors
/// `SpecInvalid` where there is none.
pub fn consented(spec: &EmailProfileSpec) -> Result<Cow<'_, Auth>, Diagnosis> {
    let mut auth = auth(spec)?;
    if spec.protocol == MailboxProtocol::GmailAPI
        && let Some(oauth2) = auth.to_mut().oauth2.as_mut()
    {
        oauth2.scopes.get_or_insert_with(|| vec![gmail_scope(spec).to_owned()]);
    }
    Ok(auth)
}

/// By the application itself, with all that it was granted.
fn of_graph(written: &Graph, host: &str) -> OAuth2 {
    OAuth2 {
        cloud: written.cloud,
        tenant_id: Some(written.tenant_id.clone()),
        client_id: Some(written.client_id.clone()),
        client: Some(written.client.clone()),
        token_url: written.token_url.clone(),
        scopes: Some(vec![graph::scope(host)]),
        ..bare(OAuth2Provider::Microsoft365, Grant::ClientCredentials)
    }
}

/// By a user's consent where there is one, else by a service account that acts for the user.
fn of_gmail(written: &Gmail, spec: &EmailProfileSpec) -> OAuth2 {
    let consented = written.client.secret_ref.is_some();
    let grant = if consented { Grant::RefreshToken } else { Grant::ServiceAccountJWT };
    OAuth2 {
        client_id: Some(written.client_id.clone()),
        client: Some(written.client.clone()),
        token_url: written.token_url.clone(),
        // Who refreshes gets what was consented to.
        scopes: (!consented).then(|| vec![gmail_scope(spec).to_owned()]),
        subject: (!consented).then(|| written.subject.clone().unwrap_or_else(|| spec.address.clone())),
        token_secret_name: written.token_secret_name.clone(),
        ..bare(OAuth2Provider::Google, grant)
    }
}

fn gmail_scope(spec: &EmailProfileSpec) -> &'static str {
    if spec.cleanup() == MailboxCleanup::Keep { gmail::READ } else { gmail::MODIFY }
}

fn bare(provider: OAuth2Provider, grant: Grant) -> OAuth2 {
    OAuth2 {
        provider,
        cloud: None,
        grant,
        tenant_id: None,
        client_id: None,
        client: None,
        client_secret_expires: None,
        auth_url: None,
        token_url: None,
        device_url: None,
        scopes: None,
        subject: None,
        token_secret_name: None,
    }
}

fn graph_of(spec: &EmailProfileSpec) -> Result<&Graph, Diagnosis> {
    spec.graph.as_ref().ok_or_else(|| invalid("protocol MicrosoftGraph needs graph"))
}

fn gmail_of(spec: &EmailProfileSpec) -> Result<&Gmail, Diagnosis> {
    spec.gmail.as_ref().ok_or_else(|| invalid("protocol GmailAPI needs gmail"))
}

fn over_https(written: Option<&str>, usual: &str, field: &str) -> Result<Endpoint, Diagnosis> {
    let url: Url = match written {
        Some(written) => written.parse(),
        None => format!("https://{usual}").parse(),
    }
    .map_err(|fault| invalid(&format!("{field}: {fault}")))?;
    if url.path != "/" {
        return Err(invalid(&format!("{field} is https://host or https://host:port, without a path")));
    }
    Ok(Endpoint { host: url.host, port: url.port, security: Security::TLS })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(rest: &Value) -> EmailProfileSpec {
        let mut spec = json!({"address": "box@corp.test"});
        for (key, value) in rest.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn graph(block: &Value) -> EmailProfileSpec {
        let mut graph = json!({"tenantID": "corp", "clientID": "us", "client": {"secretRef": {"name": "app"}}});
        for (key, value) in block.as_object().unwrap() {
            graph[key] = value.clone();
        }
        spec(&json!({"protocol": "MicrosoftGraph", "graph": graph}))
    }

    #[test]
    fn each_cloud_has_its_host_and_an_endpoint_goes_before_it() {
        for (block, place, scope) in [
            (json!({}), "graph.microsoft.com:443", "https://graph.microsoft.com/.default"),
            (
                json!({"cloud": "China"}),
                "microsoftgraph.chinacloudapi.cn:443",
                "https://microsoftgraph.chinacloudapi.cn/.default",
            ),
            (json!({"cloud": "USGov"}), "graph.microsoft.us:443", "https://graph.microsoft.us/.default"),
            (
                json!({"cloud": "USGov", "endpoint": "https://dod-graph.microsoft.us"}),
                "dod-graph.microsoft.us:443",
                "https://dod-graph.microsoft.us/.default",
            ),
            (json!({"endpoint": "https://Graph.corp.test:8443"}), "graph.corp.test:8443", "https://graph.corp.test/.default"),
        ] {
            let spec = graph(&block);
            let (protocol, endpoint) = incoming(&spec).unwrap();
            assert_eq!((protocol, endpoint.to_string().as_str()), (Protocol::Graph, place));
            let auth = auth(&spec).unwrap();
            assert_eq!(auth.oauth2.as_ref().unwrap().scopes.as_deref(), Some([scope.to_owned()].as_slice()));
        }
        assert!(auth(&graph(&json!({"client": {"serviceAccountKeyRef": {"name": "a"}}}))).is_err());
        for bad in ["http://a.test", "https://a.test/v1.0", "https://a@b.test", "a.test"] {
            assert!(incoming(&graph(&json!({"endpoint": bad}))).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mailbox_is_the_address_unless_another_is_named() {
        let user = |spec: &EmailProfileSpec| auth(spec).unwrap().username.clone().unwrap();
        assert_eq!(user(&graph(&json!({}))), "box@corp.test");
        assert_eq!(user(&graph(&json!({"user": "0f1e"}))), "0f1e");
    }

    #[test]
    fn a_service_account_asks_for_no_more_than_the_cleanup_needs() {
        let profile = |cleanup: &str, client: Value, rest: Value| {
            let gmail = json!({"clientID": "1", "client": client, "tokenSecretName": "token"});
            let mut spec = json!({"protocol": "GmailAPI", "gmail": gmail, "mailbox": {"cleanup": cleanup}});
            for (key, value) in rest.as_object().unwrap() {
                spec["gmail"][key] = value.clone();
            }
            self::spec(&spec)
        };
        let account = json!({"serviceAccountKeyRef": {"name": "key"}});
        for (cleanup, scope) in [("Keep", gmail::READ), ("Delete", gmail::MODIFY), ("MarkSeen", gmail::MODIFY)] {
            let spec = profile(cleanup, account.clone(), json!({}));
            let oauth2 = auth(&spec).unwrap().oauth2.clone().unwrap();
            assert_eq!((oauth2.grant, oauth2.subject.as_deref()), (Grant::ServiceAccountJWT, Some("box@corp.test")));
            assert_eq!(oauth2.scopes, Some(vec![scope.to_owned()]));
        }
        let spec = profile("Delete", json!({"secretRef": {"name": "app"}}), json!({"subject": "other@corp.test"}));
        let written = auth(&spec).unwrap();
        let oauth2 = written.oauth2.clone().unwrap();
        assert_eq!((oauth2.grant, oauth2.subject, oauth2.scopes), (Grant::RefreshToken, None, None));
        assert_eq!(consented(&spec).unwrap().oauth2.as_ref().unwrap().scopes, Some(vec![gmail::MODIFY.to_owned()]));
        assert_eq!(written.username.as_deref(), Some("other@corp.test"));
    }
}
