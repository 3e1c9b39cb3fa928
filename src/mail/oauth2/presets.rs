//! Where the known providers give out tokens, and what for.

use crate::api::v1alpha1::Cloud;

/// The hosts of the token endpoints below.
pub const HOSTS: [&str; 6] = [
    "login.microsoftonline.com",
    "login.partner.microsoftonline.cn",
    "login.microsoftonline.us",
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
];

/// Google's token endpoint. Source: <https://developers.google.com/identity/protocols/oauth2/service-account>
pub const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// Where people consent at Google in a browser.
/// Source: <https://developers.google.com/identity/protocols/oauth2/native-app>
pub const GOOGLE_PAGE_URL: &str = "https://accounts.google.com/o/oauth2/v2/auth";

/// What Google wants to hear so that it gives a refresh token, and not only the first time. The same source.
pub const GOOGLE_PAGE_FIELDS: [(&str, &str); 2] = [("access_type", "offline"), ("prompt", "consent")];

/// Where Google takes a token of somebody else's for one of its own.
/// Source: <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>
pub const GOOGLE_EXCHANGE_URL: &str = "https://sts.googleapis.com/v1/token";

/// Where Google signs for a service account; the account and the verb follow.
/// Source: <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt>
pub const GOOGLE_SIGNING_URL: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/";

/// The audience of tokens that Microsoft takes for its own.
/// Source: <https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-create-trust>
#[must_use]
pub fn microsoft_audience(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "api://AzureADTokenExchange",
        Cloud::China => "api://AzureADTokenExchangeChina",
        Cloud::USGov => "api://AzureADTokenExchangeUSGov",
    }
}

/// What IMAP, POP3 and SMTP need at Google. Source: <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>
pub const GOOGLE_SCOPE: &str = "https://mail.google.com/";

/// The token endpoint of a directory at Microsoft.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud>
#[must_use]
pub fn microsoft_token_url(cloud: Cloud, tenant: &str) -> String {
    format!("https://{}/{tenant}/oauth2/v2.0/token", microsoft_host(cloud))
}

/// Where a directory at Microsoft gives out device codes.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-device-code#device-authorization-request>
#[must_use]
pub fn microsoft_device_url(cloud: Cloud, tenant: &str) -> String {
    format!("https://{}/{tenant}/oauth2/v2.0/devicecode", microsoft_host(cloud))
}

/// Where people consent in a browser, in a directory at Microsoft.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-authorization-code>
#[must_use]
pub fn microsoft_page_url(cloud: Cloud, tenant: &str) -> String {
    format!("https://{}/{tenant}/oauth2/v2.0/authorize", microsoft_host(cloud))
}

/// Where Microsoft sends browsers back to on a person's own machine, at any port: the one that its portal lets be registered.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/reply-url#localhost-exceptions>
pub const MICROSOFT_REDIRECT: &str = "http://localhost";

fn microsoft_host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => HOSTS[0],
        Cloud::China => HOSTS[1],
        Cloud::USGov => HOSTS[2],
    }
}

/// The scope that brings a refresh token (`OpenID` Connect Core 1.0 section 11).
pub const OFFLINE: &str = "offline_access";

/// The scopes to which a user consents: to send, and where `reads`, to open the mailbox too. [`OFFLINE`] is for the refresh token.
/// Source: <https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth>
#[must_use]
pub fn microsoft_user_scopes(cloud: Cloud, reads: bool) -> Vec<String> {
    let resource = match cloud {
        Cloud::Public => "https://outlook.office.com",
        Cloud::China => "https://partner.outlook.cn",
        Cloud::USGov => "https://outlook.office365.us",
    };
    let mailbox = ["IMAP.AccessAsUser.All", "POP.AccessAsUser.All"];
    let rights = mailbox.into_iter().filter(|_| reads).chain(["SMTP.Send"]);
    std::iter::once(OFFLINE.to_owned()).chain(rights.map(|right| format!("{resource}/{right}"))).collect()
}

/// The scope for which an application asks on its own behalf, to use IMAP, POP3 and SMTP of Exchange Online.
/// Source: <https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth>;
/// the hosts of other clouds are those of Exchange Online there:
/// <https://learn.microsoft.com/en-us/microsoft-365/enterprise/microsoft-365-endpoints>
#[must_use]
pub fn microsoft_scope(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "https://outlook.office365.com/.default",
        Cloud::China => "https://partner.outlook.cn/.default",
        Cloud::USGov => "https://outlook.office365.us/.default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::https::Url;

    #[test]
    fn every_preset_is_at_a_host_that_is_known() {
        let mut urls: Vec<String> =
            [Cloud::Public, Cloud::China, Cloud::USGov].map(|cloud| microsoft_token_url(cloud, "corp.test")).into();
        urls.extend([Cloud::Public, Cloud::China, Cloud::USGov].map(|cloud| microsoft_device_url(cloud, "corp.test")));
        urls.extend([Cloud::Public, Cloud::China, Cloud::USGov].map(|cloud| microsoft_page_url(cloud, "corp.test")));
        urls.extend([GOOGLE_TOKEN_URL, GOOGLE_EXCHANGE_URL, GOOGLE_SIGNING_URL].map(str::to_owned));
        for url in urls {
            let url: Url = url.parse().unwrap();
            assert!(HOSTS.contains(&url.host.as_str()) && url.port == 443, "{url}");
        }
    }
}
