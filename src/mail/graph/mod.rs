//! A mailbox over Microsoft Graph v1.0.
//!
//! `service` is what is asked, and how it is answered; `refusal` what Graph's errors mean. What it has in common with the Gmail
//! API is in `mail::rest`.

mod refusal;
mod service;

pub use refusal::judge;
pub use service::Graph;

use crate::api::v1alpha1::Cloud;

/// The hosts of Graph in Microsoft's clouds: worldwide, China, US government and its department of defence.
/// Source: <https://learn.microsoft.com/en-us/graph/deployments#microsoft-graph-and-graph-explorer-service-root-endpoints>
pub const HOSTS: [&str; 4] =
    ["graph.microsoft.com", "microsoftgraph.chinacloudapi.cn", "graph.microsoft.us", "dod-graph.microsoft.us"];

/// Where Graph is in a cloud.
#[must_use]
pub fn host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => HOSTS[0],
        Cloud::China => HOSTS[1],
        Cloud::USGov => HOSTS[2],
    }
}

/// The scope for which an application asks on its own behalf: all that it was granted there.
/// Source: <https://learn.microsoft.com/en-us/graph/auth-v2-service#4-request-an-access-token>
#[must_use]
pub fn scope(host: &str) -> String {
    format!("https://{host}/.default")
}
