//! Where the known providers give out tokens, and what for.

use crate::api::v1alpha1::Cloud;

/// The hosts of the token endpoints below.
pub const HOSTS: [&str; 4] =
    ["login.microsoftonline.com", "login.partner.microsoftonline.cn", "login.microsoftonline.us", "oauth2.googleapis.com"];

/// Google's token endpoint. Source: <https://developers.google.com/identity/protocols/oauth2/service-account>
pub const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// What IMAP, POP3 and SMTP need at Google. Source: <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>
pub const GOOGLE_SCOPE: &str = "https://mail.google.com/";

/// The token endpoint of a directory at Microsoft.
/// Source: <https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud>
#[must_use]
pub fn microsoft_token_url(cloud: Cloud, tenant: &str) -> String {
    let host = match cloud {
        Cloud::Public => HOSTS[0],
        Cloud::China => HOSTS[1],
        Cloud::USGov => HOSTS[2],
    };
    format!("https://{host}/{tenant}/oauth2/v2.0/token")
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
        urls.push(GOOGLE_TOKEN_URL.to_owned());
        for url in urls {
            let url: Url = url.parse().unwrap();
            assert!(HOSTS.contains(&url.host.as_str()) && url.port == 443, "{url}");
        }
    }
}
